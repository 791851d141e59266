//! Every refusal and fault as RFC 9457 `application/problem+json`.
//!
//! A [`Problem`] travels as an extension of an answer without a body; [`crate::answer`] writes the body,
//! because it alone knows the request's id. `detail` is for the outside, `cause` for the log.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use policies::vocabulary::{Code, ProviderId, Refusal, RequestId};
use policies::with_causes;
use serde::Serialize;
use vault::VaultError;

/// Seconds, when nobody says how long trouble that passes may last.
const RETRY_AFTER: u32 = 5;

#[derive(Clone, Debug)]
pub struct Problem {
    pub status: StatusCode,
    pub code: Code,
    pub detail: Cow<'static, str>,
    /// The field, parameter or setting at fault.
    pub param: Option<String>,
    /// Seconds after which a retry makes sense.
    pub retry_after: Option<u32>,
    /// The page below the public address where it can be mended.
    pub page: Option<String>,
    pub cause: Option<String>,
}

/// The body, member by member.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: Code,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    setup_url: Option<String>,
    request_id: RequestId,
}

impl Problem {
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code,
            detail: detail.into(),
            param: None,
            retry_after: code.retryable().then_some(RETRY_AFTER),
            page: None,
            cause: None,
        }
    }

    /// A request that cannot be read or means nothing, and the field that shows it.
    pub fn invalid(param: impl Into<String>, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidRequest, detail).param(param)
    }

    /// What the router says by status alone: no such path, wrong method, unreadable path.
    pub fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => (Code::NotFound, "there is nothing at this path"),
            StatusCode::METHOD_NOT_ALLOWED => (Code::InvalidRequest, "this path does not know that method"),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::PayloadTooLarge, "the body is larger than 64 KiB"),
            status if status.is_client_error() => (Code::InvalidRequest, "the request cannot be read"),
            _ => (
                Code::Internal,
                "something failed here; the log has it under this request id",
            ),
        };
        Self {
            status,
            ..Self::new(code, detail)
        }
    }

    pub fn internal(cause: impl Into<String>) -> Self {
        Self::of_status(StatusCode::INTERNAL_SERVER_ERROR).because(cause)
    }

    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// `None` leaves it at what is usual for the code.
    pub fn retry_after(mut self, seconds: Option<u32>) -> Self {
        self.retry_after = seconds.or(self.retry_after);
        self
    }

    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Leads to the page of a provider.
    pub fn at_provider(mut self, provider: &ProviderId) -> Self {
        self.page = Some(format!("/providers/{provider}"));
        self
    }

    /// The body, and the address of the page that mends it.
    pub fn body(&self, request_id: RequestId, public_url: &str) -> (Vec<u8>, Option<String>) {
        let setup_url = self.page.as_ref().map(|page| format!("{public_url}{page}"));
        let body = Body {
            r#type: format!("urn:voxgate:{}", self.code),
            title: title(self.code),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            retryable: self.code.retryable(),
            retry_after: self.retry_after,
            param: self.param.as_deref(),
            setup_url: setup_url.clone(),
            request_id,
        };
        (
            serde_json::to_vec(&body).expect("strings and numbers always serialise"),
            setup_url,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let page = refusal
            .provider
            .as_ref()
            .map(|provider| format!("/providers/{provider}"));
        Self {
            param: refusal.param.map(String::from),
            page,
            cause: refusal.cause,
            ..Self::new(refusal.code, refusal.message).retry_after(refusal.retry_after)
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        let problem = match &error {
            VaultError::Unavailable { .. } => {
                Self::new(Code::Overloaded, "the database does not answer").retry_after(Some(5))
            }
            VaultError::Cursor => Self::invalid("cursor", "`cursor` is not one that a listing gave"),
            VaultError::Sealed { .. } => Self::new(
                Code::CredentialInvalid,
                "the stored key does not open any more; store it again",
            ),
            _ => Self::of_status(StatusCode::INTERNAL_SERVER_ERROR),
        };
        problem.because(with_causes(&error))
    }
}

/// What the code says in few words; it never varies from one occurrence to the next.
fn title(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated => "The token is missing or not accepted",
        Code::ForbiddenEndpoint => "The endpoint is not on the provider's list",
        Code::Forbidden => "The token does not allow this",
        Code::UnknownProvider => "There is no such provider",
        Code::NotFound => "There is no such thing",
        Code::InvalidRequest => "The request is not valid",
        Code::UnsupportedFormat => "The format is not supported",
        Code::PayloadTooLarge => "The body is too large",
        Code::CredentialMissing => "No credential is stored for this provider",
        Code::SelectionMissing => "Nothing is selected for this operation",
        Code::CredentialInvalid => "The provider refuses the stored key",
        Code::CredentialRestricted => "The stored key may not do this",
        Code::ProviderQuotaExceeded => "The provider's account has nothing left",
        Code::RateLimited => "Too many requests",
        Code::ProviderRateLimited => "The provider asks to wait",
        Code::ProviderError => "The provider failed",
        Code::ProviderUnreachable => "The provider cannot be reached",
        Code::ProviderTimeout => "The provider did not answer in time",
        Code::Overloaded => "Voxgate cannot answer at the moment",
        Code::InvalidApiKey => "The provider refuses this key",
        Code::InsufficientPermissions => "The key may not do what speech needs",
        Code::InvalidSettings => "A setting is not valid",
        Code::Internal => "Voxgate failed",
    }
}
