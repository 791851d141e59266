//! The unified API's decisions: what a head asks for, who may serve it, what a provider is asked and cannot be asked, and
//! how its answers read.

mod common;

use bytes::Bytes;
use common::{PROVIDERS, headers, provider};
use http::{Method, Uri};
use policies::descriptor::Voice;
use policies::rules::{Asked, recognise_unified, said_by, translated};
use policies::unified::{
    AudioFile, AudioReader, Candidate, SpeechPlan, SpeechRequest, SpokenAs, TranscriptionPlan,
    TranscriptionRequest, candidates, read_transcript,
};
use policies::vocabulary::{Choice, Code, ProviderId, Refusal, Selection, Task};
use proptest::prelude::*;
use serde_json::{Value, json};

fn head(line: &str) -> Option<Result<Asked, Code>> {
    let (method, target) = line.split_once(' ').unwrap();
    let method: Method = method.parse().unwrap();
    let shown = headers(&[("authorization", "Bearer T")]);
    let inbound = recognise_unified(&method, &target.parse::<Uri>().unwrap(), &shown)?;
    Some(inbound.map_err(|refusal| refusal.code).map(|inbound| {
        assert_eq!(inbound.presented[0].expose(), "T");
        inbound.asked
    }))
}

#[test]
fn a_head_under_v1_says_what_it_asks_for() {
    for (line, asked) in [
        ("POST /v1/audio/speech", Asked::Task(Task::Speech)),
        ("POST //v1//audio/speech/", Asked::Task(Task::Speech)),
        (
            "POST /v1/audio/transcriptions?x=1",
            Asked::Task(Task::Transcription),
        ),
        ("POST /v1/audio/translations", Asked::Task(Task::Translation)),
        ("GET /v1/models", Asked::Models),
        ("GET /v1/models/gemini%2Fx", Asked::Model("gemini/x".to_owned())),
        (
            "GET /v1/models/groq/canopylabs/x",
            Asked::Model("groq/canopylabs/x".to_owned()),
        ),
    ] {
        assert_eq!(head(line), Some(Ok(asked)), "{line}");
    }
    for line in [
        "GET /v1/audio/speech",
        "POST /v1/models",
        "POST /v1/chat/completions",
        "GET /v1",
    ] {
        assert_eq!(head(line), Some(Err(Code::NotFound)), "{line}");
    }
    for line in ["GET /v1x", "POST /elevenlabs/v1/models", "GET /"] {
        assert_eq!(head(line), None, "{line}");
    }
}

fn choice(provider: &str, model: Option<&str>, voice: Option<&str>) -> Choice {
    Choice {
        provider: ProviderId::new(provider),
        model: model.map(str::to_owned),
        voice: voice.map(str::to_owned),
    }
}

fn selection(first: Choice, fallbacks: Vec<Choice>) -> Selection {
    Selection {
        provider: first.provider,
        model: first.model,
        voice: first.voice,
        fallbacks,
    }
}

fn chosen(
    task: Task,
    model: &str,
    voice: Option<&str>,
    selection: Option<&Selection>,
) -> Result<Vec<String>, Refusal> {
    let found = candidates(task, model, voice, selection, &PROVIDERS)?;
    let shown =
        |Candidate {
             provider,
             model,
             voice,
         }: &Candidate| { format!("{} {model} {}", provider.id, voice.as_deref().unwrap_or("-")) };
    Ok(found.iter().map(shown).collect())
}

