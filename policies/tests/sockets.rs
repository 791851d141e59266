//! What each WebSocket consumes, read from its messages however they are cut.

mod common;

use common::{PROVIDERS, socket};
use policies::descriptor::EndpointMethod;
use policies::socket::{Heard, Side, SocketMeter, SocketReading};
use policies::vocabulary::Verdict;
use proptest::prelude::*;
use serde_json::json;

const SPEECH: &str = "/elevenlabs/v1/text-to-speech/v/stream-input?model_id=eleven_flash_v2_5";
const DIALOGUE: &str = "/elevenlabs/v1/text-to-dialogue/multi-stream-input?model_id=eleven_v4_turbo";
const REALTIME: &str = "/elevenlabs/v1/speech-to-text/realtime?model_id=scribe_v2_realtime";
const SYNTHESIS: &str = "/azure/cognitiveservices/websocket/v1";
const RECOGNITION: &str = "/azure/speech/universal/v2?language=en-US";
const LIVE: &str = "/gemini/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

type Message = (Side, bool, Vec<u8>);

fn up(message: impl Into<Vec<u8>>) -> Message {
    (Side::Caller, false, message.into())
}

fn down(message: impl Into<Vec<u8>>) -> Message {
    (Side::Provider, false, message.into())
}

fn binary((side, _, bytes): Message) -> Message {
    (side, true, bytes)
}

/// A headed message in text.
fn text(path: &str, request: &str, body: &str) -> Vec<u8> {
    format!("X-RequestId:{request}\r\nContent-Type: x\r\nPath: {path}\r\n\r\n{body}").into_bytes()
}

/// A headed message in binary.
fn sound(request: &str, content_type: &str, body: &[u8]) -> Vec<u8> {
    let kind = match content_type {
        "" => String::new(),
        kind => format!("Content-Type: {kind}\r\n"),
    };
    let head = format!("path: Audio\r\nX-RequestId: {request}\r\n{kind}");
    [&(head.len() as u16).to_be_bytes(), head.as_bytes(), body].concat()
}

fn wave_head(bytes_per_second: u32) -> Vec<u8> {
    let mut head = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    head.extend_from_slice(&(bytes_per_second / 2).to_le_bytes());
    head.extend_from_slice(&bytes_per_second.to_le_bytes());
    head.extend_from_slice(b"\x02\0\x10\0data\0\0\0\0");
    head
}

fn base64(bytes: usize) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(vec![7; bytes])
}

fn heard(meter: &mut SocketMeter, (side, binary, bytes): &Message, size: usize) -> Heard {
    meter.begin(*side, *binary);
    bytes.chunks(size).for_each(|chunk| meter.payload(*side, chunk));
    meter.end(*side)
}

/// The reading and what each message was, neither of which may depend on where the chunks break.
fn passed(target: &str, messages: &[Message]) -> (SocketReading, Vec<Heard>) {
    let (inbound, route) = socket(target);
    let mut all = [1, 3, 7, 64, 1 << 20].map(|size| {
        let mut meter = SocketMeter::start(&route, inbound.query.as_deref());
        let heard: Vec<_> = messages
            .iter()
            .map(|message| heard(&mut meter, message, size))
            .collect();
        (meter.reading(), heard)
    });
    for other in &all[1..] {
        assert_eq!(*other, all[0]);
    }
    std::mem::take(&mut all[0])
}

fn flags(heard: &[Heard]) -> Vec<(bool, bool)> {
    heard.iter().map(|heard| (heard.asks, heard.answers)).collect()
}

