//! Numbers, short texts and lengths of strings out of a JSON document that passes in chunks.
//!
//! Nothing of the document is kept but the values asked for: memory grows with nesting, up to a cap. What
//! no pointer leads to is skipped at the speed of a byte search, and so is what is nested too deeply. A
//! document that is not JSON ends the reading; what was read until then stands.

use super::json_sound::{Base64, Sound};
use super::json_string::{Piece, StringReader};
use super::sound::Mime;
use crate::descriptor::{Pointer, Step};

/// Deeper nesting than any provider sends.
const DEEPEST: usize = 64;
/// Longer texts than any model's name, key or number are not what was asked for.
const LONGEST: usize = 128;

/// A pointer and what to do with the values it reaches.
#[derive(Clone, Debug)]
pub(crate) struct Want {
    pub at: Pointer,
    pub take: Take,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Take {
    /// Add up the characters of strings.
    Length,
    /// The same, but for strings that are white space only.
    Spoken,
    /// The last text.
    Text,
    /// The last number.
    Number,
    /// Add up the sound in strings of base64.
    Sound,
    /// The MIME type of the sound in the same object, whichever of the two comes first.
    Mime,
}

/// What one [`Want`] has found.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Found {
    pub length: Option<u64>,
    pub text: Option<String>,
    pub number: Option<f64>,
    pub sound: Sound,
}

/// A set of wants, one bit each.
type Wanted = u64;

/// How many values one scanner can look for.
pub(crate) const MOST_WANTS: usize = Wanted::BITS as usize;

#[derive(Debug)]
pub(crate) struct JsonScanner {
    wants: Vec<Want>,
    found: Vec<Found>,
    frames: Vec<Frame>,
    state: State,
    /// The wants that the value to come answers, and those that lead through it.
    wanted: Wanted,
    string: StringReader,
    /// The key, text or number that is being read.
    short: Vec<u8>,
    too_long: bool,
    /// Brackets open below the deepest frame.
    too_deep: u64,
    base64: Base64,
    /// The MIME type of the innermost object so far.
    mime: Option<Mime>,
    /// Bytes of sound per want, in an object that is still open.
    pending: Vec<u64>,
}

/// What is read off the text of a string.
const TEXTS: [Take; 4] = [Take::Length, Take::Spoken, Take::Text, Take::Mime];

#[derive(Debug)]
struct Frame {
    is_list: bool,
    /// Wants whose steps so far lead here.
    wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    /// A key, or the end of the object.
    Key,
    InKey,
    Colon,
    InText,
    InSound,
    /// A string that nobody wants.
    Skipping,
    /// A number or a literal.
    InWord,
    /// A comma, or the end of what is open.
    After,
    /// Nested too deeply to be told apart.
    Deep,
    Broken,
}

impl JsonScanner {
    pub fn new(wants: Vec<Want>) -> Self {
        let wants: Vec<_> = wants.into_iter().take(MOST_WANTS).collect();
        let mut scanner = Self {
            found: vec![Found::default(); wants.len()],
            pending: vec![0; wants.len()],
            wants,
            frames: Vec::with_capacity(8),
            state: State::Value,
            wanted: 0,
            string: StringReader::default(),
            short: Vec::with_capacity(LONGEST),
            too_long: false,
            too_deep: 0,
            base64: Base64::default(),
            mime: None,
        };
        scanner.restart();
        scanner
    }

    pub fn found(&self) -> &[Found] {
        &self.found
    }

    /// Forgets what was found.
    pub fn clear(&mut self) {
        self.found.fill_with(Found::default);
    }

