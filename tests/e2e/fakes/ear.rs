//! The ear of the strict fakes and of the tests: pocketsphinx, by `tests/sdk/listen.py`. Each recording is listened to
//! once in a test run.
//!
//! It knows the ten digits alone; any of them out of place, missing or doubled shows.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};

use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::{OnceCell, Semaphore};

use super::request;

#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Heard {
    pub seconds: f64,
    pub words: Vec<Word>,
}

/// A word with its times in seconds.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Word {
    pub word: String,
    pub start: f64,
    pub end: f64,
}

impl Heard {
    pub fn text(&self) -> String {
        let words: Vec<&str> = self.words.iter().map(|word| word.word.as_str()).collect();
        words.join(" ")
    }
}

type Cell = Arc<OnceCell<Result<Heard, String>>>;

static HEARD: LazyLock<Mutex<HashMap<String, Cell>>> = LazyLock::new(Mutex::default);

/// Decoders keep a processor busy; more than this many at once only delay one another.
static EARS: Semaphore = Semaphore::const_new(2);

/// The words in a recording of any kind that ffmpeg reads, or why it cannot be listened to.
pub async fn listen(recording: &[u8]) -> Result<Heard, String> {
    let cell = {
        let mut heard = HEARD.lock().unwrap();
        heard.entry(request::sha256(recording)).or_default().clone()
    };
    cell.get_or_init(|| hear(recording)).await.clone()
}

async fn hear(recording: &[u8]) -> Result<Heard, String> {
    let _turn = EARS.acquire().await.expect("a turn");
    let file = tempfile::NamedTempFile::new().expect("a file for the recording");
    std::fs::write(file.path(), recording).expect("write the recording");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    let output = Command::new(&python)
        .arg(root.join("tests/sdk/listen.py"))
        .arg(file.path())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap_or_else(|error| panic!("{}, which tests/setup brings: {error}", python.display()));
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(serde_json::from_slice(&output.stdout).expect("listen.py prints JSON"))
}
