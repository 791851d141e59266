use bytes::Bytes;
use http::{HeaderMap, Method};
use super::RewriteError;
use crate::descriptor::{Hosts, Provider};
#[derive(Clone, Debug)]
pub struct UpstreamCall { pub method: Method, pub url: String, pub headers: HeaderMap, pub body: Option<Bytes> }
#[derive(Clone, Copy, Debug)]
pub enum Question<'a> { Probe(usize), Models { page: Option<&'a str> }, Voices { q: Option<&'a str>, language: Option<&'a str>, page: Option<&'a str> }, Quota }
pub fn ask(_provider: &Provider, _hosts: &Hosts, _question: Question<'_>, _key: &str) -> Result<Option<UpstreamCall>, RewriteError> { todo!() }
