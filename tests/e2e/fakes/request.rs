//! Reading what arrives: heads, bodies of any size, and the parts of small multipart bodies.

use aws_lc_rs::digest;
use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::request::Parts;

use super::{Call, Ending, Seen};

pub fn seen(head: &Parts) -> Seen {
    let query = head.uri.query().unwrap_or("");
    Seen {
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: url::form_urlencoded::parse(query.as_bytes())
            .into_owned()
            .collect(),
        raw_query: head.uri.query().map(str::to_owned),
        version: head.version,
        headers: head.headers.clone(),
        received: 0,
        sha256: None,
        body: Bytes::new(),
        said: None,
        sent: Vec::new(),
        ending: Ending::Open,
        socket: None,
    }
}

/// Reads the whole body into the call's record. Larger ones than the fake keeps are counted and hashed only.
pub async fn receive(call: &Call, body: Body) -> Result<(), axum::Error> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut kept = BytesMut::new();
    let mut total = 0_u64;
    let limit = call.fake.kept_body();
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        hash.update(&piece);
        total += piece.len() as u64;
        if total <= limit {
            kept.extend_from_slice(&piece);
        }
        call.note(|seen| seen.received = total);
    }
    let sha256 = hex(hash.finish().as_ref());
    call.note(|seen| {
        seen.sha256 = Some(sha256);
        seen.body = if total <= limit {
            kept.freeze()
        } else {
            Bytes::new()
        };
    });
    Ok(())
}

/// Reads on for a caller that has had its answer already.
pub async fn discard(body: Body) {
    let mut stream: BodyDataStream = body.into_data_stream();
    while let Some(Ok(_)) = stream.next().await {}
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// One part of a multipart body.
pub struct Part {
    pub name: String,
    pub is_file: bool,
    pub content: Bytes,
}

impl Part {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.content).unwrap_or("")
    }
}

/// The parts of a multipart body that was kept; `None` when it is no such body.
pub fn multipart(seen: &Seen) -> Option<Vec<Part>> {
    let content_type = seen.header("content-type")?;
    let boundary = content_type
        .strip_prefix("multipart/form-data")?
        .split("boundary=")
        .nth(1)?;
    let delimiter = format!("--{}", boundary.trim_matches('"'));
    let mut parts = Vec::new();
    for (start, end) in between(&seen.body, delimiter.as_bytes())? {
        let section = &seen.body[start..end];
        let split = find(section, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&section[..split]).ok()?;
        parts.push(Part {
            name: attribute(head, "name")?,
            is_file: attribute(head, "filename").is_some(),
            content: seen.body.slice(start + split + 4..end - 2),
        });
    }
    Some(parts)
}

/// The ranges between delimiters; `None` unless the closing one is there.
fn between(body: &[u8], delimiter: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut marks = memchr::memmem::find_iter(body, delimiter).collect::<Vec<_>>();
    let last = marks.pop()?;
    body[last + delimiter.len()..].starts_with(b"--").then_some(())?;
    marks.push(last);
    Some(
        marks
            .windows(2)
            .map(|pair| (pair[0] + delimiter.len() + 2, pair[1]))
            .collect(),
    )
}

fn attribute(head: &str, name: &str) -> Option<String> {
    let marked = format!(" {name}=\"");
    let start = head.find(&marked)? + marked.len();
    head[start..].split('"').next().map(str::to_owned)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
