//! Ids, small types and codes that every crate shares, and the events that end up on record.
//!
//! Nothing here holds a provider's key. [`PresentedToken`] holds what a caller showed as its token
//! and neither prints nor serialises it.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

/// Declares a newtype around a shared string: cheap to clone, ordered, shown as it is.
macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn new(text: impl AsRef<str>) -> Self {
                Self(Arc::from(text.as_ref()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    };
}

name!(
    /// A person or service as the sign-in names it.
    UserId
);
name!(
    /// A team as the sign-in names it.
    TeamId
);
name!(
    /// The id of a provider's descriptor, which is also its path prefix.
    ProviderId
);

pub type CredentialId = Uuid;
pub type TokenId = Uuid;
pub type RequestId = Uuid;

/// Who holds a credential or a selection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    User(UserId),
    Team(TeamId),
    System,
}

impl Owner {
    pub fn kind(&self) -> &'static str {
        match self {
            Owner::User(_) => "user",
            Owner::Team(_) => "team",
            Owner::System => "system",
        }
    }

    /// The id beside the kind; empty for the system, which there is one of.
    pub fn id(&self) -> &str {
        match self {
            Owner::User(user) => user.as_str(),
            Owner::Team(team) => team.as_str(),
            Owner::System => "",
        }
    }

    pub fn from_parts(kind: &str, id: &str) -> Option<Self> {
        match kind {
            "user" => Some(Owner::User(UserId::new(id))),
            "team" => Some(Owner::Team(TeamId::new(id))),
            "system" => Some(Owner::System),
            _ => None,
        }
    }

    /// Which of the three sources a call paid by this owner's credential counts as.
    pub fn source(&self) -> CredentialSource {
        match self {
            Owner::User(_) => CredentialSource::User,
            Owner::Team(_) => CredentialSource::Team,
            Owner::System => CredentialSource::System,
        }
    }
}

/// `kind:id`, and plain `system`, as audit records and `owner=` parameters spell it.
impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::System => f.write_str("system"),
            other => write!(f, "{}:{}", other.kind(), other.id()),
        }
    }
}

/// Declares a closed set of words: one spelling for JSON, columns, labels and logs.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            pub const ALL: &'static [$name] = &[$($name::$variant),+];

            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)+ _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(
    /// What an endpoint does.
    Operation {
        Tts = "tts",
        Stt = "stt",
        /// Lists and account facts: models, voices, quota. Either of the two scopes admits it.
        Lookup = "lookup",
    }
);
words!(Mode { Native = "native", Unified = "unified" });
words!(CredentialSource { User = "user", Team = "team", System = "system" });
words!(CredentialStatus { Valid = "valid", Invalid = "invalid" });
words!(
    /// What a call of `/v1` asks for.
    Task { Speech = "speech", Transcription = "transcription", Translation = "translation" }
);
words!(
    /// What audio comes as: `opus` is in Ogg, `pcm` is 24 kHz, signed 16-bit little-endian, mono.
    AudioFormat {
        Mp3 = "mp3", Opus = "opus", Aac = "aac", Flac = "flac", Wav = "wav", Pcm = "pcm",
    }
);
words!(
    TranscriptFormat {
        Json = "json",
        Text = "text",
        Srt = "srt",
        Vtt = "vtt",
        VerboseJson = "verbose_json",
        DiarizedJson = "diarized_json",
    }
);
words!(
    /// How a call ended.
    Outcome { Ok = "ok", Error = "error", Interrupted = "interrupted" }
);
words!(
    /// Which side ended a WebSocket.
    ClosedBy { Caller = "caller", Provider = "provider", Gateway = "gateway" }
);
words!(
    /// What a token may do; a token without scopes may do what its user may.
    Scope {
        Tts = "tts",
        Stt = "stt",
        CredentialsRead = "credentials:read",
        CredentialsWrite = "credentials:write",
        UsageRead = "usage:read",
        Tokens = "tokens",
        Operator = "operator",
    }
);
words!(
    /// What a provider's answer says about the credential.
    Verdict {
        Valid = "valid",
        /// The key is wrong, expired or revoked. The only verdict that marks a credential invalid.
        Invalid = "invalid",
        /// The key is real but lacks a permission or its plan is too small.
        Restricted = "restricted",
        RateLimited = "rate_limited",
        /// Nothing left on that account.
        Quota = "quota",
        /// The provider refuses this gateway's address or country, not the key.
        Blocked = "blocked",
        /// The request is at fault; says nothing about the key.
        Caller = "caller",
        /// The provider failed; says nothing about the key.
        Unavailable = "unavailable",
    }
);
words!(
    /// Whose error shape a path speaks.
    Dialect { OpenAi = "openai", Detail = "detail", Google = "google", Plain = "plain" }
);
words!(
    AuditAction {
        CredentialCreate = "credential.create",
        CredentialUpdate = "credential.update",
        CredentialRead = "credential.read",
        CredentialDelete = "credential.delete",
        CredentialValidate = "credential.validate",
        /// A provider refused the key in live traffic, or took it again.
        CredentialStatus = "credential.status",
        CredentialRewrap = "credential.rewrap",
        SelectionCreate = "selection.create",
        SelectionUpdate = "selection.update",
        SelectionRead = "selection.read",
        SelectionDelete = "selection.delete",
        TokenCreate = "token.create",
        TokenRead = "token.read",
        TokenDelete = "token.delete",
        /// A call that Voxgate refused.
        CallRefuse = "call.refuse",
    }
);
words!(AuditOutcome { Ok = "ok", Refused = "refused", Failed = "failed" });