#[test]
fn the_callers_word_and_the_selection_make_the_candidates() {
    let of_ann = selection(
        choice("elevenlabs", Some("eleven_flash_v2_5"), Some("V1")),
        vec![
            choice("gemini", None, Some("Puck")),
            choice("elevenlabs", Some("eleven_v3"), None),
            choice("nobody", None, None),
        ],
    );
    let elevens = "JBFqnCBsd6RMkjVDRZzb";
    for (model, voice, expected) in [
        (
            "default",
            None,
            vec![
                "elevenlabs eleven_flash_v2_5 V1".to_owned(),
                "gemini gemini-3.8-flash-tts Puck".to_owned(),
                format!("elevenlabs eleven_v3 {elevens}"),
            ],
        ),
        // A voice of the caller's is the first provider's, and nobody else's.
        (
            "gpt-4o-mini-tts",
            Some("V2"),
            vec![
                "elevenlabs eleven_flash_v2_5 V2".to_owned(),
                "gemini gemini-3.8-flash-tts Puck".to_owned(),
                "elevenlabs eleven_v3 V2".to_owned(),
            ],
        ),
        (
            "elevenlabs/eleven_v4",
            Some("alloy"),
            vec!["elevenlabs eleven_v4 V1".to_owned()],
        ),
        (
            "gemini/gemini-3.8-flash-tts",
            Some("default"),
            vec!["gemini gemini-3.8-flash-tts Puck".to_owned()],
        ),
        (
            "azure/neural",
            Some("alloy"),
            vec!["azure neural en-US-AvaMultilingualNeural".to_owned()],
        ),
        ("openai/tts-1", Some("nova"), vec!["openai tts-1 nova".to_owned()]),
        (
            "azure/hd",
            None,
            vec!["azure hd en-US-Ava:DragonHDLatestNeural".to_owned()],
        ),
        (
            "groq/canopylabs/orpheus-arabic-saudi",
            None,
            vec!["groq canopylabs/orpheus-arabic-saudi fahad".to_owned()],
        ),
        (
            "groq/canopylabs/orpheus-v1-english",
            None,
            vec!["groq canopylabs/orpheus-v1-english autumn".to_owned()],
        ),
    ] {
        let found = chosen(Task::Speech, model, voice, Some(&of_ann)).unwrap();
        assert_eq!(found, expected, "{model} {voice:?}");
    }
    // A name that apps have built in stands for what is chosen, also at a provider that has a voice of that name.
    let own = selection(
        choice("openai-compatible", Some("kokoro"), Some("af_heart")),
        vec![],
    );
    for (model, voice, expected) in [
        ("tts-1", "alloy", "openai-compatible kokoro af_heart"),
        (
            "openai-compatible/kokoro",
            "alloy",
            "openai-compatible kokoro alloy",
        ),
        (
            "openai-compatible/kokoro",
            "default",
            "openai-compatible kokoro af_heart",
        ),
        ("openai/tts-1", "default", "openai tts-1 alloy"),
    ] {
        assert_eq!(
            chosen(Task::Speech, model, Some(voice), Some(&own)).unwrap(),
            [expected],
            "{model} {voice}"
        );
    }
    let nothing_chosen = selection(choice("openai", None, None), vec![]);
    assert_eq!(
        chosen(Task::Speech, "default", Some("nova"), Some(&nothing_chosen)).unwrap(),
        ["openai gpt-4o-mini-tts nova"]
    );
    let heard = selection(choice("azure", None, None), vec![]);
    assert_eq!(
        chosen(Task::Transcription, "whisper-1", None, Some(&heard)).unwrap(),
        ["azure fast-transcription -"]
    );
}

#[test]
fn what_nobody_can_serve_is_refused_by_field() {
    let short = selection(choice("azure", Some("short-audio"), None), vec![]);
    for (task, model, selection, code, param) in [
        (Task::Speech, "default", None, Code::SelectionMissing, None),
        (
            Task::Speech,
            "eleven_v3",
            None,
            Code::InvalidRequest,
            Some("model"),
        ),
        (
            Task::Speech,
            "nobody/x",
            None,
            Code::UnknownProvider,
            Some("model"),
        ),
        (
            Task::Speech,
            "elevenlabs/",
            None,
            Code::InvalidRequest,
            Some("model"),
        ),
        (
            Task::Speech,
            "gemini/gemini-3.8-pro",
            None,
            Code::InvalidRequest,
            Some("model"),
        ),
        (
            Task::Speech,
            "gemini/../../x-tts",
            None,
            Code::InvalidRequest,
            None,
        ),
        (
            Task::Transcription,
            "elevenlabs/eleven_v3",
            None,
            Code::InvalidRequest,
            Some("model"),
        ),
        (
            Task::Transcription,
            "gemini/gemini-3.5-transcribe-live",
            None,
            Code::InvalidRequest,
            Some("model"),
        ),
        (
            Task::Transcription,
            "default",
            Some(&short),
            Code::InvalidRequest,
            Some("model"),
        ),
    ] {
        let refusal = match chosen(task, model, None, selection) {
            Err(refusal) => refusal,
            // What the names let pass, the provider's list of endpoints does not.
            Ok(_) => {
                let found = candidates(task, model, None, selection, &PROVIDERS).unwrap();
                let plan = SpeechPlan::new(&found[0], &spoken(json!({}))).unwrap();
                translated(&found[0].provider, &plan.call(0).unwrap().head).unwrap_err()
            }
        };
        assert_eq!(refusal.code, code, "{model}: {}", refusal.message);
        if param.is_some() {
            assert_eq!(refusal.param.as_deref(), param, "{model}");
        }
    }
}

