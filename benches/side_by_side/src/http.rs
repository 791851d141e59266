//! The little of HTTP/1.1 that both ends need: where a head ends, what its fields say, and how far
//! a chunked body has come.

use memchr::{memchr, memmem};

/// A complete head: the first line and the fields, without the blank line.
pub struct Head<'a> {
    pub first_line: &'a [u8],
    fields: &'a [u8],
    /// Bytes up to and with the blank line.
    pub length: usize,
}

impl<'a> Head<'a> {
    /// The head at the start of `bytes`; `None` while its blank line has not arrived.
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let end = memmem::find(bytes, b"\r\n\r\n")?;
        let first = memmem::find(&bytes[..end + 2], b"\r\n")?;
        Some(Self {
            first_line: &bytes[..first],
            fields: &bytes[first + 2..end + 2],
            length: end + 4,
        })
    }

    /// The value of a field, whose name is given in lower case.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.fields;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if line.len() > name.len()
                && line[name.len()] == b':'
                && line[..name.len()].eq_ignore_ascii_case(name.as_bytes())
            {
                return Some(line[name.len() + 1..].trim_ascii());
            }
        }
        None
    }

    pub fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.field("content-length")?)
            .ok()?
            .parse()
            .ok()
    }

    pub fn is_chunked(&self) -> bool {
        self.field("transfer-encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case(b"chunked"))
    }
}

/// What is left of a body, fed with bytes as they arrive.
pub enum Body {
    Sized { left: u64 },
    Chunked(Chunk),
}

/// Where in a chunked body the next byte belongs.
pub enum Chunk {
    Size(u64),
    Payload(u64),
    AfterPayload,
    /// After the chunk of size zero: how many bytes of the current trailer line have passed.
    Trailer(usize),
    Ended,
}

impl Body {
    pub fn of(head: &Head<'_>) -> Option<Self> {
        if head.is_chunked() {
            return Some(Self::Chunked(Chunk::Size(0)));
        }
        head.content_length().map(|left| Self::Sized { left })
    }

    pub fn ended(&self) -> bool {
        matches!(self, Self::Sized { left: 0 } | Self::Chunked(Chunk::Ended))
    }

    /// Takes what arrived; returns how much of it was payload. Both ends send one message at a
    /// time, so bytes after the end are a fault of the proxy and count as one.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<u64, String> {
        match self {
            Self::Sized { left } => {
                let length = bytes.len() as u64;
                *left = left
                    .checked_sub(length)
                    .ok_or("more bytes than the content-length says")?;
                Ok(length)
            }
            Self::Chunked(chunk) => chunk.feed(bytes),
        }
    }
}

impl Chunk {
    fn feed(&mut self, mut bytes: &[u8]) -> Result<u64, String> {
        let mut payload = 0;
        while let Some(&byte) = bytes.first() {
            let mut taken = 1;
            *self = match *self {
                Self::Size(size) => match byte {
                    b'\n' if size == 0 => Self::Trailer(0),
                    b'\n' => Self::Payload(size),
                    b'\r' => Self::Size(size),
                    digit => Self::Size(size * 16 + hex(digit)?),
                },
                Self::Payload(left) => {
                    taken = left.min(bytes.len() as u64) as usize;
                    payload += taken as u64;
                    match left - taken as u64 {
                        0 => Self::AfterPayload,
                        left => Self::Payload(left),
                    }
                }
                Self::AfterPayload if byte == b'\n' => Self::Size(0),
                Self::AfterPayload => Self::AfterPayload,
                Self::Trailer(0) if byte == b'\n' => Self::Ended,
                Self::Trailer(_) if byte == b'\n' => Self::Trailer(0),
                Self::Trailer(passed) if byte == b'\r' => Self::Trailer(passed),
                Self::Trailer(passed) => Self::Trailer(passed + 1),
                Self::Ended => return Err("bytes after the last chunk".into()),
            };
            bytes = &bytes[taken..];
        }
        Ok(payload)
    }
}

fn hex(digit: u8) -> Result<u64, String> {
    (digit as char)
        .to_digit(16)
        .map(u64::from)
        .ok_or_else(|| format!("byte {digit} in a chunk size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_whatever_its_case_and_not_inside_another() {
        let head = Head::read(b"GET / HTTP/1.1\r\nX-Key: no\r\nKEY:  yes \r\n\r\nbody").expect("whole head");
        assert_eq!(head.field("key"), Some(&b"yes"[..]));
        assert_eq!(head.field("absent"), None);
        assert_eq!(head.length, 41);
    }

    #[test]
    fn a_chunked_body_counts_the_same_however_it_is_cut() {
        let wire = b"3\r\nabc\r\n1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nx: y\r\n\r\n";
        for cut in 0..wire.len() {
            let mut body = Body::Chunked(Chunk::Size(0));
            let first = body.feed(&wire[..cut]).expect("first part");
            assert!(!body.ended());
            assert_eq!(first + body.feed(&wire[cut..]).expect("second part"), 29);
            assert!(body.ended());
        }
    }

    #[test]
    fn a_body_longer_than_announced_is_an_error() {
        assert!(Body::Sized { left: 2 }.feed(b"abc").is_err());
        assert!(Body::Chunked(Chunk::Ended).feed(b"a").is_err());
    }
}
