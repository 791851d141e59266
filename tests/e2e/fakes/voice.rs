//! The voice of the strict fakes: espeak-ng, made by ffmpeg into whatever container is asked for. The same words in the
//! same form are always the same bytes, and made once in a test run.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;

use super::audio;

/// Words per minute at speed 1.
const PACE: f64 = 130.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    Mp3,
    Opus,
    Aac,
    Flac,
    Wav,
    /// Signed 16-bit little-endian samples.
    Pcm,
    /// µ-law and A-law, a byte to the sample.
    Ulaw,
    Alaw,
}

/// What speech comes as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    pub form: Form,
    pub rate: u32,
}

impl Form {
    pub fn at(self, rate: u32) -> Shape {
        Shape { form: self, rate }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Mp3 => "audio/mpeg",
            Self::Opus => "audio/ogg",
            Self::Aac => "audio/aac",
            Self::Flac => "audio/flac",
            Self::Wav => "audio/wav",
            Self::Pcm => "audio/pcm",
            Self::Ulaw | Self::Alaw => "audio/basic",
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Mp3 => &["-c:a", "libmp3lame", "-b:a", "96k", "-f", "mp3"],
            Self::Opus => &["-c:a", "libopus", "-b:a", "64k", "-f", "ogg"],
            Self::Aac => &["-c:a", "aac", "-b:a", "96k", "-f", "adts"],
            Self::Flac => &["-c:a", "flac", "-f", "flac"],
            Self::Wav | Self::Pcm => &["-c:a", "pcm_s16le", "-f", "s16le"],
            Self::Ulaw => &["-c:a", "pcm_mulaw", "-f", "mulaw"],
            Self::Alaw => &["-c:a", "pcm_alaw", "-f", "alaw"],
        }
    }
}

type Cell = Arc<OnceCell<Bytes>>;
type Spoken = HashMap<(String, u32, Shape), Cell>;

static SPOKEN: LazyLock<Mutex<Spoken>> = LazyLock::new(Mutex::default);

/// Mono speech; `speed` 1 is the usual pace.
pub async fn speak(words: &str, speed: f64, shape: Shape) -> Bytes {
    let pace = (PACE * speed).round() as u32;
    let cell = {
        let mut spoken = SPOKEN.lock().unwrap();
        let key = (words.to_owned(), pace, shape);
        spoken.entry(key).or_default().clone()
    };
    cell.get_or_init(async || {
        let sound = convert(&voice(words, pace).await, shape).await;
        match shape.form {
            Form::Wav => audio::wav(shape.rate, &sound),
            _ => sound,
        }
    })
    .await
    .clone()
}

async fn voice(words: &str, pace: u32) -> Bytes {
    let pace = pace.to_string();
    let mut command = Command::new("espeak-ng");
    command.args(["-v", "en-us", "-s", &pace, "--stdin", "--stdout"]);
    through(command, words.as_bytes()).await
}

async fn convert(sound: &[u8], shape: Shape) -> Bytes {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-i", "pipe:0", "-ac", "1", "-ar"]);
    command.arg(shape.rate.to_string());
    command.args(shape.form.arguments()).arg("pipe:1");
    through(command, sound).await
}

/// What a command prints, given this on standard input.
async fn through(mut command: Command, input: &[u8]) -> Bytes {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}, which `make test` installs: {error}"));
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // An error here is the command's leaving early, which its status tells.
    let writing = tokio::spawn(async move { stdin.write_all(&input).await });
    let output = child.wait_with_output().await.expect("wait for the command");
    let _ = writing.await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    output.stdout.into()
}
