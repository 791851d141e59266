use chrono::{DateTime, Utc};
use serde::Serialize;
use crate::descriptor::{Model, Provider, Voice};
use crate::vocabulary::Operation;
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Page<T> { pub items: Vec<T>, pub next: Option<String> }
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Quota { pub supported: bool, pub used: Option<f64>, pub limit: Option<f64>, pub unit: Option<String>, pub resets_at: Option<DateTime<Utc>> }
#[derive(Debug, thiserror::Error)]
#[error("reading the provider's {what}: {reason}")]
pub struct ReadError { pub what: &'static str, pub reason: String }
pub fn read_models(_provider: &Provider, _answer: &[u8], _operation: Option<Operation>) -> Result<Page<Model>, ReadError> { todo!() }
pub fn read_voices(_provider: &Provider, _answer: Option<&[u8]>, _q: Option<&str>, _language: Option<&str>) -> Result<Page<Voice>, ReadError> { todo!() }
pub fn read_quota(_provider: &Provider, _answer: &[u8]) -> Result<Quota, ReadError> { todo!() }
