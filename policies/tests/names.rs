//! Providers are data: no provider's name stands in the Rust code of this workspace outside of its tests.
//! Comments may name one to say where a quirk comes from.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans keep the crate pure; its tests read files"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::PROVIDERS;
use policies::vocabulary::Dialect;

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_left_out = name.starts_with('.')
            || ["target", "tests", "benches", "fuzz", "harness"].contains(&name.as_str());
        if path.is_dir() && !is_left_out {
            rust_files(&path, found);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            found.push(path);
        }
    }
}

/// The file up to its tests, which stand last.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]").map_or(text, |at| &text[..at])
}

#[test]
fn no_provider_is_named_in_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap();
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    assert!(
        files.len() > 30,
        "found {} files below {}",
        files.len(),
        root.display()
    );
    let mut named = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap().to_lowercase();
        for (nth, line) in without_tests(&text).lines().enumerate() {
            let line = line.split("//").next().unwrap_or_default();
            // A dialect may be called after the provider whose it was first.
            let mut named_here = PROVIDERS.iter().filter(|provider| {
                Dialect::parse(provider.id.as_str()).is_none() && line.contains(provider.id.as_str())
            });
            if let Some(provider) = named_here.next() {
                named.push(format!("{}:{}: {}", file.display(), nth + 1, provider.id));
            }
        }
    }
    assert!(named.is_empty(), "{}", named.join("\n"));
}
