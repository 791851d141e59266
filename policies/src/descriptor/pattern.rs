//! Path patterns: literal segments and `{name}` holes, each a whole segment or a segment with literal text
//! around the hole (`{model}:generateContent`); `{version=v1|v1beta}` takes only these words,
//! `{voice!add|edit}` any but these. Parsed once, when the descriptor is read, and matched without allocation.

/// One path, or a family of paths, relative to the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    segments: Vec<Segment>,
    /// The literal text before the first hole and after the last one, by which most paths are told apart.
    start: String,
    end: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    Hole {
        beginning: String,
        name: String,
        choices: Choices,
        ending: String,
    },
}

/// Which words fill a hole.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choices {
    Only(Vec<String>),
    AnyBut(Vec<String>),
}

/// Bytes that never stand in a hole: they divide paths, or would let one hole swallow a verb.
fn may_stand_in_a_hole(byte: &u8) -> bool {
    !matches!(byte, b'/' | b'\\' | b':' | b';' | b'?' | b'#')
}

/// Characters that a path holds in no literal spelling.
const NOT_LITERAL: [char; 4] = ['}', '%', '?', '#'];

impl PathPattern {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix('/').ok_or("a path begins with /")?;
        let segments = rest
            .split('/')
            .map(Segment::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let start = text.split('{').next().unwrap_or_default().to_owned();
        let end = text.rsplit('}').next().unwrap_or_default().to_owned();
        Ok(Self {
            text: text.to_owned(),
            segments,
            start,
            end,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn hole_names(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Hole { name, .. } => Some(name.as_str()),
            Segment::Literal(_) => None,
        })
    }

    /// Whether the decoded path is of this pattern; calls `found` with each hole's name and content.
    pub fn matches<'p>(&'p self, path: &'p str, mut found: impl FnMut(&'p str, &'p str)) -> bool {
        if !path.starts_with(self.start.as_str()) || !path.ends_with(self.end.as_str()) {
            return false;
        }
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let mut given = rest.split('/');
        for segment in &self.segments {
            let Some(part) = given.next() else { return false };
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Literal(_) => return false,
                Segment::Hole {
                    beginning,
                    name,
                    choices,
                    ending,
                } => {
                    let inner = part
                        .strip_prefix(beginning.as_str())
                        .and_then(|rest| rest.strip_suffix(ending.as_str()));
                    match inner.filter(|inner| choices.allow(inner)) {
                        Some(inner) => found(name, inner),
                        None => return false,
                    }
                }
            }
        }
        given.next().is_none()
    }
}

impl Choices {
    fn allow(&self, inner: &str) -> bool {
        match self {
            Choices::Only(words) => words.iter().any(|word| word == inner),
            Choices::AnyBut(words) => {
                !inner.is_empty()
                    && inner.as_bytes().iter().all(may_stand_in_a_hole)
                    && !words.iter().any(|word| word == inner)
            }
        }
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let Some((beginning, inner)) = text.split_once('{') else {
            return match text {
                "" => Err("a path has no empty segment"),
                "." | ".." => Err("a path has no dot segment"),
                _ if text.contains(NOT_LITERAL) => Err("a literal segment holds no }, %, ? or #"),
                _ => Ok(Segment::Literal(text.to_owned())),
            };
        };
        let (hole, ending) = inner.split_once('}').ok_or("a hole ends with }")?;
        let words = |text: &str| text.split('|').map(str::to_owned).collect();
        let (name, choices) = match (hole.split_once('='), hole.split_once('!')) {
            (Some((name, only)), _) => (name, Choices::Only(words(only))),
            (None, Some((name, but))) => (name, Choices::AnyBut(words(but))),
            (None, None) => (hole, Choices::AnyBut(Vec::new())),
        };
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err("a hole has a lower-case name");
        }
        if ending.contains('{') || [beginning, ending].iter().any(|text| text.contains(NOT_LITERAL)) {
            return Err("a segment has at most one hole, and no }, %, ? or # beside it");
        }
        Ok(Segment::Hole {
            beginning: beginning.to_owned(),
            name: name.to_owned(),
            choices,
            ending: ending.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_its_paths_and_no_others() {
        let pattern = PathPattern::parse("/{version=v1|v1beta}/models/{model}:generateContent").unwrap();
        let mut found = Vec::new();
        assert!(
            pattern.matches("/v1beta/models/speaker-tts:generateContent", |name, value| {
                found.push((name.to_owned(), value.to_owned()));
            })
        );
        assert_eq!(found[1], ("model".to_owned(), "speaker-tts".to_owned()));
        for other in [
            "/v2/models/a:generateContent",
            "/v1/models/:generateContent",
            "/v1/models/a:b:generateContent",
            "/v1/models/a:streamGenerateContent",
            "/v1/models/a/b:generateContent",
            "/v1/models/a:generateContent/",
            "v1/models/a:generateContent",
        ] {
            assert!(!pattern.matches(other, |_, _| {}), "{other} matched");
        }
        let pattern = PathPattern::parse("/voices/{voice!add|edit}").unwrap();
        assert!(pattern.matches("/voices/adder", |_, _| {}));
        assert!(!pattern.matches("/voices/add", |_, _| {}));
        for wrong in [
            "", "a", "/", "//a", "/a//b", "/..", "/{A}", "/{a", "/{a}{b}", "/a}", "/%41", "/{}",
        ] {
            assert!(PathPattern::parse(wrong).is_err(), "{wrong} was taken");
        }
    }
}