fn spoken(more: Value) -> SpeechRequest {
    let mut request = json!({"model": "default", "input": "Hello.", "voice": "default"});
    for (name, value) in more.as_object().unwrap() {
        request[name] = value.clone();
    }
    SpeechRequest::parse(request.to_string().as_bytes())
        .unwrap_or_else(|refusal| panic!("{}", refusal.message))
}

fn candidate(id: &str, model: &str) -> Candidate {
    let provider = provider(id);
    let voice = provider
        .speech
        .as_ref()
        .and_then(|source| source.default_voice.clone());
    Candidate {
        provider,
        model: model.to_owned(),
        voice,
    }
}

#[test]
fn what_a_provider_cannot_do_is_told_by_field_and_with_what_it_can() {
    for (id, model, asked, code, param, says) in [
        (
            "elevenlabs",
            "eleven_v3",
            json!({"speed": 2.0}),
            Code::InvalidRequest,
            "speed",
            "0.7 to 1.2",
        ),
        (
            "gemini",
            "gemini-3.8-flash-tts",
            json!({"speed": 1.5}),
            Code::InvalidRequest,
            "speed",
            "cannot change",
        ),
        (
            "elevenlabs",
            "eleven_v3",
            json!({"instructions": "sing"}),
            Code::InvalidRequest,
            "instructions",
            "no instructions",
        ),
        (
            "azure",
            "neural",
            json!({"instructions": "sing"}),
            Code::InvalidRequest,
            "instructions",
            "cheerful",
        ),
        (
            "openai",
            "tts-1",
            json!({"instructions": "sing"}),
            Code::InvalidRequest,
            "instructions",
            "tts-1",
        ),
        (
            "elevenlabs",
            "eleven_v3",
            json!({"response_format": "aac"}),
            Code::UnsupportedFormat,
            "response_format",
            "mp3, opus, flac, wav, pcm",
        ),
        (
            "azure",
            "neural",
            json!({"response_format": "aac"}),
            Code::UnsupportedFormat,
            "response_format",
            "flac",
        ),
        (
            "gemini",
            "gemini-3.8-flash-tts",
            json!({"response_format": "aac"}),
            Code::UnsupportedFormat,
            "response_format",
            "flac",
        ),
        (
            "openai",
            "tts-1",
            json!({"response_format": "aac", "input": "A word. ".repeat(600)}),
            Code::InvalidRequest,
            "input",
            "4096",
        ),
    ] {
        let refusal = SpeechPlan::new(&candidate(id, model), &spoken(asked)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.param.as_deref()),
            (code, Some(param)),
            "{id}: {}",
            refusal.message
        );
        assert!(refusal.message.contains(says), "{}", refusal.message);
        assert!(
            refusal.message.contains(&provider(id).name),
            "{}",
            refusal.message
        );
    }
}

