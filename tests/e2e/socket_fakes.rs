//! The strict providers' WebSockets by themselves: what they say can be listened to, and they complain of whatever their
//! documents do not allow.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::fakes::seen::Side;
use crate::fakes::sockets::gemini_live;
use crate::fakes::voice::{self, Form};
use crate::fakes::{Behaviour, Ending, Fake, Kind, azure, elevenlabs};
use crate::harness::dial::Dial;
use crate::harness::direct::KEY;
use crate::harness::realtime::{PHRASES, two_phrases};
use crate::harness::socket::{Received, Socket, sound};
use crate::harness::unified::{HEARD, WORDS};
use crate::harness::{sound, talk};

/// A fake that knows one key and expects what the gateway sends.
async fn fake(kind: Kind) -> Arc<Fake> {
    let fake = Fake::start_strict(kind).await;
    fake.treat(KEY, Behaviour::Normal);
    fake
}

fn dial(fake: &Fake, path: &str) -> Dial {
    Dial::to(&format!("{}{path}", fake.url)).header(fake.kind.key_header(), KEY)
}

fn azure_dial(fake: &Fake, path: &str) -> Dial {
    dial(fake, path).header("X-ConnectionId", "0123456789ABCDEF0123456789ABCDEF")
}

#[track_caller]
fn content(fake: &Fake) {
    assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
}

#[track_caller]
fn complains(fake: &Fake, of: &str) {
    let complaints = fake.complaints();
    assert!(
        complaints.iter().any(|complaint| complaint.contains(of)),
        "{of}: {complaints:?}"
    );
}

async fn heard(samples: &[u8]) -> String {
    sound::heard("pcm", samples).await.text()
}

#[tokio::test]
async fn elevenlabs_speaks_text_that_comes_in_pieces() {
    let fake = fake(Kind::ElevenLabs).await;
    let mut socket = dial(&fake, &talk::speech()).open().await;
    socket.send_json(&talk::blank()).await;
    for piece in ["One two ", "three ", "four five."] {
        socket.send_json(&talk::text(piece)).await;
    }
    socket.send_json(&talk::text("")).await;
    let mut characters = String::new();
    let mut samples = Vec::new();
    loop {
        let piece = socket.json().await;
        if piece["isFinal"] == true {
            break;
        }
        samples.extend_from_slice(&sound(&piece["audio"]));
        let times = &piece["alignment"];
        let chars = times["chars"].as_array().expect("characters");
        assert_eq!(
            Some(chars.len()),
            times["charStartTimesMs"].as_array().map(Vec::len)
        );
        characters.extend(chars.iter().filter_map(Value::as_str));
    }
    assert_eq!(
        (characters.as_str(), heard(&samples).await.as_str()),
        (WORDS, HEARD)
    );
    socket.closed().await.is(1000, "");
    content(&fake);
    let seen = fake
        .until(KEY, "it ended", |call| call.ending == Ending::Complete)
        .await;
    let seen = seen.socket.expect("it was upgraded");
    assert_eq!((seen.spoken, seen.heard), (vec![WORDS.to_owned()], 5));
    assert_eq!(
        seen.closed.map(|closed| (closed.code, closed.by)),
        Some((Some(1000), Side::Provider))
    );
}

#[tokio::test]
async fn elevenlabs_keeps_contexts_apart() {
    let fake = fake(Kind::ElevenLabs).await;
    let path = talk::speech_path("multi-stream-input", "output_format=pcm_24000");
    let mut socket = dial(&fake, &path).open().await;
    let said = [("a", PHRASES[0]), ("b", PHRASES[1])];
    for (context, text) in said {
        socket
            .send_json(&json!({"text": " ", "context_id": context}))
            .await;
        socket
            .send_json(&json!({"text": text, "context_id": context}))
            .await;
    }
    for (context, text) in said {
        socket
            .send_json(&json!({"context_id": context, "close_context": true}))
            .await;
        let mut samples = Vec::new();
        loop {
            let piece = socket.json().await;
            assert_eq!(piece["contextId"], context);
            if piece["isFinal"] == true {
                break;
            }
            samples.extend_from_slice(&sound(&piece["audio"]));
        }
        assert_eq!(heard(&samples).await, text);
    }
    socket.send_json(&json!({"close_socket": true})).await;
    socket.closed().await.is(1000, "");
    content(&fake);
}

