//! The `data:` lines of an event stream, each event read as one JSON document; later events win.

use super::json::{Found, JsonScanner, Want};

#[derive(Debug)]
pub(super) struct SseScanner {
    json: JsonScanner,
    line: Line,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// So many bytes of the field's name have been seen.
    Name(usize),
    Payload,
    Other,
}

const FIELD: &[u8] = b"data:";

impl SseScanner {
    pub fn new(wants: Vec<Want>) -> Self {
        Self {
            json: JsonScanner::new(wants),
            line: Line::Name(0),
        }
    }

    pub fn found(&self) -> &[Found] {
        self.json.found()
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let taken = match self.line {
                Line::Name(seen) => self.read_name(seen, byte),
                Line::Payload | Line::Other => self.read_rest(bytes),
            };
            bytes = &bytes[taken..];
        }
    }

    fn read_name(&mut self, seen: usize, byte: u8) -> usize {
        self.line = match byte {
            b'\r' => return 1,
            // An empty line ends the event.
            b'\n' => {
                self.json.restart();
                Line::Name(0)
            }
            _ if FIELD.get(seen) != Some(&byte) => Line::Other,
            _ if seen + 1 == FIELD.len() => Line::Payload,
            _ => Line::Name(seen + 1),
        };
        1
    }

    fn read_rest(&mut self, bytes: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', bytes);
        if self.line == Line::Payload {
            self.json.feed(&bytes[..end.unwrap_or(bytes.len())]);
        }
        match end {
            None => bytes.len(),
            Some(end) => {
                self.line = Line::Name(0);
                end + 1
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptor::Pointer;
    use crate::meter::json::Take;

    #[test]
    fn the_last_event_counts() {
        let stream = "event: x\r\ndata: {\"u\":{\"n\":1}}\r\n\r\n: note\n\ndata:{\"u\":\ndata: {\"n\":2}}\n\ndata: [DONE]\n\n";
        for chunk in 1..stream.len() {
            let want = Want {
                at: Pointer::parse("/u/n").unwrap(),
                take: Take::Number,
            };
            let mut scanner = SseScanner::new(vec![want]);
            stream
                .as_bytes()
                .chunks(chunk)
                .for_each(|bytes| scanner.feed(bytes));
            assert_eq!(scanner.found()[0].number, Some(2.0), "in chunks of {chunk}");
        }
    }
}
