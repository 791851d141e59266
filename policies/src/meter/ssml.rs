//! The text of a speech markup document: characters between tags, and the voice it names.
//!
//! Tags, comments, processing instructions and declarations do not count, nor does white space alone
//! between two tags. An entity is one character. Chinese, Japanese and Korean characters may count double.

/// Longest voice name that is kept.
const LONGEST_NAME: usize = 96;
/// Longest entity; a longer run after `&` is text.
const LONGEST_ENTITY: usize = 10;

#[derive(Debug)]
pub(crate) struct SsmlScanner {
    state: State,
    text: TextCounter,
    tag: TagReader,
}

/// Characters of UTF-8 text that passes in pieces. White space counts only where text follows or went before.
#[derive(Debug)]
pub(crate) struct TextCounter {
    wide_count_double: bool,
    characters: u64,
    /// White space so far, which counts only if text follows.
    blanks: u64,
    has_text: bool,
    /// A character whose bytes are still coming.
    partial: u32,
    missing: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Entity {
        length: usize,
    },
    Tag,
    /// Inside of `<!-- -->`; so many `-` in a row.
    Comment {
        dashes: u8,
    },
    /// Inside of `<![CDATA[ ]]>`, which is text; so many `]` in a row.
    Cdata {
        brackets: u8,
    },
}

impl SsmlScanner {
    pub fn new(wide_count_double: bool) -> Self {
        Self {
            state: State::Text,
            text: TextCounter::new(wide_count_double),
            tag: TagReader::default(),
        }
    }

    pub fn characters(&self) -> u64 {
        self.text.characters
    }

    /// The first voice that the document names.
    pub fn voice(&self) -> Option<&str> {
        self.tag.voice.as_deref()
    }

    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }

    fn push(&mut self, byte: u8) {
        match self.state {
            State::Text => match byte {
                b'<' => {
                    self.text.end_run();
                    self.tag.begin();
                    self.state = State::Tag;
                }
                b'&' => self.state = State::Entity { length: 0 },
                _ => self.text.push(byte),
            },
            State::Entity { length } => self.entity(byte, length),
            State::Tag => match self.tag.push(byte) {
                TagStep::Inside => {}
                TagStep::Ended => self.state = State::Text,
                TagStep::Comment => self.state = State::Comment { dashes: 0 },
                TagStep::Cdata => self.state = State::Cdata { brackets: 0 },
            },
            State::Comment { dashes } => {
                self.state = match byte {
                    b'-' => State::Comment {
                        dashes: (dashes + 1).min(2),
                    },
                    b'>' if dashes == 2 => State::Text,
                    _ => State::Comment { dashes: 0 },
                }
            }
            State::Cdata { brackets } => self.cdata(byte, brackets),
        }
    }

    fn entity(&mut self, byte: u8, length: usize) {
        match byte {
            b';' => {
                self.text.count(u64::from('&'), false);
                self.state = State::Text;
            }
            b'#' | b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' if length < LONGEST_ENTITY => {
                self.state = State::Entity { length: length + 1 };
            }
            _ => {
                self.text.count(u64::from('&'), false);
                self.text.characters += length as u64;
                self.state = State::Text;
                self.push(byte);
            }
        }
    }

    fn cdata(&mut self, byte: u8, brackets: u8) {
        self.state = match byte {
            b']' if brackets < 2 => State::Cdata {
                brackets: brackets + 1,
            },
            b'>' if brackets == 2 => State::Text,
            _ => {
                for _ in 0..brackets {
                    self.text.push(b']');
                }
                self.text.push(byte);
                State::Cdata { brackets: 0 }
            }
        };
    }
}

impl TextCounter {
    pub fn new(wide_count_double: bool) -> Self {
        Self {
            wide_count_double,
            characters: 0,
            blanks: 0,
            has_text: false,
            partial: 0,
            missing: 0,
        }
    }

    pub fn characters(&self) -> u64 {
        self.characters
    }

    /// One byte of UTF-8 text.
    pub fn push(&mut self, byte: u8) {
        match byte {
            0x00..=0x7F => {
                self.missing = 0;
                self.count(byte.into(), byte.is_ascii_whitespace());
            }
            0x80..=0xBF if self.missing > 0 => {
                self.partial = self.partial << 6 | u32::from(byte & 0x3F);
                self.missing -= 1;
                if self.missing == 0 {
                    self.count(self.partial.into(), false);
                }
            }
            0x80..=0xBF => {}
            0xC0..=0xDF => (self.partial, self.missing) = (u32::from(byte & 0x1F), 1),
            0xE0..=0xEF => (self.partial, self.missing) = (u32::from(byte & 0x0F), 2),
            0xF0..=0xFF => (self.partial, self.missing) = (u32::from(byte & 0x07), 3),
        }
    }

    fn count(&mut self, code: u64, is_blank: bool) {
        // A byte order mark is no text.
        if code == 0xFEFF {
            return;
        }
        if is_blank && !self.has_text {
            self.blanks += 1;
            return;
        }
        self.has_text = true;
        self.characters += std::mem::take(&mut self.blanks);
        self.characters += if self.wide_count_double && is_wide(code) {
            2
        } else {
            1
        };
    }

