//! Speech and transcription of Gemini.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::transcript::{Turn, turns};
use crate::fakes::ear::{self, Heard};
use crate::fakes::gemini::{STT, TTS, invalid};
use crate::fakes::schema::Spec;
use crate::fakes::voice::{Form, Shape};
use crate::fakes::{Call, Canned, Reply, Seen};

const TTS_MODELS: &[&str] = &[TTS, "gemini-3.8-flash-lite-tts"];
const MOST_BYTES: u64 = 20 << 20;
const RATE: u32 = 24_000;
/// Samples have two bytes; a block of this size cuts one in the middle.
const BLOCK: usize = 9_601;
/// Pieces on the wire end anywhere in an event.
const PIECE: usize = 7_001;

const VOICES: &str = "Zephyr Puck Charon Kore Fenrir Leda Orus Aoede Callirrhoe Autonoe Enceladus Iapetus Umbriel \
    Algieba Despina Erinome Algenib Rasalgethi Laomedeia Achernar Alnilam Schedar Gacrux Pulcherrima Achird \
    Zubenelgenubi Vindemiatrix Sadachbia Sadaltager Sulafat";

pub async fn reply(call: &Call, seen: &Seen) -> Option<Result<Reply, Canned>> {
    let path: Vec<&str> = seen.path.trim_start_matches('/').split('/').collect();
    let ("POST", ["v1" | "v1beta", "models", asked]) = (seen.method.as_str(), path.as_slice()) else {
        return None;
    };
    let (model, method) = asked.split_once(':')?;
    match method {
        "generateContent" if TTS_MODELS.contains(&model) => Some(whole_speech(call, seen).await),
        "streamGenerateContent" if TTS_MODELS.contains(&model) => Some(streamed_speech(call, seen).await),
        "generateContent" if model == STT => Some(transcription(call, seen).await),
        _ => None,
    }
}

/// HTTP 200 without audio, as the models fail now and then.
pub fn no_audio() -> Canned {
    let candidate = json!({"content": {"role": "model"}, "finishReason": "OTHER", "index": 0});
    let usage = json!({"promptTokenCount": 3, "totalTokenCount": 3});
    Canned::json(
        200,
        json!({"candidates": [candidate], "usageMetadata": usage, "modelVersion": TTS}),
    )
}

fn read(call: &Call, seen: &Seen) -> Result<Value, Canned> {
    if seen.received > MOST_BYTES {
        call.violation(format!("{} bytes are more than 20 MB", seen.received));
        return Err(invalid("Request payload size exceeds the limit: 20971520 bytes."));
    }
    let body: Value =
        serde_json::from_slice(&seen.body).map_err(|_| invalid("Invalid JSON payload received."))?;
    if let Some(refusal) = Spec::Gemini.refuses("GenerateContentRequest", &body) {
        call.violation(&refusal);
        return Err(invalid(&refusal));
    }
    Ok(body)
}

