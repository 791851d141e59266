//! Voxgate's own calls and how their answers are read: probes, models, voices, quota, prices.

mod common;

use chrono::NaiveDate;
use common::{KEY, PROVIDERS, enough, provider};
use policies::meter::Reading;
use policies::rewrite::{Question, ask, read_models, read_quota, read_voices};
use policies::rules::estimate;
use policies::vocabulary::Operation;

fn asked(id: &str, question: Question<'_>) -> Option<String> {
    let provider = provider(id);
    let hosts = provider.hosts(&enough(&provider)).unwrap();
    let call = ask(&provider, &hosts, question, KEY).unwrap()?;
    let shown = call
        .headers
        .values()
        .filter(|value| value.as_bytes() == KEY.as_bytes());
    assert!(shown.into_iter().all(|value| value.is_sensitive()));
    assert!(call.headers.contains_key("user-agent") && !call.url.contains(KEY));
    Some(format!("{} {}", call.method, call.url))
}

#[test]
fn every_provider_can_be_probed_with_the_key_in_its_place() {
    for provider in PROVIDERS.iter() {
        let hosts = provider.hosts(&enough(provider)).unwrap();
        let call = ask(provider, &hosts, Question::Probe(0), KEY).unwrap().unwrap();
        let shows_key = |value: &http::HeaderValue| value.to_str().is_ok_and(|text| text.contains(KEY));
        assert!(call.headers.values().any(shows_key), "{}", provider.id);
        assert!(ask(provider, &hosts, Question::Probe(9), KEY).unwrap().is_none());
        assert!(ask(provider, &Default::default(), Question::Probe(0), KEY).is_err());
        assert!(ask(provider, &hosts, Question::Probe(0), "a\nb").is_err());
    }
}

#[test]
fn questions_become_calls() {
    let voices = Question::Voices {
        q: Some("a b&c"),
        language: Some("en"),
        page: Some("p/1"),
    };
    assert_eq!(
        asked("elevenlabs", Question::Probe(0)).unwrap(),
        "GET https://api.elevenlabs.io/v1/models"
    );
    assert_eq!(
        asked("elevenlabs", voices).unwrap(),
        "GET https://api.elevenlabs.io/v2/voices?page_size=100&search=a%20b%26c&language=en&next_page_token=p%2F1"
    );
    assert_eq!(
        asked("elevenlabs", Question::Quota).unwrap(),
        "GET https://api.elevenlabs.io/v1/user/subscription"
    );
    let azure = "GET https://southafricanorth.tts.speech.microsoft.com/cognitiveservices/voices/list";
    assert_eq!(asked("azure", voices).unwrap(), azure);
    assert_eq!(asked("azure", Question::Quota), None);
    assert_eq!(asked("azure", Question::Models { page: None }), None);
    assert_eq!(
        asked("gemini", Question::Models { page: Some("n") }).unwrap(),
        "GET https://generativelanguage.googleapis.com/v1beta/models?pageSize=1000&pageToken=n"
    );
    assert_eq!(asked("gemini", voices), None);
    assert!(provider("gemini").probe_lists_models(0) && provider("elevenlabs").probe_lists_models(0));
    assert!(!provider("azure").probe_lists_models(0));
}

#[test]
fn models_are_read_with_what_they_do() {
    let ids = |id: &str, answer: &str, operation| {
        let page = read_models(&provider(id), answer.as_bytes(), operation).unwrap();
        page.items.into_iter().map(|model| model.id).collect::<Vec<_>>()
    };
    let eleven = r#"[{"model_id":"eleven_v3","name":"Eleven v3","can_do_text_to_speech":true},
        {"model_id":"eleven_sts","name":"x","can_do_text_to_speech":false},{"model_id":"scribe_v2","name":"Scribe"}]"#;
    assert_eq!(
        ids("elevenlabs", eleven, None),
        ["eleven_v3", "scribe_v2", "scribe_v1"]
    );
    assert_eq!(ids("elevenlabs", eleven, Some(Operation::Tts)), ["eleven_v3"]);
    assert_eq!(
        ids("elevenlabs", eleven, Some(Operation::Stt)),
        ["scribe_v2", "scribe_v1"]
    );
    let gemini = r#"{"models":[{"name":"models/gemini-3.8-flash-tts","displayName":"Speaker"},
        {"name":"models/gemini-3.8-flash"},{"name":"models/gemini-3.5-transcribe"}],"nextPageToken":"t"}"#;
    assert_eq!(
        ids("gemini", gemini, None),
        ["gemini-3.8-flash-tts", "gemini-3.5-transcribe"]
    );
    let page = read_models(&provider("gemini"), gemini.as_bytes(), Some(Operation::Tts)).unwrap();
    assert_eq!(
        (page.items[0].name.as_str(), page.next.as_deref()),
        ("Speaker", Some("t"))
    );
    assert_eq!(ids("azure", "", Some(Operation::Tts)), ["neural", "hd"]);
    for answer in ["", "<html>", "{}", "{\"models\":3}", "null"] {
        assert!(
            read_models(&provider("gemini"), answer.as_bytes(), None).is_err(),
            "{answer}"
        );
        assert!(
            read_models(&provider("elevenlabs"), answer.as_bytes(), None).is_err(),
            "{answer}"
        );
    }
}