    fn end_run(&mut self) {
        self.blanks = 0;
        self.has_text = false;
    }
}

/// Han characters (kanji and hanja included), kana and hangul.
pub(crate) fn is_wide(code: u64) -> bool {
    matches!(code,
        0x1100..=0x11FF | 0x2E80..=0x2FDF | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x3100..=0x318F
        | 0x31A0..=0x31BF | 0x31F0..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xA960..=0xA97F
        | 0xAC00..=0xD7FF | 0xF900..=0xFAFF | 0xFF66..=0xFF9F | 0x20000..=0x323AF)
}

/// A tag, of which only the name and the attribute `name` matter.
#[derive(Debug, Default)]
struct TagReader {
    /// The tag's beginning, enough to tell a voice, a comment and a CDATA section.
    head: Vec<u8>,
    quote: Option<u8>,
    attribute: Vec<u8>,
    /// White space stood after the attribute's name: `=` may still follow, another name begins anew.
    gap: bool,
    value: Vec<u8>,
    voice: Option<String>,
}

enum TagStep {
    Inside,
    Ended,
    Comment,
    Cdata,
}

const CDATA: &[u8] = b"![CDATA[";

impl TagReader {
    fn begin(&mut self) {
        self.head.clear();
        self.attribute.clear();
        self.quote = None;
    }

    fn push(&mut self, byte: u8) -> TagStep {
        if let Some(quote) = self.quote {
            if byte == quote {
                self.quote = None;
                self.end_value();
            } else if self.value.len() < LONGEST_NAME {
                self.value.push(byte);
            }
            return TagStep::Inside;
        }
        if self.head.len() < CDATA.len() {
            self.head.push(byte);
            if self.head == b"!--" {
                return TagStep::Comment;
            }
            if self.head == CDATA {
                return TagStep::Cdata;
            }
        }
        match byte {
            b'>' => return TagStep::Ended,
            b'"' | b'\'' => {
                self.quote = Some(byte);
                self.value.clear();
            }
            b'=' => self.gap = false,
            _ if byte.is_ascii_whitespace() => self.gap = true,
            _ => {
                if std::mem::take(&mut self.gap) {
                    self.attribute.clear();
                }
                if self.attribute.len() < CDATA.len() {
                    self.attribute.push(byte);
                }
            }
        }
        TagStep::Inside
    }

    fn end_value(&mut self) {
        let is_voice =
            self.head.starts_with(b"voice") && self.head.get(5).is_some_and(u8::is_ascii_whitespace);
        if is_voice && self.attribute == b"name" && self.voice.is_none() {
            self.voice = std::str::from_utf8(&self.value).ok().map(str::to_owned);
        }
        self.attribute.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str, double: bool, chunk: usize) -> (u64, Option<String>) {
        let mut scanner = SsmlScanner::new(double);
        text.as_bytes()
            .chunks(chunk)
            .for_each(|bytes| scanner.feed(bytes));
        (scanner.characters(), scanner.voice().map(str::to_owned))
    }

    #[test]
    fn text_counts_and_markup_does_not() {
        for (text, characters) in [
            (
                "<speak version='1.0'><voice name='a'>Hello world</voice></speak>",
                11,
            ),
            (
                "<speak>\n  <voice name=\"b>c\">\n    Hi there\n  </voice>\n</speak>",
                16,
            ),
            (
                "<?xml version='1.0'?><speak>a<!-- no > no --><break time='1s'/>b</speak>",
                2,
            ),
            ("<speak>a &amp; b &#x41; &lt;</speak>", 9),
            ("<speak><![CDATA[a]]b<c>]]></speak>", 7),
            ("<speak>é😀</speak>", 2),
            ("<speak>AT&T rocks</speak>", 10),
            ("\u{feff}<speak>a</speak>", 1),
            ("", 0),
        ] {
            for chunk in 1..=text.len().max(1) {
                assert_eq!(
                    scan(text, false, chunk).0,
                    characters,
                    "{text} in chunks of {chunk}"
                );
            }
        }
    }

    #[test]
    fn wide_characters_may_count_double() {
        for (text, once, twice) in [
            ("你好 ab", 5, 7),
            ("ひらガナ", 4, 8),
            ("한국", 2, 4),
            ("é", 1, 1),
            ("。", 1, 1),
        ] {
            let markup = format!("<speak>{text}</speak>");
            assert_eq!(
                (scan(&markup, false, 2).0, scan(&markup, true, 2).0),
                (once, twice),
                "{text}"
            );
        }
    }

    #[test]
    fn the_first_voice_is_known() {
        let text = "<speak xmlns='x' name='no'><voice xml:lang='en' name = \"en-US-Ava\">a</voice><voice name='z'/></speak>";
        for chunk in 1..text.len() {
            assert_eq!(scan(text, false, chunk).1.as_deref(), Some("en-US-Ava"));
        }
    }
}
