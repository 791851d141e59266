use chrono::NaiveDate;
use crate::descriptor::Provider;
use crate::meter::Reading;
use crate::vocabulary::Operation;
pub fn estimate(_provider: &Provider, _model: Option<&str>, _operation: Operation, _reading: &Reading, _on: NaiveDate) -> Option<f64> { todo!() }
