//! No credential survives in a message that a reader of JSON could find it in, and nothing else is changed.

use policies::socket::First;
use serde_json::Value;

use super::{Message, Passed, cut, fields, in_frames, pass, pieces};

pub fn check(input: &[u8]) {
    let Some((kind, piece, rest)) = cut(input) else {
        return;
    };
    // Either bytes as they are, or a message by the letter.
    let bytes = match kind {
        0 => rest.to_vec(),
        length => in_frames(rest, length.into()),
    };
    let whole = pass(&fields(), &bytes, usize::MAX);
    for piece in pieces(piece) {
        let passed = pass(&fields(), &bytes, piece);
        match &whole.refusal {
            None => assert_eq!(passed, whole, "in pieces of {piece}"),
            // More of the refused frame may have passed before it was one.
            refusal => {
                assert_eq!(&passed.refusal, refusal, "in pieces of {piece}");
                assert!(passed.bytes.starts_with(&whole.bytes), "in pieces of {piece}");
            }
        }
    }
    match &whole.refusal {
        Some(_) => assert!(whole.bytes.len() <= bytes.len()),
        None => assert_eq!(whole.bytes.len() + whole.held.len(), bytes.len()),
    }
    is_clean(&whole);
}

/// Compares what was heard with what passed.
fn is_clean(whole: &Passed) {
    let after = pass(&[], &whole.bytes, usize::MAX).heard;
    let messages = after.messages.iter().filter(|message| message.whole);
    for (before, after) in whole.heard.messages.iter().zip(messages) {
        assert_eq!(before.binary, after.binary);
        message_is_clean(before, after);
    }
    if let Ok(Some(first)) = First::default().look(&whole.bytes, usize::MAX) {
        assert!(first.tokens(&fields()).is_empty());
    }
}

fn message_is_clean(before: &Message, after: &Message) {
    assert_eq!(before.payload.len(), after.payload.len());
    for (before, after) in before.payload.iter().zip(&after.payload) {
        assert!(before == after || *after == b' ');
    }
    let parsed = |message: &Message| serde_json::from_slice::<Value>(&message.payload).ok();
    match (parsed(before), parsed(after)) {
        (Some(mut before), after) => {
            without(&mut before, &fields());
            assert_eq!(
                Some(before),
                after,
                "more or less than the credentials has changed"
            );
        }
        (None, Some(mut after)) => {
            let shown = after.clone();
            without(&mut after, &fields());
            assert_eq!(shown, after, "a credential has passed");
        }
        (None, None) if after.binary => assert_eq!(before, after),
        (None, None) if begins_as_none(&after.payload) => {
            let holds = |token: &[u8]| after.payload.windows(token.len()).any(|part| part == token);
            assert!(!holds(b"vxg_") && !holds(b"eyJ"), "a token has passed");
        }
        (None, None) => {}
    }
}

/// No JSON begins like this, and no laxer reader's.
fn begins_as_none(payload: &[u8]) -> bool {
    let mut bytes = payload.iter().filter(|byte| !byte.is_ascii_whitespace());
    bytes
        .next()
        .is_some_and(|first| b"<>()*&^%$#@!=?;|~".contains(first))
}

fn without(value: &mut Value, names: &[String]) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !names.contains(name));
            members.values_mut().for_each(|member| without(member, names));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| without(item, names)),
        _ => {}
    }
}