#[tokio::test]
async fn elevenlabs_complains_of_what_its_sockets_do_not_take() {
    let multi = talk::speech_path("multi-stream-input", "output_format=pcm_24000");
    let token = format!("vxg_{}", "a".repeat(36));
    let cases: Vec<(&str, Vec<Value>, &str)> = vec![
        (
            "single",
            vec![json!({"text": " ", "xi_api_key": "x"})],
            "the field xi_api_key",
        ),
        ("single", vec![json!({"text": "no blank"})], "a blank space"),
        (
            "single",
            vec![talk::blank(), json!({"text": "x", "flushed": true})],
            "flushed",
        ),
        (
            "single",
            vec![talk::blank(), json!({ "text": token })],
            "a token arrived",
        ),
        (
            "multi",
            vec![
                json!({"text": " "}),
                json!({"text": "x", "context_id": "b", "xi-api-key": "x"}),
            ],
            "the field xi-api-key",
        ),
        (
            "multi",
            vec![json!({"text": " "}), json!({"text": "x", "voice_settings": {}})],
            "first message",
        ),
    ];
    for (kind, messages, complaint) in cases {
        let fake = fake(Kind::ElevenLabs).await;
        let path = if kind == "multi" {
            multi.clone()
        } else {
            talk::speech()
        };
        let mut socket = dial(&fake, &path).open().await;
        for message in &messages {
            socket.send_json(message).await;
        }
        socket.close(1000, "").await;
        complains(&fake, complaint);
    }
    let fake = fake(Kind::ElevenLabs).await;
    let mut socket = dial(&fake, &talk::speech()).open().await;
    socket.send_bytes(b"{\"text\": \" \"}").await;
    assert_eq!(socket.closed().await.code, Some(1003));
    complains(&fake, "text frame");
}

#[tokio::test]
async fn heads_of_sockets_are_checked() {
    for (header, value, complaint) in [
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate",
            "extensions are offered",
        ),
        (
            "Sec-WebSocket-Protocol",
            "voxgate, USP",
            "a subprotocol of the gateway's",
        ),
        ("Authorization", "Bearer x", "a credential header"),
        ("Via", "1.1 gateway", "a header of the gateway's"),
    ] {
        let fake = fake(Kind::ElevenLabs).await;
        dial(&fake, &talk::speech()).header(header, value).open().await;
        complains(&fake, complaint);
    }
    for (path, complaint) in [
        (talk::speech() + "&flush=true", "no such parameter: flush"),
        (
            talk::speech() + "&sync_alignment=yes",
            "sync_alignment cannot be yes",
        ),
        (talk::speech() + "&token=x", "a credential parameter"),
    ] {
        let fake = fake(Kind::ElevenLabs).await;
        dial(&fake, &path).open().await;
        complains(&fake, complaint);
    }
    let fake = fake(Kind::ElevenLabs).await;
    assert_eq!(dial(&fake, "/v1/nowhere").refused().await.head.status, 404);
    complains(&fake, "there is no WebSocket");
}

#[tokio::test]
async fn elevenlabs_refuses_in_silence_what_only_callers_get_wrong() {
    let fake = fake(Kind::ElevenLabs).await;
    let path = talk::speech_path("stream-input", "model_id=eleven_v4");
    assert_eq!(dial(&fake, &path).refused().await.head.status, 403);
    let path = talk::speech().replace(elevenlabs::VOICE, "nobody");
    let mut socket = dial(&fake, &path).open().await;
    socket.send_json(&talk::blank()).await;
    socket
        .closed()
        .await
        .is(1008, "A voice with this voice_id does not exist.");
    let unknown = Dial::to(&format!("{}{}", fake.url, talk::speech())).header("xi-api-key", "unknown");
    unknown.open().await.closed().await.is(1008, "Invalid API key");
    let path = talk::speech_path("stream-input", "inactivity_timeout=1");
    let close = dial(&fake, &path).open().await.closed().await;
    assert!(close.reason.contains("within the timeout"), "{close:?}");
    content(&fake);
}

