//! What a user may choose from, what is left of it, and what was chosen.

use http::Method;
use serde_json::{Value, json};

use crate::fakes::{azure, elevenlabs, gemini};
use crate::harness::{Database, World, on_both_databases};

on_both_databases!(selections_are_kept);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_and_quota_come_from_the_provider() {
    let world = World::start(Database::Sqlite).await;
    let user = world.user("ann").await;
    let providers = world.read(&user, "/api/v1/providers").await;
    let ids: Vec<&str> = providers["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|p| p["id"].as_str())
        .collect();
    assert_eq!(
        ids,
        [
            "azure",
            "cartesia",
            "deepgram",
            "elevenlabs",
            "gemini",
            "groq",
            "openai",
            "openai-compatible"
        ]
    );
    world
        .ask_admin(&user, Method::GET, "/api/v1/providers/azure/models", None)
        .await
        .problem(424, "credential_missing");

    let expected = [
        ("elevenlabs", "eleven_multilingual_v2", Some(elevenlabs::VOICE)),
        ("azure", "neural", Some(azure::VOICE)),
        ("gemini", gemini::TTS, Some("Kore")),
    ];
    for (provider, model, voice) in expected {
        world.stored_key(&user, provider).await;
        let models = world
            .read(
                &user,
                &format!("/api/v1/providers/{provider}/models?operation=tts"),
            )
            .await;
        let has = |listing: &Value, id: &str| {
            listing["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|item| item["id"] == id)
        };
        assert!(has(&models, model), "{models}");
        let voices = world
            .read(&user, &format!("/api/v1/providers/{provider}/voices"))
            .await;
        assert!(voice.is_none_or(|voice| has(&voices, voice)), "{voices}");
        let quota = world
            .read(&user, &format!("/api/v1/credentials/{provider}/quota"))
            .await;
        assert_eq!(quota["supported"], provider == "elevenlabs", "{quota}");
        if provider == "elevenlabs" {
            assert_eq!(
                (quota["used"].as_f64(), quota["limit"].as_f64()),
                (Some(1200.0), Some(100_000.0)),
                "{quota}"
            );
        }
    }
    let stt = world
        .read(&user, "/api/v1/providers/gemini/models?operation=stt")
        .await
        .to_string();
    assert!(
        stt.contains(gemini::STT) && !stt.contains("gemini-3.8-flash\""),
        "{stt}"
    );
    let german = world
        .read(&user, "/api/v1/providers/azure/voices?language=de")
        .await
        .to_string();
    assert!(
        german.contains("de-DE-KatjaNeural") && !german.contains(azure::VOICE),
        "{german}"
    );
    world.end().await;
}

async fn selections_are_kept(database: Database) {
    let world = World::start(database).await;
    let user = world.user("ann").await;
    world
        .ask_admin(&user, Method::GET, "/api/v1/selections/tts", None)
        .await
        .problem(404, "not_found");
    let selection = json!({
        "provider": "elevenlabs", "model": "eleven_flash_v2_5", "voice": elevenlabs::VOICE,
        "fallbacks": [{"provider": "azure", "model": "neural", "voice": azure::VOICE}],
    });
    world
        .ask_admin(
            &user,
            Method::PUT,
            "/api/v1/selections/tts",
            Some(selection.clone()),
        )
        .await
        .succeeded();
    let kept = world.read(&user, "/api/v1/selections/tts").await;
    for (field, value) in selection.as_object().unwrap() {
        assert_eq!(&kept[field], value, "{kept}");
    }
    let unknown = json!({"provider": "nobody", "model": "x", "voice": null, "fallbacks": []});
    let refused = world
        .ask_admin(&user, Method::PUT, "/api/v1/selections/stt", Some(unknown))
        .await;
    refused.problem(400, "invalid_request");
    assert_eq!(
        world
            .ask_admin(&user, Method::DELETE, "/api/v1/selections/tts", None)
            .await
            .status,
        204
    );
    world
        .ask_admin(&user, Method::GET, "/api/v1/selections/tts", None)
        .await
        .problem(404, "not_found");
    world.end().await;
}
