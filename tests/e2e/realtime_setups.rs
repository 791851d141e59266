//! Gemini's sessions, which name their model in the first message, in text or in bytes.

use serde_json::{Value, json};

use crate::fakes::sockets::gemini_live::{CONVERSES, TRANSCRIBES};
use crate::harness::socket::Socket;
use crate::harness::unified::{HEARD, WORDS};
use crate::harness::{sound, talk};

async fn say(socket: &mut Socket, binary: bool, message: &Value) {
    match binary {
        true => socket.send_bytes(message.to_string().as_bytes()).await,
        false => socket.send_json(message).await,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_for_speech_converses_in_text_and_in_bytes() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "gemini").await;
    // One SDK doubles the slash where its base URL ends in one.
    for (path, binary) in [
        (talk::GEMINI_LIVE.to_owned(), false),
        (format!("/{}", talk::GEMINI_LIVE), true),
    ] {
        let mut socket = world.dial_as(&user, "gemini", &path).open().await;
        say(&mut socket, binary, &talk::gemini_setup(CONVERSES)).await;
        assert_eq!(socket.json().await, json!({"setupComplete": {}}));
        say(&mut socket, binary, &talk::gemini_turn(WORDS)).await;
        assert_eq!(
            sound::heard("pcm", &socket.gemini_sound().await).await.text(),
            HEARD
        );
        socket.close(1000, "").await.is(1000, "");
    }
    for record in world.usage(&user, 2).await {
        talk::assert_ended(&record, 1000, "caller", "ok");
        assert_eq!(record["model"], CONVERSES, "{record:#}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_for_chats_is_not_let_through_in_whatever_frames() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "gemini").await;
    let before = world.fakes.gemini.call_count();
    let chat = talk::gemini_setup("gemini-3.8-flash").to_string();
    let twice = r#"{"setup": {"model": "models/gemini-3.8-live", "model": "models/gemini-3.8-flash"}}"#;
    let snake = json!({"setup": {"model": "models/gemini-3.8-flash", "generation_config": {}}});
    for (binary, first) in [
        (false, chat.clone()),
        (true, chat.clone()),
        (false, snake.to_string()),
        (false, twice.to_owned()),
        (false, talk::gemini_turn("no setup").to_string()),
    ] {
        let mut socket = world.dial_as(&user, "gemini", talk::GEMINI_LIVE).open().await;
        match binary {
            true => socket.send_bytes(first.as_bytes()).await,
            false => socket.send_text(&first).await,
        }
        let close = socket.closed().await;
        assert_eq!(close.code, Some(1008), "{first}: {close:?}");
        let code = close.reason.split(':').next().unwrap_or("");
        assert!(
            ["forbidden_endpoint", "invalid_request"].contains(&code),
            "{first}: {close:?}"
        );
        if first == chat {
            assert_eq!(code, "forbidden_endpoint", "{close:?}");
        }
    }
    let sockets = world.fakes.gemini.call_count() - before;
    let heard = world.fakes.gemini.messages_heard();
    assert_eq!(heard, 0, "of {sockets} sockets");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_means_what_the_user_has_selected() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    let key = world.stored_key(&user, "gemini").await;
    let selection = json!({"provider": "gemini", "model": TRANSCRIBES, "voice": null});
    world.select(&user, "stt", selection, &[]).await;
    let mut socket = world.dial_as(&user, "gemini", talk::GEMINI_LIVE).open().await;
    socket.send_json(&talk::gemini_setup("default")).await;
    assert_eq!(socket.json().await, json!({"setupComplete": {}}));
    socket.close(1000, "").await;
    let seen = world
        .fakes
        .gemini
        .last_call(&key)
        .socket
        .expect("it was upgraded");
    let setup: Value = serde_json::from_slice(seen.messages[0].bytes()).expect("JSON");
    assert_eq!(
        setup,
        talk::gemini_setup(TRANSCRIBES),
        "all but the model is as it was"
    );
    assert_eq!(world.usage(&user, 1).await[0]["model"], TRANSCRIBES);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn default_without_a_selection_is_refused() {
    let world = talk::world(&[]).await;
    let user = world.user("ann").await;
    world.stored_key(&user, "gemini").await;
    let mut socket = world.dial_as(&user, "gemini", talk::GEMINI_LIVE).open().await;
    socket.send_json(&talk::gemini_setup("default")).await;
    let close = socket.closed().await;
    assert_eq!(close.code, Some(1008), "{close:?}");
    assert!(close.reason.starts_with("selection_missing"), "{close:?}");
    world.end().await;
}
