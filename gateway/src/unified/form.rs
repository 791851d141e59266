//! A caller's `multipart/form-data`, read as it comes: fields in any order, one file among them.
//!
//! The parser takes whatever it is given into memory until it finds what it looks for, and looks at all of it again
//! whenever more has come. So it is given what is there up to [`GATHERED`] at a time, and nothing more once it has found
//! nothing in [`MOST_BETWEEN`].

use std::future::{pending, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, unfold};
use http::header::CONTENT_TYPE;
use multer::{Field, Multipart};
use pingora::BError;
use pingora::protocols::http::ServerSession;
use policies::unified::AudioFile;
use policies::vocabulary::{Code, Refusal};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::attempts::Unanswered;
use super::body::{broken, late};
use crate::stages::admit::too_large;

const FILE: &str = "file";
/// Lists may be long, and each of their items is a field.
const MOST_FIELDS: usize = 1_200;
const MOST_FIELD_BYTES: usize = 64 * 1024;
/// Names and values of all fields together.
const MOST_BYTES_OF_FIELDS: usize = 1024 * 1024;
const LONGEST_FIELD_NAME: usize = 128;
/// As long as most systems let a file's name be.
const LONGEST_FILE_NAME: usize = 255;
/// By RFC 2046.
const LONGEST_BOUNDARY: usize = 70;
const GATHERED: usize = 8 * 1024;
const MOST_BETWEEN: u64 = 32 * 1024;
/// How long a caller may send nothing in the middle of a form.
const SILENCE: Duration = Duration::from_secs(60);

pub struct Form<'s> {
    parts: Multipart<'s>,
    since_found: Arc<AtomicU64>,
    /// Those that have come.
    pub fields: Vec<(String, String)>,
    bytes_of_fields: usize,
    has_file: bool,
}

/// The one file, at its beginning.
pub struct FilePart<'s> {
    pub said: AudioFile,
    field: Field<'s>,
    since_found: Arc<AtomicU64>,
    /// What has been read ahead; the inner `None` is the file's end.
    ahead: Option<Option<Bytes>>,
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
            .ok()
            .filter(|boundary| boundary.len() <= LONGEST_BOUNDARY)
            .ok_or_else(|| malformed("send the request as multipart/form-data with a boundary"))?;
        let since_found = Arc::new(AtomicU64::new(0));
        Ok(Self {
            parts: Multipart::new(chunks(session, most, since_found.clone()), boundary),
            since_found,
            fields: Vec::new(),
            bytes_of_fields: 0,
            has_file: false,
        })
    }

    /// Reads fields up to the file; `None` at the form's end.
    pub async fn next_file(&mut self) -> Result<Option<FilePart<'s>>, Unanswered> {
        loop {
            let next = self.parts.next_field().await.map_err(unread)?;
            self.since_found.store(0, Ordering::Relaxed);
            let Some(field) = next else { return Ok(None) };
            let name = field.name().unwrap_or_default();
            if name.len() > LONGEST_FIELD_NAME {
                return Err(malformed("a field of the form has too long a name").into());
            }
            if name != FILE {
                self.read_field(name.to_owned(), field).await?;
                continue;
            }
            if std::mem::replace(&mut self.has_file, true) {
                return Err(malformed("send one file").at(FILE).into());
            }
            return Ok(Some(FilePart {
                said: said(&field)?,
                field,
                since_found: self.since_found.clone(),
                ahead: None,
            }));
        }
    }

    async fn read_field(&mut self, name: String, mut field: Field<'s>) -> Result<(), Unanswered> {
        if self.fields.len() == MOST_FIELDS {
            return Err(malformed("the form has too many fields").into());
        }
        let mut value = Vec::new();
        self.count(name.len())?;
        while let Some(chunk) = field.chunk().await.map_err(unread)? {
            self.since_found.store(0, Ordering::Relaxed);
            self.count(chunk.len())?;
            if value.len() + chunk.len() > MOST_FIELD_BYTES {
                return Err(too_long("a field of the form is larger than 64 KiB").into());
            }
            value.extend_from_slice(&chunk);
        }
        let value = String::from_utf8(value).map_err(|_| malformed("a field of the form is not text"))?;
        self.fields.push((name, value));
        Ok(())
    }

    fn count(&mut self, more: usize) -> Result<(), Refusal> {
        self.bytes_of_fields += more;
        if self.bytes_of_fields > MOST_BYTES_OF_FIELDS {
            return Err(too_long("the fields of the form are larger than 1 MiB together"));
        }
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
        if let Some(ahead) = self.ahead.take() {
            return Ok(ahead);
        }
        let chunk = self.field.chunk().await.map_err(unread)?;
        self.since_found.store(0, Ordering::Relaxed);
        Ok(chunk)
    }

    /// Whether all of it is here already.
    pub async fn has_ended(&mut self) -> Result<bool, Unanswered> {
        if self.ahead.is_none() {
            tokio::select! {
                biased;
                next = self.chunk() => self.ahead = Some(next?),
                () = ready(()) => {}
            }
        }
        Ok(self.ahead == Some(None))
    }

    /// Returns only when the rest will not come, as far as that can be seen without keeping more than a chunk.
    pub async fn broken_off(&mut self) -> Unanswered {
        if self.ahead.is_none() {
            match self.chunk().await {
                Ok(next) => self.ahead = Some(next),
                Err(why) => return why,
            }
        }
        pending().await
    }
}

fn said(field: &Field<'_>) -> Result<AudioFile, Refusal> {
    let content_type = field.content_type().map(ToString::to_string);
    let is_too_long = |kind: &String| kind.len() > LONGEST_FILE_NAME;
    if content_type.as_ref().is_some_and(is_too_long) {
        return Err(malformed("the file's content type is too long").at(FILE));
    }
    // Its ending is what says the most.
    let shortened = |name: &str| {
        let begin = name.ceil_char_boundary(name.len().saturating_sub(LONGEST_FILE_NAME));
        name[begin..].to_owned()
    };
    Ok(AudioFile {
        name: field.file_name().map(shortened),
        content_type,
    })
}

/// The body as it comes, with a pause after each item in which the parser looks at it.
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
            let chunk = match timeout(SILENCE, what_is_there(session)).await {
                Ok(Ok(chunk)) => chunk?,
                Ok(Err(error)) => return Some((Err(stopped(broken(error))), (session, read, since_found))),
                Err(_) => return Some((Err(stopped(late().into())), (session, read, since_found))),
            };
            let length = chunk.len() as u64;
            let read = read + length.max(1);
            let unfound = since_found.fetch_add(length, Ordering::Relaxed);
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

/// Waits for one chunk; small ones that are there as well are added to it.
async fn what_is_there(session: &mut ServerSession) -> Result<Option<Bytes>, BError> {
    let Some(first) = session.read_request_body().await? else {
        return Ok(None);
    };
    if first.len() >= GATHERED {
        return Ok(Some(first));
    }
    let mut gathered = BytesMut::from(first);
    while gathered.len() < GATHERED && !session.is_body_done() {
        let more = tokio::select! {
            biased;
            more = session.read_request_body() => more?,
            () = ready(()) => break,
        };
        let Some(more) = more else { break };
        gathered.extend_from_slice(&more);
    }
    Ok(Some(gathered.freeze()))
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

fn too_long(message: &'static str) -> Refusal {
    Refusal::new(Code::PayloadTooLarge, message)
}
