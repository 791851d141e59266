//! The seeds that fuzzing starts from, and what it has found, through the checks that it makes.

#![expect(clippy::disallowed_methods, reason = "seeds are files")]

#[path = "../../fuzz/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::Path;

fn holds_for_each_seed(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let seeds: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!seeds.is_empty());
    for seed in seeds {
        // A seed that breaks a check is named beside what the check says.
        let name = seed.display().to_string();
        let input = fs::read(&seed).unwrap();
        let held = std::panic::catch_unwind(|| check(&input));
        assert!(held.is_ok(), "{name} breaks a check");
    }
}

#[test]
fn frames_pass_unchanged_however_they_are_cut() {
    holds_for_each_seed("frames", checks::frames::check);
}

#[test]
fn credentials_are_taken_out_and_nothing_else() {
    holds_for_each_seed("scrub", checks::scrub::check);
}

#[test]
fn a_first_message_is_read_as_its_provider_reads_it() {
    holds_for_each_seed("first", checks::first::check);
}

#[test]
fn what_is_consumed_does_not_depend_on_pieces() {
    holds_for_each_seed("meter", checks::meter::check);
}
