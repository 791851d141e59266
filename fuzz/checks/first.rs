//! A first message is the same however it is cut, another takes its place and nothing else's, and the model that a
//! session is let in for is the one that a reader of JSON finds.

use policies::socket::setup::{self, Again, Setup, SetupPlan};
use policies::socket::{First, FirstMessage};
use serde_json::Value;

use super::meter::PROVIDERS;
use super::{cut, fields, in_frames, pieces};

const MOST: usize = 4 * 1024;

pub fn check(input: &[u8]) {
    let Some((kind, piece, rest)) = cut(input) else {
        return;
    };
    let bytes = match kind {
        0 => rest.to_vec(),
        length => in_frames(rest, length.into()),
    };
    let found = look(&bytes, usize::MAX);
    for piece in pieces(piece) {
        let other = look(&bytes, piece);
        // Bytes behind the message count towards the most, if they come with it.
        if bytes.len() <= MOST {
            assert_eq!(other, found, "in pieces of {piece}");
        }
    }
    if let Ok(Some(message)) = found {
        stays_in_its_place(&bytes, &message);
        sets_up_what_it_says(&message.payload, piece);
    }
}

/// How it ends: the message, nothing yet, or the code it is refused with.
fn look(bytes: &[u8], piece: usize) -> Result<Option<FirstMessage>, Option<u16>> {
    let mut first = First::default();
    let mut there = 0;
    while there < bytes.len() {
        there = bytes.len().min(there.saturating_add(piece));
        match first.look(&bytes[..there], MOST) {
            Ok(None) => {}
            Ok(found) => return Ok(found),
            Err(closing) => return Err(closing.code),
        }
    }
    Ok(None)
}

fn stays_in_its_place(bytes: &[u8], message: &FirstMessage) {
    message.tokens(&fields());
    let other = b"{\"another\":true}";
    let replaced = message.replaced(bytes, other);
    let found = First::default().look(&replaced, usize::MAX);
    let found = found.expect("it is framed as before").expect("it is whole");
    assert_eq!(
        (found.payload.as_slice(), found.binary),
        (other.as_slice(), message.binary)
    );
    let back = found.replaced(&replaced, &message.payload);
    let again = First::default().look(&back, usize::MAX);
    let again = again.expect("it is framed as before").expect("it is whole");
    assert_eq!(
        (again.payload, again.binary),
        (message.payload.clone(), message.binary)
    );
}

fn plan() -> &'static SetupPlan {
    let gemini = PROVIDERS.get("gemini").expect("it is built in");
    let mut plans = gemini
        .endpoints
        .iter()
        .filter_map(|endpoint| endpoint.socket.setup.as_ref());
    plans.next().expect("its sessions are set up")
}

fn sets_up_what_it_says(payload: &[u8], piece: usize) {
    let plan = plan();
    let parsed: Option<Value> = serde_json::from_slice(payload).ok();
    let named = || parsed.as_ref()?.pointer("/setup/model")?.as_str();
    let bare = |name: &str| name.strip_prefix("models/").unwrap_or(name).to_owned();
    let read = setup::read(plan, payload);
    assert!(read.is_err() || std::str::from_utf8(payload).is_ok());
    // Half a pair of surrogates and the largest numbers are valid JSON that is no value here; and names are found in
    // other spellings too, which a reader by the letter passes over.
    match (read, named()) {
        (Ok(Setup::Model(model)), Some(name)) => assert_eq!(model, bare(name)),
        (Ok(Setup::FromSelection), Some(name)) => {
            assert_eq!(bare(name), "default");
            let chosen = setup::with_model(plan, payload, "gemini-live");
            let chosen: Value = serde_json::from_slice(&chosen).expect("it is still JSON");
            assert_eq!(chosen["setup"]["model"], "models/gemini-live");
        }
        _ => {}
    }
    let caught = sets_up_again(plan, payload, usize::MAX);
    for piece in pieces(piece) {
        assert_eq!(sets_up_again(plan, payload, piece), caught);
    }
    if let Some(Value::Object(members)) = parsed {
        let sets_up = members.contains_key("setup");
        assert!(caught || !sets_up, "a second set-up has passed");
    }
}

fn sets_up_again(plan: &SetupPlan, payload: &[u8], piece: usize) -> bool {
    let mut again = Again::new(plan);
    again.begin();
    payload.chunks(piece).any(|piece| again.feed(piece))
}
