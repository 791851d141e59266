//! A provider as data: one TOML file says all that Voxgate knows of it.
//!
//! [`mod@file`] is what was written, [`Provider`] and its parts are what is meant, and `parse` stands between
//! them with errors that point at file and key. `lint` holds what only makes sense over a whole
//! descriptor; `unified` and `text` are the part that translates. [`Providers`] is the registry: the built-in files, those the operator adds, and the
//! operator's overrides of hosts. Nothing outside this folder reads the TOML.

mod errors;
mod file;
mod lint;
mod origin;
mod parse;
mod pattern;
mod pointer;
mod provider;
mod registry;
mod settings;
mod socket;
mod text;
mod unified;

pub use errors::{DescriptorError, DescriptorErrors};
pub use origin::{Hosts, Origin, OriginError};
pub use pattern::PathPattern;
pub use pointer::{Glob, Pointer, Step, is_one_of};
pub use provider::*;
pub use registry::{Providers, check_file};
pub use settings::{Setting, Settings, SettingsError, Shape, Template};
pub use socket::*;
pub use text::{AUDIO, FillError, Text, Texts, audio_hole};
pub use unified::*;

/// The known name that a misspelt one most likely means.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let furthest = (name.chars().count() / 3).max(1);
    known
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}
