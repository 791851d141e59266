use crate::vocabulary::{Code, Dialect};
pub fn error_body(_dialect: Dialect, _code: Code, _message: &str, _param: Option<&str>, _setup_url: Option<&str>) -> (&'static str, String) { todo!() }
