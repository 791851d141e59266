//! One record per WebSocket, however many events say how far it is and in whatever order they arrive.

use std::fs;
use std::time::Duration;

use chrono::{DateTime, Utc};
use policies::vocabulary::{ClosedBy, Outcome, RecordEvent, UsageEvent};
use uuid::Uuid;
use vault::{UsageFilter, Vault};

use crate::harness::*;
use crate::on_both;

on_both!(
    what_a_socket_has_comes_back_as_it_was_recorded,
    a_record_grows_and_stays_one,
    no_order_of_delivery_and_no_repetition_undoes_the_end,
    many_sockets_and_calls_in_one_batch_keep_apart,
    a_call_is_stored_once_and_never_changed,
    sums_count_a_socket_once,
);

fn start() -> DateTime<Utc> {
    "2026-11-22T09:40:00.123456Z".parse().unwrap()
}

/// The socket after so many seconds, still open.
fn after(socket: Uuid, seconds: u64) -> UsageEvent {
    UsageEvent {
        id: socket,
        outcome: Outcome::Interrupted,
        status: Some(101),
        bytes_in: seconds * 10,
        bytes_out: seconds * 1_000,
        characters: Some(seconds),
        audio_seconds: Some(seconds as f64),
        ttfb_ms: (seconds > 1).then_some(80),
        duration_ms: seconds as u32 * 1_000,
        messages_in: Some(seconds),
        messages_out: Some(seconds * 2),
        audio_seconds_in: Some(0.5),
        audio_seconds_out: Some(seconds as f64),
        request_id: socket,
        ..usage("ann", start())
    }
}

fn closed(socket: Uuid, seconds: u64) -> UsageEvent {
    UsageEvent {
        outcome: Outcome::Ok,
        close_code: Some(1000),
        closed_by: Some(ClosedBy::Caller),
        ..after(socket, seconds)
    }
}

fn record(vault: &Vault, event: &UsageEvent) {
    vault.record(RecordEvent::Usage(Box::new(event.clone())));
}

fn all() -> UsageFilter {
    UsageFilter {
        limit: 1000,
        ..UsageFilter::default()
    }
}

async fn stored(vault: &Vault) -> Vec<UsageEvent> {
    vault.read_usage(all()).await.unwrap().items
}

fn same(one: &UsageEvent, other: &UsageEvent) -> bool {
    serde_json::to_value(one).unwrap() == serde_json::to_value(other).unwrap()
}

/// Until the journal is empty.
async fn settled(vault: &Vault, house: &House) {
    // In the journal first, which is looked at every 20 ms.
    tokio::time::sleep(Duration::from_millis(60)).await;
    eventually("the journal is delivered", async || {
        vault.metrics().journal_bytes.get() == 0 && journal_files(house).is_empty()
    })
    .await;
}

async fn what_a_socket_has_comes_back_as_it_was_recorded(house: House) {
    let vault = house.open().await;
    let mut vanished = closed(Uuid::now_v7(), 60);
    (vanished.close_code, vanished.closed_by) = (None, Some(ClosedBy::Provider));
    let mut expected = vec![
        vanished,
        closed(Uuid::now_v7(), 60),
        after(Uuid::now_v7(), 60),
        usage("ann", start()),
    ];
    expected.iter().for_each(|event| record(&vault, event));
    settled(&vault, &house).await;
    let mut back = stored(&vault).await;
    back.sort_by_key(|event| event.id);
    expected.sort_by_key(|event| event.id);
    assert_eq!(
        serde_json::to_value(back).unwrap(),
        serde_json::to_value(expected).unwrap()
    );
}

async fn a_record_grows_and_stays_one(house: House) {
    let vault = house.open().await;
    let socket = Uuid::now_v7();
    let events = [after(socket, 60), after(socket, 120), closed(socket, 150)];
    for (told, event) in events.iter().enumerate() {
        record(&vault, event);
        settled(&vault, &house).await;
        let rows = stored(&vault).await;
        assert_eq!(rows.len(), 1);
        assert!(same(&rows[0], event), "{:?} is not {event:?}", rows[0]);
        let counts = &vault.metrics().usage_events;
        assert_eq!((counts.stored.get(), counts.updated.get()), (1, told as u64));
    }
    record(&vault, &events[1]);
    settled(&vault, &house).await;
    assert!(
        same(&stored(&vault).await[0], &events[2]),
        "a late one undoes nothing"
    );
    let counts = &vault.metrics().usage_events;
    assert_eq!((counts.stored.get(), counts.updated.get()), (1, 2));
    assert_eq!(counts.rejected.get(), 0);
}

