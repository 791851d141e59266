//! Names with a star, and pointers into JSON.
//!
//! A glob knows `*`. A pointer is a JSON pointer in which `*` is any element of a list or any member of an
//! object. Both are parsed once, when the descriptor is read, and matched without allocation.

use serde_json::Value;

/// A name with `*` for any run of characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

/// Steps from the root of a JSON document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Key(String),
    Any,
}

impl Glob {
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut last = None;
        for piece in pieces {
            if let Some(middle) = last.replace(piece) {
                let Some(at) = position(rest, middle) else {
                    return false;
                };
                rest = &rest[at + middle.len()..];
            }
        }
        match last {
            Some(ending) => rest.ends_with(ending),
            None => rest.is_empty(),
        }
    }
}

/// Whether one of the names is this one.
pub fn is_one_of(globs: &[Glob], name: &str) -> bool {
    globs.iter().any(|glob| glob.matches(name))
}

/// Names are short: comparing in place beats preparing a search.
fn position(text: &str, part: &str) -> Option<usize> {
    if part.is_empty() {
        return Some(0);
    }
    text.as_bytes()
        .windows(part.len())
        .position(|window| window == part.as_bytes())
}

impl Pointer {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let rest = text
            .strip_prefix('/')
            .ok_or("a pointer is empty or begins with /")?;
        Ok(Self(rest.split('/').map(Step::parse).collect()))
    }

    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Every value the pointer reaches, in document order.
    pub fn visit<'v>(&self, root: &'v Value, visitor: &mut dyn FnMut(&'v Value)) {
        visit(&self.0, root, visitor);
    }

    pub fn first<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        let mut found = None;
        self.visit(root, &mut |value| {
            found.get_or_insert(value);
        });
        found
    }

    /// The first value as text; numbers are spelled out.
    pub fn text(&self, root: &Value) -> Option<String> {
        match self.first(root)? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }
}

impl Step {
    fn parse(text: &str) -> Self {
        if text == "*" {
            Step::Any
        } else {
            Step::Key(text.replace("~1", "/").replace("~0", "~"))
        }
    }
}

fn visit<'v>(steps: &[Step], value: &'v Value, visitor: &mut dyn FnMut(&'v Value)) {
    let Some((step, rest)) = steps.split_first() else {
        return visitor(value);
    };
    match (step, value) {
        (Step::Any, Value::Array(items)) => items.iter().for_each(|item| visit(rest, item, visitor)),
        (Step::Any, Value::Object(members)) => members.values().for_each(|item| visit(rest, item, visitor)),
        (Step::Key(key), Value::Object(members)) => {
            if let Some(item) = members.get(key) {
                visit(rest, item, visitor);
            }
        }
        (Step::Key(index), Value::Array(items)) => {
            if let Some(item) = index.parse::<usize>().ok().and_then(|index| items.get(index)) {
                visit(rest, item, visitor);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_knows_the_star() {
        for (glob, name, fits) in [
            ("*-tts", "a-tts", true),
            ("*-tts", "a-tts-b", false),
            ("*-tts-*", "a-tts-b", true),
            ("*-tts-*", "a-tts", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
        ] {
            assert_eq!(Glob::new(glob).matches(name), fits, "{glob} {name}");
        }
    }

    #[test]
    fn a_pointer_reaches_through_lists() {
        let value = serde_json::json!({"error": {"details": [{"reason": "A"}, {"reason": "B"}]}});
        let mut all = Vec::new();
        Pointer::parse("/error/details/*/reason")
            .unwrap()
            .visit(&value, &mut |v| all.push(v.as_str().unwrap()));
        assert_eq!(all, ["A", "B"]);
        assert_eq!(
            Pointer::parse("/error/details/1/reason")
                .unwrap()
                .text(&value)
                .unwrap(),
            "B"
        );
        assert!(Pointer::parse("error").is_err());
    }
}
