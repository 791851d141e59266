//! Templates of paths, parameters, headers and bodies, with every hole escaped for where it stands.
//!
//! The template is the provider file's author's; what fills its holes is a caller's. So escaping is not the
//! template's to remember: a value is written as JSON in JSON, as text in XML, as one segment in a path, and no
//! filter or block changes that. Syntax is Jinja's.

use std::fmt::Write as _;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};
use percent_encoding::utf8_percent_encode;

use crate::places;

/// Where a hole stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Json,
    Xml,
    /// One segment of a path, or the value of a query parameter.
    Url,
    /// A header, or the field of a form, which nothing can end early.
    Plain,
}

/// One template of a provider. One without holes is not filled but copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    Fixed(Arc<str>),
    /// Its name among the provider's [`Texts`].
    Holes(Arc<str>),
}

/// All templates of one provider.
#[derive(Clone, Debug)]
pub struct Texts(Arc<Environment<'static>>);

/// Says what is wrong and where, never with what a hole was filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("filling the template {template}, line {line}: {kind}")]
pub struct FillError {
    template: String,
    line: usize,
    kind: String,
}

/// Where the audio goes in a body that embeds it. No escape ever yields this byte, so that it is found again.
pub const AUDIO: char = '\0';

#[derive(Debug)]
struct AudioHole;

impl Object for AudioHole {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

/// What fills the `audio` hole of a body that embeds the recording, within quotes of the template's.
pub fn audio_hole() -> Value {
    Value::from_object(AudioHole)
}

impl Place {
    const ALL: [Place; 4] = [Place::Json, Place::Xml, Place::Url, Place::Plain];

    fn as_str(self) -> &'static str {
        match self {
            Place::Json => "json",
            Place::Xml => "xml",
            Place::Url => "url",
            Place::Plain => "plain",
        }
    }

    /// The last part of a template's name.
    fn of_name(name: &str) -> Option<Self> {
        let (_, place) = name.rsplit_once('.')?;
        Self::ALL.into_iter().find(|known| known.as_str() == place)
    }
}

/// Collects the templates of a provider while its file is read.
pub(super) struct TextsBuilder(Environment<'static>);

impl TextsBuilder {
    pub fn new() -> Self {
        let mut all = Environment::new();
        all.set_undefined_behavior(UndefinedBehavior::Strict);
        all.set_auto_escape_callback(|name| match Place::of_name(name) {
            Some(place) => AutoEscape::Custom(place.as_str().into()),
            None => AutoEscape::None,
        });
        all.set_formatter(write_escaped);
        for unescaping in ["safe", "escape", "e"] {
            all.remove_filter(unescaping);
        }
        Self(all)
    }

    /// `key` is where it stands in the file; `known` are the names that its holes may have.
    pub fn add(&mut self, key: &str, source: &str, place: Place, known: &[&str]) -> Result<Text, String> {
        if !source.contains(['{', '}'])
            || (place == Place::Json && !source.contains("{{") && !source.contains("{%"))
        {
            return Ok(Text::Fixed(source.into()));
        }
        let name = format!("{key}.{}", place.as_str());
        self.0
            .add_template_owned(name.clone(), source.to_owned())
            .map_err(|error| described(&error))?;
        let template = self.0.get_template(&name).map_err(|error| described(&error))?;
        let unknown = template
            .undeclared_variables(false)
            .into_iter()
            .find(|hole| !known.contains(&hole.as_str()));
        match unknown {
            Some(hole) => Err(unknown_hole(&hole, known)),
            None => Ok(Text::Holes(name.into())),
        }
    }

    pub fn done(self) -> Texts {
        Texts(Arc::new(self.0))
    }
}

fn unknown_hole(hole: &str, known: &[&str]) -> String {
    match super::nearest(hole, known.iter().copied()) {
        Some(near) => format!("nothing is called {hole} here; did you mean {near}?"),
        None => format!("nothing is called {hole} here; known are {}", known.join(", ")),
    }
}

impl Texts {
    pub fn fill(&self, text: &Text, with: &Value) -> Result<String, FillError> {
        match text {
            Text::Fixed(text) => Ok(text.to_string()),
            Text::Holes(name) => self
                .0
                .get_template(name)
                .and_then(|template| template.render(with.clone()))
                .map_err(|error| FillError {
                    template: name.to_string(),
                    line: error.line().unwrap_or_default(),
                    kind: error.kind().to_string(),
                }),
        }
    }

    /// Whether the holes of a text are all among these.
    pub fn needs_only(&self, text: &Text, known: &[&str]) -> bool {
        match text {
            Text::Fixed(_) => true,
            Text::Holes(name) => self.0.get_template(name).is_ok_and(|template| {
                let holes = template.undeclared_variables(false);
                holes.iter().all(|hole| known.contains(&hole.as_str()))
            }),
        }
    }
}

fn described(error: &Error) -> String {
    let line = error.line().unwrap_or_default();
    format!(
        "line {line}: {}",
        error.detail().unwrap_or("this is not a template")
    )
}

fn write_escaped(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let place = match state.auto_escape() {
        AutoEscape::Custom(place) => Place::ALL.into_iter().find(|known| known.as_str() == place),
        _ => None,
    };
    if value.downcast_object_ref::<AudioHole>().is_some() {
        return Ok(out.write_char(AUDIO)?);
    }
    match place {
        Some(Place::Json) => {
            let json = serde_json::to_string(value)
                .map_err(|_| Error::new(ErrorKind::BadSerialization, "a value that is no JSON"))?;
            Ok(out.write_str(&json)?)
        }
        Some(place) => write_text(out, place, value),
        None => Err(Error::new(
            ErrorKind::InvalidOperation,
            "escaping is not to be switched off",
        )),
    }
}

fn write_text(out: &mut Output<'_>, place: Place, value: &Value) -> Result<(), Error> {
    if value.is_none() {
        return Err(Error::new(ErrorKind::UndefinedError, "a hole without a value"));
    }
    let spelled;
    let text = match value.as_str() {
        Some(text) => text,
        None => {
            spelled = value.to_string();
            &spelled
        }
    };
    match place {
        Place::Xml => write_xml(out, text)?,
        Place::Url => write!(out, "{}", utf8_percent_encode(text, places::ESCAPED))?,
        Place::Plain | Place::Json => out.write_str(text)?,
    }
    Ok(())
}

/// What XML has no way to write is nothing that could be spoken either; a blank keeps words apart.
fn write_xml(out: &mut Output<'_>, text: &str) -> std::fmt::Result {
    let mut plain = 0;
    for (at, c) in text.char_indices() {
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            '\t' | '\n' => continue,
            '\r' => "&#13;",
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => " ",
            _ => continue,
        };
        out.write_str(&text[plain..at])?;
        out.write_str(escaped)?;
        plain = at + c.len_utf8();
    }
    out.write_str(&text[plain..])
}

#[cfg(test)]
mod tests {
    use minijinja::context;
    use proptest::prelude::*;

    use super::*;

    fn filled(source: &str, place: Place, with: Value) -> Result<String, String> {
        let mut builder = TextsBuilder::new();
        let text = builder.add("it", source, place, &["a", "b"])?;
        builder
            .done()
            .fill(&text, &with)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn holes_are_escaped_for_their_place() {
        let value = "<&\"'/\\ ü\u{1}\n";
        for (source, place, expected) in [
            ("{\"t\": {{ a }}}", Place::Json, r#"{"t": "<&\"'/\\ ü\u0001\n"}"#),
            (
                "<s>{{ a }}</s>",
                Place::Xml,
                "<s>&lt;&amp;&quot;&#39;/\\ ü \n</s>",
            ),
            (
                "/x/{{ a }}/y",
                Place::Url,
                "/x/%3C%26%22%27%2F%5C%20%C3%BC%01%0A/y",
            ),
            ("{{ a }}", Place::Plain, value),
        ] {
            assert_eq!(filled(source, place, context! { a => value }).unwrap(), expected);
        }
    }

    #[test]
    fn no_template_switches_escaping_off() {
        for source in [
            "{{ a|safe }}",
            "{{ a|e }}",
            "{% autoescape false %}{{ a }}{% endautoescape %}",
        ] {
            assert!(
                filled(source, Place::Xml, context! { a => "<" }).is_err(),
                "{source}"
            );
        }
        let set = "{% set x %}{{ a }}{% endset %}{{ x }}";
        assert!(
            !filled(set, Place::Xml, context! { a => "<" })
                .unwrap()
                .contains('<')
        );
    }

    #[test]
    fn a_misspelt_hole_is_told_when_the_file_is_read() {
        let error = filled("{% if bb %}x{% endif %}", Place::Plain, context! {}).unwrap_err();
        assert!(error.contains("did you mean b?"), "{error}");
        assert!(filled("{{ a", Place::Plain, context! {}).is_err());
    }

    #[test]
    fn an_error_does_not_repeat_what_was_to_be_filled_in() {
        let error = filled("{{ a|int }}", Place::Plain, context! { a => "hush" }).unwrap_err();
        assert!(!error.contains("hush"), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_breaks_out_of_json(text in any::<String>()) {
            let body = filled("{\"a\": {{ a }}, \"b\": 1}", Place::Json, context! { a => text.clone() }).unwrap();
            let read: serde_json::Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(read, serde_json::json!({"a": text, "b": 1}));
            prop_assert!(!body.contains(AUDIO));
        }

        #[test]
        fn nothing_breaks_out_of_xml(text in any::<String>()) {
            let body = filled("<a>{{ a }}</a>", Place::Xml, context! { a => text.clone() }).unwrap();
            let inner = body.strip_prefix("<a>").and_then(|rest| rest.strip_suffix("</a>")).unwrap();
            prop_assert!(!inner.contains(['<', '>']) && !inner.contains(|c: char| c < ' ' && c != '\n' && c != '\t'));
            let back = inner
                .replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'")
                .replace("&#13;", "\r").replace("&amp;", "&");
            let spoken = text.replace(|c: char| (c < ' ' && !"\n\t\r".contains(c)) || "\u{fffe}\u{ffff}".contains(c), " ");
            prop_assert_eq!(back, spoken);
        }

        #[test]
        fn nothing_breaks_out_of_a_path(text in any::<String>()) {
            let path = filled("/v1/{{ a }}/x", Place::Url, context! { a => text }).unwrap();
            prop_assert_eq!(path.matches('/').count(), 3);
            prop_assert!(!path.contains(['?', '#', '&', '=', ' ', '\\']));
        }
    }
}
