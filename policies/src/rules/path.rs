//! One reading of a path: doubled slashes collapsed, decoded once, and nothing left that another reader
//! could read differently.
//!
//! Encoded slashes and backslashes, dot segments, control characters, invalid and double escapes are
//! refused: each is a way to let the gateway see a listed path where the provider sees another.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// SDKs that join a base ending in `/` with a path beginning in `/` send `//`.
pub(super) fn collapse(path: &str) -> Cow<'_, str> {
    if !has_pair(path, b"//") {
        return Cow::Borrowed(path);
    }
    let mut single = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !single.ends_with('/') {
            single.push(c);
        }
    }
    Cow::Owned(single)
}

/// Paths are short: comparing in place beats preparing a search.
fn has_pair(path: &str, pair: &[u8; 2]) -> bool {
    path.as_bytes().windows(2).any(|window| window == pair)
}

/// The path decoded once, or what is wrong with it.
pub(super) fn decode(path: &str) -> Result<Cow<'_, str>, &'static str> {
    if path.contains('\\') {
        return Err("the path holds a backslash");
    }
    if !path.contains('%') {
        return check_segments(path).map(|()| Cow::Borrowed(path));
    }
    check_escapes(path)?;
    let decoded = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| "the path is not UTF-8")?;
    if decoded.contains('%') {
        return Err("the path is escaped twice");
    }
    if decoded.chars().any(char::is_control) {
        return Err("the path holds a control character");
    }
    check_segments(&decoded)?;
    Ok(decoded)
}

fn check_escapes(path: &str) -> Result<(), &'static str> {
    for escape in path.split('%').skip(1) {
        match escape.as_bytes() {
            [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => {
                match [*a, b.to_ascii_lowercase()] {
                    [b'2', b'f'] => return Err("the path holds an escaped slash"),
                    [b'5', b'c'] => return Err("the path holds an escaped backslash"),
                    _ => {}
                }
            }
            _ => return Err("the path holds an invalid escape"),
        }
    }
    Ok(())
}

/// Refuses `.` and `..`, also with the path parameters that some servers cut off (`..;x`).
fn check_segments(decoded: &str) -> Result<(), &'static str> {
    if !has_pair(decoded, b"/.") {
        return Ok(());
    }
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    if decoded.split('/').any(is_dots) {
        Err("the path holds a dot segment")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubled_slashes_collapse() {
        assert_eq!(collapse("//a///b/"), "/a/b/");
        assert!(matches!(collapse("/a/b"), Cow::Borrowed("/a/b")));
    }

    #[test]
    fn a_path_with_two_readings_is_refused() {
        for path in [
            "/a/%2f",
            "/a%2Fb",
            "/a%5cb",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a/..;x/b",
            "/a%00b",
            "/a%0Ab",
            "/a%7fb",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%252e",
            "/a%ff",
            "/a\\b",
            "/..",
        ] {
            assert!(decode(path).is_err(), "{path} was taken");
        }
        for (path, read) in [
            ("/a%20b", "/a b"),
            ("/v%31/x", "/v1/x"),
            ("/a..b/...", "/a..b/..."),
            ("/%C3%A9", "/é"),
        ] {
            assert_eq!(decode(path).unwrap(), read);
        }
    }
}
