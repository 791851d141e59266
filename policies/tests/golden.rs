//! Golden pairs: a request as an SDK sends it (`*.in.http`) and the request that goes to the provider
//! (`*.out.http`), to be read and reviewed like code. `# setting = value` lines give the credential's
//! settings. With `UPDATE_GOLDEN=1` the second of each pair is written anew.

#![expect(
    clippy::disallowed_methods,
    reason = "the bans keep the crate pure; its tests read files"
)]

mod common;

use std::path::{Path, PathBuf};
use std::{env, fs};

use common::{headers, routed, upstream_text};
use policies::descriptor::Settings;

struct Request {
    settings: Settings,
    method: String,
    target: String,
    head: Vec<(String, String)>,
}

fn read(text: &str) -> Request {
    let (notes, lines): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
    let settings = notes.iter().filter_map(|note| note[1..].split_once('='));
    let mut lines = lines.into_iter().filter(|line| !line.is_empty());
    let (method, target) = lines
        .next()
        .and_then(|line| line.split_once(' '))
        .expect("a request line");
    let split = |line: &str| {
        line.split_once(": ")
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    Request {
        settings: settings
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
        method: method.to_owned(),
        target: target.to_owned(),
        head: lines
            .map(|line| split(line).unwrap_or_else(|| panic!("no header: {line}")))
            .collect(),
    }
}

fn written(request: &Request) -> String {
    let pairs: Vec<_> = request
        .head
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let (inbound, route) =
        routed(&request.method, &request.target, &pairs).unwrap_or_else(|code| panic!("{code}"));
    let method = request.method.parse().unwrap();
    upstream_text(&inbound, &route, &method, &request.settings, &headers(&pairs))
}

#[test]
fn what_goes_upstream_is_what_was_reviewed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut pairs = 0;
    for provider in common::PROVIDERS.iter() {
        let folder = root.join(provider.id.as_str());
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let inputs = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().ends_with(".in.http"));
        for input in inputs.collect::<Vec<PathBuf>>() {
            pairs += 1;
            let text = written(&read(&fs::read_to_string(&input).unwrap()));
            let output = PathBuf::from(input.to_string_lossy().replace(".in.http", ".out.http"));
            if env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&output, &text).unwrap();
            }
            let reviewed = fs::read_to_string(&output).unwrap_or_default();
            assert_eq!(text, reviewed, "{}", output.display());
        }
    }
    assert!(pairs >= 9, "each provider has speech, transcription and a list");
}
