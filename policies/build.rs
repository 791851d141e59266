//! Builds every file of `config/providers/` into the crate, so that a provider is one file of data and no
//! line of code.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "the bans keep the crate pure; a build script reads files and speaks to cargo"
)]

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let manifest = env::var("CARGO_MANIFEST_DIR").expect("cargo names the manifest's directory");
    let folder = Path::new(&manifest).join("../config/providers").canonicalize()?;
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut list = String::from("[\n");
    for file in &files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        list.push_str(&format!(
            "    ({name:?}, include_str!({:?})),\n",
            file.display().to_string()
        ));
    }
    list.push_str("]\n");
    let out = env::var("OUT_DIR").expect("cargo names the output directory");
    fs::write(Path::new(&out).join("built_in.rs"), list)
}
