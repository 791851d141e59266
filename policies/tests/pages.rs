//! Pages that speak of files agree with them: the example of a descriptor, and the map of the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use policies::descriptor::check_file;

const MAP: &str = include_str!("../../docs/ARCHITECTURE.md");
const PAGE: &str = include_str!("../../docs/ADDING-A-PROVIDER.md");

/// The page's TOML blocks, joined in their order.
fn example() -> String {
    let blocks = PAGE.split("```toml\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_example_passes_the_linter_and_the_page_shows_what_it_says() {
    let provider = check_file("parrot.toml", &example()).unwrap_or_else(|errors| panic!("{errors}"));
    let said = format!(
        "parrot.toml: fine: {} ({}), {} endpoints",
        provider.name,
        provider.id,
        provider.endpoints.len()
    );
    assert!(PAGE.contains(&said), "the page does not show {said:?}");
}

#[test]
fn the_example_shows_each_part_of_a_descriptor() {
    let example = example();
    for table in [
        "[[settings]]",
        "[hosts.",
        "[key]",
        "[timeouts]",
        "[[endpoints]]",
        "[meters.",
        "[sockets.",
        "[[verdicts]]",
        "[retry]",
        "[[probes]]",
        "[models]",
        "[voices]",
        "[[prices]]",
    ] {
        assert!(example.contains(table), "{table} is not shown");
    }
}

/// Every path that the map names: folders at the margin, and what is indented below them.
fn mapped() -> BTreeSet<PathBuf> {
    let map = MAP.split("```").nth(1).expect("a map");
    let mut folder = PathBuf::new();
    let mut paths = BTreeSet::new();
    for line in map.lines().filter(|line| !line.is_empty()) {
        let is_folder = !line.starts_with(' ');
        let is_path = |word: &&str| word.ends_with('/') || word.ends_with(".rs");
        let names: Vec<&str> = line.split_whitespace().take_while(is_path).collect();
        if is_folder {
            folder = PathBuf::from(names[0]);
            paths.insert(folder.clone());
        } else {
            paths.extend(names.iter().map(|name| folder.join(name)));
        }
    }
    paths
}

#[test]
fn the_map_shows_what_is_there_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mapped = mapped();
    for path in &mapped {
        assert!(
            root.join(path).exists(),
            "{} is on the map and not there",
            path.display()
        );
    }
    for folder in mapped.iter().filter(|path| path.ends_with("src")) {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            assert!(
                mapped.contains(&path),
                "{} is there and not on the map",
                path.display()
            );
        }
    }
}
