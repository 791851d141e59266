//! What `/v1` answers with, against OpenAI's own description of it.

use std::collections::HashMap;
use std::sync::LazyLock;

use jsonschema::Validator;
use policies::meter::Reading;
use policies::unified::{
    Listed, Segment, Transcript, TranscriptionRequest, Word, model_json, models_json, render, speech_delta,
    speech_done, transcript_events,
};
use policies::vocabulary::{ProviderId, Task, TranscriptFormat};
use proptest::prelude::*;
use serde_json::{Value, json};

const SCHEMAS: [&str; 10] = [
    "CreateSpeechResponseStreamEvent",
    "CreateTranscriptionResponseDiarizedJson",
    "CreateTranscriptionResponseJson",
    "CreateTranscriptionResponseStreamEvent",
    "CreateTranscriptionResponseVerboseJson",
    "CreateTranslationResponseJson",
    "CreateTranslationResponseVerboseJson",
    "ListModelsResponse",
    "Model",
    "TranscriptTextSegmentEvent",
];

static VALIDATORS: LazyLock<HashMap<&str, Validator>> = LazyLock::new(|| {
    let described: Value = serde_json::from_str(include_str!("data/openai-audio.openapi.json")).unwrap();
    let validator = |name| {
        let schema = json!({
            "$ref": format!("#/components/schemas/{name}"),
            "components": described["components"],
        });
        (name, jsonschema::draft202012::new(&schema).unwrap())
    };
    SCHEMAS.into_iter().map(validator).collect()
});

fn is_as_described(schema: &str, body: &str) -> Value {
    let value: Value = serde_json::from_str(body).unwrap();
    if let Err(error) = VALIDATORS[schema].validate(&value) {
        panic!("{schema} at {}: {error}\n{body}", error.instance_path());
    }
    value
}

fn request(task: Task, format: TranscriptFormat, more: &[(&str, &str)]) -> TranscriptionRequest {
    let fields = [&[("model", "m"), ("response_format", format.as_str())], more].concat();
    let owned: Vec<_> = fields
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    TranscriptionRequest::parse(task, &owned).unwrap()
}

fn said(text: &str, start: f64, end: f64, speaker: &str) -> Segment {
    Segment {
        text: text.to_owned(),
        start,
        end,
        speaker: (!speaker.is_empty()).then(|| speaker.to_owned()),
    }
}

/// Two people, one of whom writes markup.
fn talk() -> Transcript {
    Transcript {
        text: "Is a <b> & c?\nNo --> yes. Good.".into(),
        language: Some("en".into()),
        duration: Some(3725.5),
        words: vec![Word {
            text: " Is".into(),
            start: 0.25,
            end: 0.5,
            speaker: None,
        }],
        segments: vec![
            said("Is a <b> & c?", 0.25, 1.5, "speaker_9"),
            said("No\n\n--> yes.", 2.0, 3.0, "speaker_2"),
            said("Good.", 3724.0, 3726.75, "speaker_9"),
        ],
    }
}

fn rendered(transcript: &Transcript, task: Task, format: TranscriptFormat, more: &[(&str, &str)]) -> String {
    render(transcript, &request(task, format, more)).body
}

/// The contents of events that are each one line of data and a blank one.
fn contents(events: &[String]) -> Vec<String> {
    let content = |event: &String| {
        let content = event
            .strip_prefix("data: ")
            .and_then(|event| event.strip_suffix("\n\n"))
            .unwrap();
        assert!(!content.contains('\n'));
        content.to_owned()
    };
    events.iter().map(content).collect()
}

