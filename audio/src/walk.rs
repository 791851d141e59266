//! Following the structure of a file while it passes: of each part the few bytes that say what it is, never what it holds.

/// The largest part that is looked at whole.
const MOST: usize = 64 * 1024;

/// What to do with what begins here.
pub enum Step {
    /// Look again when so many bytes of it are there.
    Look(usize),
    /// The next part begins so many bytes further on.
    Pass(u64),
    /// Nothing more is to be learnt; the bytes looked at are done with.
    Stop,
}

pub trait Layout {
    /// The shortest part there is.
    const SHORTEST: usize;

    /// Called with the first bytes of a part, at first [`Self::SHORTEST`] of them.
    fn step(&mut self, part: &[u8]) -> Step;
}

#[derive(Debug, Default)]
pub struct Walk {
    looked_at: Vec<u8>,
    wanted: usize,
    pass: u64,
    stopped: bool,
}

impl Walk {
    /// What is left once the layout has stopped; empty before.
    pub fn feed<'b, L: Layout>(&mut self, layout: &mut L, mut bytes: &'b [u8]) -> &'b [u8] {
        while !self.stopped {
            let passed = bytes.len().min(usize::try_from(self.pass).unwrap_or(usize::MAX));
            bytes = &bytes[passed..];
            self.pass -= passed as u64;

            let wanted = self.wanted.max(L::SHORTEST);
            let missing = wanted.saturating_sub(self.looked_at.len());
            let (now, later) = bytes.split_at(missing.min(bytes.len()));
            self.looked_at.extend_from_slice(now);
            bytes = later;
            if self.pass > 0 || self.looked_at.len() < wanted {
                break;
            }
            self.take(layout.step(&self.looked_at));
        }
        bytes
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Look(wanted) if wanted > self.looked_at.len() && wanted <= MOST => self.wanted = wanted,
            Step::Pass(length) if length > 0 => {
                let seen = self
                    .looked_at
                    .len()
                    .min(usize::try_from(length).unwrap_or(usize::MAX));
                self.looked_at.drain(..seen);
                self.pass = length - seen as u64;
                self.wanted = 0;
            }
            // A part without length, or one too large to look at, would lead nowhere.
            Step::Look(_) | Step::Pass(_) | Step::Stop => {
                self.looked_at = Vec::new();
                self.stopped = true;
            }
        }
    }
}