#[tokio::test]
async fn elevenlabs_holds_dialogues() {
    let fake = fake(Kind::ElevenLabs).await;
    let query = "model_id=eleven_v4&output_format=pcm_24000";
    for (kind, context) in [("stream-input", None), ("multi-stream-input", Some("a"))] {
        let mut socket = dial(&fake, &format!("/v1/text-to-dialogue/{kind}?{query}"))
            .open()
            .await;
        let voices = [elevenlabs::VOICE, "pNInz6obpgDQGcFmaJgB"];
        let mut first = json!({"voices": voices});
        let mut lines = json!({"flush": true, "inputs": [
            {"text": PHRASES[0], "voice_id": voices[0]}, {"text": PHRASES[1], "voice_id": voices[1], "new_turn": true},
        ]});
        if let Some(context) = context {
            first["context_id"] = json!(context);
            lines["context_id"] = json!(context);
        }
        socket.send_json(&first).await;
        socket.send_json(&lines).await;
        let mut turns = vec![Vec::new()];
        while turns.len() < 3 {
            let answer = socket.json().await;
            assert_eq!(answer["context_id"].as_str(), context);
            match answer["is_final_audio_for_turn"] == true {
                true => turns.push(Vec::new()),
                false => turns
                    .last_mut()
                    .unwrap()
                    .extend_from_slice(&sound(&answer["audio"])),
            }
        }
        assert_eq!(
            (heard(&turns[0]).await, heard(&turns[1]).await),
            (PHRASES[0].into(), PHRASES[1].into())
        );
        socket.send_json(&json!({"close_socket": true})).await;
        assert_eq!(socket.json().await["is_final"], true);
        socket.closed().await.is(1000, "");
    }
    content(&fake);

    let mut socket = dial(&fake, &format!("/v1/text-to-dialogue/stream-input?{query}"))
        .open()
        .await;
    socket.send_json(&json!({"voices": ["nobody"]})).await;
    assert_eq!(socket.json().await["error"], "voice_not_found");
    socket.closed().await.is(1008, "voice_not_found");
    content(&fake);
    let mut socket = dial(&fake, &format!("/v1/text-to-dialogue/stream-input?{query}"))
        .open()
        .await;
    socket.send_json(&json!({"inputs": []})).await;
    socket.closed().await.is(1008, "invalid_message");
    complains(&fake, "voices belong to");
}

#[tokio::test]
async fn elevenlabs_transcribes_in_both_codecs() {
    let fake = fake(Kind::ElevenLabs).await;
    let recording = two_phrases().await;
    let mut socket = dial(&fake, &(talk::REALTIME.to_owned() + "&commit_strategy=vad"))
        .open()
        .await;
    assert_eq!(socket.json().await["message_type"], "session_started");
    for samples in recording[44..].chunks(16_000) {
        socket.send_json(&talk::chunk(samples, false)).await;
    }
    for phrase in PHRASES {
        let committed = |message: &Value| message["message_type"] == "committed_transcript";
        assert_eq!(socket.json_where(committed).await["text"], phrase);
    }
    socket.close(1000, "User ended conversation").await;
    content(&fake);
    let seen = fake
        .until(KEY, "it ended", |call| call.ending == Ending::Complete)
        .await;
    assert_eq!(seen.socket.expect("it was upgraded").made_out, PHRASES);

    let ulaw = voice::speak(PHRASES[1], 1.0, Form::Ulaw.at(8_000)).await;
    let path = talk::REALTIME.replace("pcm_16000", "ulaw_8000");
    let mut socket = dial(&fake, &path).open().await;
    let mut chunk = talk::chunk(&ulaw, true);
    chunk["sample_rate"] = json!(8_000);
    socket.send_json(&chunk).await;
    let committed = socket.json_where(|message| message["message_type"] == "committed_transcript");
    assert_eq!(committed.await["text"], PHRASES[1]);
    content(&fake);
    socket.send_json(&talk::chunk(&ulaw, true)).await;
    assert_eq!(
        socket.json_where(|message| !message["error"].is_null()).await["message_type"],
        "input_error"
    );
    complains(&fake, "sample_rate");
}

#[tokio::test]
async fn azure_speaks_in_turns() {
    let fake = fake(Kind::AzureTts).await;
    let mut socket = azure_dial(&fake, talk::AZURE_SPEECH)
        .header("Sec-WebSocket-Protocol", "USP")
        .open()
        .await;
    assert_eq!(socket.head.header("sec-websocket-protocol"), Some("USP"));
    socket.send_text(&talk::usp_config()).await;
    for _ in 0..2 {
        socket.send_text(&talk::usp_synthesis()).await;
        socket.send_text(&talk::usp_ssml(WORDS)).await;
        let turn = socket.turn().await;
        let paths: Vec<&str> = turn.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths[..4], ["turn.start", "response", "audio", "audio.metadata"]);
        let audio = turn.iter().filter(|(path, _)| path == "audio");
        let samples: Vec<u8> = audio.flat_map(|(_, body)| body.clone()).collect();
        assert_eq!(heard(&samples).await, HEARD);
    }
    content(&fake);
    socket.send_text(&talk::usp_ssml(WORDS)).await;
    assert_eq!(socket.closed().await.code, Some(1002));
    complains(&fake, "ssml comes after");

    let fake = self::fake(Kind::AzureTts).await;
    let mut socket = azure_dial(&fake, talk::AZURE_SPEECH).open().await;
    assert_eq!(socket.head.header("sec-websocket-protocol"), None);
    socket.send_text(&talk::usp_config()).await;
    socket.send_text(&talk::usp_synthesis()).await;
    let ssml = talk::usp_ssml(WORDS).replace(azure::VOICE, "en-US-NobodyNeural");
    socket.send_text(&ssml).await;
    socket
        .closed()
        .await
        .is(1007, "Unsupported voice en-US-NobodyNeural.");
    content(&fake);
    let unknown =
        Dial::to(&format!("{}{}", fake.url, talk::AZURE_SPEECH)).header("X-ConnectionId", &"a".repeat(32));
    assert_eq!(unknown.refused().await.head.status, 401);
}

