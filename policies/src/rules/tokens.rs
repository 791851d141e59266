use http::HeaderMap;
use crate::vocabulary::PresentedToken;
pub fn presented_tokens(_query: Option<&str>, _headers: &HeaderMap) -> Vec<PresentedToken> { todo!() }
