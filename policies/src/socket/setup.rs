//! Sessions whose model is named in their first message: which model that is, whether it may be used, and how
//! another takes its place.
//!
//! Parsers differ in which of two members of one name they take, and in what they let pass beside strict JSON. A
//! message that could be read in two ways is refused.

use std::ops::Range;

use serde::de::IgnoredAny;

pub use super::again::Again;
use crate::descriptor::{Glob, Pointer, Step, is_one_of};
use crate::vocabulary::{Code, Refusal};

/// What a first message must say.
#[derive(Clone, Debug)]
pub struct SetupPlan {
    /// Where the message names the model: `/setup/model`.
    pub model: Vec<Pointer>,
    /// Taken off a name: `models/`.
    pub model_prefix: String,
    /// The models that may be named.
    pub models: Vec<Glob>,
    /// The name, without the prefix, in whose place the caller's selection goes.
    pub from_selection: String,
}

/// The model of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Named, and one that may be used. Without the prefix.
    Model(String),
    /// The caller's selection decides.
    FromSelection,
}

/// So much of a name that was refused is repeated.
const SHOWN: usize = 80;

/// What the whole first message asks for, in whichever kind of frame it came.
pub fn read(plan: &SetupPlan, message: &[u8]) -> Result<Setup, Refusal> {
    let (_, name) = named(plan, message)?;
    let model = name.strip_prefix(plan.model_prefix.as_str()).unwrap_or(&name);
    if model == plan.from_selection {
        return Ok(Setup::FromSelection);
    }
    if permits(plan, model) {
        return Ok(Setup::Model(model.to_owned()));
    }
    let shown = model[..model.floor_char_boundary(SHOWN)].replace(char::is_control, "\u{fffd}");
    let kinds: Vec<_> = plan.models.iter().map(Glob::as_str).collect();
    Err(Refusal::new(
        Code::ForbiddenEndpoint,
        format!(
            "the model {shown} is not offered over this socket; these are: {}",
            kinds.join(", ")
        ),
    ))
}

/// Whether a session may be for this model. One name, not a path that ends like one.
pub fn permits(plan: &SetupPlan, model: &str) -> bool {
    let is_name = model
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"/\\%?#\"".contains(&byte));
    is_name && is_one_of(&plan.models, model)
}

/// The first message with this model in the place of the one it names, everything else as it was.
pub fn with_model(plan: &SetupPlan, message: &[u8], model: &str) -> Vec<u8> {
    let Ok((place, _)) = named(plan, message) else {
        return message.to_vec();
    };
    let model = model.strip_prefix(plan.model_prefix.as_str()).unwrap_or(model);
    let name = serde_json::Value::from(format!("{}{model}", plan.model_prefix)).to_string();
    [&message[..place.start], name.as_bytes(), &message[place.end..]].concat()
}

/// Where the one name of a model stands, quotes included, and what it is.
fn named(plan: &SetupPlan, message: &[u8]) -> Result<(Range<usize>, String), Refusal> {
    let refuse = |message: String| Refusal::new(Code::InvalidRequest, message);
    // What is no UTF-8 is no JSON, and a name could hide in it from who reads it by the letter.
    let json = |text| serde_json::from_str::<IgnoredAny>(text).is_ok();
    if !std::str::from_utf8(message).is_ok_and(json) {
        return Err(refuse("the first message is not JSON".to_owned()));
    }
    let mut places = Vec::new();
    for at in &plan.model {
        find(message, 0..message.len(), at.steps(), &mut places)
            .map_err(|twice| refuse(format!("the first message has the member {twice} more than once")))?;
    }
    let [place] = places.as_slice() else {
        let wanted = plan.model.iter().map(spelled).collect::<Vec<_>>().join(" or ");
        return Err(refuse(match places.len() {
            0 => format!("the first message must name the model of the session, in {wanted}"),
            _ => format!("the first message names a model twice, in {wanted}"),
        }));
    };
    match serde_json::from_slice::<String>(&message[place.clone()]) {
        Ok(name) => Ok((place.clone(), name)),
        Err(_) => Err(refuse("the model of the session must be a string".to_owned())),
    }
}

fn spelled(at: &Pointer) -> String {
    let steps = at.steps().iter().map(|step| match step {
        Step::Key(key) => key.as_str(),
        Step::Any => "*",
    });
    steps.collect::<Vec<_>>().join(".")
}

/// Collects the values that the steps lead to. The name of a member that stands there twice is an error.
fn find(
    message: &[u8],
    value: Range<usize>,
    steps: &[Step],
    places: &mut Vec<Range<usize>>,
) -> Result<(), String> {
    let Some((step, rest)) = steps.split_first() else {
        places.push(value);
        return Ok(());
    };
    let mut seen = false;
    for (key, member) in members(message, value) {
        let fits = match step {
            Step::Any => true,
            Step::Key(wanted) => is_same(&key, wanted),
        };
        if !fits {
            continue;
        }
        if std::mem::replace(&mut seen, true) && *step != Step::Any {
            return Err(key);
        }
        find(message, member, rest, places)?;
    }
    Ok(())
}

/// Snake and camel case are one name to some parsers, and case is nothing to others.
pub(super) fn is_same(key: &str, wanted: &str) -> bool {
    let letters = |text: &str| {
        let kept = text.bytes().filter(|byte| *byte != b'_');
        kept.map(|byte| byte.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    key == wanted || letters(key) == letters(wanted)
}

/// The members of an object in valid JSON: decoded keys, and where each value stands.
fn members(message: &[u8], value: Range<usize>) -> Vec<(String, Range<usize>)> {
    let mut members = Vec::new();
    let mut at = begin(message, value.start);
    if message.get(at) != Some(&b'{') {
        return members;
    }
    at += 1;
    while at < value.end {
        let key = begin(message, at);
        if message.get(key) != Some(&b'"') {
            break;
        }
        let key_end = end_of_value(message, key);
        // After the colon.
        let from = begin(message, begin(message, key_end) + 1);
        let to = end_of_value(message, from);
        // A key that no string can hold is none that is looked for, but it is there.
        let name = serde_json::from_slice(&message[key..key_end]).unwrap_or_default();
        members.push((name, from..to));
        // After the comma.
        at = begin(message, to) + 1;
    }
    members
}

fn begin(message: &[u8], from: usize) -> usize {
    let rest = message.get(from..).unwrap_or_default();
    from + rest
        .iter()
        .position(|byte| !byte.is_ascii_whitespace())
        .unwrap_or(rest.len())
}

/// Past the value that begins here.
fn end_of_value(message: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while let Some(byte) = message.get(at) {
        match byte {
            b'"' => at = end_of_string(message, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' | b',' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b':' if depth == 0 => return at,
            byte if byte.is_ascii_whitespace() && depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn end_of_string(message: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while let Some(byte) = message.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    message.len()
}
