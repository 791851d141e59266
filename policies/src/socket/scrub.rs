//! Credentials out of JSON text messages, while they pass: each member that holds one is painted over with
//! blanks where it stands, together with one of the commas beside it.
//!
//! So the message stays as long as it was, its frames stay as they were, and nothing of it has to be kept but
//! what may turn out to be the name of such a member. Names are compared after their escapes are read, at any
//! depth, and each occurrence counts. What begins as JSON and is none is refused, for another reader may make more of
//! it than this one. A text that does not begin so passes as it is, but for what looks like a token: nobody reads a
//! member out of it, and a token has no business there. Binary messages that are not JSON pass untouched.

use std::ops::Range;

use crate::meter::{Piece, StringReader};
use crate::places::TOKENS;

/// The most that is withheld until a name is known: far more than a name and its neighbours need.
const MOST_HELD: u64 = 4 * 1024;

/// Those of the standard, and those that are often taken beside them.
const LITERALS: [&[u8]; 5] = [b"true", b"false", b"null", b"NaN", INFINITY];
const INFINITY: &[u8] = b"Infinity";
/// What some put before a text, and some leave out when they read it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A place in a message, counted from its beginning.
type At = u64;

/// Why a message cannot be searched, and so must not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsearchable {
    /// It begins as JSON and is none: somebody who reads it in another way may find a member in it.
    NotJson,
    /// A member's name and what is around it cannot be told apart from an attempt to fill memory.
    TooMuch,
}

#[derive(Debug)]
pub struct Scrubber {
    names: Vec<String>,
    state: State,
    last: Last,
    string: StringReader,
    /// How the string so far compares with the names.
    name: Vec<u8>,
    /// From here on nothing may pass before more is known.
    held: Option<At>,
    /// The next byte's place.
    at: At,
    /// Brackets open in a value that is painted over.
    depth: u64,
    /// The comma behind such a member goes with it, for none stands before it.
    comma_too: bool,
    /// Of what looks like a token: which, and how much of its beginning has been seen.
    token: Option<(usize, usize)>,
    binary: bool,
    /// It has begun with a bracket.
    structured: bool,
    /// How much of a byte order mark it has begun with.
    marked: usize,
    unsearchable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Between,
    /// A string that may be a name.
    Name,
    /// Behind a string that is a name if a colon follows.
    Named,
    /// Any other string.
    Text,
    Number,
    /// One of [`LITERALS`], and how much of it has been seen.
    Literal(&'static [u8], usize),
    /// The value of a member that is painted over, before it begins.
    Value,
    ValueText,
    ValueWord,
    ValueNested,
    ValueNestedText,
    NotJson,
    /// Inside what looks like a token, in a message that is not JSON.
    Token,
}

/// What stands before, white space left out: it says what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Last {
    Begin,
    Open,
    Comma,
    Colon,
    /// A string, behind which a colon may stand.
    Text,
    Value,
}

impl Scrubber {
    pub fn new(names: &[String]) -> Self {
        Self {
            names: names.to_vec(),
            state: State::Between,
            last: Last::Begin,
            string: StringReader::default(),
            name: Vec::new(),
            held: None,
            at: 0,
            depth: 0,
            comma_too: false,
            token: None,
            binary: false,
            structured: false,
            marked: 0,
            unsearchable: false,
        }
    }

    /// A message begins. A binary one may hold JSON, or anything.
    pub fn begin(&mut self, binary: bool) {
        self.binary = binary;
        (self.state, self.last, self.held, self.at) = (State::Between, Last::Begin, None, 0);
        (self.comma_too, self.token) = (false, None);
        (self.structured, self.marked, self.unsearchable) = (false, 0, false);
    }

    /// Nothing from this place of the message on may pass yet.
    pub fn held(&self) -> Option<At> {
        self.held
    }

    /// The message has ended: what was withheld was no member's name.
    pub fn end(&mut self) {
        self.held = None;
    }

