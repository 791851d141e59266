//! An error with what caused it, in one line.
//!
//! An error's own message says what was being attempted, its sources say why that failed. Logs get both by way
//! of this: the JSON log writer would leave the sources out.

use std::error::Error;

pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("opening the box")]
    struct Outer(#[source] std::num::ParseIntError);

    #[test]
    fn causes_follow_in_their_order() {
        let inner = "x".parse::<u8>().unwrap_err();
        assert_eq!(
            with_causes(&Outer(inner.clone())),
            format!("opening the box: {inner}")
        );
        assert_eq!(with_causes(&inner), inner.to_string());
    }
}
