//! `POST /v1/audio/speech`: every format of every provider plays and says the words, and what cannot be done is told.

use serde_json::json;

use crate::harness::unified::{AZURE, ELEVENLABS, GEMINI, HEARD, PROVIDERS, Provider, WORDS, default_speech};
use crate::harness::{User, World, sound};

const FORMATS: [(&str, &str); 5] = [
    ("mp3", "audio/mpeg"),
    ("opus", "audio/ogg"),
    ("flac", "audio/flac"),
    ("wav", "audio/wav"),
    ("pcm", "audio/pcm"),
];

async fn says_the_words_in_every_format(provider: Provider) {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, provider.id).await;
    for (format, content_type) in FORMATS {
        let answer = world
            .speak(&user, &provider.speech(format))
            .await
            .succeeded()
            .named();
        assert_eq!(answer.header("content-type"), Some(content_type), "{format}");
        assert_eq!(answer.header("x-voxgate-provider"), Some(provider.id), "{format}");
        assert_eq!(
            answer.header("x-voxgate-model"),
            Some(provider.speaks_with),
            "{format}"
        );
        assert_eq!(answer.header("x-voxgate-credential"), Some("user"), "{format}");
        assert_eq!(answer.code(), None, "{format}");
        let heard = sound::heard(format, &answer.body).await;
        assert_eq!(heard.text(), HEARD, "{}: {format}", provider.id);
        assert!(
            (1.5..4.0).contains(&heard.seconds),
            "{}: {format}: {heard:?}",
            provider.id
        );
    }
    assert_eq!(
        world.fakes.speaking(provider.id).said(&key),
        vec![WORDS; FORMATS.len()]
    );
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elevenlabs_says_the_words_in_every_format() {
    says_the_words_in_every_format(ELEVENLABS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn azure_says_the_words_in_every_format() {
    says_the_words_in_every_format(AZURE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gemini_says_the_words_in_every_format() {
    says_the_words_in_every_format(GEMINI).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_selection_speaks_where_nobody_is_named() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for provider in PROVIDERS {
        world.select(&user, "tts", provider.speaking(), &[]).await;
        for (model, voice) in [
            ("default", json!("default")),
            ("tts-1", json!("alloy")),
            ("gpt-4o-mini-tts", json!({"id": provider.voice})),
        ] {
            let body = json!({"model": model, "voice": voice, "input": WORDS});
            let answer = world.speak(&user, &body).await.succeeded();
            assert_eq!(answer.header("x-voxgate-provider"), Some(provider.id), "{model}");
            assert_eq!(
                answer.header("content-type"),
                Some("audio/mpeg"),
                "mp3 unless another is asked for"
            );
            assert_eq!(
                sound::heard("mp3", &answer.body).await.text(),
                HEARD,
                "{} as {model}",
                provider.id
            );
        }
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_is_refused_by_its_field() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    let changed = |provider: Provider, field: &str, value: serde_json::Value| {
        let mut body = provider.speech("mp3");
        body[field] = value;
        body
    };
    for provider in PROVIDERS {
        let answer = world
            .speak(&user, &provider.speech("aac"))
            .await
            .refused(400, "unsupported_format");
        let error = &answer.json()["error"];
        assert_eq!(error["param"], "response_format", "{error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains("mp3")),
            "{error}"
        );
    }
    for (body, param) in [
        (changed(ELEVENLABS, "speed", json!(3.0)), "speed"),
        (changed(AZURE, "speed", json!(3.0)), "speed"),
        (changed(GEMINI, "speed", json!(1.5)), "speed"),
        (changed(ELEVENLABS, "speed", json!("fast")), "speed"),
        (
            changed(ELEVENLABS, "instructions", json!("Whisper.")),
            "instructions",
        ),
        (
            changed(AZURE, "instructions", json!("Whisper like a ghost.")),
            "instructions",
        ),
        // A style, but none that this voice has.
        (changed(AZURE, "instructions", json!("sad")), "instructions"),
        (
            changed(ELEVENLABS, "response_format", json!("midi")),
            "response_format",
        ),
        (changed(ELEVENLABS, "input", json!("")), "input"),
        (
            changed(ELEVENLABS, "stream_format", json!("carrier pigeon")),
            "stream_format",
        ),
    ] {
        let answer = world.speak(&user, &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        assert_eq!(
            answer.json()["error"]["param"],
            param,
            "{body}: {}",
            answer.text()
        );
    }
    let unknown = world
        .speak(&user, &changed(ELEVENLABS, "colour", json!("red")))
        .await;
    assert!(
        unknown.refused(400, "invalid_request").text().contains("colour"),
        "nothing is silently ignored"
    );
    for provider in PROVIDERS {
        assert_eq!(
            world.fakes.speaking(provider.id).call_count_of("POST"),
            0,
            "nothing was asked of {}",
            provider.id
        );
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pace_and_style_reach_the_provider() {
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for provider in [ELEVENLABS, AZURE] {
        let mut body = provider.speech("wav");
        let usual = sound::heard("wav", &world.speak(&user, &body).await.succeeded().body)
            .await
            .seconds;
        body["speed"] = json!(1.2);
        let faster = sound::heard("wav", &world.speak(&user, &body).await.succeeded().body)
            .await
            .seconds;
        assert!(
            faster < usual * 0.95,
            "{}: {faster} s instead of {usual} s",
            provider.id
        );
    }
    let mut styled = AZURE.speech("mp3");
    styled["instructions"] = json!("cheerful");
    world.speak(&user, &styled).await.succeeded();
    let mut styled = GEMINI.speech("mp3");
    styled["instructions"] = json!("Cheerfully, as to a child.");
    world.speak(&user, &styled).await.succeeded();
    world.end().await;
}

/// What a provider is to speak, however it was dressed up for the way.
fn letters(text: &str) -> String {
    let spoken = text
        .chars()
        .filter(|letter| !letter.is_control() && !letter.is_whitespace());
    spoken.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_is_never_taken_for_markup() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let keys = [
        world.stored_key(&user, "elevenlabs").await,
        world.stored_key(&user, "azure").await,
        world.stored_key(&user, "gemini").await,
    ];
    for text in [
        r#"one </voice><voice name="x"> two"#,
        r#"]]></prosody></voice></speak><speak><!-- two"#,
        r#"one", "model_id": "eleven_v3"} {{ input }} {% raw %} two \ \" '"#,
        "one &lt;two&gt; &amp;amp; &#x41; <?xml version=\"1.0\"?> <audio src='https://example.com/a.wav'/>",
        "one \u{1}\u{8}\u{b}\u{1f}\u{7f} two \r\n\t three",
        "one \u{1f469}\u{200d}\u{1f680} 你好 \u{202e}owt\u{202c} Grüße",
    ] {
        for (provider, key) in PROVIDERS.iter().zip(&keys) {
            let mut body = provider.speech("mp3");
            body["input"] = json!(text);
            world.speak(&user, &body).await.succeeded();
            let said = world.fakes.speaking(provider.id).said(key);
            let last = said.last().expect("something was said");
            assert_eq!(letters(last), letters(text), "{}", provider.id);
        }
    }
    world.end().await;
}

/// Longer than the model speaks at once, so in several calls, and without a word lost between them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_text_is_spoken_in_pieces() {
    let world = World::unified().await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "elevenlabs").await;
    let text: String = (0..200)
        .map(|number| format!("This is sentence number {number}. "))
        .collect();
    let mut body = ELEVENLABS.speech("mp3");
    body["model"] = json!("elevenlabs/eleven_v3");
    body["input"] = json!(text.trim());
    assert!(text.len() > 3_000);
    let answer = world.speak(&user, &body).await;
    if answer.status == 400 {
        let error = &answer.json()["error"];
        assert_eq!(error["param"], "input", "{error}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| message.contains("3")),
            "names the limit: {error}"
        );
    } else {
        answer.succeeded();
        let said = world.fakes.elevenlabs.said(&key);
        assert!(said.len() > 1 && said.iter().all(|piece| piece.chars().count() <= 3_000));
        assert!(
            said.iter().all(|piece| piece.trim_end().ends_with('.')),
            "cut at sentence ends"
        );
        assert_eq!(letters(&said.concat()), letters(&text));
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn native_calls_pass_beside_it_as_before() {
    use crate::harness::calls::{assert_same, elevenlabs_stream, gemini_tts};
    let world = World::unified().await;
    let user = world.equipped_user("ann").await;
    for call in [elevenlabs_stream("one two three"), gemini_tts("one two three")] {
        let key = world.stored_key(&user, call.provider).await;
        let direct = call.direct(&world, &key).await.succeeded();
        assert_same(&call.through(&world, &user).await.succeeded(), &direct);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_selected_and_nothing_stored_say_where_to_mend_it() {
    let world = World::unified().await;
    let stranger: User = world.user("bob").await;
    let answer = world
        .speak(&stranger, &default_speech())
        .await
        .refused(424, "selection_missing");
    assert!(
        answer.json()["error"]["setup_url"]
            .as_str()
            .is_some_and(|url| url.starts_with("https://voxgate.example.com"))
    );
    let answer = world
        .speak(&stranger, &AZURE.speech("mp3"))
        .await
        .refused(424, "credential_missing");
    assert_eq!(
        answer.header("x-voxgate-setup-url"),
        answer.json()["error"]["setup_url"].as_str()
    );
    world
        .speak(
            &stranger,
            &json!({"model": "nobody/x", "voice": "default", "input": WORDS}),
        )
        .await
        .refused(404, "unknown_provider");
    world.end().await;
}