words!(
    /// The code of every failure that Voxgate reports or recognises.
    Code {
        Unauthenticated = "unauthenticated",
        ForbiddenEndpoint = "forbidden_endpoint",
        Forbidden = "forbidden",
        UnknownProvider = "unknown_provider",
        NotFound = "not_found",
        InvalidRequest = "invalid_request",
        UnsupportedFormat = "unsupported_format",
        PayloadTooLarge = "payload_too_large",
        CredentialMissing = "credential_missing",
        SelectionMissing = "selection_missing",
        CredentialInvalid = "credential_invalid",
        CredentialRestricted = "credential_restricted",
        ProviderQuotaExceeded = "provider_quota_exceeded",
        RateLimited = "rate_limited",
        ProviderRateLimited = "provider_rate_limited",
        ProviderError = "provider_error",
        ProviderUnreachable = "provider_unreachable",
        ProviderTimeout = "provider_timeout",
        Overloaded = "overloaded",
        InvalidApiKey = "invalid_api_key",
        InsufficientPermissions = "insufficient_permissions",
        InvalidSettings = "invalid_settings",
        Internal = "internal",
    }
);

impl Task {
    pub fn operation(self) -> Operation {
        match self {
            Task::Speech => Operation::Tts,
            Task::Transcription | Task::Translation => Operation::Stt,
        }
    }
}

impl AudioFormat {
    /// Those that are made here out of samples; what is left, only a provider can give.
    pub const MADE_HERE: [AudioFormat; 5] = [
        AudioFormat::Mp3,
        AudioFormat::Opus,
        AudioFormat::Flac,
        AudioFormat::Wav,
        AudioFormat::Pcm,
    ];

    pub fn content_type(self) -> &'static str {
        match self {
            AudioFormat::Mp3 => "audio/mpeg",
            AudioFormat::Opus => "audio/ogg",
            AudioFormat::Aac => "audio/aac",
            AudioFormat::Flac => "audio/flac",
            AudioFormat::Wav => "audio/wav",
            AudioFormat::Pcm => "audio/pcm",
        }
    }
}

impl Code {
    /// The HTTP status of an answer that Voxgate makes for this code.
    pub fn status(self) -> u16 {
        match self {
            Code::Unauthenticated => 401,
            Code::ForbiddenEndpoint | Code::Forbidden => 403,
            Code::UnknownProvider | Code::NotFound => 404,
            Code::InvalidRequest | Code::UnsupportedFormat => 400,
            Code::PayloadTooLarge => 413,
            Code::CredentialMissing
            | Code::SelectionMissing
            | Code::CredentialInvalid
            | Code::CredentialRestricted => 424,
            Code::ProviderQuotaExceeded | Code::RateLimited | Code::ProviderRateLimited => 429,
            Code::ProviderError | Code::ProviderUnreachable => 502,
            Code::ProviderTimeout => 504,
            Code::Overloaded => 503,
            Code::InvalidApiKey | Code::InsufficientPermissions | Code::InvalidSettings => 422,
            Code::Internal => 500,
        }
    }

    /// Whether the same call may succeed later without anything being mended.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Code::RateLimited
                | Code::ProviderRateLimited
                | Code::ProviderError
                | Code::ProviderUnreachable
                | Code::ProviderTimeout
                | Code::Overloaded
        )
    }

    /// Whether the console is the place to mend it, so that the answer carries `setup_url`.
    pub fn mended_in_console(self) -> bool {
        matches!(
            self,
            Code::CredentialMissing
                | Code::SelectionMissing
                | Code::CredentialInvalid
                | Code::CredentialRestricted
                | Code::ProviderQuotaExceeded
        )
    }
}

