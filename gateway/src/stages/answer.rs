//! The provider's answer on its way down: which of its headers pass, and what an error says about the key.
//!
//! An answer with an error status is held back until its first 64 KiB are there, it is complete, or
//! [`PATIENCE`] is over; then it is judged by status and body together, and passes unchanged but for
//! the headers that name the verdict. Anything else passes as it comes.
//!
//! A key may pay for people who must not know it. A provider that repeats it in its headers, or in what it says
//! when it refuses, is not quoted there.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderName, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use policies::rewrite::marks::is_mark;
use policies::rewrite::{Nominated, is_of_one_hop};
use policies::rules::{self, AnswerHeader};
use policies::vocabulary::{Actor, Code, CredentialStatus, Operation, Verdict};
use tokio::time::Instant;
use vault::Vault;

use super::Fault;
use super::authorise::Grant;
use crate::respond::{self, Marks};

const HELD_BYTES: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

pub enum Answer {
    Awaited,
    Held(Held),
    /// Its head has been written.
    Passing,
}

/// An error answer that has not been judged yet.
pub struct Held {
    head: Box<ResponseHeader>,
    chunks: Vec<Bytes>,
    bytes: usize,
    until: Instant,
}

/// An error answer with the verdict in its head.
pub struct Judged {
    pub head: Box<ResponseHeader>,
    pub chunks: Vec<Bytes>,
    pub code: Option<Code>,
}

impl Held {
    pub fn new(head: Box<ResponseHeader>) -> Self {
        Self {
            head,
            chunks: Vec::new(),
            bytes: 0,
            until: Instant::now() + PATIENCE,
        }
    }

    pub fn until(&self) -> Instant {
        self.until
    }

    /// True when enough is there to judge.
    pub fn take(&mut self, chunk: Bytes) -> bool {
        self.bytes += chunk.len();
        self.chunks.push(chunk);
        self.bytes >= HELD_BYTES
    }

    fn conceal(&mut self, grant: &Grant) {
        let secret = &grant.credential().secret;
        let whole = joined(&self.chunks);
        if secret.is_in(&whole) {
            let mut text = whole.to_vec();
            secret.conceal_in(&mut text);
            self.chunks = vec![text.into()];
        }
    }

    /// What the error means for the caller, and for the credential, whose status is noted.
    pub fn judge(mut self, vault: &Vault, grant: &Grant, by: Actor, public_url: &str) -> Judged {
        let provider = grant.provider();
        self.conceal(grant);
        let meaning = Meaning::of(grant, &self.head, &joined(&self.chunks));
        if let Some(code) = meaning.code {
            respond::mark_error(&mut self.head, code, &provider.id, grant.operation(), public_url);
        }
        if self.head.status == StatusCode::TOO_MANY_REQUESTS
            && !self.head.headers.contains_key(RETRY_AFTER)
            && let Some(seconds) = meaning.retry_after
        {
            respond::put(&mut self.head, RETRY_AFTER, HeaderValue::from(seconds));
        }
        let code = meaning.code;
        meaning.note(vault, grant, by);
        Judged {
            head: self.head,
            chunks: self.chunks,
            code,
        }
    }

    /// For a caller who gets words of ours: the verdict, and the body without the key.
    pub fn weigh(mut self, vault: &Vault, grant: &Grant, by: Actor) -> (Meaning, Bytes) {
        self.conceal(grant);
        let body = joined(&self.chunks);
        let meaning = Meaning::of(grant, &self.head, &body);
        meaning.clone().note(vault, grant, by);
        (meaning, body)
    }
}

/// What an error answer says.
#[derive(Clone, Debug)]
pub struct Meaning {
    pub verdict: Verdict,
    pub code: Option<Code>,
    /// A sentence for people, in the descriptor's words.
    pub explained: String,
    /// Seconds that the provider asks to wait.
    pub retry_after: Option<u32>,
}

impl Meaning {
    fn of(grant: &Grant, head: &ResponseHeader, body: &[u8]) -> Self {
        let (provider, status) = (grant.provider(), head.status.as_u16());
        let body = &body[..body.len().min(HELD_BYTES)];
        let verdict = rules::judge(provider, status, body);
        Self {
            verdict,
            code: rules::code_of(verdict),
            explained: rules::explain(provider, verdict, status, body),
            retry_after: rules::retry_after(provider, &head.headers, body),
        }
    }

