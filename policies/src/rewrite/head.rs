use http::{HeaderMap, Method};
use crate::descriptor::{Origin, Provider};
#[derive(Debug, thiserror::Error)]
pub enum RewriteError { #[error("putting the key into a header: it holds characters that no header may hold")] Key, #[error("making the upstream path: {0:?} is not a path")] Path(String), #[error("naming the upstream host {0:?}")] Host(String) }
pub fn upstream_head(_provider: &Provider, _origin: &Origin, _method: &Method, _raw_path: &str, _query: Option<&str>, _headers: &HeaderMap, _key: &str) -> Result<http::request::Parts, RewriteError> { todo!() }