    /// Begins another document; later values replace earlier ones.
    pub fn restart(&mut self) {
        self.frames.clear();
        self.mime = None;
        self.pending.fill(0);
        self.too_deep = 0;
        self.state = State::Value;
        self.wanted = match self.wants.len() {
            0 => 0,
            wants => Wanted::MAX >> (MOST_WANTS - wants),
        };
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let taken = match self.state {
                State::Broken => return,
                State::Skipping => self.skip(bytes),
                State::Deep => self.pass_deep(byte),
                State::InKey | State::InText => self.read_string(bytes),
                State::InSound => self.read_sound(bytes),
                State::InWord => self.read_word(bytes),
                _ if byte.is_ascii_whitespace() => 1,
                State::Value => self.begin_value(byte),
                State::Key => self.begin_key(byte),
                State::Colon => self.expect_colon(byte),
                State::After => self.after_value(byte),
            };
            bytes = &bytes[taken..];
        }
    }

    fn begin_value(&mut self, byte: u8) -> usize {
        match byte {
            b'{' => self.open(false),
            b'[' => self.open(true),
            b'"' if self.takes(Take::Sound) => {
                self.base64 = Base64::default();
                self.begin_string(State::InSound);
            }
            b'"' if TEXTS.iter().any(|take| self.takes(*take)) => self.begin_string(State::InText),
            b'"' => self.begin_string(State::Skipping),
            b']' => return self.close(byte),
            // What is no JSON by the letter, and taken by some who read it.
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'N' | b'I' => {
                self.short.clear();
                self.too_long = false;
                self.state = State::InWord;
                return 0;
            }
            _ => self.state = State::Broken,
        }
        1
    }

    fn open(&mut self, is_list: bool) {
        if self.frames.len() == DEEPEST {
            self.too_deep = 1;
            self.state = State::Deep;
            return;
        }
        self.frames.push(Frame {
            is_list,
            wanted: self.wanted,
        });
        self.state = if is_list { State::Value } else { State::Key };
        if is_list {
            self.wanted = self.leading_on(|step| *step == Step::Any);
        }
    }

    fn pass_deep(&mut self, byte: u8) -> usize {
        match byte {
            b'"' => self.begin_string(State::Skipping),
            b'{' | b'[' => self.too_deep += 1,
            b'}' | b']' => {
                self.too_deep -= 1;
                if self.too_deep == 0 {
                    self.state = State::After;
                }
            }
            _ => {}
        }
        1
    }

    fn close(&mut self, byte: u8) -> usize {
        let depth = self.frames.len();
        match self.frames.pop() {
            Some(frame) if frame.is_list == (byte == b']') => {
                if frame.wanted != 0 && !frame.is_list {
                    self.settle(frame.wanted, depth);
                }
                self.state = State::After;
            }
            _ => self.state = State::Broken,
        }
        1
    }

    /// An object ends: the sound in it lasts as long as its MIME type says.
    fn settle(&mut self, wanted: Wanted, depth: usize) {
        let is_member = |nth: &usize| self.wants[*nth].at.steps().len() == depth;
        let members: Wanted = self
            .bits(wanted)
            .filter(is_member)
            .fold(0, |set, nth| set | 1 << nth);
        if !self
            .bits(members)
            .any(|nth| matches!(self.wants[nth].take, Take::Sound | Take::Mime))
        {
            return;
        }
        let mime = self.mime.take();
        for nth in self.bits(members) {
            let bytes = std::mem::take(&mut self.pending[nth]);
            self.found[nth].sound.add(bytes, mime);
        }
    }

    fn begin_string(&mut self, state: State) {
        self.string = StringReader::default();
        self.short.clear();
        self.too_long = false;
        self.state = state;
    }

    fn begin_key(&mut self, byte: u8) -> usize {
        match byte {
            b'}' => return self.close(byte),
            b'"' if self.frames.last().is_some_and(|frame| frame.wanted == 0) => {
                self.wanted = 0;
                self.begin_string(State::Skipping);
            }
            b'"' => self.begin_string(State::InKey),
            _ => self.state = State::Broken,
        }
        1
    }

    fn expect_colon(&mut self, byte: u8) -> usize {
        self.state = if byte == b':' { State::Value } else { State::Broken };
        1
    }

    fn after_value(&mut self, byte: u8) -> usize {
        match (byte, self.frames.last()) {
            (b',', Some(frame)) if frame.is_list => {
                self.wanted = self.leading_on(|step| *step == Step::Any);
                self.state = State::Value;
            }
            (b',', Some(_)) => self.state = State::Key,
            // A colon after a skipped string: it was a key that nobody wants.
            (b':', Some(frame)) if !frame.is_list => self.state = State::Value,
            (b'}' | b']', Some(_)) => return self.close(byte),
            _ => self.state = State::Broken,
        }
        1
    }

    /// The wants of the innermost frame whose next step leads to the value to come.
    fn leading_on(&self, leads: impl Fn(&Step) -> bool) -> Wanted {
        let Some(frame) = self.frames.last() else { return 0 };
        let depth = self.frames.len() - 1;
        let leads = |nth: usize| self.wants[nth].at.steps().get(depth).is_some_and(&leads);
        self.bits(frame.wanted)
            .filter(|nth| leads(*nth))
            .fold(0, |set, nth| set | 1 << nth)
    }

    fn bits(&self, mut set: Wanted) -> impl Iterator<Item = usize> + use<> {
        std::iter::from_fn(move || {
            let nth = (set != 0).then(|| set.trailing_zeros() as usize)?;
            set &= set - 1;
            Some(nth)
        })
    }

    /// The wants that end at this very value and take this of it.
    fn here(&self, take: Take) -> impl Iterator<Item = usize> + use<> {
        let depth = self.frames.len();
        let ends = |nth: &usize| self.wants[*nth].take == take && self.wants[*nth].at.steps().len() == depth;
        self.bits(
            self.bits(self.wanted)
                .filter(ends)
                .fold(0, |set, nth| set | 1 << nth),
        )
    }

    fn takes(&self, take: Take) -> bool {
        self.wanted != 0 && self.here(take).next().is_some()
    }

    fn skip(&mut self, bytes: &[u8]) -> usize {
        let (taken, ended) = self.string.skip(bytes);
        if ended {
            self.state = if self.too_deep > 0 {
                State::Deep
            } else {
                State::After
            };
        }
        taken
    }

    fn read_string(&mut self, bytes: &[u8]) -> usize {
        let keep = self.state == State::InKey || self.takes(Take::Text) || self.takes(Take::Mime);
        let mut taken = 0;
        while taken < bytes.len() {
            if !keep {
                taken += self.string.pass_plain(&bytes[taken..]);
            }
            let Some(&byte) = bytes.get(taken) else { break };
            taken += 1;
            if byte == b'"' && !self.string.escaped {
                self.end_string();
                break;
            }
            match self.string.push(byte) {
                Some(piece) if keep => self.keep(piece),
                _ => {}
            }
        }
        taken
    }

    /// Live audio is mostly this: one search and one addition for a run without escapes.
    fn read_sound(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            let run = self.string.plain(&bytes[taken..]);
            self.base64.pass(&bytes[taken..taken + run]);
            taken += run;
            let Some(&byte) = bytes.get(taken) else { break };
            taken += 1;
            if byte == b'"' && !self.string.escaped {
                self.end_sound();
                break;
            }
            match self.string.push(byte) {
                Some(Piece::Byte(byte)) if !byte.is_ascii_whitespace() => self.base64.pass(&[byte]),
                Some(Piece::Char('=')) => self.base64.pass(b"="),
                Some(Piece::Char(_)) => self.base64.pass(b"A"),
                _ => {}
            }
        }
        taken
    }

    fn end_sound(&mut self) {
        let bytes = self.base64.bytes();
        for nth in self.here(Take::Sound) {
            self.pending[nth] = self.pending[nth].saturating_add(bytes);
            // Elements of a list and a document's root have no object around them.
            if self.frames.last().is_none_or(|frame| frame.is_list) {
                let bytes = std::mem::take(&mut self.pending[nth]);
                self.found[nth].sound.bytes += bytes;
            }
        }
        self.state = State::After;
    }

    fn keep(&mut self, piece: Piece) {
        match piece {
            Piece::Byte(byte) => self.short.push(byte),
            Piece::Char(c) => self
                .short
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        if self.short.len() > LONGEST - 4 {
            self.too_long = true;
            self.short.clear();
        }
    }

    fn end_string(&mut self) {
        let short = std::mem::take(&mut self.short);
        let text = if self.too_long {
            None
        } else {
            std::str::from_utf8(&short).ok()
        };
        if self.state == State::InKey {
            self.wanted = match text {
                Some(key) => self.leading_on(|step| match step {
                    Step::Any => true,
                    Step::Key(wanted) => wanted == key,
                }),
                None => self.leading_on(|step| *step == Step::Any),
            };
            self.state = State::Colon;
        } else {
            for nth in self.here(Take::Length) {
                *self.found[nth].length.get_or_insert(0) += self.string.characters;
            }
            for nth in self.here(Take::Spoken).filter(|_| self.string.has_text) {
                *self.found[nth].length.get_or_insert(0) += self.string.characters;
            }
            if let Some(text) = text {
                for nth in self.here(Take::Text) {
                    self.found[nth].text = Some(text.to_owned());
                }
                if self.takes(Take::Mime) {
                    self.mime = Some(Mime::parse(text));
                }
            }
            self.state = State::After;
        }
        self.short = short;
    }

    /// Numbers and literals end at the first byte that is none of theirs, which is read again.
    fn read_word(&mut self, bytes: &[u8]) -> usize {
        let part_of_word = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
        let end = bytes.iter().position(|b| !part_of_word(b)).unwrap_or(bytes.len());
        if self.short.len() + end <= LONGEST {
            self.short.extend_from_slice(&bytes[..end]);
        } else {
            self.too_long = true;
        }
        if end < bytes.len() {
            self.end_word();
        }
        end
    }

    fn end_word(&mut self) {
        if self.takes(Take::Number) && !self.too_long {
            let number = std::str::from_utf8(&self.short)
                .ok()
                .and_then(|text| text.parse::<f64>().ok());
            for nth in self.here(Take::Number) {
                self.found[nth].number = number.or(self.found[nth].number);
            }
        }
        self.state = State::After;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn scan(document: &str, wants: &[(&str, Take)], chunk: usize) -> Vec<Found> {
        let wants = wants.iter().map(|(at, take)| Want {
            at: Pointer::parse(at).unwrap(),
            take: *take,
        });
        let mut scanner = JsonScanner::new(wants.collect());
        document
            .as_bytes()
            .chunks(chunk)
            .for_each(|bytes| scanner.feed(bytes));
        scanner.found
    }

    #[test]
    fn values_are_found_wherever_chunks_break() {
        let document = r#" {"x":{"text":"no"},"text":"a\u00e9\ud83d\ude00\n\"é😀","n":[1,2.5e1],
            "list":[{"text":"ab","m":"x"},{"m":"y","text":"c"}],"deep":{"a":{"n":-3}},"te\u0078t2":"last"} "#;
        let wants = [
            ("/text", Take::Length),
            ("/list/*/text", Take::Length),
            ("/list/*/m", Take::Text),
            ("/deep/a/n", Take::Number),
            ("/n/*", Take::Number),
            ("/text2", Take::Text),
            ("/absent", Take::Text),
        ];
        for chunk in 1..=document.len() {
            let found = scan(document, &wants, chunk);
            assert_eq!(found[0].length, Some(7), "in chunks of {chunk}");
            assert_eq!(found[1].length, Some(3));
            assert_eq!(found[2].text.as_deref(), Some("y"));
            assert_eq!(found[3].number, Some(-3.0));
            assert_eq!(found[4].number, Some(25.0));
            assert_eq!(found[5].text.as_deref(), Some("last"));
            assert_eq!(found[6], Found::default());
        }
    }

    #[test]
    fn nonsense_ends_the_reading() {
        for document in [
            "",
            "<html>",
            "{\"a\"",
            "[[[",
            "{]",
            "}",
            "{\"text\":\"a\"} {\"text\":\"b\"}",
            "nul",
        ] {
            let found = scan(document, &[("/text", Take::Length)], 3);
            assert!(found[0].length.unwrap_or(1) == 1, "{document}");
        }
        let nested = format!(
            r#"{{"x":{}"]"{},"text":"abc"}}"#,
            "[".repeat(100),
            "]".repeat(100)
        );
        assert_eq!(scan(&nested, &[("/text", Take::Length)], 3)[0].length, Some(3));
        let deep = "[".repeat(100_000);
        assert_eq!(scan(&deep, &[("/text", Take::Text)], 1000)[0], Found::default());
    }

    #[test]
    fn sound_lasts_as_long_as_its_type_says() {
        let wants = [
            ("/a/data", Take::Sound),
            ("/a/mime", Take::Mime),
            ("/list/*/data", Take::Sound),
            ("/list/*/mime", Take::Mime),
            ("/plain", Take::Sound),
        ];
        let sound = |bytes: u64, seconds: f64, unmeasured: bool| Sound {
            bytes,
            seconds,
            unmeasured,
        };
        for (document, found) in [
            (
                r#"{"a":{"data":"AAAAAAAA","mime":"audio/pcm;rate=3"}}"#,
                [sound(0, 1.0, false), Sound::default(), Sound::default()],
            ),
            (
                r#"{"a":{"mime":"audio/pcm;rate=3","data":"AAAA\/AA\u003d","x":{"mime":"audio/ogg"}}}"#,
                [sound(0, 5.0 / 6.0, false), Sound::default(), Sound::default()],
            ),
            (
                r#"{"a":{"data":"AAAA"},"list":[{"data":"AA==","mime":"audio/ogg"},{"data":"AAA"},{"data":"QQ","mime":"image/png"}]}"#,
                [sound(3, 0.0, false), sound(2, 0.0, true), Sound::default()],
            ),
            (
                r#"{"plain":"AAA\r\nA","plain":"AA==","a":{"data":null,"mime":7}}"#,
                [Sound::default(), Sound::default(), sound(4, 0.0, false)],
            ),
            (
                r#"{"a":{"data":"AAAA","mime":"audio/pcm;rate=3"}"#,
                [sound(0, 0.5, false), Sound::default(), Sound::default()],
            ),
            (
                r#"{"a":{"data":"AAAA""#,
                [Sound::default(), Sound::default(), Sound::default()],
            ),
        ] {
            for chunk in 1..=document.len() {
                let all = scan(document, &wants, chunk);
                let heard = [all[0].sound, all[2].sound, all[4].sound];
                assert_eq!(heard, found, "{document} in chunks of {chunk}");
            }
        }
    }

    #[test]
    fn white_space_alone_is_not_spoken() {
        let document = r#"{"t":[" ","\n\u0020","", "a b", "\u00e9 "]}"#;
        for chunk in 1..=document.len() {
            let found = scan(document, &[("/t/*", Take::Spoken), ("/t/*", Take::Length)], chunk);
            assert_eq!((found[0].length, found[1].length), (Some(5), Some(8)));
        }
    }

    fn documents() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            let key = prop_oneof![Just("text".to_owned()), Just("a".to_owned()), any::<String>()];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn lengths_agree_with_a_whole_parse(inner in documents(), chunk in 1usize..40) {
            let document = json!({"a": inner, "text": "x"});
            let mut expected = 0;
            for at in ["/text", "/a/text", "/a/*/text", "/a/a/text"] {
                Pointer::parse(at).unwrap().visit(&document, &mut |value| {
                    expected += value.as_str().map_or(0, |text| text.chars().count() as u64);
                });
            }
            let wants = ["/text", "/a/text", "/a/*/text", "/a/a/text"].map(|at| (at, Take::Length));
            let found = scan(&document.to_string(), &wants, chunk);
            prop_assert_eq!(found.iter().filter_map(|found| found.length).sum::<u64>(), expected);
        }

        #[test]
        fn any_bytes_are_borne(bytes in prop::collection::vec(any::<u8>(), 0..200), chunk in 1usize..40) {
            let mut scanner = JsonScanner::new(vec![Want { at: Pointer::parse("/*/a").unwrap(), take: Take::Text }]);
            bytes.chunks(chunk).for_each(|bytes| scanner.feed(bytes));
        }
    }
}
