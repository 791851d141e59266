//! The strict fakes of OpenAI's dialect, Deepgram and Cartesia by themselves.

use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::fakes::Kind;
use crate::fakes::strict::{cartesia, openai};
use crate::harness::direct::Direct;
use crate::harness::sound;
use crate::harness::unified::{HEARD, WORDS, recording};

#[tokio::test]
async fn the_openai_dialect_is_spoken_by_three() {
    let recording = recording().await;
    for (kind, prefix, speaks_with, format, listens_with) in [
        (Kind::OpenAi, "/v1", "gpt-4o-mini-tts", "aac", "whisper-1"),
        (
            Kind::Groq,
            "/openai/v1",
            "canopylabs/orpheus-v1-english",
            "wav",
            "whisper-large-v3",
        ),
        (
            Kind::OwnServer,
            "/v1",
            "kokoro",
            "opus",
            "Systran/faster-whisper-small",
        ),
    ] {
        let direct = Direct::to(kind).await;
        let body = json!({"model": speaks_with, "voice": "alloy", "input": WORDS, "response_format": format});
        let spoken = direct
            .taken(direct.post(&format!("{prefix}/audio/speech")).json(&body))
            .await;
        assert_eq!(sound::heard(format, &spoken).await.text(), HEARD, "{kind:?}");
        let parts = [
            ("model", None, listens_with.as_bytes()),
            ("response_format", None, b"verbose_json"),
            ("timestamp_granularities[]", None, b"word"),
            ("file", Some("audio/wav"), &recording),
        ];
        let answer = direct
            .transcript(direct.form(&format!("{prefix}/audio/transcriptions"), &parts))
            .await;
        assert_eq!(
            (&answer["text"], &answer["words"][4]["word"]),
            (&json!(HEARD), &json!("five")),
            "{kind:?}"
        );
        let unknown = json!({"model": speaks_with, "voice": "alloy", "input": WORDS, "format": "mp3"});
        let request = direct.post(&format!("{prefix}/audio/speech")).json(&unknown);
        assert_eq!(direct.refused(request).await, (400, true), "{kind:?}");
    }
    let direct = Direct::to(Kind::OpenAi).await;
    let parts = [
        ("model", None, &b"whisper-1"[..]),
        ("file", Some("audio/wav"), &recording),
    ];
    let answer = direct
        .transcript(direct.form("/v1/audio/translations", &parts))
        .await;
    assert_eq!(answer["text"], openai::TRANSLATION);
}

#[tokio::test]
async fn deepgram_speaks_and_listens() {
    let direct = Direct::to(Kind::Deepgram).await;
    let speak = |query: &str, body: Value| {
        direct
            .post(&format!("/v1/speak?model=aura-2-thalia-en{query}"))
            .json(&body)
    };
    for (format, query) in [
        ("mp3", "&encoding=mp3"),
        ("opus", "&encoding=opus&container=ogg"),
        ("pcm", "&encoding=linear16&container=none&sample_rate=24000"),
        ("wav", "&encoding=linear16&container=wav&sample_rate=24000"),
    ] {
        let spoken = direct.taken(speak(query, json!({ "text": WORDS }))).await;
        assert_eq!(sound::heard(format, &spoken).await.text(), HEARD, "{format}");
    }
    let request = direct
        .post("/v1/listen?model=nova-3&diarize=true")
        .header("content-type", "audio/wav");
    let answer = direct.transcript(request.body(recording().await)).await;
    let heard = &answer["results"]["channels"][0]["alternatives"][0];
    assert_eq!(
        (&heard["transcript"], &heard["words"][4]["speaker"]),
        (&json!(HEARD), &json!(1)),
        "{answer}"
    );

    assert_eq!(
        direct
            .refused(speak("&encoding=mp3&container=wav", json!({"text": "x"})))
            .await,
        (400, true)
    );
    assert_eq!(
        direct.refused(speak("", json!({"input": "x"}))).await,
        (400, true)
    );
    assert_eq!(
        direct
            .refused(speak("", json!({"text": "a".repeat(2_001)})))
            .await,
        (413, false)
    );
}

#[tokio::test]
async fn cartesia_speaks_and_listens() {
    let direct = Direct::to(Kind::Cartesia).await;
    let versioned = |request: RequestBuilder| request.header("cartesia-version", "2025-04-16");
    let speech = |format: Value| {
        let voice = json!({"mode": "id", "id": cartesia::VOICE});
        let body =
            json!({"model_id": "sonic-3", "transcript": WORDS, "voice": voice, "output_format": format});
        versioned(direct.post("/tts/bytes")).json(&body)
    };
    for (name, format) in [
        (
            "mp3",
            json!({"container": "mp3", "sample_rate": 44_100, "bit_rate": 128_000}),
        ),
        (
            "wav",
            json!({"container": "wav", "encoding": "pcm_s16le", "sample_rate": 24_000}),
        ),
        (
            "pcm",
            json!({"container": "raw", "encoding": "pcm_s16le", "sample_rate": 24_000}),
        ),
    ] {
        assert_eq!(
            sound::heard(name, &direct.taken(speech(format)).await)
                .await
                .text(),
            HEARD,
            "{name}"
        );
    }
    let recording = recording().await;
    let parts = [
        ("file", Some("audio/wav"), &recording[..]),
        ("model", None, b"ink-whisper"),
        ("timestamp_granularities[]", None, b"word"),
    ];
    let answer = direct.transcript(versioned(direct.form("/stt", &parts))).await;
    assert_eq!(
        (&answer["text"], &answer["words"][0]["word"]),
        (&json!(HEARD), &json!("one")),
        "{answer}"
    );

    let opus = json!({"container": "opus", "sample_rate": 48_000});
    assert_eq!(direct.refused(speech(opus)).await, (400, true));
    assert_eq!(
        direct.refused(direct.form("/stt", &parts)).await,
        (400, true),
        "no version"
    );
}
