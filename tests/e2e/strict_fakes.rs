//! The strict fakes by themselves: they speak so that players and the ear understand, listen to what they are given,
//! and complain of whatever their providers' documents do not allow.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fakes::strict::azure_transcription;
use crate::fakes::voice::{self, Form};
use crate::fakes::{Behaviour, Gate, Kind, audio, azure, elevenlabs, gemini};
use crate::harness::direct::{Direct, KEY};
use crate::harness::sound;
use crate::harness::unified::{HEARD, WORDS, recording};

#[tokio::test]
async fn the_voice_is_understood_in_every_form() {
    for (name, form, rate) in [
        ("mp3", Form::Mp3, 44_100),
        ("opus", Form::Opus, 48_000),
        ("aac", Form::Aac, 24_000),
        ("flac", Form::Flac, 24_000),
        ("wav", Form::Wav, 24_000),
        ("pcm", Form::Pcm, 24_000),
    ] {
        let spoken = voice::speak(WORDS, 1.0, form.at(rate)).await;
        let heard = sound::heard(name, &spoken).await;
        assert_eq!(heard.text(), HEARD, "{name}");
        assert!((1.5..4.0).contains(&heard.seconds), "{name}: {heard:?}");
    }
}

#[tokio::test]
async fn other_words_are_heard_as_other_words() {
    let spoken = voice::speak("nine one four", 1.0, Form::Wav.at(16_000)).await;
    assert_eq!(sound::heard("wav", &spoken).await.text(), "nine one four");
}

#[tokio::test]
async fn elevenlabs_speaks_within_its_document() {
    let direct = Direct::to(Kind::ElevenLabs).await;
    let path = format!("/v1/text-to-speech/{}", elevenlabs::VOICE);
    let body = json!({"text": WORDS, "model_id": "eleven_flash_v2_5", "voice_settings": {"speed": 1.0}});
    for (format, asked) in [
        ("mp3", "mp3_44100_128"),
        ("opus", "opus_48000_128"),
        ("wav", "wav_24000"),
        ("pcm", "pcm_24000"),
    ] {
        let request = direct.post(&format!("{path}?output_format={asked}")).json(&body);
        assert_eq!(
            sound::heard(format, &direct.taken(request).await).await.text(),
            HEARD
        );
    }
    assert_eq!(direct.fake.said(KEY).last().map(String::as_str), Some(WORDS));

    for (body, expected) in [
        (json!({"text": WORDS, "modell": "x"}), (422, true)),
        (json!({"text": 5}), (422, true)),
        (
            json!({"text": WORDS, "voice_settings": {"speed": 1.5}}),
            (400, true),
        ),
        (json!({"text": WORDS, "model_id": "eleven_nothing"}), (400, false)),
        (
            json!({"text": "a".repeat(3_001), "model_id": "eleven_v3"}),
            (400, false),
        ),
    ] {
        assert_eq!(
            direct.refused(direct.post(&path).json(&body)).await,
            expected,
            "{body:.60}"
        );
    }
    let streamed = direct.post(&format!("{path}/stream?output_format=wav_24000"));
    assert_eq!(
        direct.refused(streamed.json(&json!({"text": WORDS}))).await,
        (400, true)
    );
    let nobody = direct
        .post("/v1/text-to-speech/nobody")
        .json(&json!({"text": WORDS}));
    assert_eq!(direct.refused(nobody).await, (404, false));
}

#[tokio::test]
async fn elevenlabs_listens_within_its_document() {
    let direct = Direct::to(Kind::ElevenLabs).await;
    let file = ("file", Some("audio/wav"), &recording().await[..]);
    let request = direct.form(
        "/v1/speech-to-text",
        &[("model_id", None, b"scribe_v2"), ("diarize", None, b"true"), file],
    );
    let answer = direct.transcript(request).await;
    assert_eq!(answer["text"], HEARD);
    let words = answer["words"].as_array().expect("words");
    let last = words.last().expect("a word");
    assert_eq!(
        (words.len(), &last["speaker_id"]),
        (9, &json!("speaker_1")),
        "{answer}"
    );
    assert!(
        last["end"].as_f64() <= answer["audio_duration_secs"].as_f64(),
        "{answer}"
    );

    for field in [
        ("model_id", None, &b"scribe_v9"[..]),
        ("diarise", None, b"true"),
        ("num_speakers", None, b"99"),
    ] {
        let model = ("model_id", None, &b"scribe_v2"[..]);
        let parts = if field.0 == "model_id" {
            vec![field, file]
        } else {
            vec![model, field, file]
        };
        assert_eq!(
            direct.refused(direct.form("/v1/speech-to-text", &parts)).await,
            (422, true),
            "{}",
            field.0
        );
    }
    let noise = ("file", Some("audio/wav"), &b"no audio at all"[..]);
    let request = direct.form("/v1/speech-to-text", &[("model_id", None, b"scribe_v2"), noise]);
    assert_eq!(direct.refused(request).await, (400, false));
}