/// The lines that these events are in the journal.
async fn lines(house: &House, events: &[UsageEvent]) -> Vec<String> {
    let vault = house.open().await;
    let mut raw = house.raw().await;
    block(&mut raw, house).await;
    events.iter().for_each(|event| record(&vault, event));
    eventually("they are in the journal", async || {
        vault.metrics().usage_events.journalled.get() == events.len() as u64
    })
    .await;
    let text: String = journal_files(house)
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    raw.execute("ROLLBACK").await;
    vault.close().await;
    text.split_inclusive('\n').map(str::to_owned).collect()
}

async fn no_order_of_delivery_and_no_repetition_undoes_the_end(house: House) {
    let socket = Uuid::now_v7();
    // The last interim event and the end may fall into one millisecond.
    let events = [after(socket, 60), after(socket, 120), closed(socket, 120)];
    let lines = lines(&house, &events).await;
    assert_eq!(lines.len(), 3);
    let orders: [&[usize]; 7] = [
        &[0, 1, 2],
        &[2, 1, 0],
        &[1, 0, 2],
        &[2, 0, 1],
        &[0, 2, 0, 2, 1],
        &[1, 2],
        &[0, 0, 1, 1, 0],
    ];
    for order in orders {
        let last = &events[*order.iter().max().unwrap()];
        // As one batch, and as batches of one.
        for segments in [vec![order], order.chunks(1).collect()] {
            house.execute("DELETE FROM usage").await;
            for (number, segment) in segments.iter().enumerate() {
                let text: String = segment.iter().map(|line| lines[*line].as_str()).collect();
                fs::write(house.path(&format!("usage.journal.{number:012}")), text).unwrap();
            }
            let vault = house.open().await;
            settled(&vault, &house).await;
            let rows = stored(&vault).await;
            assert_eq!(rows.len(), 1, "{segments:?}");
            assert!(same(&rows[0], last), "{segments:?} ended with {:?}", rows[0]);
            let counts = &vault.metrics().usage_events;
            assert_eq!((counts.stored.get(), counts.rejected.get()), (1, 0));
            vault.close().await;
        }
    }
}

async fn many_sockets_and_calls_in_one_batch_keep_apart(house: House) {
    let vault = house.open().await;
    let mut raw = house.raw().await;
    block(&mut raw, &house).await;
    let sockets: Vec<Uuid> = (0..150).map(|_| Uuid::now_v7()).collect();
    for seconds in [60, 120, 180] {
        for socket in &sockets {
            record(&vault, &after(*socket, seconds));
            record(&vault, &usage("bob", start()));
        }
    }
    for socket in sockets.iter().step_by(2) {
        record(&vault, &closed(*socket, 190));
    }
    eventually("they are in the journal", async || {
        vault.metrics().usage_events.journalled.get() == 900 + 75
    })
    .await;
    raw.execute("ROLLBACK").await;
    settled(&vault, &house).await;
    assert_eq!(house.count("SELECT COUNT(*) FROM usage").await, 450 + 150);
    let open = "SELECT COUNT(*) FROM usage WHERE closed_by IS NULL AND duration_ms = 180000";
    assert_eq!(house.count(open).await, 75);
    let ended = "SELECT COUNT(*) FROM usage WHERE close_code = 1000 AND duration_ms = 190000";
    assert_eq!(house.count(ended).await, 75);
    let counts = &vault.metrics().usage_events;
    assert_eq!((counts.stored.get(), counts.rejected.get()), (600, 0));
}

async fn a_call_is_stored_once_and_never_changed(house: House) {
    let vault = house.open().await;
    let call = usage("ann", start());
    let longer = UsageEvent {
        duration_ms: call.duration_ms + 1,
        ..call.clone()
    };
    for event in [&call, &longer, &call] {
        record(&vault, event);
        settled(&vault, &house).await;
    }
    assert!(same(&stored(&vault).await[0], &call));
    let counts = &vault.metrics().usage_events;
    assert_eq!((counts.stored.get(), counts.updated.get()), (1, 0));
}

async fn sums_count_a_socket_once(house: House) {
    let vault = house.open().await;
    let socket = Uuid::now_v7();
    for event in [after(socket, 60), after(socket, 120), closed(socket, 150)] {
        record(&vault, &event);
        settled(&vault, &house).await;
    }
    record(&vault, &after(Uuid::now_v7(), 60));
    settled(&vault, &house).await;
    let sum = vault.summarise_usage(all(), &[]).await.unwrap().remove(0);
    assert_eq!((sum.calls, sum.errors), (2, 1), "the open one is no success yet");
    assert_eq!((sum.characters, sum.audio_seconds), (210, 210.0));
}
