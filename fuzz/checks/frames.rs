//! Where nothing is looked for, bytes of any kind pass unchanged and are heard alike, however they are cut.

use policies::socket::frames::{FrameReader, Head, LONGEST_CONTROL, Next};

use super::{cut, pass, pieces};

/// What can wait: half a head, or half of a frame that closes.
const MOST_HELD: usize = LONGEST_CONTROL + 14;

pub fn check(input: &[u8]) {
    let Some((_, piece, bytes)) = cut(input) else {
        return;
    };
    let whole = pass(&[], bytes, usize::MAX);
    let heads = heads(bytes, usize::MAX);
    for piece in pieces(piece) {
        let passed = pass(&[], bytes, piece);
        assert_eq!([passed.bytes.as_slice(), &passed.held].concat(), bytes);
        assert!(passed.held.len() < MOST_HELD);
        assert_eq!(passed, whole);
        assert_eq!(self::heads(bytes, piece), heads);
    }
}

/// Every head, and where its payload begins.
fn heads(bytes: &[u8], piece: usize) -> Vec<(usize, Head)> {
    let mut reader = FrameReader::default();
    let (mut heads, mut at) = (Vec::new(), 0);
    for mut piece in bytes.chunks(piece) {
        loop {
            let (taken, next) = reader.next(piece);
            piece = &piece[taken..];
            at += taken;
            match next {
                Next::Head(head) => heads.push((at, head)),
                Next::Payload { length, .. } => assert_eq!(length, taken),
                Next::More => break,
            }
        }
        assert!(piece.is_empty());
    }
    heads
}
