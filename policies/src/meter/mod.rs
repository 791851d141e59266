//! What a call consumes, read from what passes.
use http::HeaderMap;
use crate::rules::Route;
pub struct Meter { }
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading { pub model: Option<String>, pub characters: Option<u64>, pub audio_seconds: Option<f64>, pub tokens_in: Option<u64>, pub tokens_out: Option<u64>, pub provider_request_id: Option<String> }
impl Meter {
    pub fn start(_route: &Route, _request_headers: &HeaderMap, _query: Option<&str>) -> Self { todo!() }
    pub fn request_chunk(&mut self, _bytes: &[u8]) { todo!() }
    pub fn answer_head(&mut self, _status: u16, _headers: &HeaderMap) { todo!() }
    pub fn answer_chunk(&mut self, _bytes: &[u8]) { todo!() }
    pub fn reading(&self) -> Reading { todo!() }
}
