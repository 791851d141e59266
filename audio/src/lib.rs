//! Sound as bytes: which container it is in, how long it lasts, and samples made into a container while they stream.
//!
//! Nothing here waits, reads a file or knows a provider. What takes more than moments says so
//! ([`Encoder::is_light`]), so that its caller can do it away from an event loop.

mod container;
mod encode;
mod excerpt;
mod frames;
mod walk;
mod wav;

pub use container::{Container, ENOUGH, recognise};
pub use encode::Encoder;
pub use excerpt::Excerpt;
pub use wav::WavReader;

/// What is wrong with samples, or with a container around them.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {reason}")]
pub struct AudioError {
    pub doing: &'static str,
    pub reason: String,
}

impl AudioError {
    fn new(doing: &'static str, reason: String) -> Self {
        Self { doing, reason }
    }
}