#[test]
fn a_style_is_one_that_the_voice_has() {
    let voice = |styles: &[&str]| Voice {
        id: "en-US-AriaNeural".to_owned(),
        name: "Aria".to_owned(),
        languages: vec![],
        gender: None,
        styles: styles.iter().map(|style| (*style).to_owned()).collect(),
        preview_url: None,
    };
    let plan = |asked: Value| SpeechPlan::new(&candidate("azure", "neural"), &spoken(asked)).unwrap();
    let cheerful = plan(json!({"instructions": "cheerful"}));
    assert!(cheerful.wants_style() && !plan(json!({})).wants_style());
    assert!(cheerful.check_style(&voice(&["chat", "cheerful"])).is_ok());
    assert!(plan(json!({})).check_style(&voice(&[])).is_ok());
    for (styles, says) in [(&["chat", "sad"][..], "chat, sad"), (&[], "no instructions")] {
        let refusal = cheerful.check_style(&voice(styles)).unwrap_err();
        assert_eq!(refusal.param.as_deref(), Some("instructions"));
        assert!(refusal.message.contains(says), "{}", refusal.message);
    }
}

#[test]
fn every_provider_gives_five_formats() {
    for provider in PROVIDERS.iter() {
        let source = provider.speech.as_ref().unwrap();
        for format in ["mp3", "opus", "flac", "wav", "pcm"] {
            let request = spoken(json!({"response_format": format}));
            let plan = SpeechPlan::new(&candidate(provider.id.as_str(), &source.default_model), &request);
            assert!(plan.is_ok(), "{} {format}", provider.id);
        }
    }
}

