//! Providers as strict as the real ones, on loopback.
//!
//! Each answers only to the one right key in the one right place and refuses a malformed request as that
//! provider does. It keeps what it saw, and complains of whatever should never have arrived.

mod answer;
pub mod audio;
pub mod azure;
pub mod behaviour;
pub mod elevenlabs;
pub mod gemini;
mod hosts;
mod hygiene;
pub mod issuer;
mod request;
pub mod seen;
mod server;
pub mod tls;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use http::{Request, Response};

pub use behaviour::{Behaviour, Canned};
pub use hosts::Fakes;
pub use seen::{Ending, Seen};

/// Whose manners a fake has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    ElevenLabs,
    AzureApi,
    AzureTts,
    AzureStt,
    Gemini,
}

impl Kind {
    pub fn key_header(self) -> &'static str {
        match self {
            Self::ElevenLabs => "xi-api-key",
            Self::AzureApi | Self::AzureTts | Self::AzureStt => "ocp-apim-subscription-key",
            Self::Gemini => "x-goog-api-key",
        }
    }
}

/// One host of a provider.
pub struct Fake {
    pub kind: Kind,
    pub url: String,
    accounts: Mutex<BTreeMap<String, Behaviour>>,
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
}

impl Fake {
    pub async fn start(kind: Kind) -> Arc<Self> {
        Self::listen(kind, None).await
    }

    /// The same over TLS, where HTTP/2 is offered.
    pub async fn start_tls(kind: Kind, identity: &tls::Identity) -> Arc<Self> {
        Self::listen(kind, Some(identity)).await
    }

    async fn listen(kind: Kind, identity: Option<&tls::Identity>) -> Arc<Self> {
        let socket = server::Socket::bind(identity).await;
        let fake = Arc::new(Self {
            kind,
            url: socket.url.clone(),
            accounts: Mutex::default(),
            seen: Mutex::default(),
            complaints: Mutex::default(),
        });
        let host = fake.clone();
        socket.serve(move |request| answer_call(host.clone(), request));
        fake
    }

    /// Makes a key known, or changes how it is treated from the next call on.
    pub fn treat(&self, key: &str, behaviour: Behaviour) {
        self.accounts.lock().unwrap().insert(key.to_owned(), behaviour);
    }

    pub fn forget(&self, key: &str) {
        self.accounts.lock().unwrap().remove(key);
    }

    fn treatment(&self, key: &str) -> Option<Behaviour> {
        self.accounts.lock().unwrap().get(key).cloned()
    }

    /// Every request that showed this key, oldest first.
    pub fn calls_with(&self, key: &str) -> Vec<Seen> {
        let header = self.kind.key_header();
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|call| call.header(header) == Some(key))
            .cloned()
            .collect()
    }

    pub fn last_call(&self, key: &str) -> Seen {
        self.calls_with(key)
            .pop()
            .expect("the provider saw a call with this key")
    }

    pub fn call_count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Waits until `holds` of the last call with `key`; the provider may notice an ending a moment later.
    pub async fn until(&self, key: &str, what: &str, holds: impl Fn(&Seen) -> bool) -> Seen {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let last = self.calls_with(key).pop();
            if let Some(call) = last.as_ref().filter(|call| holds(call)) {
                return call.clone();
            }
            assert!(
                Instant::now() < deadline,
                "the provider never saw that {what}; last call: {last:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// What should never have arrived, and did.
    pub fn complaints(&self) -> Vec<String> {
        self.complaints.lock().unwrap().clone()
    }

    fn complain(&self, complaint: impl Into<String>) {
        self.complaints.lock().unwrap().push(complaint.into());
    }

    fn open(self: &Arc<Self>, seen: Seen) -> Call {
        let mut all = self.seen.lock().unwrap();
        all.push(seen);
        Call {
            fake: self.clone(),
            index: all.len() - 1,
            settled: false,
        }
    }
}

/// One exchange under way; dropping it before it is settled means that the other side left.
pub struct Call {
    fake: Arc<Fake>,
    index: usize,
    settled: bool,
}

impl Call {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.fake.seen.lock().unwrap()[self.index]);
    }

    fn sent(&self) {
        self.note(|seen| seen.sent.push(SystemTime::now()));
    }

    fn settle(&mut self, ending: Ending) {
        self.settled = true;
        self.note(|seen| seen.ending = ending);
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if !self.settled {
            self.settle(Ending::Abandoned);
        }
    }
}

/// What a provider answers when it has nothing against the call.
pub enum Reply {
    Whole(Canned),
    Audio {
        content_type: &'static str,
        headers: Vec<(&'static str, String)>,
        pieces: Vec<bytes::Bytes>,
        pause: Duration,
    },
}

async fn answer_call(fake: Arc<Fake>, request: Request<Body>) -> Result<Response<Body>, answer::Broken> {
    let (head, body) = request.into_parts();
    let seen = request::seen(&head);
    for complaint in hygiene::complaints(fake.kind.key_header(), &seen.headers, &seen.query) {
        fake.complain(format!("{complaint} ({} {})", seen.method, seen.path));
    }
    let key = seen.header(fake.kind.key_header()).map(str::to_owned);
    let behaviour = key.as_deref().and_then(|key| fake.treatment(key));
    let mut call = fake.open(seen);

    if let Some(Behaviour::AnswerEarly(canned)) = &behaviour {
        let response = answer::whole(call, canned.clone());
        tokio::spawn(request::discard(body));
        return Ok(response);
    }
    if let Err(broken) = request::receive(&call, body).await {
        call.settle(Ending::Abandoned);
        return Ok(answer::whole(
            call,
            Canned::text(400, "text/plain", format!("the body broke off: {broken}")),
        ));
    }
    let seen = fake.seen.lock().unwrap()[call.index].clone();
    if seen.body.windows(4).any(|window| window == b"vxg_") {
        fake.complain(format!(
            "a token arrived in the body of {} {}",
            seen.method, seen.path
        ));
    }
    let Some(behaviour) = behaviour else {
        return Ok(answer::whole(call, refuse_key(fake.kind, &seen)));
    };
    let reply = match reply(fake.kind, &seen) {
        Ok(reply) => reply,
        Err(canned) => return Ok(answer::whole(call, canned)),
    };
    answer::as_told(call, behaviour, reply).await
}

fn refuse_key(kind: Kind, seen: &Seen) -> Canned {
    match kind {
        Kind::ElevenLabs => elevenlabs::refuse_key(),
        Kind::AzureApi | Kind::AzureTts | Kind::AzureStt => azure::refuse_key(kind),
        Kind::Gemini => gemini::refuse_key(seen),
    }
}

fn reply(kind: Kind, seen: &Seen) -> Result<Reply, Canned> {
    match kind {
        Kind::ElevenLabs => elevenlabs::reply(seen),
        Kind::AzureApi => azure::reply_api(seen),
        Kind::AzureTts => azure::reply_tts(seen),
        Kind::AzureStt => azure::reply_stt(seen),
        Kind::Gemini => gemini::reply(seen),
    }
}
