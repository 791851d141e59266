//! The inside of a JSON string, escape by escape: its text, and how many Unicode characters it has.

#[derive(Debug, Default)]
pub(crate) struct StringReader {
    pub escaped: bool,
    /// Hexadecimal digits still to come, and what they make so far.
    digits: u8,
    unit: u16,
    /// The first half of a surrogate pair, counted already.
    high: Option<u16>,
    /// Unicode characters so far.
    pub characters: u64,
    /// Whether one of them was no white space.
    pub has_text: bool,
}

pub(crate) enum Piece {
    Byte(u8),
    Char(char),
}

impl StringReader {
    /// Passes over what nobody reads, at the speed of a byte search: how much of it, and whether the string has ended.
    pub fn skip(&mut self, bytes: &[u8]) -> (usize, bool) {
        if std::mem::take(&mut self.escaped) {
            return (1, false);
        }
        match memchr::memchr2(b'"', b'\\', bytes) {
            None => (bytes.len(), false),
            Some(at) => {
                self.escaped = bytes[at] == b'\\';
                (at + 1, !self.escaped)
            }
        }
    }

    /// Counts a run without escapes at once; returns its length.
    pub fn pass_plain(&mut self, bytes: &[u8]) -> usize {
        let end = self.plain(bytes);
        if end > 0 {
            self.high = None;
            self.has_text = self.has_text || !bytes[..end].iter().all(u8::is_ascii_whitespace);
            self.characters += bytes[..end].iter().filter(|b| begins_character(**b)).count() as u64;
        }
        end
    }

    /// The length of the run without escapes that begins here.
    pub fn plain(&self, bytes: &[u8]) -> usize {
        if self.escaped || self.digits > 0 {
            return 0;
        }
        memchr::memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len())
    }

    pub fn push(&mut self, byte: u8) -> Option<Piece> {
        let piece = self.decode(byte);
        self.has_text |= match &piece {
            Some(Piece::Byte(byte)) => !byte.is_ascii_whitespace(),
            Some(Piece::Char(c)) => !c.is_whitespace(),
            None => false,
        };
        piece
    }

    fn decode(&mut self, byte: u8) -> Option<Piece> {
        if self.digits > 0 {
            return self.push_digit(byte);
        }
        if std::mem::take(&mut self.escaped) {
            if byte == b'u' {
                (self.digits, self.unit) = (4, 0);
                return None;
            }
            self.high = None;
            self.characters += 1;
            return Some(Piece::Byte(match byte {
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                other => other,
            }));
        }
        if byte == b'\\' {
            self.escaped = true;
            return None;
        }
        self.high = None;
        self.characters += u64::from(begins_character(byte));
        Some(Piece::Byte(byte))
    }

    fn push_digit(&mut self, byte: u8) -> Option<Piece> {
        let digit = (byte as char).to_digit(16).unwrap_or_default() as u16;
        self.unit = self.unit << 4 | digit;
        self.digits -= 1;
        if self.digits > 0 {
            return None;
        }
        let unit = self.unit;
        match (unit, self.high.take()) {
            (0xDC00..=0xDFFF, Some(high)) => char::decode_utf16([high, unit])
                .next()
                .and_then(Result::ok)
                .map(Piece::Char),
            (0xD800..=0xDBFF, _) => {
                self.high = Some(unit);
                self.characters += 1;
                None
            }
            _ => {
                self.characters += 1;
                Some(Piece::Char(
                    char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER),
                ))
            }
        }
    }
}

fn begins_character(byte: u8) -> bool {
    byte & 0xC0 != 0x80
}