#[test]
fn long_input_takes_several_calls_and_comes_as_samples() {
    let input = "One more sentence to be read. ".repeat(200);
    let plan = SpeechPlan::new(
        &candidate("elevenlabs", "eleven_v3"),
        &spoken(json!({"input": input})),
    )
    .unwrap();
    assert_eq!(
        (plan.pieces(), plan.spoken_as),
        (2, SpokenAs::Pcm { rate: 24_000 })
    );
    let said: String = (0..plan.pieces())
        .map(|piece| {
            let body: Value = serde_json::from_slice(&plan.call(piece).unwrap().body).unwrap();
            body["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(said, input);
}

fn transcribed(fields: &[(&str, &str)]) -> TranscriptionRequest {
    let mut all = vec![("model".to_owned(), "default".to_owned())];
    all.extend(
        fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    TranscriptionRequest::parse(Task::Transcription, &all)
        .unwrap_or_else(|refusal| panic!("{}", refusal.message))
}

fn code_for(param: &str) -> Code {
    if param == "response_format" {
        Code::UnsupportedFormat
    } else {
        Code::InvalidRequest
    }
}

#[test]
fn what_a_transcriber_cannot_do_is_told_by_field() {
    let words = [
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ];
    for (id, model, fields, param) in [
        ("elevenlabs", "scribe_v2", &[("prompt", "x")][..], "prompt"),
        ("elevenlabs", "scribe_v1", &[("keywords[]", "x")], "keywords"),
        (
            "azure",
            "fast-transcription",
            &[("temperature", "0.5")],
            "temperature",
        ),
        ("azure", "fast-transcription", &[("language", "tlh")], "language"),
        ("azure", "mai-transcribe-2", &words, "timestamp_granularities"),
        ("openai", "gpt-4o-transcribe", &words, "timestamp_granularities"),
        (
            "openai",
            "gpt-4o-transcribe",
            &[("response_format", "srt")],
            "response_format",
        ),
        (
            "groq",
            "whisper-large-v3",
            &[("response_format", "diarized_json")],
            "response_format",
        ),
        (
            "deepgram",
            "nova-3",
            &[("languages[]", "en"), ("languages[]", "de")],
            "languages",
        ),
    ] {
        let plan = TranscriptionPlan::new(Task::Transcription, &candidate(id, model), &AudioFile::default())
            .unwrap();
        let refusal = plan.check(&transcribed(fields)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.param.as_deref()),
            (code_for(param), Some(param)),
            "{id}: {}",
            refusal.message
        );
        assert!(
            refusal.message.contains(&provider(id).name),
            "{}",
            refusal.message
        );
    }
    for (id, model) in [("elevenlabs", "scribe_v2"), ("gemini", "gemini-3.5-transcribe")] {
        let refusal = TranscriptionPlan::new(Task::Translation, &candidate(id, model), &AudioFile::default());
        assert_eq!(refusal.unwrap_err().param.as_deref(), Some("model"));
    }
}

#[test]
fn a_file_is_named_harmlessly() {
    let file = |name: Option<&str>, kind: &str| AudioFile {
        name: name.map(str::to_owned),
        content_type: Some(kind.to_owned()),
    };
    for (name, kind, shown) in [
        (
            Some("talk.mp3"),
            "audio/mpeg",
            "filename=\"talk.mp3\"\r\ncontent-type: audio/mpeg\r\n",
        ),
        (
            Some("a\"\r\nx: y/../é.wav"),
            "audio/wav\r\nx: y",
            "filename=\".wav\"\r\ncontent-type: application/octet-stream\r\n",
        ),
        (None, "audio/webm", "filename=\"audio.webm\""),
        (Some("blob"), "audio/mp4", "filename=\"blob.m4a\""),
    ] {
        let plan = TranscriptionPlan::new(
            Task::Transcription,
            &candidate("elevenlabs", "scribe_v2"),
            &file(name, kind),
        )
        .unwrap();
        let before = plan.before(None, "B").unwrap();
        let before = std::str::from_utf8(&before).unwrap();
        assert!(before.contains(shown), "{before}");
        assert_eq!(before.lines().count(), 4, "{before}");
    }
}

/// Gemini's stream: samples 0, 1, 2, … in events that end anywhere.
fn stream(audio: &[u8], event: usize, finish: &str) -> String {
    use base64::Engine;
    let part = |bytes: &[u8]| {
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        json!({"candidates": [{"content": {"parts": [{"inlineData": {"mimeType": "audio/l16; RATE=16000; channels=1", "data": data}}]}}]})
    };
    let mut text: String = audio
        .chunks(event)
        .map(|bytes| format!("data: {}\r\n\r\n", part(bytes)))
        .collect();
    text += &format!(
        "data: {}\n\n",
        json!({"candidates": [{"finishReason": finish}], "usageMetadata": {}})
    );
    text
}

fn read(stream: &str, chunk: usize) -> (Result<Vec<u8>, String>, Option<u32>) {
    let mut reader = AudioReader::new(&candidate("gemini", "gemini-3.8-flash-tts"));
    let mut audio = Vec::new();
    for piece in stream.as_bytes().chunks(chunk) {
        match reader.feed(Bytes::copy_from_slice(piece)) {
            Ok(more) => audio.extend_from_slice(&more),
            Err(bad) => return (Err(bad.to_string()), reader.rate()),
        }
    }
    let read = reader.end().map_err(|bad| bad.to_string());
    (read.map(|rest| [audio, rest.to_vec()].concat()), reader.rate())
}

#[test]
fn a_stream_that_is_no_speech_is_told() {
    for (text, why) in [
        (stream(&[], 1, "STOP"), "no audio"),
        (stream(&[1, 2], 1, "OTHER"), "before it was complete"),
        (
            stream(&[1, 2], 1, "STOP").replace("finishReason", "x"),
            "stops before its end",
        ),
        ("data: {\"error\": {\"code\": 500}}\n\n".to_owned(), "an error"),
        (
            "data: {\"candidates\":[{\"content\":{\"parts\":[{\"inlineData\":{\"data\":\"%\"}}]}}]}\n\n"
                .to_owned(),
            "base64",
        ),
        (String::new(), "stops before its end"),
        (
            stream(&[1, 2], 1, "STOP").replace("audio/l16", "audio/mpeg"),
            "not samples",
        ),
    ] {
        let (read, _) = read(&text, 7);
        assert!(
            read.as_ref().is_err_and(|bad| bad.contains(why)),
            "{text}: {read:?}"
        );
    }
    let body = AudioReader::new(&candidate("elevenlabs", "eleven_v3"));
    for (kind, fits) in [
        ("audio/mpeg", true),
        ("", true),
        ("application/octet-stream", true),
        ("text/html; charset=x", false),
        ("application/problem+JSON", false),
    ] {
        assert_eq!(body.begin(kind).is_ok(), fits, "{kind}");
    }
    let endless = format!("data: {}", "x".repeat(5 * 1024 * 1024));
    assert!(
        read(&endless, 65_536)
            .0
            .is_err_and(|bad| bad.contains("too long"))
    );
}

proptest! {
    #[test]
    fn audio_comes_out_of_events_wherever_they_are_cut(
        audio in prop::collection::vec(any::<u8>(), 1..500), event in 1usize..100, chunk in 1usize..200,
    ) {
        let (read, rate) = read(&stream(&audio, event, "STOP"), chunk);
        prop_assert_eq!(read.unwrap(), audio);
        prop_assert_eq!(rate, Some(16_000));
    }

    #[test]
    fn no_voice_or_model_reaches_another_path(voice in any::<String>(), model in any::<String>()) {
        for id in ["elevenlabs", "gemini", "deepgram"] {
            let mut candidate = candidate(id, &model);
            candidate.voice = Some(voice.clone());
            let Ok(plan) = SpeechPlan::new(&candidate, &spoken(json!({}))) else { continue };
            let head = plan.call(0).unwrap().head;
            if let Ok(inbound) = translated(&candidate.provider, &head) {
                let allowed = ["/v1/text-to-speech/", "/v1beta/models/", "/v1/speak"];
                prop_assert!(allowed.iter().any(|start| inbound.raw_path.starts_with(start)), "{}", inbound.raw_path);
                prop_assert_eq!(inbound.raw_path.split('/').count(), head.path.split('/').count());
            }
        }
    }
}

fn heard(id: &str, model: &str, answer: Value, words: bool) -> Value {
    let fields = [
        ("response_format", "verbose_json"),
        ("timestamp_granularities[]", "word"),
    ];
    let request = transcribed(if words { &fields } else { &[] });
    match read_transcript(&candidate(id, model), &request, answer.to_string().as_bytes()) {
        Err(bad) => json!(bad.to_string()),
        Ok(transcript) => json!({
            "text": transcript.text, "language": transcript.language, "duration": transcript.duration,
            "words": transcript.words.iter().map(|w| json!([w.text, w.start, w.end, w.speaker])).collect::<Vec<_>>(),
            "segments": transcript.segments.iter().map(|s| json!([s.text, s.start, s.end, s.speaker])).collect::<Vec<_>>(),
        }),
    }
}

#[test]
fn every_providers_answer_becomes_one_transcript() {
    let eleven = json!({"language_code": "eng", "text": "Hi you.", "audio_duration_secs": 1.5, "words": [
        {"text": "Hi", "start": 0.1, "end": 0.3, "type": "word", "speaker_id": "speaker_0"},
        {"text": " ", "start": 0.3, "end": 0.4, "type": "spacing"},
        {"text": "(laughs)", "start": 0.4, "end": 0.5, "type": "audio_event"},
        {"text": "you.", "start": 0.5, "end": 0.9, "type": "word", "speaker_id": "speaker_1"},
    ]});
    assert_eq!(
        heard("elevenlabs", "scribe_v2", eleven, true),
        json!({"text": "Hi you.", "language": "eng", "duration": 1.5, "segments": [],
            "words": [["Hi", 0.1, 0.3, "speaker_0"], ["you.", 0.5, 0.9, "speaker_1"]]})
    );
    let azure = json!({"durationMilliseconds": 1500, "combinedPhrases": [{"text": "Hi."}, {"text": "You."}], "phrases": [
        {"speaker": 1, "offsetMilliseconds": 100, "durationMilliseconds": 200, "text": "Hi.", "locale": "en-US", "confidence": 0.9,
            "words": [{"text": "Hi.", "offsetMilliseconds": 100, "durationMilliseconds": 200}]},
    ]});
    assert_eq!(
        heard("azure", "fast-transcription", azure, true),
        json!({"text": "Hi. You.", "language": "en-US", "duration": 1.5, "words": [["Hi.", 0.1, 0.30000000000000004, null]],
            "segments": [["Hi.", 0.1, 0.30000000000000004, "1"]]})
    );
    let gemini = json!({"candidates": [{"finishReason": "STOP", "content": {"parts": [
        {"audioTranscription": {"text": "Hi.", "languageCode": "en", "speakerLabel": "A", "endOffset": "0.300s",
            "words": [{"word": "Hi.", "startOffset": "0s", "endOffset": "0.300s"}]}},
        {"audioTranscription": {"text": "You.", "startOffset": "0.5s", "endOffset": "1s"}},
    ]}}]});
    assert_eq!(
        heard("gemini", "gemini-3.5-transcribe", gemini, true),
        json!({"text": "Hi. You.", "language": "en", "duration": null, "words": [["Hi.", 0.0, 0.3, null]],
            "segments": [["Hi.", 0.0, 0.3, "A"], ["You.", 0.5, 1.0, null]]})
    );
    let deepgram = json!({"metadata": {"duration": 2.0}, "results": {"channels": [{"detected_language": "en", "alternatives": [
        {"transcript": "Hi.", "words": [{"word": "hi", "punctuated_word": "Hi.", "start": 0.5, "end": 1.0, "speaker": 0}]}]}]}});
    assert_eq!(
        heard("deepgram", "nova-3", deepgram, true),
        json!({"text": "Hi.", "language": "en", "duration": 2.0, "words": [["Hi.", 0.5, 1.0, "0"]], "segments": []})
    );
    let openai = json!({"text": "Hi.", "language": "english", "duration": 1.0, "words": [{"word": "Hi", "start": 0.0, "end": 1.0}],
        "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": " Hi."}]});
    assert_eq!(
        heard("groq", "whisper-large-v3", openai, true),
        json!({"text": "Hi.", "language": "english", "duration": 1.0, "words": [["Hi", 0.0, 1.0, null]],
            "segments": [[" Hi.", 0.0, 1.0, null]]})
    );
}

#[test]
fn an_answer_that_is_no_transcript_is_told() {
    for (id, model, answer, words, why) in [
        (
            "elevenlabs",
            "scribe_v2",
            json!({"message": "accepted"}),
            false,
            "no text",
        ),
        (
            "elevenlabs",
            "scribe_v2",
            json!({"text": "Hi."}),
            true,
            "times of words",
        ),
        (
            "gemini",
            "gemini-3.5-transcribe",
            json!({"candidates": [{"finishReason": "SAFETY"}]}),
            false,
            "before it was complete",
        ),
        (
            "gemini",
            "gemini-3.5-transcribe",
            json!({"candidates": []}),
            false,
            "no text",
        ),
        ("azure", "fast-transcription", json!("x"), false, "no text"),
    ] {
        let told = heard(id, model, answer.clone(), words);
        assert!(
            told.as_str().is_some_and(|bad| bad.contains(why)),
            "{id} {answer}: {told}"
        );
    }
    for (id, model, silence) in [
        ("elevenlabs", "scribe_v2", json!({"text": ""})),
        (
            "azure",
            "fast-transcription",
            json!({"durationMilliseconds": 3000, "combinedPhrases": [], "phrases": []}),
        ),
        (
            "gemini",
            "gemini-3.5-transcribe",
            json!({"candidates": [{"finishReason": "STOP"}]}),
        ),
    ] {
        assert_eq!(heard(id, model, silence, true)["text"], "", "{id}");
    }
}

#[test]
fn a_providers_words_are_found_and_kept_short() {
    let said = |id: &str, body: Value| said_by(&provider(id), body.to_string().as_bytes());
    assert_eq!(
        said(
            "elevenlabs",
            json!({"detail": {"status": "voice_not_found", "message": "no\nvoice"}})
        )
        .as_deref(),
        Some("no voice")
    );
    assert_eq!(
        said(
            "elevenlabs",
            json!({"detail": [{"loc": ["text"], "msg": "Field required"}]})
        )
        .as_deref(),
        Some("Field required")
    );
    assert_eq!(
        said("elevenlabs", json!({"detail": "Not Found"})).as_deref(),
        Some("Not Found")
    );
    assert_eq!(
        said("gemini", json!({"error": {"message": "é".repeat(999)}}))
            .unwrap()
            .len(),
        300
    );
    assert_eq!(said("azure", json!({"error": {"message": " "}})), None);
    assert_eq!(said_by(&provider("azure"), b"<html>"), None);
}
