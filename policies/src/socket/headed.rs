//! The lines before the body of a headed message, read from pieces of any size.
//!
//! Longer heads than any SDK sends, and heads that are none, leave a message unread: nobody is obliged to send
//! what can be counted, and memory stays small whatever comes.

/// More than any SDK's head, most of which is a few hundred bytes.
const LONGEST: usize = 8 * 1024;
const END_OF_TEXT: &[u8] = b"\r\n\r\n";

#[derive(Debug, Default)]
pub(super) struct HeadReader {
    state: State,
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Text,
    /// So many bytes of the length have come, which make this.
    Length(u8, usize),
    Binary(usize),
    Body,
    #[default]
    Unread,
}

/// What the lines say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head<'h> {
    pub path: &'h str,
    pub request: &'h str,
    pub content_type: &'h str,
}

impl HeadReader {
    pub fn begin(&mut self, is_binary: bool) {
        self.held.clear();
        self.state = if is_binary {
            State::Length(0, 0)
        } else {
            State::Text
        };
    }

    /// What of these bytes is body, once the head is whole.
    pub fn feed<'b>(&mut self, mut bytes: &'b [u8]) -> Option<&'b [u8]> {
        loop {
            match self.state {
                State::Unread => return None,
                State::Body => return Some(bytes),
                State::Length(2, length) => {
                    self.state = if length > LONGEST {
                        State::Unread
                    } else {
                        State::Binary(length)
                    };
                }
                State::Length(seen, length) => {
                    let (first, rest) = bytes.split_first()?;
                    self.state = State::Length(seen + 1, length << 8 | usize::from(*first));
                    bytes = rest;
                }
                State::Binary(length) => {
                    let missing = length - self.held.len();
                    let (head, rest) = bytes.split_at(missing.min(bytes.len()));
                    self.held.extend_from_slice(head);
                    if self.held.len() < length {
                        return None;
                    }
                    self.state = State::Body;
                    bytes = rest;
                }
                State::Text => bytes = self.read_line(bytes)?,
            }
        }
    }

    /// Whether the head is whole.
    pub fn is_whole(&self) -> bool {
        self.state == State::Body
    }

    fn read_line<'b>(&mut self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1);
        if self.held.len() + end > LONGEST {
            self.state = State::Unread;
            return None;
        }
        self.held.extend_from_slice(&bytes[..end]);
        if self.held.ends_with(END_OF_TEXT) {
            self.state = State::Body;
        }
        (end < bytes.len() || self.is_whole()).then_some(&bytes[end..])
    }

    pub fn head(&self) -> Head<'_> {
        let mut head = Head::default();
        for line in self.held.split(|byte| *byte == b'\n') {
            let Ok(line) = std::str::from_utf8(line) else {
                continue;
            };
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("path") {
                head.path = value;
            } else if name.eq_ignore_ascii_case("x-requestid") {
                head.request = value;
            } else if name.eq_ignore_ascii_case("content-type") {
                head.content_type = value;
            }
        }
        head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &[u8], is_binary: bool, chunk: usize) -> Option<(String, String, String, Vec<u8>)> {
        let mut reader = HeadReader::default();
        reader.begin(is_binary);
        let mut body = Vec::new();
        for bytes in message.chunks(chunk) {
            body.extend_from_slice(reader.feed(bytes).unwrap_or_default());
        }
        let head = reader.head();
        let texts = (
            head.path.to_owned(),
            head.request.to_owned(),
            head.content_type.to_owned(),
        );
        reader.is_whole().then_some((texts.0, texts.1, texts.2, body))
    }

    #[test]
    fn head_and_body_part_wherever_chunks_break() {
        let head = "Path: ssml\r\nX-RequestID:AB\r\ncontent-type: a:b\r\nOther\r\n";
        let text = format!("{head}\r\n<speak>\r\n\r\n</speak>").into_bytes();
        let binary = [&[0, head.len() as u8], head.as_bytes(), b"\0\x01"].concat();
        let empty = [&[0, head.len() as u8], head.as_bytes()].concat();
        for chunk in 1..=text.len() {
            for (message, is_binary, body) in [
                (&text, false, &b"<speak>\r\n\r\n</speak>"[..]),
                (&binary, true, b"\0\x01"),
                (&empty, true, b""),
            ] {
                let read = read(message, is_binary, chunk).unwrap();
                assert_eq!(
                    (
                        read.0.as_str(),
                        read.1.as_str(),
                        read.2.as_str(),
                        read.3.as_slice()
                    ),
                    ("ssml", "AB", "a:b", body),
                    "in chunks of {chunk}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_head_leaves_a_message_unread() {
        let long = format!("Path: x\r\nY: {}\r\n\r\nbody", "y".repeat(9000));
        let declared = [&[0xFF, 0xFF][..], &[b'x'; 100]].concat();
        for (message, is_binary) in [
            (long.as_bytes(), false),
            (&declared, true),
            (b"no end of it\r\n", false),
            (b"\0", true),
            (b"\0\x05abc", true),
            (b"", false),
            (b"", true),
        ] {
            for chunk in [1, 7, 10_000] {
                assert_eq!(read(message, is_binary, chunk), None, "{message:?}");
            }
        }
        assert_eq!(
            read(b"\0\0body", true, 1),
            Some((String::new(), String::new(), String::new(), b"body".to_vec()))
        );
    }
}
