//! Query parameters of WebSockets, each with what it may be.

use crate::fakes::Call;
use crate::fakes::seen::Seen;

/// What one parameter may be.
#[derive(Clone, Copy, Debug)]
pub enum May {
    Be(&'static [&'static str]),
    Flag,
    /// A whole number within these bounds, both included.
    Number(u64, u64),
    Fraction(f64, f64),
    Anything,
}

impl May {
    fn take(self, value: &str) -> bool {
        match self {
            Self::Be(values) => values.contains(&value),
            Self::Flag => value == "true" || value == "false",
            Self::Number(least, most) => value
                .parse()
                .is_ok_and(|number: u64| (least..=most).contains(&number)),
            Self::Fraction(least, most) => value
                .parse()
                .is_ok_and(|number: f64| (least..=most).contains(&number)),
            Self::Anything => true,
        }
    }
}

/// Complains of every parameter that is not listed or has no such value. Where the provider itself takes a key in the
/// query, the fake has complained of it already.
pub fn check(call: &Call, seen: &Seen, listed: &[(&str, May)]) {
    let key = call.fake.kind.key_parameter();
    for (name, value) in &seen.query {
        if key == Some(name) {
            continue;
        }
        match listed.iter().find(|(known, _)| known == name) {
            Some((_, may)) if may.take(value) => {}
            Some(_) => call.violation(format!("parameter {name} cannot be {value}")),
            None => call.violation(format!("no such parameter: {name}")),
        }
    }
}

/// A flag, which is off unless it is on.
pub fn flag(seen: &Seen, name: &str) -> bool {
    seen.query.get(name).is_some_and(|value| value == "true")
}
