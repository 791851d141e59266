//! Headers of one connection: those that always are, and those that `Connection` declares to be.
//!
//! None of them crosses the gateway in either direction.

use http::header::{CONNECTION, HeaderMap, HeaderName};

/// Headers that concern one connection alone.
pub fn is_of_one_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "te"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Names that `Connection` lists besides those that always are of one hop.
pub struct Nominated<'h>(Vec<&'h str>);

impl<'h> Nominated<'h> {
    pub fn by(headers: &'h HeaderMap) -> Self {
        let values = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let names = values.flat_map(|value| value.split(',').map(str::trim));
        // The length of the body is not for either side to withdraw.
        let usual = ["keep-alive", "close", "upgrade", "te", "content-length", ""];
        let is_usual = |name: &&str| usual.iter().any(|usual| usual.eq_ignore_ascii_case(name));
        Self(names.filter(|name| !is_usual(name)).collect())
    }

    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0
            .iter()
            .any(|listed| listed.eq_ignore_ascii_case(name.as_str()))
    }
}
