use std::sync::Arc;
use http::{HeaderMap, Method, Uri};
use crate::descriptor::{Provider, Providers};
use crate::vocabulary::{Dialect, Mode, PresentedToken, Refusal};
/// What a request head says, before anyone is asked about it.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub mode: Mode,
    pub provider: Arc<Provider>,
    pub dialect: Dialect,
    pub path: String,
    pub raw_path: String,
    pub query: Option<String>,
    pub presented: Vec<PresentedToken>,
    pub websocket: bool,
}
pub fn recognise(_method: &Method, _uri: &Uri, _headers: &HeaderMap, _providers: &Providers) -> Result<Inbound, (Dialect, Refusal)> { todo!() }
