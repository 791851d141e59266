use http::{HeaderName, HeaderValue};
use crate::descriptor::{Hosts, Provider};
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerHeader { Keep, Drop, Rewrite(HeaderValue), Refuse }
pub fn leads_away(_provider: &Provider, _hosts: &Hosts, _name: &HeaderName, _value: &HeaderValue) -> AnswerHeader { todo!() }
