//! The headers that are Voxgate's own: what its answers say beside the provider's, and nobody else may.

use http::HeaderName;

pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-voxgate-request-id");
pub const PROVIDER: HeaderName = HeaderName::from_static("x-voxgate-provider");
pub const MODEL: HeaderName = HeaderName::from_static("x-voxgate-model");
pub const CREDENTIAL: HeaderName = HeaderName::from_static("x-voxgate-credential");
/// How many candidates were called, where it was more than one.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-voxgate-attempts");
pub const ERROR: HeaderName = HeaderName::from_static("x-voxgate-error");
pub const SETUP_URL: HeaderName = HeaderName::from_static("x-voxgate-setup-url");

/// Also those that are not in use, so that no caller or provider speaks for Voxgate.
pub fn is_mark(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-voxgate-")
}