    fn note(self, vault: &Vault, grant: &Grant, by: Actor) {
        if let Some(code) = self.code {
            note(vault, grant, by, self.verdict, code, self.explained);
        }
    }
}

/// One chunk, as most error bodies are, is not copied.
fn joined(chunks: &[Bytes]) -> Bytes {
    match chunks {
        [] => Bytes::new(),
        [only] => only.clone(),
        several => {
            let mut all = BytesMut::new();
            several.iter().for_each(|chunk| all.extend_from_slice(chunk));
            all.freeze()
        }
    }
}

/// Only a key that is wrong becomes invalid; one that lacks something stays valid and says what.
pub fn note(vault: &Vault, grant: &Grant, by: Actor, verdict: Verdict, code: Code, detail: String) {
    let status = match verdict {
        Verdict::Invalid => CredentialStatus::Invalid,
        Verdict::Restricted | Verdict::Quota | Verdict::Blocked => CredentialStatus::Valid,
        Verdict::Valid | Verdict::RateLimited | Verdict::Caller | Verdict::Unavailable => return,
    };
    let credential = grant.credential();
    if credential.status != status || credential.status_reason != Some(code) {
        vault.note_status(by, credential, status, Some(code), Some(detail));
    }
}

/// A success proves a key that was thought dead, and an account that was thought empty.
pub fn note_success(vault: &Vault, grant: &Grant, by: Actor) {
    let credential = grant.credential();
    let revived = credential.status == CredentialStatus::Invalid;
    let refilled = credential.status_reason == Some(Code::ProviderQuotaExceeded)
        && grant.operation() != Operation::Lookup;
    if revived || refilled {
        vault.note_status(by, credential, CredentialStatus::Valid, None, None);
    }
}

/// The answer's head as the caller gets it.
pub fn passed_head(
    answer: &ResponseHeader,
    grant: &Grant,
    marks: &Marks,
    request: &RequestHeader,
) -> Result<Box<ResponseHeader>, Fault> {
    let mut headers = HeaderMap::with_capacity(answer.headers.len() + 6);
    let secret = &grant.credential().secret;
    let nominated = Nominated::by(&answer.headers);
    for (name, value) in &answer.headers {
        if stays_behind(name) || nominated.contains(name) || secret.is_in(value.as_bytes()) {
            continue;
        }
        let value = match rules::leads_away(grant.provider(), &grant.credential().hosts, name, value) {
            AnswerHeader::Keep => value.clone(),
            AnswerHeader::Rewrite(ours) => ours,
            AnswerHeader::Drop => continue,
            AnswerHeader::Refuse => return Err(Fault::LeadsAway),
        };
        headers.append(name, value);
    }
    if request.version == Version::HTTP_11 && has_body(answer.status, &request.method) {
        let measured = headers.contains_key(header::CONTENT_LENGTH);
        if !measured {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
    marks.put(&mut headers);
    let reason = answer
        .get_reason_phrase()
        .filter(|reason| !secret.is_in(reason.as_bytes()));
    let mut head = respond::head(answer.status, headers);
    head.set_reason_phrase(reason)
        .map_err(|error| Fault::Garbled(error.to_string()))?;
    Ok(head)
}

/// The answer's trailers as the caller gets them: what may not stand before a body may not stand behind it.
pub fn passed_trailers(trailers: &HeaderMap, grant: &Grant) -> HeaderMap {
    let credential = grant.credential();
    let passes = |name: &HeaderName, value: &HeaderValue| {
        let kept = rules::leads_away(grant.provider(), &credential.hosts, name, value) == AnswerHeader::Keep;
        kept && !stays_behind(name) && !credential.secret.is_in(value.as_bytes())
    };
    let passing = trailers.iter().filter(|(name, value)| passes(name, value));
    passing
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn has_body(status: StatusCode, method: &Method) -> bool {
    let bodiless = [
        StatusCode::SWITCHING_PROTOCOLS,
        StatusCode::NO_CONTENT,
        StatusCode::NOT_MODIFIED,
    ];
    *method != Method::HEAD && !bodiless.contains(&status)
}

/// Headers of one hop, those that are ours to set, and `alt-svc`, which would move a client to another
/// connection. Which pages may read an answer is for our configuration to say.
fn stays_behind(name: &HeaderName) -> bool {
    is_of_one_hop(name)
        || matches!(name.as_str(), "trailer" | "alt-svc")
        || is_mark(name)
        || name.as_str().starts_with("access-control-")
}