#[tokio::test]
async fn azure_recognises_phrase_by_phrase() {
    let fake = fake(Kind::AzureStt).await;
    let recording = two_phrases().await;
    for (path, phrases) in [
        ("/stt/speech/universal/v2", &PHRASES[..]),
        (
            "/speech/recognition/conversation/cognitiveservices/v1?language=en-US&format=detailed",
            &PHRASES[..],
        ),
        (
            "/speech/recognition/interactive/cognitiveservices/v1?language=en-US",
            &PHRASES[..1],
        ),
    ] {
        let mut socket = azure_dial(&fake, path).open().await;
        socket.send_text(&talk::usp_config()).await;
        let (head, samples) = recording.split_at(44);
        socket.send_bytes(&talk::usp_audio(head)).await;
        for samples in samples.chunks(6_400) {
            socket.send_bytes(&talk::usp_audio(samples)).await;
        }
        socket.send_bytes(&talk::usp_audio(&[])).await;
        let turn = socket.turn().await;
        assert_eq!(turn[1].0, "speech.startDetected", "{path}");
        let told = turn.iter().filter(|(path, _)| path == "speech.phrase");
        let told: Vec<Value> = told
            .map(|(_, body)| serde_json::from_slice(body).expect("JSON"))
            .collect();
        let texts: Vec<&Value> = told.iter().map(|phrase| &phrase["DisplayText"]).collect();
        assert_eq!(json!(texts), json!(phrases), "{path}");
        assert_eq!(
            told[0]["NBest"][0]["Display"] == phrases[0],
            path.contains("detailed"),
            "{path}"
        );
        socket.close(1000, "").await;
    }
    content(&fake);
    let mut socket = azure_dial(&fake, talk::AZURE_RECOGNITION).open().await;
    socket.send_text(&talk::usp_config()).await;
    socket.send_bytes(&talk::usp_audio(b"no WAV")).await;
    assert_eq!(socket.closed().await.code, Some(1007));
    complains(&fake, "WAV head");
}

#[tokio::test]
async fn gemini_takes_json_in_either_frame_and_either_spelling() {
    let fake = fake(Kind::Gemini).await;
    let mut socket = dial(&fake, talk::GEMINI_LIVE).open().await;
    let setup = talk::gemini_setup(gemini_live::CONVERSES).to_string();
    let setup = setup.replace("responseModalities", "response_modalities");
    socket.send_bytes(setup.as_bytes()).await;
    let first = socket.message().await;
    assert_eq!(
        first,
        Received::Bytes(br#"{"setupComplete":{}}"#.to_vec()),
        "JSON in bytes"
    );
    socket.send_json(&talk::gemini_turn(WORDS)).await;
    assert_eq!(heard(&socket.gemini_sound().await).await, HEARD);
    socket.close(1000, "").await;
    content(&fake);
}

#[tokio::test]
async fn gemini_refuses_in_its_own_ways() {
    let fake = fake(Kind::Gemini).await;
    let closes = async |socket: &mut Socket, message: Value| {
        socket.send_json(&message).await;
    };
    let mut socket = dial(&fake, talk::GEMINI_LIVE).open().await;
    closes(&mut socket, talk::gemini_setup("gemini-3.8-flash")).await;
    let close = socket.closed().await;
    assert!(
        close.code == Some(1008) && close.reason.contains("is not found"),
        "{close:?}"
    );
    let unknown = Dial::to(&format!("{}{}", fake.url, talk::GEMINI_LIVE)).header("x-goog-api-key", "unknown");
    let mut socket = unknown.open().await;
    closes(&mut socket, talk::gemini_setup(gemini_live::CONVERSES)).await;
    socket.closed().await.is(1007, gemini_live::BAD_KEY);
    content(&fake);

    let mut socket = dial(&fake, talk::GEMINI_LIVE).open().await;
    closes(&mut socket, talk::gemini_turn("too early")).await;
    assert_eq!(socket.closed().await.code, Some(1007));
    complains(&fake, "the first message is a setup");
}