#[test]
fn voices_are_read_and_searched() {
    let azure = br#"[{"ShortName":"en-US-AvaNeural","DisplayName":"Ava","Gender":"Female","Locale":"en-US","SecondaryLocaleList":["de-DE"]},
        {"ShortName":"zh-TW-HsiaoChenNeural","DisplayName":"HsiaoChen","Gender":"Female","Locale":"zh-TW"}]"#;
    let found = |q, language| {
        let page = read_voices(&provider("azure"), Some(azure), q, language).unwrap();
        page.items.into_iter().map(|voice| voice.name).collect::<Vec<_>>()
    };
    assert_eq!(found(None, None), ["Ava", "HsiaoChen"]);
    assert_eq!(found(Some("ava"), None), ["Ava"]);
    assert_eq!(found(None, Some("zh")), ["HsiaoChen"]);
    assert_eq!(found(None, Some("de-de")), ["Ava"]);
    assert_eq!(found(None, Some("z")), [""; 0]);
    let first = &read_voices(&provider("azure"), Some(azure), None, None)
        .unwrap()
        .items[0];
    assert_eq!(
        (first.gender.as_deref(), first.languages.len()),
        (Some("female"), 2)
    );
    let eleven = br#"{"voices":[{"voice_id":"v1","name":"Rachel","labels":{"gender":"female","language":"en"},"preview_url":"https://x/y.mp3",
        "verified_languages":[{"language":"en","locale":"en-US"}]}],"has_more":true,"next_page_token":"n"}"#;
    let found = |q, language| {
        let page = read_voices(&provider("elevenlabs"), Some(eleven), Some(q), Some(language)).unwrap();
        page.items.len()
    };
    // A provider that searches, but did not heed the question.
    assert_eq!((found("other", "en"), found("rachel", "fr")), (0, 0));
    let page = read_voices(
        &provider("elevenlabs"),
        Some(eleven),
        Some("Female rach"),
        Some("en"),
    )
    .unwrap();
    assert_eq!(
        (page.items[0].id.as_str(), page.next.as_deref()),
        ("v1", Some("n"))
    );
    assert_eq!(page.items[0].languages, ["en-US", "en"]);
    let gemini = read_voices(&provider("gemini"), None, Some("kor"), Some("fr")).unwrap();
    assert_eq!(
        gemini
            .items
            .iter()
            .map(|voice| voice.id.as_str())
            .collect::<Vec<_>>(),
        ["Kore"]
    );
    assert_eq!(
        read_voices(&provider("gemini"), None, None, None)
            .unwrap()
            .items
            .len(),
        30
    );
}

#[test]
fn quota_is_read_where_there_is_one() {
    let answer = br#"{"tier":"free","character_count":17,"character_limit":10000,"next_character_count_reset_unix":1798761600}"#;
    let quota = read_quota(&provider("elevenlabs"), answer).unwrap();
    assert_eq!(
        (quota.supported, quota.used, quota.limit),
        (true, Some(17.0), Some(10000.0))
    );
    assert_eq!(quota.resets_at.unwrap().to_rfc3339(), "2027-01-01T00:00:00+00:00");
    assert_eq!(quota.unit.as_deref(), Some("credits"));
    assert!(!read_quota(&provider("azure"), b"").unwrap().supported);
    assert!(read_quota(&provider("elevenlabs"), b"{}").is_err());
}

#[test]
fn cost_is_estimated_at_the_days_price() {
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let cost = |id: &str, model: &str, operation, reading: Reading, on: &str| {
        let reading = Reading {
            model: Some(model.to_owned()),
            ..reading
        };
        estimate(&provider(id), operation, &reading, day(on))
    };
    let spoken = Reading {
        characters: Some(1000),
        ..Reading::default()
    };
    let close = |a: Option<f64>, b: f64| assert!((a.unwrap() - b).abs() < 1e-9, "{a:?} {b}");
    close(
        cost(
            "elevenlabs",
            "eleven_flash_v2_5",
            Operation::Tts,
            spoken.clone(),
            "2026-11-22",
        ),
        0.04,
    );
    close(
        cost(
            "elevenlabs",
            "eleven_multilingual_v2",
            Operation::Tts,
            spoken.clone(),
            "2026-11-22",
        ),
        0.08,
    );
    close(
        cost("azure", "hd", Operation::Tts, spoken.clone(), "2026-11-22"),
        0.03,
    );
    let heard = Reading {
        audio_seconds: Some(1800.0),
        ..Reading::default()
    };
    close(
        cost(
            "elevenlabs",
            "scribe_v2",
            Operation::Stt,
            heard.clone(),
            "2026-11-22",
        ),
        0.11,
    );
    let tokens = Reading {
        tokens_in: Some(1_000_000),
        tokens_out: Some(500_000),
        ..Reading::default()
    };
    close(
        cost(
            "gemini",
            "gemini-3.8-flash-tts",
            Operation::Tts,
            tokens.clone(),
            "2026-12-31",
        ),
        5.0,
    );
    close(
        cost(
            "gemini",
            "gemini-3.8-flash-tts",
            Operation::Tts,
            tokens,
            "2027-01-01",
        ),
        10.0,
    );
    assert_eq!(
        cost(
            "gemini",
            "gemini-3.8-flash-tts",
            Operation::Tts,
            spoken,
            "2026-12-31"
        ),
        None
    );
    assert_eq!(
        cost("elevenlabs", "unheard_of", Operation::Tts, heard, "2026-12-31"),
        None
    );
}
