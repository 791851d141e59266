//! One small text field out of a multipart form that passes, wherever it stands among files of any size.
//!
//! The delimiter begins with a line break, which can stand nowhere else in it, so it is found by a byte
//! search and a comparison that never has to step back. After the field is found nothing is read any more.

/// Heads of parts and values longer than this are not those of a model's name.
const LONGEST: usize = 512;

#[derive(Debug)]
pub(super) struct MultipartScanner {
    /// `\r\n--boundary`.
    delimiter: Vec<u8>,
    field: Vec<u8>,
    state: State,
    /// So much of the delimiter has been seen.
    matched: usize,
    kept: Vec<u8>,
    value: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Until the next delimiter, in a part that does not matter or before the first.
    Skipping,
    /// The head of a part, up to its empty line.
    Head,
    /// The value of the field.
    Value,
    Done,
}

impl MultipartScanner {
    /// Nothing when the content type names no boundary.
    pub fn new(content_type: &str, field: &str) -> Option<Self> {
        let boundary = boundary(content_type)?;
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Some(Self {
            delimiter,
            field: format!("name=\"{field}\"").into_bytes(),
            state: State::Skipping,
            // The first delimiter may stand without its line break.
            matched: 2,
            kept: Vec::with_capacity(LONGEST),
            value: None,
        })
    }

    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }

    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && self.state != State::Done {
            let taken = match self.state {
                State::Done => return,
                State::Head => self.read_head(bytes),
                State::Skipping | State::Value => self.read_body(bytes),
            };
            bytes = &bytes[taken..];
        }
    }

    fn read_head(&mut self, bytes: &[u8]) -> usize {
        for (at, &byte) in bytes.iter().enumerate() {
            self.kept.push(byte);
            if self.kept.ends_with(b"\r\n\r\n") {
                let wanted = self.names_field();
                self.kept.clear();
                self.matched = 0;
                self.state = if wanted { State::Value } else { State::Skipping };
                return at + 1;
            }
            if self.kept.starts_with(b"--") || self.kept.len() == LONGEST {
                let is_end = self.kept.starts_with(b"--");
                self.kept.clear();
                self.matched = 0;
                self.state = if is_end { State::Done } else { State::Skipping };
                return at + 1;
            }
        }
        bytes.len()
    }

    /// Whether the head is that of the field; a file's name does not pass for it.
    fn names_field(&self) -> bool {
        memchr::memmem::find_iter(&self.kept, &self.field)
            .any(|at| at > 0 && matches!(self.kept[at - 1], b' ' | b';'))
    }

    fn read_body(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.matched == 0 {
                let run = memchr::memchr(b'\r', &bytes[at..]).unwrap_or(bytes.len() - at);
                self.keep(&bytes[at..at + run]);
                at += run;
                if at == bytes.len() {
                    break;
                }
            }
            if bytes[at] == self.delimiter[self.matched] {
                self.matched += 1;
                at += 1;
                if self.matched == self.delimiter.len() {
                    self.end_part();
                    return at;
                }
            } else {
                // What looked like a delimiter belongs to the part; the byte is looked at again.
                let seen = self.matched;
                self.matched = 0;
                if self.state == State::Value {
                    let seen = self.delimiter[..seen].to_vec();
                    self.keep(&seen);
                }
                if bytes[at] != b'\r' {
                    self.keep(&bytes[at..=at]);
                    at += 1;
                }
            }
        }
        bytes.len()
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.state == State::Value {
            let room = LONGEST - self.kept.len();
            self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn end_part(&mut self) {
        if self.state == State::Value {
            let short = self.kept.len() < LONGEST;
            self.value = std::str::from_utf8(&self.kept)
                .ok()
                .filter(|_| short)
                .map(str::to_owned);
            self.state = State::Done;
        } else {
            self.state = State::Head;
        }
        self.matched = 0;
        self.kept.clear();
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let value = value.trim().trim_matches('"');
    // 70 characters are all that a boundary may have.
    (!value.is_empty() && value.len() <= 70).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(body: &[u8], chunk: usize) -> Option<String> {
        let mut scanner =
            MultipartScanner::new("multipart/form-data; boundary=\"XX-y\"", "model_id").unwrap();
        body.chunks(chunk).for_each(|bytes| scanner.feed(bytes));
        scanner.value().map(str::to_owned)
    }

    const MODEL: &str = "--XX-y\r\nContent-Disposition: form-data; name=\"model_id\"\r\n\r\nscribe_v2\r\n";
    const FILE: &str = "--XX-y\r\nContent-Disposition: form-data; name=\"file\"; filename=\"name=\\\"model_id\\\"\"\r\nContent-Type: audio/wav\r\n\r\nRIFF\r\n--XX-\r\r\n--X\r\n";

    #[test]
    fn the_field_is_found_before_and_after_a_file() {
        for body in [
            format!("{MODEL}{FILE}--XX-y--\r\n"),
            format!("{FILE}{MODEL}--XX-y--\r\n"),
            format!("\r\n{FILE}{FILE}{MODEL}--XX-y--"),
        ] {
            for chunk in 1..body.len() {
                assert_eq!(
                    scan(body.as_bytes(), chunk).as_deref(),
                    Some("scribe_v2"),
                    "{body} by {chunk}"
                );
            }
        }
    }

    #[test]
    fn no_field_is_no_value() {
        for body in [
            format!("{FILE}--XX-y--\r\n"),
            String::new(),
            "--XX-y--\r\n".to_owned(),
            "x".repeat(5000),
        ] {
            assert_eq!(scan(body.as_bytes(), 7), None, "{body}");
        }
        assert!(MultipartScanner::new("multipart/form-data", "m").is_none());
        assert!(MultipartScanner::new("application/json; boundary=x", "m").is_none());
    }
}