#[test]
fn json_is_text_and_how_long_it_was() {
    let body = rendered(&talk(), Task::Transcription, TranscriptFormat::Json, &[]);
    let body = is_as_described("CreateTranscriptionResponseJson", &body);
    assert_eq!(
        body,
        json!({"text": talk().text, "usage": {"type": "duration", "seconds": 3725.5}})
    );
    let body = rendered(&talk(), Task::Translation, TranscriptFormat::Json, &[]);
    let body = is_as_described("CreateTranslationResponseJson", &body);
    assert_eq!(body, json!({"text": talk().text}));
    let body = rendered(
        &Transcript::default(),
        Task::Transcription,
        TranscriptFormat::Json,
        &[],
    );
    assert_eq!(body, r#"{"text":""}"#);
}

#[test]
fn verbose_json_holds_what_was_asked_for() {
    const SCHEMA: &str = "CreateTranscriptionResponseVerboseJson";
    const FIELD: &str = "timestamp_granularities[]";
    let verbose = |more: &[_]| {
        let body = rendered(&talk(), Task::Transcription, TranscriptFormat::VerboseJson, more);
        is_as_described(SCHEMA, &body)
    };
    let body = verbose(&[("temperature", "0.5")]);
    assert_eq!(body["task"], "transcribe");
    assert_eq!(body["language"], "en");
    assert_eq!(body["duration"], 3725.5);
    assert_eq!(body["segments"].as_array().unwrap().len(), 3);
    assert_eq!(body["segments"][2]["id"], 2);
    assert_eq!(body["segments"][2]["temperature"], 0.5);
    assert_eq!(body.get("words"), None);
    let body = verbose(&[(FIELD, "word")]);
    assert_eq!(body["words"], json!([{"word": "Is", "start": 0.25, "end": 0.5}]));
    assert_eq!(body.get("segments"), None);
    let body = verbose(&[(FIELD, "word"), (FIELD, "segment")]);
    assert!(body["words"].is_array() && body["segments"].is_array());
}

#[test]
fn verbose_json_has_what_sdks_require_also_where_nobody_says_it() {
    let transcript = Transcript {
        duration: None,
        language: None,
        ..talk()
    };
    let body = rendered(
        &transcript,
        Task::Transcription,
        TranscriptFormat::VerboseJson,
        &[],
    );
    let body = is_as_described("CreateTranscriptionResponseVerboseJson", &body);
    assert_eq!(
        (&body["language"], &body["duration"]),
        (&json!(""), &json!(3726.75))
    );
    assert_eq!(body.get("usage"), None);
    let body = rendered(
        &transcript,
        Task::Transcription,
        TranscriptFormat::VerboseJson,
        &[("language", "de")],
    );
    assert_eq!(
        is_as_described("CreateTranscriptionResponseVerboseJson", &body)["language"],
        "de"
    );
    let body = rendered(&talk(), Task::Translation, TranscriptFormat::VerboseJson, &[]);
    let body = is_as_described("CreateTranslationResponseVerboseJson", &body);
    assert_eq!(
        (&body["task"], &body["language"]),
        (&json!("translate"), &json!("english"))
    );
}

#[test]
fn speakers_are_lettered_as_they_appear() {
    let body = rendered(&talk(), Task::Transcription, TranscriptFormat::DiarizedJson, &[]);
    let body = is_as_described("CreateTranscriptionResponseDiarizedJson", &body);
    let speakers: Vec<_> = body["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|segment| &segment["speaker"])
        .collect();
    assert_eq!(speakers, ["A", "B", "A"]);
    assert_eq!(body["segments"][1]["id"], "seg_002");
    let crowd = Transcript {
        segments: (0..30)
            .map(|nth| said("x", 0.0, 1.0, &format!("s{nth}")))
            .collect(),
        ..Transcript::default()
    };
    let body = rendered(&crowd, Task::Transcription, TranscriptFormat::DiarizedJson, &[]);
    let body = is_as_described("CreateTranscriptionResponseDiarizedJson", &body);
    assert_eq!(body["segments"][25]["speaker"], "Z");
    assert_eq!(body["segments"][26]["speaker"], "AA");
}

#[test]
fn text_ends_its_line() {
    let request = request(Task::Transcription, TranscriptFormat::Text, &[]);
    let text = render(&talk(), &request);
    assert_eq!(text.content_type, "text/plain; charset=utf-8");
    assert_eq!(text.body, format!("{}\n", talk().text));
}

#[test]
fn srt_is_numbered_and_has_no_line_that_reads_like_times() {
    let srt = rendered(&talk(), Task::Transcription, TranscriptFormat::Srt, &[]);
    let expected = "1\n00:00:00,250 --> 00:00:01,500\nIs a <b> & c?\n\n\
                    2\n00:00:02,000 --> 00:00:03,000\nNo\n-- > yes.\n\n\
                    3\n01:02:04,000 --> 01:02:05,500\nGood.\n\n";
    assert_eq!(srt, expected);
}

#[test]
fn vtt_is_escaped() {
    let request = request(Task::Transcription, TranscriptFormat::Vtt, &[]);
    let vtt = render(&talk(), &request);
    let expected = "WEBVTT\n\n\
                    00:00:00.250 --> 00:00:01.500\nIs a &lt;b&gt; &amp; c?\n\n\
                    00:00:02.000 --> 00:00:03.000\nNo\n--&gt; yes.\n\n\
                    01:02:04.000 --> 01:02:05.500\nGood.\n\n";
    assert_eq!(vtt.content_type, "text/vtt; charset=utf-8");
    assert_eq!(vtt.body, expected);
}

#[test]
fn without_text_there_is_no_cue() {
    let silence = Transcript {
        duration: Some(2.0),
        segments: vec![said(" \n", 0.0, 2.0, "")],
        ..Transcript::default()
    };
    for (format, body) in [(TranscriptFormat::Srt, ""), (TranscriptFormat::Vtt, "WEBVTT\n\n")] {
        assert_eq!(rendered(&silence, Task::Transcription, format, &[]), body);
    }
}

#[test]
fn speech_events_are_as_described() {
    let audio = [0u8, 1, 254, 255];
    let done = speech_done(&Reading {
        tokens_in: Some(7),
        tokens_out: Some(90),
        characters: Some(12),
        ..Reading::default()
    });
    let events = contents(&[speech_delta(&audio), done, speech_done(&Reading::default())]);
    let events: Vec<_> = events
        .iter()
        .map(|event| is_as_described("CreateSpeechResponseStreamEvent", event))
        .collect();
    assert_eq!(
        events[0],
        json!({"type": "speech.audio.delta", "audio": "AAH+/w=="})
    );
    assert_eq!(
        events[1]["usage"],
        json!({"input_tokens": 7, "output_tokens": 90, "total_tokens": 97})
    );
    assert_eq!(events[2]["usage"]["total_tokens"], 0);
}

#[test]
fn a_transcript_comes_sentence_by_sentence() {
    let request = request(Task::Transcription, TranscriptFormat::Json, &[("stream", "true")]);
    let events = contents(&transcript_events(&talk(), &request));
    let events: Vec<_> = events
        .iter()
        .map(|event| is_as_described("CreateTranscriptionResponseStreamEvent", event))
        .collect();
    let deltas: Vec<_> = events
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(deltas, ["Is a <b> & c?\n", "No --> yes. ", "Good."]);
    assert_eq!(
        events[3],
        json!({"type": "transcript.text.done", "text": talk().text})
    );
}

#[test]
fn each_speakers_segment_follows_its_delta() {
    let request = request(
        Task::Transcription,
        TranscriptFormat::DiarizedJson,
        &[("stream", "true")],
    );
    let alike = Transcript {
        text: "Yes? No, no.\nWell".into(),
        segments: vec![
            said("Yes?", 0.0, 1.0, "1"),
            said("No, no.", 1.0, 2.0, "2"),
            said("Well", 2.0, 3.0, "1"),
        ],
        ..Transcript::default()
    };
    let events = contents(&transcript_events(&alike, &request));
    assert_eq!(events.len(), 7);
    for pair in events[..6].chunks(2) {
        let delta = is_as_described("CreateTranscriptionResponseStreamEvent", &pair[0]);
        let segment = is_as_described("TranscriptTextSegmentEvent", &pair[1]);
        assert_eq!(delta["segment_id"], segment["id"]);
        assert_eq!(
            delta["delta"].as_str().unwrap().trim(),
            segment["text"].as_str().unwrap()
        );
    }
    // The talk's text and its segments differ in a blank line.
    let events = contents(&transcript_events(&talk(), &request));
    let kinds: Vec<_> = events
        .iter()
        .map(|event| is_as_described("CreateTranscriptionResponseStreamEvent", event)["type"].clone())
        .collect();
    let (delta, segment) = ("transcript.text.delta", "transcript.text.segment");
    assert_eq!(
        kinds,
        [
            delta,
            delta,
            delta,
            segment,
            segment,
            segment,
            "transcript.text.done"
        ]
    );
}

#[test]
fn models_are_listed_with_the_default_first() {
    let listed = [
        ("gemini", "Google Gemini", "tts"),
        ("groq", "Groq", "openai/whisper"),
    ]
    .map(|(provider, owned_by, model)| Listed {
        provider: ProviderId::new(provider),
        owned_by: owned_by.to_owned(),
        model: model.to_owned(),
    });
    let list = is_as_described("ListModelsResponse", &models_json(&listed));
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| &model["id"])
        .collect();
    assert_eq!(ids, ["default", "gemini/tts", "groq/openai/whisper"]);
    for (nth, id) in ids.iter().enumerate() {
        let one = model_json(id.as_str().unwrap(), &listed).unwrap();
        assert_eq!(is_as_described("Model", &one), list["data"][nth]);
    }
    for id in ["", "tts", "gemini", "gemini/", "groq/whisper", "gemini/tts/"] {
        assert_eq!(model_json(id, &listed), None, "{id}");
    }
}

/// Transcripts as no provider should send them.
fn transcripts() -> impl Strategy<Value = Transcript> {
    let time = prop_oneof![Just(f64::NAN), Just(-1.0), 0.0f64..90_000.0, Just(f64::MAX)];
    let part = (
        r"[a-z字.,!?<>&\n -]{0,9}",
        time.clone(),
        time.clone(),
        prop::option::of("[ab]"),
    );
    let parts = prop::collection::vec(part, 0..8);
    (parts, any::<bool>(), prop::option::of(time), r"[a-z字.\n -]{0,9}").prop_map(
        |(parts, are_words, duration, more)| {
            let text: String = parts.iter().map(|(text, ..)| format!("{text} ")).collect();
            let mut transcript = Transcript {
                text: text + &more,
                duration,
                ..Transcript::default()
            };
            for (text, start, end, speaker) in parts {
                match are_words {
                    true => transcript.words.push(Word {
                        text,
                        start,
                        end,
                        speaker,
                    }),
                    false => transcript.segments.push(Segment {
                        text,
                        start,
                        end,
                        speaker,
                    }),
                }
            }
            transcript
        },
    )
}

proptest! {
    #[test]
    fn any_transcript_renders_as_described(transcript in transcripts()) {
        for (format, schema) in [
            (TranscriptFormat::Json, "CreateTranscriptionResponseJson"),
            (TranscriptFormat::VerboseJson, "CreateTranscriptionResponseVerboseJson"),
            (TranscriptFormat::DiarizedJson, "CreateTranscriptionResponseDiarizedJson"),
        ] {
            is_as_described(schema, &rendered(&transcript, Task::Transcription, format, &[]));
        }
    }

    #[test]
    fn deltas_joined_are_the_text(transcript in transcripts(), diarized: bool) {
        let format = if diarized { TranscriptFormat::DiarizedJson } else { TranscriptFormat::Json };
        let request = request(Task::Transcription, format, &[("stream", "true")]);
        let mut joined = String::new();
        for content in contents(&transcript_events(&transcript, &request)) {
            let event = is_as_described("CreateTranscriptionResponseStreamEvent", &content);
            joined += event["delta"].as_str().unwrap_or_default();
        }
        prop_assert_eq!(joined, transcript.text);
    }

    #[test]
    fn every_cue_has_text_and_ends_after_it_begins(transcript in transcripts()) {
        let vtt = rendered(&transcript, Task::Transcription, TranscriptFormat::Vtt, &[]);
        let cues: Vec<_> = vtt.strip_suffix("\n\n").unwrap().split("\n\n").skip(1).collect();
        prop_assert_eq!(cues.len(), transcript.segmented().len());
        for cue in cues {
            let (times, text) = cue.split_once('\n').expect("text below the times");
            let (start, end) = times.split_once(" --> ").expect("two times");
            prop_assert!((start.len(), start) < (end.len(), end), "{}", times);
            prop_assert!(!text.trim().is_empty() && !text.contains("-->"));
        }
    }
}