fn ssml(language: &str, content: &str) -> String {
    format!(
        "<speak version='1.0' xml:lang='{language}' xmlns='http://www.w3.org/2001/10/synthesis' \
         xmlns:mstts='https://www.w3.org/2001/mstts'><voice name='{}'>{content}</voice></speak>",
        azure::VOICE
    )
}

#[tokio::test]
async fn azure_speaks_the_text_of_good_ssml_alone() {
    let direct = Direct::to(Kind::AzureTts).await;
    let speak = |body: String, format: &str| {
        let request = direct
            .post("/cognitiveservices/v1")
            .header("x-microsoft-outputformat", format);
        request
            .header("content-type", "application/ssml+xml")
            .header("user-agent", "tests")
            .body(body)
    };
    let styled = format!(
        "<mstts:express-as style='cheerful'><prosody rate='1.0'>{WORDS}</prosody></mstts:express-as>"
    );
    for (format, asked) in [
        ("mp3", "audio-24khz-96kbitrate-mono-mp3"),
        ("opus", "ogg-24khz-16bit-mono-opus"),
        ("wav", "riff-24khz-16bit-mono-pcm"),
        ("pcm", "raw-24khz-16bit-mono-pcm"),
    ] {
        let spoken = direct.taken(speak(ssml("en-US", &styled), asked)).await;
        assert_eq!(sound::heard(format, &spoken).await.text(), HEARD);
    }
    direct
        .taken(speak(ssml("en-US", "&lt;/voice&gt; &amp; &quot;"), azure::FORMAT))
        .await;
    assert_eq!(
        direct.fake.said(KEY).last().map(String::as_str),
        Some("</voice> & \"")
    );

    for bad in [
        ssml("en-US", "a < b"),
        ssml("de-DE", WORDS),
        ssml("en-US", "<audio src='https://example.com/a.wav'/>"),
        ssml("en-US", "<prosody rate='3'>fast</prosody>"),
        ssml("en-US", "<mstts:express-as style='furious'>x</mstts:express-as>"),
        ssml("en-US", "</voice><voice name='en-US-GuyNeural'>x"),
        "<speak><voice name='en-US-JennyNeural'>x</voice></speak>".to_owned(),
    ] {
        assert_eq!(
            direct.refused(speak(bad.clone(), azure::FORMAT)).await,
            (400, true),
            "{bad}"
        );
    }
    let unknown = ssml("en-US", WORDS).replace(azure::VOICE, "en-US-NobodyNeural");
    assert_eq!(direct.refused(speak(unknown, azure::FORMAT)).await, (400, false));
    assert_eq!(
        direct.refused(speak(ssml("en-US", WORDS), "mp3")).await,
        (400, true)
    );
}

#[tokio::test]
async fn azure_listens_within_its_document() {
    let direct = Direct::to(Kind::AzureApi).await;
    let recording = recording().await;
    let transcribe = |definition: Value| {
        let definition = definition.to_string();
        let parts = [
            ("definition", None, definition.as_bytes()),
            ("audio", Some("audio/wav"), &recording[..]),
        ];
        direct.form(
            "/speechtotext/transcriptions:transcribe?api-version=2025-10-15",
            &parts,
        )
    };
    let asked = json!({"locales": ["en-US"], "diarization": {"enabled": true, "maxSpeakers": 2}});
    let answer = direct.transcript(transcribe(asked)).await;
    assert_eq!(answer["combinedPhrases"][0]["text"], HEARD);
    assert_eq!(
        (&answer["phrases"][0]["speaker"], &answer["phrases"][1]["speaker"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(answer["phrases"][1]["words"][1]["text"], "five");
    let translate = json!({"enhancedMode": {"enabled": true, "task": "translate", "targetLanguage": "en"}});
    let answer = direct.transcript(transcribe(translate)).await;
    assert_eq!(
        answer["combinedPhrases"][0]["text"],
        azure_transcription::TRANSLATION
    );

    assert_eq!(
        direct.refused(transcribe(json!({"locales": ["en"]}))).await,
        (400, true)
    );
    assert_eq!(
        direct.refused(transcribe(json!({"locales": ["xx-XX"]}))).await,
        (400, false)
    );
    assert_eq!(
        direct.refused(transcribe(json!({"language": "en-US"}))).await,
        (400, true)
    );
}

fn gemini_speech(config: Value) -> Value {
    let mut generation = json!({
        "responseModalities": ["AUDIO"], "speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": "Kore"}}},
    });
    generation
        .as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    json!({"contents": [{"parts": [{"text": WORDS}]}], "generationConfig": generation})
}

fn inline_audio(answer: &Value) -> Vec<u8> {
    let data = answer["candidates"][0]["content"]["parts"][0]["inlineData"]["data"].as_str();
    STANDARD.decode(data.expect("audio")).expect("audio in base64")
}

