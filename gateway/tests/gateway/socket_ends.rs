//! How WebSockets end: who closes, who vanishes, and what is taken back meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{SinkExt, StreamExt};
use policies::vocabulary::{ClosedBy, Outcome};
use tokio::io::AsyncWriteExt;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::fixture::{Fixture, KEY, Options};
use crate::socket_fixture::{
    INPUT, PATIENCE, Provider, close_frame, closing, echo, hear, heard, open, opened, say,
};

/// A provider that closes with this as soon as it hears something.
async fn closes_with(code: u16, reason: &'static str) -> Provider {
    Provider::start(&[], move |mut socket| async move {
        socket.next().await;
        socket.close(Some(closing(code, reason))).await.ok();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await
}

/// A provider that tells when its side of a connection has ended.
async fn watched() -> (Provider, Arc<Notify>) {
    let ended = Arc::new(Notify::new());
    let notify = ended.clone();
    let provider = Provider::start(&[], move |socket| {
        let notify = notify.clone();
        async move {
            echo(socket).await;
            notify.notify_one();
        }
    })
    .await;
    (provider, ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_close_frame_passes_and_says_how_it_went() {
    for (code, reason, outcome) in [
        (1000, "", Outcome::Ok),
        (1008, "voice not found", Outcome::Error),
        (4429, "too many requests", Outcome::Error),
    ] {
        let provider = closes_with(code, reason).await;
        let fixture = Fixture::to(provider.address).await;
        let mut socket = opened(&fixture, INPUT).await;
        say(&mut socket, "{\"text\":\"a\"}").await;
        assert_eq!(close_frame(&mut socket).await, (code, reason.to_owned()));
        assert!(heard(&mut socket).await.is_none_or(|heard| heard.is_err()));
        let event = fixture.usage(1).await.remove(0);
        assert_eq!(
            (event.close_code, event.closed_by),
            (Some(code), Some(ClosedBy::Provider))
        );
        assert_eq!(event.outcome, outcome, "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_that_refuses_the_key_marks_it_and_one_about_anything_else_does_not() {
    for (reason, status) in [
        ("invalid_api_key", "invalid"),
        ("quota_exceeded", "valid"),
        ("voice_not_found", "valid"),
    ] {
        let provider = closes_with(1008, reason).await;
        let fixture = Fixture::to(provider.address).await;
        let mut socket = opened(&fixture, INPUT).await;
        say(&mut socket, "{\"text\":\"a\"}").await;
        close_frame(&mut socket).await;
        fixture.usage(1).await;
        let row = fixture.credential(|row| row.status.as_str() == status).await;
        assert_eq!(row.status.as_str(), status, "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_close_frame_that_repeats_the_key_does_not_pass_it_on() {
    let provider = closes_with(1008, concat!("bad key ", "provider-key-0123456789", "!")).await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{\"text\":\"a\"}").await;
    let (_, reason) = close_frame(&mut socket).await;
    assert_eq!(reason, format!("bad key {}!", "*".repeat(KEY.len())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_vanishes_takes_the_provider_along() {
    let (provider, ended) = watched().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{\"text\":\"a\"}").await;
    hear(&mut socket).await;
    drop(socket);
    timeout(PATIENCE, ended.notified())
        .await
        .expect("the provider was not told");
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(
        (event.outcome, event.closed_by),
        (Outcome::Interrupted, Some(ClosedBy::Caller))
    );
    assert_eq!(event.close_code, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_vanishes_takes_the_caller_along() {
    let provider = Provider::start(&[], |mut socket| async move {
        socket.send(Message::text("last words")).await.unwrap();
        socket.next().await;
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    assert_eq!(hear(&mut socket).await, Message::text("last words"));
    say(&mut socket, "{\"text\":\"a\"}").await;
    let began = Instant::now();
    assert!(heard(&mut socket).await.is_none_or(|heard| heard.is_err()));
    assert!(began.elapsed() < Duration::from_secs(5));
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(
        (event.outcome, event.closed_by),
        (Outcome::Interrupted, Some(ClosedBy::Provider))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_has_said_all_it_will_still_hears_the_rest() {
    let provider = Provider::start(&[], |mut socket| async move {
        while let Some(Ok(_)) = socket.next().await {}
        // The caller's side has ended, and ours has not.
        for _ in 0..3 {
            sleep(Duration::from_millis(200)).await;
            socket.get_mut().write_all(&[0x82, 1, 7]).await.unwrap();
        }
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    socket.get_mut().shutdown().await.unwrap();
    for _ in 0..3 {
        assert_eq!(hear(&mut socket).await, Message::binary(vec![7]));
    }
    fixture.usage(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_and_a_deleted_key_end_what_is_open() {
    for deletes in [false, true] {
        let provider = Provider::echo().await;
        let fixture = Fixture::to(provider.address).await;
        let mut socket = opened(&fixture, INPUT).await;
        say(&mut socket, "{}").await;
        hear(&mut socket).await;
        let expected = match deletes {
            false => {
                fixture.revoke_token().await;
                "unauthenticated: the access token was revoked"
            }
            true => {
                fixture.delete_key().await;
                "credential_missing: the key for ElevenLabs was deleted"
            }
        };
        let began = Instant::now();
        assert_eq!(close_frame(&mut socket).await, (1008, expected.to_owned()));
        assert!(began.elapsed() < Duration::from_secs(5));
        let event = fixture.usage(1).await.remove(0);
        assert_eq!(
            (event.close_code, event.closed_by),
            (Some(1008), Some(ClosedBy::Gateway))
        );
        assert_eq!(event.outcome, Outcome::Interrupted);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_says_what_ends_an_open_connection() {
    let replaced = "the key for ElevenLabs was replaced; connect again";
    for (close_on_revoke, ends) in [(None, None), (Some(true), Some(replaced)), (Some(false), None)] {
        let provider = Provider::echo().await;
        let options = Options {
            close_on_revoke,
            ..Options::to(provider.address)
        };
        let fixture = options.start().await;
        let mut socket = opened(&fixture, INPUT).await;
        fixture.replace_key().await;
        if close_on_revoke == Some(false) {
            fixture.revoke_token().await;
        }
        match ends {
            Some(reason) => assert_eq!(close_frame(&mut socket).await, (1012, reason.to_owned())),
            None => {
                sleep(Duration::from_secs(5)).await;
                say(&mut socket, "{}").await;
                hear(&mut socket).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_of_both_sides_ends_it_after_the_limit_and_sound_of_one_keeps_it() {
    let provider = Provider::start(&[], |mut socket| async move {
        for _ in 0..6 {
            sleep(Duration::from_secs(1)).await;
            socket.send(Message::binary(vec![1])).await.unwrap();
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let options = Options {
        socket_idle: Duration::from_secs(3),
        ..Options::to(provider.address)
    };
    let fixture = options.start().await;
    let mut socket = opened(&fixture, INPUT).await;
    for _ in 0..6 {
        hear(&mut socket).await;
    }
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(
        (code, reason.as_str()),
        (1001, "neither side has sent anything for 3 seconds")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_lets_connections_end_and_then_sends_close_frames_to_both_sides() {
    let (provider, ended) = watched().await;
    let mut fixture = Fixture::to(provider.address).await;
    let mut ends_itself = opened(&fixture, INPUT).await;
    let mut stays = opened(&fixture, INPUT).await;
    say(&mut stays, "{}").await;
    hear(&mut stays).await;
    let running = fixture.take_running();
    let draining = tokio::spawn(running.drain(Duration::from_secs(2)));
    sleep(Duration::from_millis(300)).await;
    say(&mut ends_itself, "{}").await;
    hear(&mut ends_itself).await;
    ends_itself.close(Some(closing(1000, ""))).await.unwrap();
    assert_eq!(close_frame(&mut stays).await.0, 1001);
    timeout(PATIENCE, draining).await.unwrap().unwrap();
    timeout(PATIENCE, ended.notified()).await.unwrap();
    let events = fixture.usage(2).await;
    let ended = |by| events.iter().filter(|event| event.closed_by == Some(by)).count();
    assert_eq!(
        (ended(ClosedBy::Caller), ended(ClosedBy::Gateway)),
        (1, 1),
        "{events:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_of_the_callers_own_words_says_nothing_about_the_key() {
    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    socket
        .close(Some(closing(1008, "invalid_api_key")))
        .await
        .unwrap();
    assert_eq!(
        close_frame(&mut socket).await,
        (1008, "invalid_api_key".to_owned())
    );
    assert_eq!(fixture.usage(1).await[0].closed_by, Some(ClosedBy::Caller));
    let row = fixture.credential(|_| true).await;
    assert_eq!(row.status.as_str(), "valid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_repeats_the_key_does_not_pass_it_on() {
    let provider = Provider::start(&[], |mut socket| async move {
        let text = format!("{{\"message_type\":\"auth_error\",\"error\":\"bad {KEY}\"}}");
        socket.send(Message::text(text)).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let fixture = Fixture::to(provider.address).await;
    let mut socket = opened(&fixture, INPUT).await;
    let text = hear(&mut socket).await.into_text().unwrap();
    assert!(text.contains("bad ***") && !text.contains(KEY), "{text}");
    socket.close(Some(closing(1000, ""))).await.unwrap();
    let event = fixture.usage(1).await.remove(0);
    assert_eq!(event.outcome, Outcome::Error, "the provider has refused the key");
    fixture.credential(|row| row.status.as_str() == "invalid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_connections_are_counted_while_they_are() {
    let provider = Provider::echo().await;
    let fixture = Fixture::to(provider.address).await;
    let open = || {
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&fixture.registry.gather())
            .unwrap();
        let line = "voxgate_active_streams{kind=\"websocket\",provider=\"elevenlabs\"} ";
        let found = text.lines().find_map(|found| found.strip_prefix(line));
        found.unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(open(), 0.0);
    let mut socket = opened(&fixture, INPUT).await;
    say(&mut socket, "{}").await;
    hear(&mut socket).await;
    assert_eq!(open(), 1.0);
    socket.close(None).await.unwrap();
    fixture.usage(1).await;
    assert_eq!(open(), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_held_is_told_when_the_gateway_stops() {
    let provider = Provider::echo().await;
    let mut fixture = Fixture::to(provider.address).await;
    let (mut socket, _) = open(&fixture, INPUT, &[]).await.unwrap();
    let draining = tokio::spawn(fixture.take_running().drain(Duration::from_secs(1)));
    let (code, reason) = close_frame(&mut socket).await;
    assert_eq!(
        (code, reason.starts_with("overloaded: ")),
        (1013, true),
        "{reason}"
    );
    timeout(PATIENCE, draining).await.unwrap().unwrap();
}