#[test]
fn speech_is_counted_by_its_characters_and_its_sound() {
    let (reading, heard) = passed(
        &format!("{SPEECH}&output_format=pcm_16000"),
        &[
            up(r#"{"text":" ","voice_settings":{"text":"no"},"xi_api_key":"x"}"#),
            up(r#"{"text":"Grüße \u4e16 😀 ","flush":true}"#),
            down(format!(
                r#"{{"audio":"{}","alignment":{{"chars":["a"]}}}}"#,
                base64(32_001)
            )),
            up(r#"{"text":"Second.","context_id":"b"}"#),
            up(r#"{"text":""}"#),
            down(format!(
                r#"{{"isFinal":null,"audio":"{}"}}"#,
                base64(15_999).replace('/', "\\/")
            )),
            down(r#"{"audio":null,"isFinal":true}"#),
            down(r#"{"audio":""}"#),
        ],
    );
    assert_eq!(reading.call.model.as_deref(), Some("eleven_flash_v2_5"));
    assert_eq!(reading.call.characters, Some(10 + 7));
    assert_eq!((reading.audio_in, reading.audio_out), (None, Some(1.5)));
    assert_eq!(reading.call.audio_seconds, Some(1.5));
    assert_eq!(
        flags(&heard),
        [
            (false, false),
            (true, false),
            (false, true),
            (true, false),
            (false, false),
            (false, true),
            (false, false),
            (false, false)
        ]
    );
}

#[test]
fn formats_decide_about_seconds() {
    let audio = down(format!(r#"{{"audio":"{}"}}"#, base64(16_000)));
    for (format, seconds) in [
        ("", Some(1.0)),
        ("&output_format=mp3_44100_32", Some(4.0)),
        ("&output_format=ulaw_8000", Some(2.0)),
        ("&output_format=pcm%5F8000", Some(1.0)),
        ("&output_format=", Some(1.0)),
        ("&output_format=opus_48000_32", None),
    ] {
        let (reading, _) = passed(&format!("{SPEECH}{format}"), std::slice::from_ref(&audio));
        assert_eq!(reading.audio_out, seconds, "{format}");
    }
    let (silent, _) = passed(&format!("{SPEECH}&output_format=opus_48000_32"), &[]);
    assert_eq!((silent.audio_out, silent.call.characters), (Some(0.0), Some(0)));
}

#[test]
fn dialogue_adds_up_its_turns() {
    let (reading, heard) = passed(
        DIALOGUE,
        &[
            up(r#"{"voices":["a"],"context_id":"1"}"#),
            up(
                r#"{"inputs":[{"text":"Hi.","voice_id":"text"},{"voice_id":"b","text":"Ho!"}],"context_id":"1"}"#,
            ),
            down(format!(r#"{{"audio":"{}","context_id":"1"}}"#, base64(8000))),
        ],
    );
    assert_eq!(reading.call.characters, Some(6));
    assert_eq!(reading.call.model.as_deref(), Some("eleven_v4_turbo"));
    assert_eq!(reading.audio_out, Some(0.5));
    assert_eq!(flags(&heard), [(false, false), (true, false), (false, true)]);
}

#[test]
fn transcription_is_counted_by_what_the_caller_says() {
    let chunk = json!({"message_type": "input_audio_chunk", "audio_base_64": base64(3200), "commit": false});
    let (reading, heard) = passed(
        &format!("{REALTIME}&audio_format=pcm_16000"),
        &[
            down(r#"{"message_type":"session_started","session_id":"s","config":{"text":"x"}}"#),
            up(chunk.to_string()),
            up(chunk.to_string()),
            down(r#"{"message_type":"partial_transcript","text":"Hel"}"#),
            up(r#"{"message_type":"input_audio_chunk","audio_base_64":"","commit":true}"#),
            down(r#"{"message_type":"committed_transcript","text":""}"#),
        ],
    );
    assert_eq!(reading.audio_in, Some(0.2));
    assert_eq!(reading.call.audio_seconds, Some(0.2));
    assert_eq!((reading.audio_out, reading.call.characters), (None, None));
    assert_eq!(
        flags(&heard),
        [
            (false, false),
            (true, false),
            (true, false),
            (false, true),
            (false, false),
            (false, false)
        ]
    );
}

#[test]
fn many_small_pieces_of_base64_are_as_long_as_one() {
    let small: Vec<_> = (0..1000)
        .map(|_| up(r#"{"audio_base_64":"AAE=","message_type":"input_audio_chunk"}"#))
        .collect();
    let (reading, _) = passed(REALTIME, &small);
    assert_eq!(reading.audio_in, Some(2000.0 / 32_000.0));
}

#[test]
fn markup_is_counted_as_over_http() {
    let context = r#"{"synthesis":{"audio":{"outputFormat":"raw-16khz-16bit-mono-pcm"}}}"#;
    let ssml = |voice: &str, text: &str| format!("<speak><voice name='{voice}'>{text}</voice></speak>");
    let (reading, heard) = passed(
        SYNTHESIS,
        &[
            up(text("speech.config", "A", r#"{"context":{"text":"not spoken"}}"#)),
            up(text("synthesis.context", "A", context)),
            up(text("SSML", "A", &ssml("en-US-AvaNeural", "Hi 你好"))),
            down(text("turn.start", "A", r#"{"context":{}}"#)),
            binary(down(sound("A", "audio/x-wav", &[0; 32_000]))),
            binary(down(sound("A", "audio/x-wav", &[0; 16_000]))),
            down(text("audio.metadata", "A", r#"{"Metadata":[{"text":"Hi"}]}"#)),
            down(text("turn.end", "A", "{}")),
            up(text("ssml", "B", &ssml("en-US-Ava:DragonHDLatestNeural", "Bye"))),
            binary(down(sound("B", "", &[0; 16_000]))),
        ],
    );
    assert_eq!(reading.call.characters, Some(3 + 4 + 3));
    assert_eq!(reading.call.model.as_deref(), Some("hd"));
    assert_eq!(reading.audio_out, Some(2.0));
    assert_eq!(reading.audio_in, None);
    let asking: Vec<_> = (0..heard.len()).filter(|nth| heard[*nth].asks).collect();
    let answering: Vec<_> = (0..heard.len()).filter(|nth| heard[*nth].answers).collect();
    assert_eq!((asking, answering), (vec![2, 8], vec![4, 5, 9]));
}

#[test]
fn text_that_is_streamed_in_is_counted_piece_by_piece() {
    let context = r#"{"synthesis":{"audio":{"outputFormat":"audio-24khz-96kbitrate-mono-mp3"},
        "input":{"bidirectionalStreamingMode":true,"voiceName":"en-us-Jasper:MAI-Voice-1"}}}"#;
    let (reading, heard) = passed(
        SYNTHESIS,
        &[
            up(text("synthesis.context", "A", context)),
            up(text("text.piece", "A", "Grüße & <b> ")),
            up(text("text.piece", "A", "你好")),
            up(text("text.piece", "A", " \n")),
            up(text("text.end", "A", "")),
            binary(down(sound("A", "audio/mpeg", &[0; 6_000]))),
        ],
    );
    assert_eq!(reading.call.characters, Some(12 + 4));
    assert_eq!(reading.call.model.as_deref(), Some("hd"));
    assert_eq!(reading.audio_out, Some(0.5));
    let asks: Vec<_> = heard.iter().map(|heard| heard.asks).collect();
    assert_eq!(asks, [false, true, true, false, false, false]);
}

#[test]
fn a_head_before_the_samples_is_no_sound() {
    let riff = r#"{"synthesis":{"audio":{"outputFormat":"riff-24khz-16bit-mono-pcm"}}}"#;
    let with_head = [wave_head(48_000), vec![0; 48_000]].concat();
    for messages in [
        vec![sound("A", "", &with_head)],
        vec![sound("A", "", &wave_head(48_000)), sound("A", "", &[0; 48_000])],
        vec![sound("A", "", &with_head[..30]), sound("A", "", &with_head[30..])],
        vec![
            sound("A", "audio/x-wav", &with_head[..24_044]),
            sound("B", "", &with_head[..24_044]),
        ],
    ] {
        let mut all = vec![up(text("synthesis.context", "A", riff))];
        all.extend(messages.into_iter().map(|message| binary(down(message))));
        assert_eq!(passed(SYNTHESIS, &all).0.audio_out, Some(1.0));
    }
}

#[test]
fn sound_without_a_constant_rate_has_no_known_length() {
    for context in [
        r#"{"synthesis":{"audio":{"outputFormat":"ogg-24khz-16bit-mono-opus"}}}"#,
        "{}",
    ] {
        let mut all = vec![up(text("synthesis.context", "A", context))];
        let (reading, _) = passed(SYNTHESIS, &all);
        assert_eq!(reading.audio_out, Some(0.0), "nothing came");
        all.push(binary(down(sound("A", "", &[1; 99]))));
        assert_eq!(passed(SYNTHESIS, &all).0.audio_out, None, "{context}");
    }
}

#[test]
fn recognition_is_counted_by_the_head_or_the_type_of_its_sound() {
    let one = |content_type: &str, body: &[u8]| binary(up(sound("A", content_type, body)));
    let rest = |body: &[u8]| binary(up(sound("A", "", body)));
    let next = |content_type: &str, body: &[u8]| binary(up(sound("B", content_type, body)));
    for (messages, seconds) in [
        // As the JavaScript SDK: a head by itself, then samples, then nothing.
        (
            vec![
                one("audio/x-wav", &wave_head(16_000)),
                rest(&[0; 8000]),
                rest(&[]),
            ],
            Some(0.5),
        ),
        (
            vec![one("", &[wave_head(32_000), vec![0; 3200]].concat())],
            Some(0.1),
        ),
        // Another turn brings its own head.
        (
            vec![
                one("audio/x-wav", &wave_head(16_000)),
                rest(&[0; 8000]),
                next("audio/x-wav", &wave_head(32_000)),
                binary(up(sound("B", "", &[0; 32_000]))),
            ],
            Some(1.5),
        ),
        // The same head again, in the same turn.
        (
            vec![
                one("audio/x-wav", &wave_head(16_000)),
                rest(&[0; 8000]),
                one("audio/x-wav", &wave_head(16_000)),
                rest(&[0; 8000]),
            ],
            Some(1.0),
        ),
        // A type in every message is no new head.
        (
            vec![
                one("audio/x-wav", &[wave_head(16_000), vec![0; 8000]].concat()),
                one("audio/x-wav", &[0; 8000]),
            ],
            Some(1.0),
        ),
        (vec![rest(&[0; 32_000])], Some(1.0)),
        (
            vec![one(
                "audio/x-wav; codecs=audio/pcm; samplerate=8000",
                &[0; 32_000],
            )],
            Some(2.0),
        ),
        (vec![one("audio/ogg; codecs=opus", &[0; 100])], None),
        (vec![one("", &[0; 32_000]), next("audio/ogg", &[0; 100])], None),
        (vec![], Some(0.0)),
    ] {
        let (reading, heard) = passed(RECOGNITION, &messages);
        assert_eq!(reading.audio_in, seconds, "{messages:?}");
        assert_eq!(reading.call.model.as_deref(), Some("realtime"));
        assert_eq!(heard.iter().any(|heard| heard.asks), !messages.is_empty());
    }
}

#[test]
fn recognised_speech_answers() {
    let (_, heard) = passed(
        RECOGNITION,
        &[
            up(text("speech.config", "A", "{}")),
            down(text("turn.start", "A", "{}")),
            down(text("speech.hypothesis", "A", r#"{"Text":"hel","Offset":1}"#)),
            down(text("speech.phrase", "A", r#"{"RecognitionStatus":"NoMatch"}"#)),
            down(text(
                "speech.phrase",
                "A",
                r#"{"RecognitionStatus":"Success","DisplayText":"Hello."}"#,
            )),
            down(text(
                "Speech.Phrase",
                "A",
                r#"{"RecognitionStatus":"Success","NBest":[{"Display":"Hello."}]}"#,
            )),
        ],
    );
    let answers: Vec<_> = heard.iter().map(|heard| heard.answers).collect();
    assert_eq!(answers, [false, false, true, false, true, true]);
}

#[test]
fn conversation_is_counted_in_either_spelling_and_either_kind_of_frame() {
    let camel = [
        up(json!({"setup": {"model": "models/gemini-3.8-live", "systemInstruction": {"parts": [{"text": "Be brief."}]}}})
            .to_string()),
        down(r#"{"setupComplete":{}}"#),
        up(json!({"realtimeInput": {"audio": {"data": base64(32_000), "mimeType": "audio/pcm;rate=16000"}}}).to_string()),
        up(json!({"realtimeInput": {"audio": {"data": base64(16_000), "mimeType": "Audio/PCM; rate=8000; x=y"}}}).to_string()),
        up(json!({"realtimeInput": {"mediaChunks": [{"data": base64(999), "mimeType": "image/jpeg"}]}}).to_string()),
        up(json!({"realtimeInput": {"mediaChunks": [{"data": base64(16_000), "mimeType": "audio/pcm"}]}}).to_string()),
        up(json!({"clientContent": {"turns": [{"role": "user", "parts": [{"text": "Hi!"}]}], "turnComplete": true}}).to_string()),
        down(json!({"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": base64(48_000), "mimeType": "audio/pcm;rate=24000"}}]}}}).to_string()),
        down(json!({"serverContent": {"inputTranscription": {"text": "Hello"}}}).to_string()),
        down(json!({"serverContent": {"turnComplete": true}, "usageMetadata": {"promptTokenCount": 40, "responseTokenCount": 25}}).to_string()),
        down(json!({"usageMetadata": {"promptTokenCount": 2, "responseTokenCount": 5}}).to_string()),
    ];
    let snake = |text: &[u8]| {
        let mut text = String::from_utf8(text.to_vec()).unwrap();
        for (camel, snake) in [
            ("realtimeInput", "realtime_input"),
            ("mediaChunks", "media_chunks"),
            ("clientContent", "client_content"),
            ("serverContent", "server_content"),
            ("modelTurn", "model_turn"),
            ("inlineData", "inline_data"),
            ("mimeType", "mime_type"),
            ("inputTranscription", "input_transcription"),
            ("usageMetadata", "usage_metadata"),
            ("promptTokenCount", "prompt_token_count"),
            ("responseTokenCount", "response_token_count"),
        ] {
            text = text.replace(camel, snake);
        }
        text.into_bytes()
    };
    let snake: Vec<_> = camel
        .iter()
        .map(|(side, _, bytes)| (*side, true, snake(bytes)))
        .collect();
    for messages in [&camel[..], &snake] {
        let (reading, heard) = passed(LIVE, messages);
        assert_eq!(reading.audio_in, Some(1.0 + 1.0 + 0.5));
        assert_eq!(reading.audio_out, Some(1.0));
        assert_eq!(reading.call.audio_seconds, reading.audio_in);
        assert_eq!(reading.call.characters, Some(3));
        assert_eq!(
            (reading.call.tokens_in, reading.call.tokens_out),
            (Some(42), Some(30))
        );
        assert_eq!(reading.call.model, None, "decided elsewhere");
        let flags: Vec<_> = heard.iter().map(|heard| (heard.asks, heard.answers)).collect();
        let asking: Vec<_> = (0..flags.len()).filter(|nth| flags[*nth].0).collect();
        let answering: Vec<_> = (0..flags.len()).filter(|nth| flags[*nth].1).collect();
        assert_eq!((asking, answering), (vec![2, 3, 5, 6], vec![7, 8]));
    }
}

#[test]
fn what_is_decided_elsewhere_stands_over_what_is_read() {
    let (inbound, route) = socket(SPEECH);
    let mut meter = SocketMeter::start(&route, inbound.query.as_deref());
    meter.decided("other");
    assert_eq!(meter.reading().call.model.as_deref(), Some("other"));
    let (_, route) = socket(LIVE);
    let mut live = SocketMeter::start(&route, None);
    live.decided("gemini-3.8-live");
    assert_eq!(live.reading().call.model.as_deref(), Some("gemini-3.8-live"));
}

#[test]
fn a_model_that_nobody_names_is_the_default() {
    for (target, model) in [
        (
            "/elevenlabs/v1/text-to-speech/v/stream-input",
            "eleven_multilingual_v2",
        ),
        (
            "/elevenlabs/v1/text-to-dialogue/stream-input?model_id=",
            "eleven_v3",
        ),
        ("/elevenlabs/v1/speech-to-text/realtime", "scribe_v2_realtime"),
        (SYNTHESIS, "neural"),
        (RECOGNITION, "realtime"),
    ] {
        assert_eq!(
            passed(target, &[]).0.call.model.as_deref(),
            Some(model),
            "{target}"
        );
    }
}

#[test]
fn a_refusal_may_be_a_message() {
    for (target, message, verdict) in [
        (
            REALTIME,
            r#"{"message_type":"auth_error","error":"Wrong."}"#,
            Some(Verdict::Invalid),
        ),
        (
            REALTIME,
            r#"{"message_type":"error","error_type":"auth_error","error":"Wrong."}"#,
            Some(Verdict::Invalid),
        ),
        (
            REALTIME,
            r#"{"message_type":"quota_exceeded","error":"You have exceeded your quota."}"#,
            Some(Verdict::Quota),
        ),
        (
            REALTIME,
            r#"{"message_type":"rate_limited","error":"x"}"#,
            Some(Verdict::RateLimited),
        ),
        (
            REALTIME,
            r#"{"message_type":"queue_overflow","error":"x"}"#,
            Some(Verdict::RateLimited),
        ),
        (
            REALTIME,
            r#"{"message_type":"resource_exhausted","error":"x"}"#,
            Some(Verdict::RateLimited),
        ),
        (
            REALTIME,
            r#"{"message_type":"unaccepted_terms","error":"x"}"#,
            Some(Verdict::Restricted),
        ),
        (
            REALTIME,
            r#"{"message_type":"input_error","error":"the key auth_error invalid_api_key"}"#,
            None,
        ),
        (
            REALTIME,
            r#"{"message_type":"partial_transcript","text":"auth_error"}"#,
            None,
        ),
        (
            DIALOGUE,
            r#"{"message":"x","error":"invalid_api_key","code":1008}"#,
            Some(Verdict::Invalid),
        ),
        (
            DIALOGUE,
            r#"{"message":"x","error":"quota_exceeded","code":1008,"param":null}"#,
            Some(Verdict::Quota),
        ),
        (
            DIALOGUE,
            r#"{"message":"x","error":"authentication_required","code":1008}"#,
            None,
        ),
        (
            DIALOGUE,
            r#"{"message":"invalid_api_key","error":"input_error","param":"auth_error"}"#,
            None,
        ),
        (DIALOGUE, r#"{"error":"invalid_api_key"#, None),
        (DIALOGUE, r#"{"x":{"error":"invalid_api_key"}}"#, None),
        (
            LIVE,
            r#"{"error":"invalid_api_key","message_type":"auth_error"}"#,
            None,
        ),
    ] {
        let (_, heard) = passed(target, &[down(message)]);
        let judged = heard[0].judged.as_ref();
        assert_eq!(judged.map(|judged| judged.verdict), verdict, "{target} {message}");
        assert!(judged.is_none_or(|judged| judged.says.ends_with('.')));
        let (_, own) = passed(target, &[up(message)]);
        assert_eq!(own[0].judged, None, "a caller has no say: {message}");
    }
    for (status, verdict) in [
        ("Forbidden", Some(Verdict::Quota)),
        ("TooManyRequests", Some(Verdict::RateLimited)),
        ("Error", None),
        ("Success", None),
    ] {
        let phrase = text(
            "speech.phrase",
            "A",
            &format!(r#"{{"RecognitionStatus":"{status}"}}"#),
        );
        let (_, heard) = passed(RECOGNITION, &[down(phrase)]);
        assert_eq!(
            heard[0].judged.as_ref().map(|judged| judged.verdict),
            verdict,
            "{status}"
        );
    }
}

#[test]
fn a_refusal_is_said_once() {
    let (_, heard) = passed(
        REALTIME,
        &[
            down(r#"{"message_type":"auth_error","error":"x"}"#),
            down(r#"{"message_type":"session_started"}"#),
        ],
    );
    assert!(heard[0].judged.is_some() && heard[1].judged.is_none());
}

#[test]
fn sockets_of_the_three_are_read_and_others_pass() {
    for provider in PROVIDERS.iter() {
        let sockets = provider
            .endpoints
            .iter()
            .filter(|endpoint| endpoint.method == EndpointMethod::WebSocket);
        for endpoint in sockets {
            let described = ["elevenlabs", "azure", "gemini"].contains(&provider.id.as_str());
            assert_eq!(
                endpoint.socket.is_read(),
                described,
                "{} {}",
                provider.id,
                endpoint.path.as_str()
            );
        }
    }
    let (_, route) = socket("/deepgram/v1/listen");
    let meter = SocketMeter::start(&route, None);
    assert!(!meter.reads(Side::Caller) && !meter.reads(Side::Provider));
    assert_eq!(meter.reading(), SocketReading::default());
    let (_, route) = socket(SPEECH);
    let meter = SocketMeter::start(&route, None);
    assert!(meter.reads(Side::Caller) && meter.reads(Side::Provider));
}

/// Messages that resemble real ones, cut off, garbled or of the wrong kind.
fn messages() -> impl Strategy<Value = Vec<(bool, bool, Vec<u8>)>> {
    let real = prop_oneof![
        Just(r#"{"text":"Hello 😀 ","audio_base_64":"AAAA","audio":"AAA="}"#.into()),
        Just(br#"{"realtimeInput":{"audio":{"data":"AAAAAAA","mimeType":"audio/pcm;rate=16000"}}}"#.to_vec()),
        Just(br#"{"usageMetadata":{"promptTokenCount":1e400,"responseTokenCount":-3}}"#.to_vec()),
        Just(text(
            "ssml",
            "A",
            "<speak><voice name='x'>a&amp;b</voice></speak>"
        )),
        Just(text("text.piece", "A", "Grüße")),
        Just(sound("A", "", &[7; 70])),
        Just(sound(
            "B",
            "audio/x-wav",
            &[wave_head(16_000), vec![7; 30]].concat()
        )),
        prop::collection::vec(any::<u8>(), 0..120),
    ];
    let cut = (real, any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut bytes, at, mode)| {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            match mode % 4 {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << (mode >> 5),
                _ => {}
            }
        }
        bytes
    });
    prop::collection::vec((any::<bool>(), any::<bool>(), cut), 0..12)
}

proptest! {
    #[test]
    fn any_messages_are_borne_and_read_alike_however_cut(messages in messages(), sizes in prop::collection::vec(1usize..50, 1..8)) {
        for target in [SPEECH, REALTIME, SYNTHESIS, RECOGNITION, LIVE] {
            let (inbound, route) = socket(target);
            let mut whole = SocketMeter::start(&route, inbound.query.as_deref());
            let mut cut = SocketMeter::start(&route, inbound.query.as_deref());
            let mut size = sizes.iter().cycle();
            for (up, binary, bytes) in &messages {
                let side = if *up { Side::Caller } else { Side::Provider };
                let expected = heard(&mut whole, &(side, *binary, bytes.clone()), usize::MAX);
                cut.begin(side, *binary);
                let mut rest = bytes.as_slice();
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at((*size.next().unwrap()).min(rest.len()));
                    cut.payload(side, piece);
                    rest = after;
                }
                prop_assert_eq!(cut.end(side), expected);
                prop_assert_eq!(cut.reading(), whole.reading());
            }
        }
    }
}
