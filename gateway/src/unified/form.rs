//! A caller's `multipart/form-data`, read as it comes: fields in any order, one file among them.
//!
//! The parser takes whatever it is given into memory until it finds what it looks for. So it is given one chunk at a
//! time, and no more than [`MOST_BETWEEN`] between two things that it has found.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{Stream, unfold};
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};
use pingora::protocols::http::ServerSession;
use policies::unified::AudioFile;
use policies::vocabulary::{Code, Refusal};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::attempts::Unanswered;
use super::body::{broken, late};
use crate::stages::admit::too_large;

const FILE: &str = "file";
const MOST_FIELDS: usize = 64;
const MOST_FIELD_BYTES: usize = 64 * 1024;
const MOST_BETWEEN: u64 = 512 * 1024;
/// How long a caller may send nothing in the middle of a form.
const SILENCE: Duration = Duration::from_secs(60);

pub struct Form<'s> {
    parts: Multipart<'s>,
    since_found: Arc<AtomicU64>,
    /// Those that have come.
    pub fields: Vec<(String, String)>,
    has_file: bool,
}

/// The one file, at its beginning.
pub struct FilePart<'s> {
    pub said: AudioFile,
    field: Field<'s>,
    since_found: Arc<AtomicU64>,
}

/// Why a chunk of the body did not come, on its way through the parser.
#[derive(Debug, thiserror::Error)]
#[error("reading the form")]
struct Stopped(parking_lot::Mutex<Option<Unanswered>>);

impl<'s> Form<'s> {
    pub fn new(session: &'s mut ServerSession, most: u64) -> Result<Self, Refusal> {
        let kind = session.req_header().headers.get(CONTENT_TYPE);
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let boundary = multer::parse_boundary(kind)
            .map_err(|_| malformed("send the request as multipart/form-data with a boundary"))?;
        let since_found = Arc::new(AtomicU64::new(0));
        Ok(Self {
            parts: Multipart::new(chunks(session, most, since_found.clone()), boundary),
            since_found,
            fields: Vec::new(),
            has_file: false,
        })
    }

    /// Reads fields up to the file; `None` at the form's end.
    pub async fn next_file(&mut self) -> Result<Option<FilePart<'s>>, Unanswered> {
        loop {
            let next = self.parts.next_field().await.map_err(unread)?;
            self.since_found.store(0, Ordering::Relaxed);
            let Some(field) = next else { return Ok(None) };
            let name = field.name().unwrap_or_default().to_owned();
            if name != FILE {
                self.read_field(name, field).await?;
                continue;
            }
            if std::mem::replace(&mut self.has_file, true) {
                return Err(malformed("send one file").at(FILE).into());
            }
            let said = AudioFile {
                name: field.file_name().map(str::to_owned),
                content_type: field.content_type().map(|kind| kind.to_string()),
            };
            let since_found = self.since_found.clone();
            return Ok(Some(FilePart {
                said,
                field,
                since_found,
            }));
        }
    }

    async fn read_field(&mut self, name: String, mut field: Field<'s>) -> Result<(), Unanswered> {
        if self.fields.len() == MOST_FIELDS {
            return Err(malformed("the form has too many fields").into());
        }
        let mut value = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(unread)? {
            self.since_found.store(0, Ordering::Relaxed);
            if value.len() + chunk.len() > MOST_FIELD_BYTES {
                let refusal =
                    Refusal::new(Code::PayloadTooLarge, "a field of the form is larger than 64 KiB");
                return Err(refusal.into());
            }
            value.extend_from_slice(&chunk);
        }
        let value = String::from_utf8(value).map_err(|_| malformed("a field of the form is not text"))?;
        self.fields.push((name, value));
        Ok(())
    }

    /// The value of a field that has come already.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

impl FilePart<'_> {
    /// May be dropped and called again without losing anything.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Unanswered> {
        let chunk = self.field.chunk().await.map_err(unread)?;
        self.since_found.store(0, Ordering::Relaxed);
        Ok(chunk)
    }
}

/// The body's chunks, with a pause after each in which the parser looks at it.
fn chunks(
    session: &mut ServerSession,
    most: u64,
    since_found: Arc<AtomicU64>,
) -> impl Stream<Item = Result<Bytes, Stopped>> + Send {
    let stopped = |why: Unanswered| Stopped(parking_lot::Mutex::new(Some(why)));
    unfold(
        (session, 0u64, since_found),
        move |(session, read, since_found)| async move {
            if read > 0 {
                yield_now().await;
            }
            let chunk = match timeout(SILENCE, session.read_request_body()).await {
                Ok(Ok(chunk)) => chunk?,
                Ok(Err(error)) => return Some((Err(stopped(broken(error))), (session, read, since_found))),
                Err(_) => return Some((Err(stopped(late().into())), (session, read, since_found))),
            };
            let length = chunk.len() as u64;
            let read = read + length.max(1);
            let unfound = since_found.fetch_add(length, Ordering::Relaxed) + length;
            let item = if read > most {
                Err(stopped(too_large(most).into()))
            } else if unfound > MOST_BETWEEN {
                Err(stopped(malformed("the form is malformed").into()))
            } else {
                Ok(chunk)
            };
            Some((item, (session, read, since_found)))
        },
    )
}

/// Nothing of what the parser says is repeated: it quotes the form.
fn unread(error: multer::Error) -> Unanswered {
    if let multer::Error::StreamReadFailed(source) = &error
        && let Some(Stopped(why)) = source.downcast_ref()
        && let Some(why) = why.lock().take()
    {
        return why;
    }
    match error {
        multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => {
            malformed("the form is incomplete").into()
        }
        _ => malformed("the form is malformed").into(),
    }
}

fn malformed(message: &'static str) -> Refusal {
    Refusal::new(Code::InvalidRequest, message)
}
