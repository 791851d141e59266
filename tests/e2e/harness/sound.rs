//! Whether bytes are the audio that they were promised to be: players accept them, and the words come back.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::fakes::{audio, ear};

/// Checks audio of one of OpenAI's formats by its container, and returns what it says and for how long.
pub async fn heard(format: &str, sound: &[u8]) -> ear::Heard {
    assert!(!sound.is_empty(), "{format}: no audio");
    if format == "pcm" {
        assert!(sound.len().is_multiple_of(2), "half a sample");
        return listened(format, &audio::wav(24_000, sound)).await;
    }
    let (container, codec) = match format {
        "mp3" => ("mp3", "mp3"),
        "opus" => ("ogg", "opus"),
        "aac" => ("aac", "aac"),
        "flac" => ("flac", "flac"),
        "wav" => ("wav", "pcm_s16le"),
        other => panic!("no such format: {other}"),
    };
    let file = tempfile::NamedTempFile::new().expect("a file for the audio");
    std::fs::write(file.path(), sound).expect("write the audio");
    let path = file.path().to_str().expect("a path in UTF-8");
    let probe = run(
        "ffprobe",
        &[
            "-v",
            "error",
            "-show_format",
            "-show_streams",
            "-of",
            "json",
            path,
        ],
    )
    .await;
    let probe: Value = serde_json::from_slice(&probe).expect("ffprobe prints JSON");
    assert_eq!(probe["format"]["format_name"], container, "{probe}");
    let streams = probe["streams"].as_array().expect("streams");
    assert_eq!(streams.len(), 1, "{probe}");
    assert_eq!(streams[0]["codec_name"], codec, "{probe}");
    assert_eq!(streams[0]["channels"], 1, "{probe}");
    if ["wav", "flac"].contains(&format) {
        run("sox", &["-t", format, path, "-n", "stat"]).await;
    }
    listened(format, sound).await
}

async fn listened(format: &str, sound: &[u8]) -> ear::Heard {
    let heard = ear::listen(sound)
        .await
        .unwrap_or_else(|error| panic!("{format} does not play: {error}"));
    assert!(heard.seconds > 0.0, "{format}: nothing to hear");
    heard
}

/// What a player prints. It may warn of a length that is not known beforehand, and must play.
async fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = command
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program}, which `make test` installs: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} refuses it: {errors}");
    output.stdout
}