    /// Reads on, and tells the places that are to be painted over, in order.
    pub fn feed(&mut self, bytes: &[u8], paint: &mut Vec<Range<At>>) -> Result<(), Unsearchable> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.step(rest, paint);
            self.at += taken as u64;
            rest = &rest[taken..];
            if self.unsearchable {
                return Err(Unsearchable::NotJson);
            }
            if self.held.is_some_and(|held| self.at - held > MOST_HELD) {
                return Err(Unsearchable::TooMuch);
            }
        }
        Ok(())
    }

    /// Takes at least one byte.
    fn step(&mut self, bytes: &[u8], paint: &mut Vec<Range<At>>) -> usize {
        let byte = bytes[0];
        match self.state {
            State::Between => self.between(byte, paint),
            State::Name => self.name(byte),
            State::Named => self.named(byte, paint),
            State::Text => self.text(bytes, State::Between),
            State::Number if matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') => 1,
            State::Number if byte == b'I' => {
                self.state = State::Literal(INFINITY, 1);
                1
            }
            State::Number => self.again(State::Between, bytes, paint),
            State::Literal(word, seen) => self.literal(word, seen, byte, paint),
            State::Value | State::ValueWord | State::ValueNested => self.value(byte, bytes, paint),
            State::ValueText => self.painted_text(bytes, State::Between, paint),
            State::ValueNestedText => self.painted_text(bytes, State::ValueNested, paint),
            State::NotJson if self.binary => bytes.len(),
            State::NotJson => self.not_json(byte, paint),
            State::Token => self.token(byte, paint),
        }
    }

    fn again(&mut self, state: State, bytes: &[u8], paint: &mut Vec<Range<At>>) -> usize {
        self.state = state;
        self.step(bytes, paint)
    }

    fn paint(&self, range: Range<At>, paint: &mut Vec<Range<At>>) {
        match paint.last_mut().filter(|last| last.end == range.start) {
            Some(last) => last.end = range.end,
            None => paint.push(range),
        }
    }

    fn paint_this(&self, length: usize, paint: &mut Vec<Range<At>>) {
        self.paint(self.at..self.at + length as u64, paint);
    }

    fn between(&mut self, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        let value_may_begin = matches!(self.last, Last::Begin | Last::Open | Last::Comma | Last::Colon);
        let value_has_ended = matches!(self.last, Last::Text | Last::Value);
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return 1,
            b'"' if value_may_begin => self.begin_string(),
            b'{' | b'[' if value_may_begin => {
                self.structured = true;
                self.pass(Last::Open);
                // JSON has no such mark.
                self.unsearchable = self.marked > 0 && !self.binary;
            }
            _ if BYTE_ORDER_MARK.get(self.marked) == Some(&byte) && self.at == self.marked as u64 => {
                self.marked += 1;
            }
            b'}' | b']' if value_has_ended || self.last == Last::Open => self.pass(Last::Value),
            b',' if value_has_ended && self.comma_too => {
                self.paint_this(1, paint);
                self.pass(Last::Open);
            }
            b',' if value_has_ended => {
                self.pass(Last::Comma);
                self.held = Some(self.at);
            }
            b':' if self.last == Last::Text => self.pass(Last::Colon),
            b'-' | b'0'..=b'9' if value_may_begin => {
                self.pass(Last::Value);
                self.state = State::Number;
            }
            _ => match LITERALS.iter().find(|word| word[0] == byte) {
                Some(word) if value_may_begin => {
                    self.pass(Last::Value);
                    self.state = State::Literal(word, 1);
                }
                _ => return self.is_not_json(byte, paint),
            },
        }
        1
    }

    fn literal(&mut self, word: &'static [u8], seen: usize, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        if word[seen] != byte {
            return self.is_not_json(byte, paint);
        }
        self.state = match seen + 1 == word.len() {
            true => State::Between,
            false => State::Literal(word, seen + 1),
        };
        1
    }

    fn pass(&mut self, last: Last) {
        (self.last, self.held, self.comma_too) = (last, None, false);
    }

    fn begin_string(&mut self) {
        let may_be_name = matches!(self.last, Last::Open | Last::Comma);
        self.string = StringReader::default();
        if may_be_name {
            self.name.clear();
            self.held.get_or_insert(self.at);
            self.state = State::Name;
        } else {
            self.state = State::Text;
        }
    }

    /// Let go as soon as it is none of the names.
    fn name(&mut self, byte: u8) -> usize {
        if byte == b'"' && !self.string.escaped {
            let is_one = self.names.iter().any(|name| name.as_bytes() == self.name);
            if is_one {
                self.state = State::Named;
            } else {
                self.state = State::Between;
                self.pass(Last::Text);
            }
            return 1;
        }
        match self.string.push(byte) {
            Some(Piece::Byte(byte)) => self.name.push(byte),
            Some(Piece::Char(c)) => self.name.extend(c.encode_utf8(&mut [0; 4]).bytes()),
            None => return 1,
        }
        let may_become_one = self
            .names
            .iter()
            .any(|name| name.as_bytes().starts_with(&self.name));
        if !may_become_one {
            self.held = None;
            self.state = State::Text;
        }
        1
    }

    fn named(&mut self, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        match (byte, self.held) {
            (b' ' | b'\t' | b'\r' | b'\n', _) => 1,
            (b':', Some(held)) => {
                self.paint(held..self.at + 1, paint);
                self.comma_too = self.last == Last::Open;
                self.held = None;
                (self.state, self.depth) = (State::Value, 0);
                1
            }
            _ => {
                self.state = State::Between;
                self.pass(Last::Text);
                self.between(byte, paint)
            }
        }
    }

    /// A string to its end, at the speed of a byte search.
    fn text(&mut self, bytes: &[u8], then: State) -> usize {
        let plain = self.string.pass_plain(bytes);
        let Some(&byte) = bytes.get(plain) else {
            return plain;
        };
        if byte == b'"' && !self.string.escaped {
            self.state = then;
            self.last = Last::Text;
        } else {
            self.string.push(byte);
        }
        plain + 1
    }

    fn painted_text(&mut self, bytes: &[u8], then: State, paint: &mut Vec<Range<At>>) -> usize {
        let taken = self.text(bytes, then);
        self.paint_this(taken, paint);
        if self.state == State::Between {
            self.last = Last::Value;
        }
        taken
    }

    fn value(&mut self, byte: u8, bytes: &[u8], paint: &mut Vec<Range<At>>) -> usize {
        let nested = self.state == State::ValueNested;
        match byte {
            b'"' => {
                self.string = StringReader::default();
                self.state = if nested {
                    State::ValueNestedText
                } else {
                    State::ValueText
                };
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.state = State::ValueNested;
            }
            b'}' | b']' if self.depth > 1 => self.depth -= 1,
            b'}' | b']' if self.depth == 1 => {
                (self.state, self.last) = (State::Between, Last::Value);
            }
            _ if nested => {}
            b' ' | b'\t' | b'\r' | b'\n' if self.state == State::Value => {}
            // The word has ended, or no value has come at all.
            b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n' => {
                self.last = Last::Value;
                return self.again(State::Between, bytes, paint);
            }
            // Whatever it is, it stands where a credential does.
            _ => self.state = State::ValueWord,
        }
        self.paint_this(1, paint);
        1
    }

    /// A message that does not even begin as JSON holds no member for anybody.
    fn is_not_json(&mut self, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        self.held = None;
        self.state = State::NotJson;
        match (self.binary, self.structured) {
            (true, _) => 1,
            (false, true) => {
                self.unsearchable = true;
                1
            }
            (false, false) => self.not_json(byte, paint),
        }
    }

    fn not_json(&mut self, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        let begun = self.token.map_or(0, |(_, seen)| seen);
        let of_token = self
            .token
            .filter(|(which, seen)| TOKENS[*which].as_bytes()[*seen] == byte);
        self.token = of_token
            .map(|(which, seen)| (which, seen + 1))
            .or_else(|| Some((TOKENS.iter().position(|token| token.as_bytes()[0] == byte)?, 1)));
        match self.token {
            Some((which, seen)) if seen == TOKENS[which].len() => {
                let begins = self.at - begun as u64;
                self.paint(begins..self.at + 1, paint);
                (self.token, self.held, self.state) = (None, None, State::Token);
            }
            Some((_, 1)) => self.held = Some(self.at),
            Some(_) => {}
            None => self.held = None,
        }
        1
    }

    fn token(&mut self, byte: u8, paint: &mut Vec<Range<At>>) -> usize {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'+' | b'/' | b'=') {
            self.paint_this(1, paint);
            return 1;
        }
        self.state = State::NotJson;
        self.not_json(byte, paint)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn names() -> Vec<String> {
        ["xi-api-key", "xi_api_key", "authorization", "single_use_token"]
            .map(str::to_owned)
            .to_vec()
    }

    /// The message as it passes, and the most that was withheld.
    fn scrub(message: &str, chunk: usize) -> String {
        let mut scrubber = Scrubber::new(&names());
        let mut bytes = message.as_bytes().to_vec();
        let mut paint = Vec::new();
        scrubber.begin(false);
        for (nth, piece) in message.as_bytes().chunks(chunk.max(1)).enumerate() {
            scrubber.feed(piece, &mut paint).unwrap();
            let passed = scrubber.held().unwrap_or(u64::MAX);
            let before = (nth * chunk) as u64;
            for range in paint.iter().filter(|range| range.end <= before) {
                assert!(range.end <= passed, "painted over what had passed");
            }
        }
        for range in paint {
            bytes[range.start as usize..range.end as usize].fill(b' ');
        }
        String::from_utf8(bytes).unwrap()
    }

    /// What stands between the marks is painted over, in whatever pieces the message comes.
    fn paints(marked: &str) {
        let message = marked.replace(['«', '»'], "");
        let mut painted = false;
        let mut passed = String::new();
        for c in marked.chars() {
            match c {
                '«' => painted = true,
                '»' => painted = false,
                _ if painted => passed.push(' '),
                other => passed.push(other),
            }
        }
        for chunk in 1..=message.len() {
            assert_eq!(scrub(&message, chunk), passed, "{message} in pieces of {chunk}");
        }
    }

    #[test]
    fn members_that_hold_credentials_are_painted_over_with_a_comma() {
        for marked in [
            r#"{"text":"a"«,"xi-api-key":"T"»}"#,
            r#"{«"xi-api-key":"T",»"text":"a"}"#,
            r#"{«"xi_api_key" : "T" , "authorization":"B",»"x":1}"#,
            r#"{«"single_use_token":"T"»}"#,
            r#"{"a":1«,"authorization":{"b":["}",1]}»,"c":2}"#,
            r#"{"a":[{«"xi-api-key":null»}]}"#,
            r#"{«"xi-api\u002dkey":"T",»"x":1}"#,
            r#"{«"xi-api-key":"a\"b",»"x":1}"#,
            r#"{«"xi-api-key": vxg_abc'd»}"#,
        ] {
            paints(marked);
        }
    }

    #[test]
    fn everything_else_passes_as_it_is() {
        for message in [
            r#"{"text":"xi-api-key","key":"authorization","xi-api-keys":"a","xi-api-ke":1}"#,
            r#"["xi-api-key","authorization"]"#,
            r#"{"text":"say \"authorization\": \"T\" aloud", "n":[-1.5e3,true,null]}"#,
            r#"{"text":"","Authorization":"another name"}"#,
            "hello, world: \"xi-api-key\": \"a\"",
            "",
            r#"{"text":"#,
            r#"{"n":[NaN,Infinity,-Infinity]}"#,
            "[1,",
        ] {
            for chunk in 1..=message.len().max(1) {
                assert_eq!(scrub(message, chunk), message, "in pieces of {chunk}");
            }
        }
    }

    #[test]
    fn what_looks_like_a_token_does_not_pass_in_a_message_that_is_not_json() {
        for marked in [
            "token v«vxg_abc123»!",
            "Bearer «eyJh.b-_.c», «eyJ»",
            "e«eyJa» v vx vxg vxge",
        ] {
            paints(marked);
        }
    }

    #[test]
    fn what_begins_as_json_and_is_none_cannot_be_searched() {
        for message in [
            r#"{"a" "xi-api-key":"x"}"#,
            r#"{"text":"a",}"#,
            r#"{"a":undefined,"xi-api-key":"x"}"#,
            r#"{/**/"xi-api-key":"x"}"#,
            "\u{feff}{}",
            "[1vxg_abc",
            "{}{}",
        ] {
            let mut scrubber = Scrubber::new(&names());
            scrubber.begin(false);
            let fed = scrubber.feed(message.as_bytes(), &mut Vec::new());
            assert_eq!(fed, Err(Unsearchable::NotJson), "{message}");
            scrubber.begin(true);
            let mut paint = Vec::new();
            scrubber.feed(message.as_bytes(), &mut paint).unwrap();
            assert!(paint.is_empty(), "binary {message}");
        }
    }

    #[test]
    fn a_binary_message_loses_the_members_of_json_and_nothing_else() {
        let painted = |message: &[u8]| {
            let mut scrubber = Scrubber::new(&names());
            scrubber.begin(true);
            let mut paint = Vec::new();
            scrubber.feed(message, &mut paint).unwrap();
            paint
        };
        assert_eq!(painted(br#"{"a":1,"xi-api-key":"T"}"#).pop(), Some(6..23));
        assert_eq!(painted(b"\xff vxg_0123456789 {\"xi-api-key\":1}"), []);
    }

    #[test]
    fn what_could_be_a_name_is_not_withheld_without_end() {
        let mut scrubber = Scrubber::new(&names());
        scrubber.begin(false);
        let mut paint = Vec::new();
        scrubber.feed(br#"{"a":1,"#, &mut paint).unwrap();
        assert_eq!(
            scrubber.feed(&[b' '; 5_000], &mut paint),
            Err(Unsearchable::TooMuch)
        );
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 30, 4, |inner| {
            let key = prop_oneof![
                prop::sample::select(names()),
                Just("text".to_owned()),
                any::<String>()
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    fn without(value: Value) -> Value {
        match value {
            Value::Object(members) => {
                let kept = members.into_iter().filter(|(name, _)| !names().contains(name));
                Value::Object(
                    kept.map(|(name, value)| (name, without(value)))
                        .collect::<Map<_, _>>(),
                )
            }
            Value::Array(items) => items.into_iter().map(without).collect(),
            other => other,
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_the_same_document_without_those_members(
            document in documents(),
            pretty: bool,
            chunk in 1usize..50,
        ) {
            let text = match pretty {
                true => serde_json::to_string_pretty(&document).unwrap(),
                false => document.to_string(),
            };
            let passed = scrub(&text, chunk);
            prop_assert_eq!(passed.len(), text.len());
            prop_assert_eq!(serde_json::from_str::<Value>(&passed).unwrap(), without(document));
        }

        #[test]
        fn nothing_makes_it_panic_or_let_a_token_pass(junk in "[{}\\[\\],:\" a-z\\\\u0-9-]{0,60}", chunk in 1usize..9) {
            let message = format!("{junk}vxg_0123456789");
            let mut scrubber = Scrubber::new(&names());
            scrubber.begin(false);
            let mut paint = Vec::new();
            let fed: Result<Vec<()>, _> =
                message.as_bytes().chunks(chunk).map(|piece| scrubber.feed(piece, &mut paint)).collect();
            let in_text = junk.bytes().filter(|byte| *byte == b'"').count() > 0;
            let painted = paint.iter().any(|range| range.end == message.len() as u64);
            prop_assert!(fed.is_err() || painted || in_text, "{}", message);
        }
    }
}
