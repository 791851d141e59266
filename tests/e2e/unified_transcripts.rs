//! `POST /v1/audio/transcriptions` and `…/translations`: one transcript of every provider, in every format.

use serde_json::{Value, json};

use crate::fakes::schema::Spec;
use crate::fakes::strict::azure_transcription;
use crate::fakes::{Seen, request};
use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, HEARD, PROVIDERS, Provider, recording};
use crate::harness::{Answer, World};

/// Words without case and punctuation, which providers set as they please.
fn plain(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|letter| letter.is_alphanumeric() || letter.is_whitespace());
    let kept: String = kept.flat_map(char::to_lowercase).collect();
    kept.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn of_schema(answer: &Answer, schema: &str) -> Value {
    let body = answer.json();
    assert_eq!(Spec::OpenAi.refuses(schema, &body), None, "{body}");
    assert_eq!(plain(body["text"].as_str().expect("text")), HEARD, "{body}");
    body
}

/// Seconds from `start` on to `end`, within the recording.
#[track_caller]
fn timed(item: &Value) -> (f64, f64) {
    let (start, end) = (
        item["start"].as_f64().expect("a start"),
        item["end"].as_f64().expect("an end"),
    );
    assert!(0.0 <= start && start < end && end < 4.0, "{item}");
    (start, end)
}