#[tokio::test]
async fn gemini_speaks_within_its_document() {
    let direct = Direct::to(Kind::Gemini).await;
    let whole = format!("/v1beta/models/{}:generateContent", gemini::TTS);
    for (format, asked) in [
        ("wav", json!({})),
        (
            "mp3",
            json!({"responseFormat": {"audio": {"mimeType": "AUDIO_MP3"}}}),
        ),
    ] {
        let answer = direct
            .transcript(direct.post(&whole).json(&gemini_speech(asked)))
            .await;
        assert_eq!(sound::heard(format, &inline_audio(&answer)).await.text(), HEARD);
    }
    for (config, complains) in [
        (json!({"temperature": 1}), true),
        (json!({"voice": "Kore"}), true),
        (json!({"responseModalities": ["TEXT"]}), true),
        (
            json!({"speechConfig": {"voiceConfig": {"voice": "Nobody"}}}),
            false,
        ),
    ] {
        let request = direct.post(&whole).json(&gemini_speech(config.clone()));
        assert_eq!(direct.refused(request).await, (400, complains), "{config}");
    }
}

#[tokio::test]
async fn gemini_streams_samples_cut_anywhere() {
    let direct = Direct::to(Kind::Gemini).await;
    let streaming = format!("/v1beta/models/{}:streamGenerateContent?alt=sse", gemini::TTS);
    let stream = direct
        .taken(direct.post(&streaming).json(&gemini_speech(json!({}))))
        .await;
    let stream = String::from_utf8(stream.to_vec()).expect("events in UTF-8");
    let events: Vec<Value> = stream
        .split("\r\n\r\n")
        .filter_map(|event| event.strip_prefix("data: "))
        .map(|event| serde_json::from_str(event).expect("an event in JSON"))
        .collect();
    let blocks: Vec<Vec<u8>> = events.iter().map(inline_audio).collect();
    assert!(
        blocks.len() > 3 && blocks[0].len() % 2 == 1,
        "a sample is cut in the middle"
    );
    assert_eq!(sound::heard("pcm", &blocks.concat()).await.text(), HEARD);
    assert_eq!(events[events.len() - 1]["candidates"][0]["finishReason"], "STOP");
    assert!(events[0]["candidates"][0]["finishReason"].is_null());
}

#[tokio::test]
async fn gemini_listens_within_its_document() {
    let direct = Direct::to(Kind::Gemini).await;
    let path = format!("/v1beta/models/{}:generateContent", gemini::STT);
    let data = STANDARD.encode(recording().await);
    let body = json!({
        "contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": data}}]}],
        "generationConfig": {"audioTranscriptionConfig": {"wordTimestamp": true, "diarization": true}},
    });
    let answer = direct.transcript(direct.post(&path).json(&body)).await;
    let parts = answer["candidates"][0]["content"]["parts"]
        .as_array()
        .expect("parts");
    assert_eq!(
        parts[1]["audioTranscription"]["speakerLabel"], "spk_2",
        "{answer}"
    );
    let word = &parts[0]["audioTranscription"]["words"][0];
    assert!(
        word["startOffset"]
            .as_str()
            .is_some_and(|offset| offset.ends_with('s')),
        "{word}"
    );

    let large = "A".repeat(21 << 20);
    let body = json!({"contents": [{"parts": [{"inlineData": {"mimeType": "audio/wav", "data": large}}]}]});
    assert_eq!(direct.refused(direct.post(&path).json(&body)).await, (400, true));
}

#[tokio::test]
async fn fakes_misbehave_as_they_are_told() {
    let direct = Direct::to(Kind::ElevenLabs).await;
    let path = format!("/v1/text-to-speech/{}/stream", elevenlabs::VOICE);
    let speak = || direct.post(&path).json(&json!({ "text": WORDS }));
    let busy = Behaviour::Refuse(elevenlabs::too_many_requests().header("retry-after", "7"));
    direct.fake.treat(KEY, busy.once());
    assert_eq!(direct.refused(speak()).await, (429, false));
    let whole = direct.taken(speak()).await;

    let gate = Gate::default();
    direct.fake.treat(
        KEY,
        Behaviour::HoldAfter {
            bytes: 1_000,
            gate: gate.clone(),
        },
    );
    let mut answer = speak().send().await.expect("an answer");
    let mut received = answer.chunk().await.expect("a piece").expect("a piece").to_vec();
    gate.open();
    while let Some(piece) = answer.chunk().await.expect("the rest") {
        received.extend_from_slice(&piece);
    }
    assert_eq!(received, whole);

    direct.fake.treat(KEY, Behaviour::BreakAfter(1_000));
    speak()
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect_err("it is cut");
    let body = audio::recording("not mp3", 1_000);
    direct.fake.treat(
        KEY,
        Behaviour::Instead {
            content_type: "audio/mpeg",
            body: body.clone(),
        },
    );
    assert_eq!(direct.taken(speak()).await, body);

    direct.fake.hang_up();
    speak().send().await.expect_err("nobody answers");
}
