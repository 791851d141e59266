//! Providers as strict as the real ones, on loopback.
//!
//! Each answers only to the one right key in the one right place and refuses a malformed request as that
//! provider does. It keeps what it saw, and complains of whatever should never have arrived.

mod answer;
pub mod audio;
pub mod azure;
pub mod behaviour;
pub mod ear;
pub mod elevenlabs;
pub mod gemini;
mod hosts;
mod hygiene;
pub mod issuer;
pub mod request;
pub mod schema;
pub mod seen;
mod server;
pub mod sockets;
pub mod strict;
pub mod tls;
pub mod voice;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use http::{Request, Response};

pub use behaviour::{Behaviour, Canned, Gate};
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
    OpenAi,
    Groq,
    /// A server of one's own that speaks OpenAI's dialect.
    OwnServer,
    Deepgram,
    Cartesia,
}

/// How much a fake does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rigour {
    /// Audio is a pattern and a transcript a checksum: quick, and any changed byte shows.
    Patterned,
    /// Bodies must satisfy the provider's own schemas; speech is spoken, and recordings are listened to.
    Strict,
}

impl Kind {
    pub fn key_header(self) -> &'static str {
        match self {
            Self::ElevenLabs => "xi-api-key",
            Self::AzureApi | Self::AzureTts | Self::AzureStt => "ocp-apim-subscription-key",
            Self::Gemini => "x-goog-api-key",
            Self::OpenAi | Self::Groq | Self::OwnServer | Self::Deepgram | Self::Cartesia => "authorization",
        }
    }

    /// What stands before the key in that header.
    pub fn key_scheme(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Groq | Self::OwnServer | Self::Cartesia => "Bearer ",
            Self::Deepgram => "Token ",
            _ => "",
        }
    }

    /// The key that a request shows: where the gateway puts it, or else where an SDK may.
    fn key_of(self, seen: &Seen) -> Option<&str> {
        let in_header = seen
            .header(self.key_header())
            .and_then(|value| value.strip_prefix(self.key_scheme()));
        in_header.or_else(|| seen.query.get(self.key_parameter()?).map(String::as_str))
    }

    fn key_parameter(self) -> Option<&'static str> {
        match self {
            Self::Gemini => Some("key"),
            Self::AzureTts | Self::AzureStt => Some("Ocp-Apim-Subscription-Key"),
            _ => None,
        }
    }
}

/// One host of a provider.
pub struct Fake {
    pub kind: Kind,
    pub url: String,
    rigour: Rigour,
    /// What an SDK does to its provider is not held against it.
    from_sdks: bool,
    line: OnceLock<server::Line>,
    accounts: Mutex<BTreeMap<String, Behaviour>>,
    seen: Mutex<Vec<Seen>>,
    complaints: Mutex<Vec<String>>,
}

impl Fake {
    pub async fn start(kind: Kind) -> Arc<Self> {
        Self::listen(kind, Rigour::Patterned, None, false).await
    }

    pub async fn start_strict(kind: Kind) -> Arc<Self> {
        Self::listen(kind, Rigour::Strict, None, false).await
    }

    /// A strict one that SDKs call themselves, with keys wherever the real provider takes them.
    pub async fn start_for_sdks(kind: Kind, identity: Option<&tls::Identity>) -> Arc<Self> {
        Self::listen(kind, Rigour::Strict, identity, true).await
    }

    /// The same over TLS, where HTTP/2 is offered.
    pub async fn start_tls(kind: Kind, identity: &tls::Identity) -> Arc<Self> {
        Self::listen(kind, Rigour::Patterned, Some(identity), false).await
    }

    async fn listen(
        kind: Kind,
        rigour: Rigour,
        identity: Option<&tls::Identity>,
        from_sdks: bool,
    ) -> Arc<Self> {
        let socket = server::Socket::bind(identity).await;
        let fake = Arc::new(Self {
            kind,
            url: socket.url.clone(),
            rigour,
            from_sdks,
            line: OnceLock::new(),
            accounts: Mutex::default(),
            seen: Mutex::default(),
            complaints: Mutex::default(),
        });
        let host = fake.clone();
        let line = socket.serve(move |request| answer_call(host.clone(), request));
        let _ = fake.line.set(line);
        fake
    }

