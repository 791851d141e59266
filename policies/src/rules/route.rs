use std::sync::Arc;
use http::Method;
use super::Inbound;
use crate::descriptor::{Endpoint, Provider};
use crate::vocabulary::{Caller, Operation, Refusal};
#[derive(Clone, Debug)]
pub struct Route { pub provider: Arc<Provider>, pub endpoint: usize, pub params: Vec<(String, String)>, pub model_from_path: Option<String> }
impl Route { pub fn endpoint(&self) -> &Endpoint { &self.provider.endpoints[self.endpoint] } }
pub fn route(_inbound: &Inbound, _method: &Method) -> Result<Route, Refusal> { todo!() }
pub fn allow(_caller: &Caller, _operation: Operation) -> Result<(), Refusal> { todo!() }