/// The words, once the request is one for audio in a voice that there is.
fn check_speech(call: &Call, body: &Value) -> Result<String, Canned> {
    let config = &body["generationConfig"];
    if config["responseModalities"] != json!(["AUDIO"]) {
        call.violation("responseModalities is not [\"AUDIO\"]");
        return Err(invalid(
            "The requested combination of response modalities (TEXT) is not supported.",
        ));
    }
    if let Some(field) = ["temperature", "topP", "topK"]
        .into_iter()
        .find(|field| !config[*field].is_null())
    {
        call.violation(format!("{field} is not for these models"));
        return Err(invalid(&format!("{field} is not supported by the model")));
    }
    let voice = &config["speechConfig"]["voiceConfig"];
    let name = voice["prebuiltVoiceConfig"]["voiceName"]
        .as_str()
        .or(voice["voice"].as_str());
    if name.is_some_and(|name| !VOICES.split_whitespace().any(|known| known == name)) {
        return Err(invalid("Voice name is not supported."));
    }
    let parts = body["contents"][0]["parts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let text: String = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    // Four characters to a token, roughly.
    if text.is_empty() || text.chars().count() > 8_192 * 4 {
        return Err(invalid("The input is empty or exceeds the limit of 8192 tokens."));
    }
    Ok(text)
}

async fn whole_speech(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let body = read(call, seen)?;
    let text = check_speech(call, &body)?;
    let (shape, kind) = shape(&body["generationConfig"]["responseFormat"]["audio"])
        .ok_or_else(|| invalid("The audio format is not supported."))?;
    let sound = call.speak(&text, 1.0, shape).await;
    let data = json!({"mimeType": kind, "data": STANDARD.encode(&sound)});
    let seconds = call.speak(&text, 1.0, Form::Pcm.at(RATE)).await.len() as u64 / u64::from(RATE * 2);
    let answer = event(json!({ "inlineData": data }), &text, Some("STOP"), 25 * seconds);
    Ok(Reply::Whole(Canned::json(200, answer)))
}

fn shape(format: &Value) -> Option<(Shape, &'static str)> {
    let rate = format["sampleRate"].as_u64().map_or(RATE, |rate| rate as u32);
    match format["mimeType"].as_str() {
        None | Some("AUDIO_WAV") => Some((Form::Wav.at(rate), "audio/wav")),
        Some("AUDIO_MP3") => Some((Form::Mp3.at(rate), "audio/mp3")),
        Some("AUDIO_OGG_OPUS") => Some((Form::Opus.at(rate), "audio/ogg")),
        Some("AUDIO_L16") if rate == RATE => Some((Form::Pcm.at(rate), "audio/L16;codec=pcm;rate=24000")),
        _ => None,
    }
}

async fn streamed_speech(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let body = read(call, seen)?;
    let text = check_speech(call, &body)?;
    if seen.query.get("alt").map(String::as_str) != Some("sse") {
        call.violation("this fake streams server-sent events only");
        return Err(invalid("this fake streams server-sent events only"));
    }
    let format = &body["generationConfig"]["responseFormat"]["audio"]["mimeType"];
    if !format.is_null() && format != "AUDIO_L16" {
        call.violation("streams are samples, whatever the format asked for");
        return Err(invalid("The audio format is not supported for streaming."));
    }
    let sound = call.speak(&text, 1.0, Form::Pcm.at(RATE)).await;
    let blocks = super::cut(&sound, BLOCK);
    let mut stream = String::new();
    for (number, block) in blocks.iter().enumerate() {
        let data = json!({"mimeType": "audio/L16;codec=pcm;rate=24000", "data": STANDARD.encode(block)});
        let finish = (number + 1 == blocks.len()).then_some("STOP");
        let tokens = 25 * (number as u64 + 1) * BLOCK as u64 / u64::from(RATE * 2);
        stream.push_str(&format!(
            "data: {}\r\n\r\n",
            event(json!({ "inlineData": data }), &text, finish, tokens)
        ));
    }
    Ok(Reply::Audio {
        content_type: "text/event-stream",
        headers: Vec::new(),
        pieces: super::cut(&Bytes::from(stream), PIECE),
        pause: Duration::from_millis(15),
    })
}

async fn transcription(call: &Call, seen: &Seen) -> Result<Reply, Canned> {
    let body = read(call, seen)?;
    let audio = inline_audio(&body).ok_or_else(|| invalid("no audio to transcribe"))?;
    let audio = STANDARD
        .decode(audio)
        .map_err(|_| invalid("Base64 decoding failed"))?;
    let heard = ear::listen(&audio)
        .await
        .map_err(|_| invalid("Unable to process input audio."))?;
    let config = &body["generationConfig"]["audioTranscriptionConfig"];
    Ok(Reply::Whole(Canned::json(200, transcribed(&heard, config))))
}

fn inline_audio(body: &Value) -> Option<&str> {
    let contents = body["contents"].as_array()?.iter();
    let parts = contents
        .filter_map(|content| content["parts"].as_array())
        .flatten();
    let mut data = parts.map(|part| &part["inlineData"]);
    let is_audio = |data: &&Value| {
        data["mimeType"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("audio/"))
    };
    data.find(is_audio)?["data"].as_str()
}

fn transcribed(heard: &Heard, config: &Value) -> Value {
    let diarize = config["diarization"] == true;
    let turns = turns(heard, diarize);
    let parts: Vec<Value> = turns.iter().map(|turn| part(turn, config)).collect();
    let candidate = json!({"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0});
    let audio = (heard.seconds * 25.0) as u64;
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": audio, "candidatesTokenCount": heard.words.len(),
            "totalTokenCount": audio + heard.words.len() as u64,
        },
        "modelVersion": STT, "responseId": "gm-response-2",
    })
}

fn part(turn: &Turn, config: &Value) -> Value {
    let offset = |seconds: f64| format!("{seconds:.3}s");
    let mut part = json!({
        "text": turn.text(), "languageCode": "en-US", "startOffset": offset(turn.start()),
        "endOffset": offset(turn.end()), "finished": true,
    });
    if config["wordTimestamp"] == true {
        let words = turn.words.iter().map(|word| {
            json!({"word": word.word, "startOffset": offset(word.start), "endOffset": offset(word.end)})
        });
        part["words"] = words.collect();
    }
    if config["diarization"] == true {
        part["speakerLabel"] = json!(format!("spk_{}", turn.speaker + 1));
    }
    json!({ "audioTranscription": part })
}

/// One answer, or one event of a stream.
fn event(part: Value, asked: &str, finish: Option<&str>, tokens: u64) -> Value {
    let prompt = asked.len().div_ceil(4) as u64;
    let mut candidate = json!({"content": {"role": "model", "parts": [part]}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {
            "promptTokenCount": prompt, "candidatesTokenCount": tokens, "totalTokenCount": prompt + tokens,
        },
        "modelVersion": TTS, "responseId": "gm-response-1",
    })
}
