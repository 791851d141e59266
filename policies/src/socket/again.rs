//! Looks whether a later message would set a session up again.

use super::setup::{SetupPlan, is_same};
use crate::descriptor::Step;
use crate::meter::json_string::{Piece, StringReader};

/// A longer key is none that is looked for.
const LONGEST: usize = 128;

/// Looks whether a later message would set the session up again, which nobody has checked.
///
/// Only the members of the message itself count, so nothing is held but a key. What is not strict JSON counts as
/// setting up again: a laxer parser could find there what was not found here.
#[derive(Debug)]
pub struct Again {
    keys: Vec<String>,
    state: State,
    key: Vec<u8>,
    string: StringReader,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// A key, or the end of an empty object.
    First,
    Key,
    InKey,
    Colon,
    Value,
    /// A number or a literal.
    InWord,
    /// So many brackets are open in the value.
    Inside(u64),
    InString(u64),
    After,
    Done,
    Caught,
}

impl Again {
    pub fn new(plan: &SetupPlan) -> Self {
        let first = plan.model.iter().filter_map(|at| match at.steps().first() {
            Some(Step::Key(key)) => Some(key.clone()),
            _ => None,
        });
        Self {
            keys: first.collect(),
            state: State::Start,
            key: Vec::new(),
            string: StringReader::default(),
        }
    }

    /// A message begins.
    pub fn begin(&mut self) {
        self.state = State::Start;
    }

    /// True as soon as the message holds what only a first one may hold.
    pub fn feed(&mut self, mut bytes: &[u8]) -> bool {
        while let Some(&byte) = bytes.first() {
            let taken = match self.state {
                State::Caught => return true,
                State::InString(depth) => self.pass_string(bytes, depth),
                State::InKey => self.read_key(byte),
                _ => self.step(byte),
            };
            bytes = &bytes[taken..];
        }
        self.state == State::Caught
    }

    fn step(&mut self, byte: u8) -> usize {
        let is_blank = matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        self.state = match (self.state, byte) {
            (State::InWord, _) if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => State::InWord,
            (State::InWord, _) => {
                self.state = State::After;
                return 0;
            }
            (state, _) if is_blank => state,
            (State::Start, b'{') => State::First,
            (State::First | State::Key, b'"') => {
                self.key.clear();
                self.string = StringReader::default();
                State::InKey
            }
            (State::First, b'}') => State::Done,
            (State::Colon, b':') => State::Value,
            (State::Value, b'"') => self.begin_string(0),
            (State::Value, b'{' | b'[') => State::Inside(1),
            (State::Value, b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => State::InWord,
            (State::Inside(depth), _) => self.inside(byte, depth),
            (State::After, b',') => State::Key,
            (State::After, b'}') => State::Done,
            _ => State::Caught,
        };
        1
    }

    fn begin_string(&mut self, depth: u64) -> State {
        self.string = StringReader::default();
        State::InString(depth)
    }

    /// Quotes and comments of laxer dialects are caught: they hide brackets and quotes.
    fn inside(&mut self, byte: u8, depth: u64) -> State {
        match byte {
            b'"' => self.begin_string(depth),
            b'{' | b'[' => State::Inside(depth + 1),
            b'}' | b']' if depth == 1 => State::After,
            b'}' | b']' => State::Inside(depth - 1),
            b',' | b':' | b'+' | b'-' | b'.' => State::Inside(depth),
            _ if byte.is_ascii_alphanumeric() => State::Inside(depth),
            _ => State::Caught,
        }
    }

    fn pass_string(&mut self, bytes: &[u8], depth: u64) -> usize {
        let (taken, ended) = self.string.skip(bytes);
        if ended {
            self.state = if depth == 0 {
                State::After
            } else {
                State::Inside(depth)
            };
        }
        taken
    }

    fn read_key(&mut self, byte: u8) -> usize {
        if byte == b'"' && !self.string.escaped {
            self.state = if self.is_looked_for() {
                State::Caught
            } else {
                State::Colon
            };
            return 1;
        }
        match self.string.push(byte) {
            Some(Piece::Byte(byte)) => self.key.push(byte),
            Some(Piece::Char(c)) => self.key.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            None => {}
        }
        self.key.truncate(LONGEST);
        1
    }

    fn is_looked_for(&self) -> bool {
        match std::str::from_utf8(&self.key) {
            Ok(key) => self.keys.iter().any(|wanted| is_same(key, wanted)),
            // A long one may have been cut inside a character. Who reads past a wrong byte could find any name.
            Err(wrong) => wrong.error_len().is_some() || self.key.len() < LONGEST,
        }
    }
}