    /// Is gone from its address from now on.
    pub fn hang_up(&self) {
        self.line.get().expect("set when it was started").hang_up();
    }

    /// The most bytes of a body that are kept.
    fn kept_body(&self) -> u64 {
        match self.rigour {
            Rigour::Patterned => 8 << 20,
            Rigour::Strict => 64 << 20,
        }
    }

    /// Makes a key known, or changes how it is treated from the next call on.
    pub fn treat(&self, key: &str, behaviour: Behaviour) {
        self.accounts.lock().unwrap().insert(key.to_owned(), behaviour);
    }

    pub fn forget(&self, key: &str) {
        self.accounts.lock().unwrap().remove(key);
    }

    fn treatment(&self, key: &str) -> Option<Behaviour> {
        let mut accounts = self.accounts.lock().unwrap();
        match accounts.get(key).cloned() {
            Some(Behaviour::Once(behaviour)) => {
                accounts.insert(key.to_owned(), Behaviour::Normal);
                Some(*behaviour)
            }
            found => found,
        }
    }

    /// Every request that showed this key, oldest first.
    pub fn calls_with(&self, key: &str) -> Vec<Seen> {
        self.seen
            .lock()
            .unwrap()
            .iter()
            .filter(|call| self.kind.key_of(call) == Some(key))
            .cloned()
            .collect()
    }

    pub fn last_call(&self, key: &str) -> Seen {
        self.calls_with(key)
            .pop()
            .expect("the provider saw a call with this key")
    }

    /// The words of every speech call with this key, oldest first.
    pub fn said(&self, key: &str) -> Vec<String> {
        let calls = self.calls_with(key);
        calls.into_iter().filter_map(|call| call.said).collect()
    }

    pub fn call_count(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    /// Every message that came on WebSockets, whosever.
    pub fn messages_heard(&self) -> u64 {
        let seen = self.seen.lock().unwrap();
        let sockets = seen.iter().filter_map(|call| call.socket.as_ref());
        sockets.map(|socket| socket.heard).sum()
    }

    pub fn call_count_of(&self, method: &str) -> usize {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|call| call.method == method).count()
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

    fn seen(&self) -> Seen {
        self.fake.seen.lock().unwrap()[self.index].clone()
    }

    fn sent(&self) {
        self.note(|seen| seen.sent.push(SystemTime::now()));
    }

    /// The request is not one that this provider documents.
    fn violation(&self, what: impl std::fmt::Display) {
        let seen = &self.fake.seen.lock().unwrap()[self.index];
        self.fake
            .complain(format!("{what} ({} {})", seen.method, seen.path));
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
    if !fake.from_sdks {
        for complaint in hygiene::complaints(fake.kind.key_header(), &seen.headers, &seen.query) {
            fake.complain(format!("{complaint} ({} {})", seen.method, seen.path));
        }
    }
    let key = fake.kind.key_of(&seen).map(str::to_owned);
    let behaviour = key.as_deref().and_then(|key| fake.treatment(key));
    let mut call = fake.open(seen);

    if hygiene::wants_socket(&head.headers) {
        return sockets::answer(call, head, behaviour).await;
    }
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
    let reply = match fake.rigour {
        Rigour::Patterned => reply(fake.kind, &seen),
        Rigour::Strict => strict::reply(&call, &seen).await,
    };
    let reply = match reply {
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
        Kind::OpenAi | Kind::Groq | Kind::OwnServer => strict::openai::refuse_key(),
        Kind::Deepgram => strict::deepgram::refuse_key(),
        Kind::Cartesia => strict::cartesia::refuse_key(),
    }
}

fn reply(kind: Kind, seen: &Seen) -> Result<Reply, Canned> {
    match kind {
        Kind::ElevenLabs => elevenlabs::reply(seen),
        Kind::AzureApi => azure::reply_api(seen),
        Kind::AzureTts => azure::reply_tts(seen),
        Kind::AzureStt => azure::reply_stt(seen),
        Kind::Gemini => gemini::reply(seen),
        other => unreachable!("{other:?} is strict or not at all"),
    }
}
