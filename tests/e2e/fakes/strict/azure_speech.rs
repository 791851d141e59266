//! Azure's text to speech.

use super::ssml::{self, Fault};
use crate::fakes::voice::{Form, Shape};
use crate::fakes::{Call, Canned, Reply, Seen};

pub async fn reply(call: &Call, seen: &Seen) -> Option<Result<Reply, Canned>> {
    match (seen.method.as_str(), seen.path.as_str()) {
        ("POST", "/cognitiveservices/v1") => Some(speech(call, seen).await),
        _ => None,
    }
}

async fn speech(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    if !seen
        .header("content-type")
        .is_some_and(|kind| kind.starts_with("application/ssml+xml"))
    {
        call.violation("the content type is not application/ssml+xml");
        return Err(Canned::text(415, "text/plain", ""));
    }
    if seen
        .header("user-agent")
        .is_none_or(|agent| agent.is_empty() || agent.len() > 255)
    {
        call.violation("User-Agent is required");
        return Err(Canned::text(400, "text/plain", "User-Agent is required"));
    }
    let Some(shape) = seen.header("x-microsoft-outputformat").and_then(shape) else {
        call.violation("X-Microsoft-OutputFormat is missing or unknown");
        return Err(Canned::text(400, "text/plain", ""));
    };
    let text = std::str::from_utf8(&seen.body).unwrap_or("");
    let speech = ssml::read(text).map_err(|fault| {
        if let Fault::Malformed(what) = fault {
            call.violation(format!("bad SSML: {what}"));
        }
        Canned::text(400, "text/plain", "")
    })?;
    let sound = call.speak(&speech.text, speech.speed, shape).await;
    let headers = vec![("x-requestid", "azure-tts-1".to_owned())];
    let pieces = if shape.form == Form::Wav { 1 } else { 6 };
    Ok(super::audio(shape.form.content_type(), headers, &sound, pieces))
}

pub fn shape(format: &str) -> Option<Shape> {
    match format {
        "audio-16khz-32kbitrate-mono-mp3"
        | "audio-16khz-64kbitrate-mono-mp3"
        | "audio-16khz-128kbitrate-mono-mp3" => Some(Form::Mp3.at(16_000)),
        "audio-24khz-48kbitrate-mono-mp3"
        | "audio-24khz-96kbitrate-mono-mp3"
        | "audio-24khz-160kbitrate-mono-mp3" => Some(Form::Mp3.at(24_000)),
        "audio-48khz-96kbitrate-mono-mp3" | "audio-48khz-192kbitrate-mono-mp3" => Some(Form::Mp3.at(48_000)),
        "ogg-16khz-16bit-mono-opus" => Some(Form::Opus.at(16_000)),
        "ogg-24khz-16bit-mono-opus" => Some(Form::Opus.at(24_000)),
        "ogg-48khz-16bit-mono-opus" => Some(Form::Opus.at(48_000)),
        "raw-8khz-16bit-mono-pcm" => Some(Form::Pcm.at(8_000)),
        "raw-16khz-16bit-mono-pcm" => Some(Form::Pcm.at(16_000)),
        "raw-22050hz-16bit-mono-pcm" => Some(Form::Pcm.at(22_050)),
        "raw-24khz-16bit-mono-pcm" => Some(Form::Pcm.at(24_000)),
        "raw-44100hz-16bit-mono-pcm" => Some(Form::Pcm.at(44_100)),
        "raw-48khz-16bit-mono-pcm" => Some(Form::Pcm.at(48_000)),
        "riff-8khz-16bit-mono-pcm" => Some(Form::Wav.at(8_000)),
        "riff-24khz-16bit-mono-pcm" => Some(Form::Wav.at(24_000)),
        "riff-22050hz-16bit-mono-pcm" => Some(Form::Wav.at(22_050)),
        "riff-44100hz-16bit-mono-pcm" => Some(Form::Wav.at(44_100)),
        "riff-48khz-16bit-mono-pcm" => Some(Form::Wav.at(48_000)),
        _ => None,
    }
}
