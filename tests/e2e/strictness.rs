//! The fakes are as strict as the providers, and the search for secrets reaches every place: without this, a
//! test that passes would prove little.

use reqwest::RequestBuilder;

use crate::fakes::{Fake, Fakes, Kind, elevenlabs, gemini};
use crate::harness::{Database, World, calls, on_both_databases};

on_both_databases!(what_is_no_secret_is_found_in_every_place);

const KEY: &str = "the-one-right-key";

async fn fake(kind: Kind) -> std::sync::Arc<Fake> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let fake = Fake::start(kind).await;
    fake.treat(KEY, Default::default());
    fake
}

fn post(fake: &Fake, path: &str, body: &'static str) -> RequestBuilder {
    let client = reqwest::Client::builder().build().expect("a client");
    client
        .post(format!("{}{path}", fake.url))
        .header("content-type", "application/json")
        .body(body)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn a_key_counts_in_its_one_place_only() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().build().expect("a client");
    let fakes = Fakes::start(None).await;
    fakes
        .all()
        .iter()
        .for_each(|fake| fake.treat(KEY, Default::default()));
    for (fake, path, refused) in [
        (&fakes.elevenlabs, "/v1/models", 401),
        (&fakes.azure_tts, "/cognitiveservices/voices/list", 401),
        (
            &fakes.azure_api,
            "/speechtotext/transcriptions/locales?api-version=2025-10-15",
            401,
        ),
        (&fakes.gemini, "/v1beta/models", 403),
    ] {
        let get = || client.get(format!("{}{path}", fake.url));
        let right = fake.kind.key_header();
        assert_eq!(status(get().header(right, KEY)).await, 200);
        assert!(fake.complaints().is_empty(), "{:?}", fake.complaints());
        assert_eq!(status(get()).await, refused);
        assert_eq!(status(get().header("x-api-key", KEY)).await, refused);
        let wrong = if fake.kind == Kind::Gemini { 400 } else { 401 };
        assert_eq!(status(get().header(right, "another")).await, wrong);
        assert_eq!(status(get().header(right, "vxg_a-token-of-ours")).await, wrong);
    }
}

#[tokio::test]
async fn whatever_should_not_arrive_is_complained_of() {
    let fake = fake(Kind::ElevenLabs).await;
    let path = format!("/v1/text-to-speech/{}", elevenlabs::VOICE);
    let speech =
        |query: &str| post(&fake, &format!("{path}{query}"), r#"{"text":"hello"}"#).header("xi-api-key", KEY);
    let spoilt: [(&str, RequestBuilder); 8] = [
        (
            "a second credential",
            speech("").header("authorization", "Bearer x"),
        ),
        ("a cookie", speech("").header("cookie", "a=b")),
        ("a credential in the query", speech("?Access_Token=x")),
        (
            "a token in a header",
            speech("").header("x-other", "Bearer vxg_abc"),
        ),
        ("a JWT in a parameter", speech("?other=eyJhbGciOi")),
        ("a header of ours", speech("").header("x-voxgate-request-id", "1")),
        ("traces of the gateway", speech("").header("via", "1.1 voxgate")),
        (
            "a token in the body",
            post(&fake, &path, r#"{"text":"vxg_abc"}"#).header("xi-api-key", KEY),
        ),
    ];
    for (number, (what, request)) in spoilt.into_iter().enumerate() {
        request.send().await.expect("an answer");
        assert_eq!(
            fake.complaints().len(),
            number + 1,
            "{what}: {:?}",
            fake.complaints()
        );
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_as_the_provider_does() {
    let elevenlabs = fake(Kind::ElevenLabs).await;
    let speech = |body| {
        post(
            &elevenlabs,
            &format!("/v1/text-to-speech/{}", elevenlabs::VOICE),
            body,
        )
        .header("xi-api-key", KEY)
    };
    assert_eq!(status(speech(r#"{"text":"hello"}"#)).await, 200);
    assert_eq!(status(speech(r#"{"txt":"hello"}"#)).await, 422);
    assert_eq!(status(speech("hello")).await, 422);
    let unknown_voice = post(&elevenlabs, "/v1/text-to-speech/nobody", r#"{"text":"hello"}"#);
    assert_eq!(status(unknown_voice.header("xi-api-key", KEY)).await, 404);

    let google = fake(Kind::Gemini).await;
    let generate = |body| {
        post(
            &google,
            &format!("/v1beta/models/{}:generateContent", gemini::TTS),
            body,
        )
    };
    let text_only = generate(r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#);
    assert_eq!(status(text_only.header("x-goog-api-key", KEY)).await, 400);
    assert_eq!(status(generate("{}").header("x-goog-api-key", KEY)).await, 400);

    let azure = fake(Kind::AzureTts).await;
    let speak = |body| post(&azure, "/cognitiveservices/v1", body).header("ocp-apim-subscription-key", KEY);
    assert_eq!(status(speak("<speak/>")).await, 415, "JSON is no SSML");
}

/// A user's name is in log lines, answers and records, so a search that overlooks a place overlooks it there.
async fn what_is_no_secret_is_found_in_every_place(database: Database) {
    const NAME: &str = "a-name-that-is-no-secret";
    let world = World::start(database).await;
    let user = world.user(NAME).await;
    world.stored_key(&user, "elevenlabs").await;
    calls::elevenlabs_tts("seen")
        .through(&world, &user)
        .await
        .succeeded();
    world.usage(&user, 1).await;
    world.planted.plant("the user's name", NAME);
    world.read(&user, "/api/v1/me").await;
    let found = world.findings().await.join("\n");
    let stored = if database == Database::Sqlite {
        "voxgate.db"
    } else {
        "the database's dump"
    };
    for place in ["an answer's body", "the process's output", stored] {
        assert!(found.contains(place), "not found in {place}: {found}");
    }
}
