use http::HeaderMap;
use crate::descriptor::Provider;
use crate::vocabulary::{Code, Verdict};
pub fn judge(_provider: &Provider, _status: u16, _body: &[u8]) -> Verdict { todo!() }
pub fn code_of(_verdict: Verdict) -> Option<Code> { todo!() }
pub fn explain(_provider: &Provider, _verdict: Verdict, _status: u16, _body: &[u8]) -> String { todo!() }
/// Whether the refusal means that nothing offered here works with this key.
pub fn stops_everything(_provider: &Provider, _status: u16, _body: &[u8]) -> bool { todo!() }
pub fn retry_after(_provider: &Provider, _headers: &HeaderMap, _body: &[u8]) -> Option<u32> { todo!() }