/// What a user or team chose to speak or transcribe with, and what to fall back on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    pub provider: ProviderId,
    pub model: Option<String>,
    pub voice: Option<String>,
    /// Tried in order.
    #[serde(default)]
    pub fallbacks: Vec<Choice>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    pub provider: ProviderId,
    pub model: Option<String>,
    pub voice: Option<String>,
}

/// What a caller showed as its token. Wiped on drop; has no way to be printed.
#[derive(Clone)]
pub struct PresentedToken(Zeroizing<String>);

impl PresentedToken {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PresentedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedToken(…)")
    }
}

/// A small set of scopes. `None` in [`Caller`] means: all that its user may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    pub fn of(scopes: &[Scope]) -> Self {
        Self(scopes.iter().fold(0, |set, scope| set | 1 << *scope as u8))
    }

    pub fn contains(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u8) != 0
    }

    pub fn list(self) -> Vec<Scope> {
        Scope::ALL.iter().copied().filter(|s| self.contains(*s)).collect()
    }
}

/// Who is calling, once proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub user: UserId,
    pub teams: Vec<TeamId>,
    pub admin_of: Vec<TeamId>,
    pub roles: Vec<String>,
    /// `None`: no restriction beyond what the user may.
    pub scopes: Option<Scopes>,
    /// The access token that proved it; `None` for a JWT.
    pub token_id: Option<TokenId>,
    /// When the proof runs out.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// May see every user's records: has the role, and a token that does not exclude it.
    pub fn is_operator(&self) -> bool {
        self.roles.iter().any(|role| role == "operator")
            && self.scopes.is_none_or(|s| s.contains(Scope::Operator))
    }

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.is_none_or(|s| s.contains(scope))
    }
}

/// Who did something, as audit records name it.
#[derive(Clone, Debug)]
pub struct Actor {
    /// `None` when nobody was recognised.
    pub user: Option<UserId>,
    pub ip: Option<IpAddr>,
    pub request_id: RequestId,
}

/// A stop that is the caller's doing, or our limits. `message` is for the outside, `cause` for the log.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub code: Code,
    pub message: Cow<'static, str>,
    pub cause: Option<String>,
    /// The request field at fault.
    pub param: Option<Box<str>>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u32>,
    /// The provider whose page in the console mends it.
    pub provider: Option<ProviderId>,
}

impl Refusal {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            cause: None,
            param: None,
            retry_after: None,
            provider: None,
        }
    }

    /// Names the field at fault.
    pub fn at(mut self, param: impl Into<Box<str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    pub fn provider(mut self, provider: ProviderId) -> Self {
        self.provider = Some(provider);
        self
    }
}

/// Who did or was refused what. Never holds a key, a token, or the user's text or audio.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditEvent {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub user: Option<UserId>,
    pub action: AuditAction,
    pub outcome: AuditOutcome,
    /// As [`Owner`] displays.
    pub owner: Option<String>,
    pub provider: Option<ProviderId>,
    pub ip: Option<IpAddr>,
    pub request_id: RequestId,
    pub detail: Option<String>,
}

/// What one attempt at a provider consumed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsageEvent {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub user: UserId,
    pub token_id: Option<TokenId>,
    pub provider: ProviderId,
    pub model: Option<String>,
    pub operation: Operation,
    pub mode: Mode,
    /// `None` for a system-level key from the configuration.
    pub credential_id: Option<CredentialId>,
    pub credential_source: CredentialSource,
    /// The provider's HTTP status; `None` when it never answered.
    pub status: Option<u16>,
    pub outcome: Outcome,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub characters: Option<u64>,
    pub audio_seconds: Option<f64>,
    /// US dollars at the descriptor's list price.
    pub estimated_cost: Option<f64>,
    pub ttfb_ms: Option<u32>,
    pub duration_ms: u32,
    pub attempt: u16,
    pub request_id: RequestId,
    pub provider_request_id: Option<String>,
    /// Of a WebSocket, like all that follows; `None` for every other call. Data messages from the caller, and to it.
    #[serde(default)]
    pub messages_in: Option<u64>,
    #[serde(default)]
    pub messages_out: Option<u64>,
    /// Seconds of audio from the caller, and to it.
    #[serde(default)]
    pub audio_seconds_in: Option<f64>,
    #[serde(default)]
    pub audio_seconds_out: Option<f64>,
    /// `None` while it is open, and where a side vanished without a word.
    #[serde(default)]
    pub close_code: Option<u16>,
    /// `None` while it is open.
    #[serde(default)]
    pub closed_by: Option<ClosedBy>,
}

/// What the recorder takes: both kinds travel one way to the database.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum RecordEvent {
    Usage(Box<UsageEvent>),
    Audit(Box<AuditEvent>),
}