async fn is_written_in_every_format(provider: Provider) {
    let world = World::unified().await;
    let user = world.user("ann").await;
    world.stored_key(&user, provider.id).await;
    let model = provider.transcript_model();
    let ask = async |format: &str| {
        let answer = world
            .transcribe(&user, &model, &[("response_format", format)])
            .await
            .succeeded()
            .named();
        assert_eq!(answer.header("x-voxgate-provider"), Some(provider.id), "{format}");
        assert_eq!(
            answer.header("x-voxgate-model"),
            Some(provider.listens_with),
            "{format}"
        );
        answer
    };

    of_schema(&ask("json").await, "CreateTranscriptionResponseJson");
    let text = ask("text").await;
    assert!(
        text.header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain")),
        "{text:?}"
    );
    assert_eq!(plain(&text.text()), HEARD);

    let srt = ask("srt").await.text();
    assert!(srt.starts_with("1\n00:00:00,"), "{srt}");
    assert!(
        srt.contains(" --> 00:00:0") && plain(&srt).contains(HEARD),
        "{srt}"
    );
    let vtt = ask("vtt").await;
    assert!(vtt.text().starts_with("WEBVTT\n\n00:00:00."), "{}", vtt.text());

    let verbose = of_schema(
        &ask("verbose_json").await,
        "CreateTranscriptionResponseVerboseJson",
    );
    assert!(
        verbose["duration"]
            .as_f64()
            .is_some_and(|seconds| (1.5..4.0).contains(&seconds)),
        "{verbose}"
    );
    let segments = verbose["segments"].as_array().expect("segments");
    assert!(segments.iter().map(timed).all(|(_, end)| end > 0.5), "{verbose}");

    let diarized = of_schema(
        &ask("diarized_json").await,
        "CreateTranscriptionResponseDiarizedJson",
    );
    let segments = diarized["segments"].as_array().expect("segments");
    assert_eq!(segments.len(), 2, "two speakers: {diarized}");
    assert_ne!(segments[0]["speaker"], segments[1]["speaker"], "{diarized}");
    assert!(
        timed(&segments[0]).1 <= timed(&segments[1]).0 + 0.05,
        "{diarized}"
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_is_written_in_every_format() {
    is_written_in_every_format(ELEVENLABS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_is_written_in_every_format() {
    is_written_in_every_format(AZURE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_is_written_in_every_format() {
    is_written_in_every_format(GEMINI).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_come_with_their_times() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for provider in PROVIDERS {
        let fields = [
            ("response_format", "verbose_json"),
            ("timestamp_granularities[]", "word"),
            ("timestamp_granularities[]", "segment"),
        ];
        let answer = world
            .transcribe(&user, &provider.transcript_model(), &fields)
            .await
            .succeeded();
        let body = of_schema(&answer, "CreateTranscriptionResponseVerboseJson");
        let words = body["words"].as_array().expect("words");
        let said: Vec<String> = words
            .iter()
            .map(|word| plain(word["word"].as_str().expect("a word")))
            .collect();
        assert_eq!(said.join(" "), HEARD, "{}: {body}", provider.id);
        let times: Vec<(f64, f64)> = words.iter().map(timed).collect();
        assert!(
            times.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 0.011),
            "{}: {times:?}",
            provider.id
        );
        assert!(
            body["segments"]
                .as_array()
                .is_some_and(|segments| !segments.is_empty()),
            "{body}"
        );
    }
    let answer = world
        .transcribe(
            &user,
            &ELEVENLABS.transcript_model(),
            &[("timestamp_granularities[]", "word")],
        )
        .await;
    assert_eq!(answer.status, 400, "only with verbose_json: {}", answer.text());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_may_come_in_any_order() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    let recording = recording().await;
    for provider in PROVIDERS {
        world.select(&user, "stt", provider.listening(), &[]).await;
        let model = provider.transcript_model();
        for fields in [
            [
                ("file", ""),
                ("model", model.as_str()),
                ("response_format", "verbose_json"),
            ],
            [
                ("response_format", "verbose_json"),
                ("file", ""),
                ("model", model.as_str()),
            ],
            [
                ("file", ""),
                ("response_format", "verbose_json"),
                ("model", "whisper-1"),
            ],
        ] {
            let answer = world
                .send(world.form(&user, "transcriptions", &fields, &recording))
                .await
                .succeeded();
            assert_eq!(
                answer.header("x-voxgate-provider"),
                Some(provider.id),
                "{fields:?}"
            );
            of_schema(&answer, "CreateTranscriptionResponseVerboseJson");
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_language_is_named_as_the_provider_names_it() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    for provider in PROVIDERS {
        let key = world.stored_key(&user, provider.id).await;
        let fields = [("language", "en")];
        let answer = world
            .transcribe(&user, &provider.transcript_model(), &fields)
            .await
            .succeeded();
        of_schema(&answer, "CreateTranscriptionResponseJson");
        let call = world.fakes.listening(provider.id).last_call(&key);
        match provider.id {
            "elevenlabs" => assert_eq!(field(&call, "language_code"), "en"),
            "azure" => {
                let definition: Value = serde_json::from_str(&field(&call, "definition")).expect("JSON");
                assert_eq!(definition["locales"], json!(["en-US"]));
            }
            _ => {
                let body: Value = serde_json::from_slice(&call.body).expect("JSON");
                let config = &body["generationConfig"]["audioTranscriptionConfig"];
                assert!(
                    config["languageCodes"][0]
                        .as_str()
                        .is_some_and(|code| code.starts_with("en")),
                    "{config}"
                );
            }
        }
    }
    world.end().await;
}

/// A field of the form that a provider was sent.
fn field(call: &Seen, name: &str) -> String {
    let parts = request::multipart(call).expect("a form");
    let part = parts.iter().find(|part| part.name == name);
    part.unwrap_or_else(|| panic!("{name} was not sent"))
        .text()
        .to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transcript_comes_as_events_too() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for provider in PROVIDERS {
        let answer = world
            .transcribe(&user, &provider.transcript_model(), &[("stream", "true")])
            .await
            .succeeded();
        assert!(
            answer
                .header("content-type")
                .is_some_and(|kind| kind.starts_with("text/event-stream"))
        );
        let text = answer.text();
        let data = text
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(str::trim);
        let events: Vec<Value> = data
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).expect("an event in JSON"))
            .collect();
        for event in &events {
            assert_eq!(
                Spec::OpenAi.refuses("CreateTranscriptionResponseStreamEvent", event),
                None,
                "{event}"
            );
        }
        let of_kind = |kind: &'static str| events.iter().filter(move |event| event["type"] == kind);
        let deltas: String = of_kind("transcript.text.delta")
            .filter_map(|event| event["delta"].as_str())
            .collect();
        let done = of_kind("transcript.text.done").next_back().expect("an end");
        assert_eq!(plain(&deltas), HEARD, "{}", provider.id);
        assert_eq!(done["text"].as_str(), Some(deltas.as_str()), "{}", provider.id);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn translations_are_made_where_a_provider_can() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    let recording = recording().await;
    let translate = |provider: Provider| {
        let model = provider.transcript_model();
        world.form(
            &user,
            "translations",
            &[("model", model.as_str()), ("file", "")],
            &recording,
        )
    };
    let answer = world.send(translate(AZURE)).await.succeeded();
    assert_eq!(answer.json()["text"], azure_transcription::TRANSLATION);
    for provider in [ELEVENLABS, GEMINI] {
        let answer = world.send(translate(provider)).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let message = answer.json()["error"]["message"].to_string().to_lowercase();
        assert!(message.contains(provider.id), "says who cannot: {message}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_cannot_do_is_refused_by_its_field() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for (provider, field, value) in [
        (AZURE, "temperature", "0.5"),
        (GEMINI, "temperature", "0.5"),
        (ELEVENLABS, "prompt", "Names: Ada."),
        (ELEVENLABS, "response_format", "docx"),
        (ELEVENLABS, "temperature", "warm"),
    ] {
        let answer = world
            .transcribe(&user, &provider.transcript_model(), &[(field, value)])
            .await;
        assert_eq!(answer.status, 400, "{}: {field}: {}", provider.id, answer.text());
        assert_eq!(
            answer.json()["error"]["param"],
            json!(field),
            "{}: {}",
            provider.id,
            answer.text()
        );
    }
    let unknown = world
        .transcribe(&user, &ELEVENLABS.transcript_model(), &[("colour", "red")])
        .await;
    assert!(
        unknown.refused(400, "invalid_request").text().contains("colour"),
        "nothing is silently ignored"
    );
    let without_file = world.form(&user, "transcriptions", &[("model", "elevenlabs/scribe_v2")], b"");
    let answer = world.send(without_file).await.refused(400, "invalid_request");
    assert_eq!(answer.json()["error"]["param"], "file");
    world.end().await;
}
