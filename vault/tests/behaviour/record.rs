use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use policies::vocabulary::{
    AuditAction, AuditEvent, AuditOutcome, Operation, Outcome, ProviderId, RecordEvent, UserId,
};
use uuid::Uuid;
use vault::{AuditFilter, GroupBy, UsageFilter, Vault};

use crate::harness::*;
use crate::on_both;

on_both!(
    a_call_comes_back_as_it_was_recorded,
    pages_hold_every_call_once,
    filters_let_through_what_they_say,
    sums_are_right_by_every_key,
    refusals_travel_with_the_calls,
    what_a_killed_process_left_is_delivered_once,
    what_waits_is_delivered_once_the_database_is_back,
    one_poisonous_event_does_not_hold_up_the_others,
    a_name_that_no_index_takes_does_not_hold_up_the_others,
    closing_delivers_the_last_event,
    a_journal_at_its_limit_drops_and_counts,
    a_disk_that_refuses_loses_nothing_while_the_database_answers,
);

fn record(vault: &Vault, event: policies::vocabulary::UsageEvent) {
    vault.record(RecordEvent::Usage(Box::new(event)));
}

fn everyone() -> UsageFilter {
    UsageFilter {
        limit: 1000,
        ..UsageFilter::default()
    }
}

async fn stored(vault: &Vault) -> usize {
    vault
        .read_usage(everyone())
        .await
        .map_or(0, |page| page.items.len())
}

async fn a_call_comes_back_as_it_was_recorded(house: House) {
    let vault = house.open().await;
    let mut event = usage("ann", "2026-11-22T09:40:00.123456Z".parse().unwrap());
    event.token_id = Some(Uuid::now_v7());
    event.credential_id = Some(Uuid::now_v7());
    event.provider_request_id = Some("req-7".to_owned());
    record(&vault, event.clone());
    eventually("it is stored", async || stored(&vault).await == 1).await;
    let back = vault.read_usage(everyone()).await.unwrap().items.remove(0);
    assert_eq!(
        serde_json::to_value(back).unwrap(),
        serde_json::to_value(event).unwrap()
    );
    let mut bare = usage("ann", Utc::now());
    (bare.model, bare.status, bare.ttfb_ms, bare.characters) = (None, None, None, None);
    (bare.audio_seconds, bare.estimated_cost) = (None, None);
    record(&vault, bare);
    eventually("it is stored", async || stored(&vault).await == 2).await;
}

async fn pages_hold_every_call_once(house: House) {
    let vault = house.open().await;
    let start: DateTime<Utc> = "2026-11-22T00:00:00Z".parse().unwrap();
    for n in 0..57 {
        record(&vault, usage("ann", start + TimeDelta::seconds(n / 4)));
    }
    eventually("all are stored", async || stored(&vault).await == 57).await;
    let mut seen = Vec::new();
    let mut filter = UsageFilter {
        limit: 5,
        ..UsageFilter::default()
    };
    loop {
        let page = vault.read_usage(filter.clone()).await.unwrap();
        seen.extend(page.items.iter().map(|event| (event.at, event.id)));
        // What arrives in between is newer and must not shift the pages.
        record(&vault, usage("ann", start + TimeDelta::days(1)));
        let Some(next) = page.next else { break };
        filter.cursor = Some(next);
    }
    assert_eq!(seen.len(), 57);
    assert!(
        seen.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, none twice"
    );
}

async fn filters_let_through_what_they_say(house: House) {
    let vault = house.open().await;
    let noon: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
    for (name, hours) in [("ann", 0), ("ann", 1), ("bob", 2)] {
        let mut event = usage(name, noon + TimeDelta::hours(hours));
        if hours == 1 {
            (event.provider, event.operation, event.model) = (azure(), Operation::Stt, None);
        }
        record(&vault, event);
    }
    eventually("all are stored", async || stored(&vault).await == 3).await;
    let count = async |filter: UsageFilter| vault.read_usage(filter).await.unwrap().items.len();
    assert_eq!(
        count(UsageFilter {
            user: Some(UserId::new("ann")),
            ..everyone()
        })
        .await,
        2
    );
    assert_eq!(
        count(UsageFilter {
            provider: Some(azure()),
            ..everyone()
        })
        .await,
        1
    );
    assert_eq!(
        count(UsageFilter {
            operation: Some(Operation::Stt),
            ..everyone()
        })
        .await,
        1
    );
    assert_eq!(
        count(UsageFilter {
            model: Some("eleven_flash_v2_5".to_owned()),
            ..everyone()
        })
        .await,
        2
    );
    assert_eq!(
        count(UsageFilter {
            from: Some(noon + TimeDelta::hours(1)),
            ..everyone()
        })
        .await,
        2
    );
    assert_eq!(
        count(UsageFilter {
            to: Some(noon + TimeDelta::hours(1)),
            ..everyone()
        })
        .await,
        1
    );
}

async fn sums_are_right_by_every_key(house: House) {
    let vault = house.open().await;
    let noon: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
    let none = vault.summarise_usage(everyone(), &[]).await.unwrap();
    assert_eq!((none.len(), none[0].calls, none[0].audio_seconds), (1, 0, 0.0));
    for (name, days, outcome) in [
        ("ann", 0, Outcome::Ok),
        ("ann", 0, Outcome::Error),
        ("ann", 1, Outcome::Ok),
        ("bob", 1, Outcome::Interrupted),
    ] {
        let mut event = usage(name, noon + TimeDelta::days(days));
        event.outcome = outcome;
        if outcome == Outcome::Interrupted {
            (event.characters, event.estimated_cost) = (None, None);
        }
        record(&vault, event);
    }
    eventually("all are stored", async || stored(&vault).await == 4).await;
    let all = vault.summarise_usage(everyone(), &[]).await.unwrap().remove(0);
    assert_eq!(
        (all.calls, all.errors, all.characters, all.bytes_in, all.bytes_out),
        (4, 2, 126, 400, 80_000)
    );
    assert_eq!((all.audio_seconds, all.estimated_cost), (6.0, 0.75));
    let by_day = vault.summarise_usage(everyone(), &[GroupBy::Day]).await.unwrap();
    let days: Vec<_> = by_day
        .iter()
        .map(|sum| (sum.day.unwrap().to_string(), sum.calls))
        .collect();
    assert_eq!(days, [("2026-11-23".to_owned(), 2), ("2026-11-22".to_owned(), 2)]);
    let keys = [
        GroupBy::Day,
        GroupBy::Provider,
        GroupBy::Model,
        GroupBy::Operation,
        GroupBy::User,
    ];
    let finest = vault.summarise_usage(everyone(), &keys).await.unwrap();
    let shown: Vec<_> = finest
        .iter()
        .map(|sum| (sum.user.as_ref().unwrap().as_str(), sum.calls, sum.errors))
        .collect();
    assert_eq!(shown, [("ann", 1, 0), ("bob", 1, 1), ("ann", 2, 1)]);
    assert_eq!(finest[0].provider, Some(elevenlabs()));
    assert_eq!(finest[0].operation, Some(Operation::Tts));
    let ann = UsageFilter {
        user: Some(UserId::new("ann")),
        ..everyone()
    };
    assert_eq!(vault.summarise_usage(ann, &[]).await.unwrap()[0].calls, 3);
}

fn refusal(name: Option<&str>, provider: &ProviderId) -> AuditEvent {
    AuditEvent {
        id: Uuid::now_v7(),
        at: Utc::now(),
        user: name.map(UserId::new),
        action: AuditAction::CallRefuse,
        outcome: AuditOutcome::Refused,
        owner: None,
        provider: Some(provider.clone()),
        ip: Some("2001:db8::1".parse().unwrap()),
        request_id: Uuid::now_v7(),
        detail: Some("forbidden".to_owned()),
    }
}

async fn refusals_travel_with_the_calls(house: House) {
    let vault = house.open().await;
    vault.record(RecordEvent::Audit(Box::new(refusal(Some("ann"), &elevenlabs()))));
    vault.record(RecordEvent::Audit(Box::new(refusal(None, &azure()))));
    vault.audit(refusal(Some("bob"), &azure())).await.unwrap();
    vault
        .put_credential(&actor("root"), credential(&user("ann"), KEY))
        .await
        .unwrap();
    let count = async |filter: AuditFilter| vault.read_audit(filter).await.unwrap().items.len();
    eventually("all are stored", async || {
        count(AuditFilter::default()).await == 4
    })
    .await;
    let of = |name: &str| AuditFilter {
        owner: Some(UserId::new(name)),
        ..AuditFilter::default()
    };
    assert_eq!(
        count(of("ann")).await,
        2,
        "what ann did, and what was done to what ann owns"
    );
    assert_eq!(count(of("bob")).await, 1);
    let refusals = AuditFilter {
        action: Some(AuditAction::CallRefuse),
        ..AuditFilter::default()
    };
    assert_eq!(count(refusals).await, 3);
    assert_eq!(
        count(AuditFilter {
            provider: Some(azure()),
            ..AuditFilter::default()
        })
        .await,
        2
    );
    let page = vault
        .read_audit(AuditFilter {
            limit: 3,
            ..AuditFilter::default()
        })
        .await
        .unwrap();
    let rest = AuditFilter {
        cursor: page.next,
        limit: 3,
        ..AuditFilter::default()
    };
    assert_eq!(count(rest).await, 1);
}

const CHILD: &str = "VOXGATE_TEST_RECORDS_INTO";

/// Not a test by itself: the process that [`what_a_killed_process_left_is_delivered_once`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by another test, in a process of its own"]
async fn records_until_killed() {
    let Ok(folder) = std::env::var(CHILD) else { return };
    let (url, folder) = folder.split_once('|').unwrap();
    let house = House::of(url, folder);
    let vault = house.open().await;
    let mut raw = house.raw().await;
    block(&mut raw, &house).await;
    for n in 0..998 {
        record(&vault, usage("ann", Utc::now() + TimeDelta::seconds(n)));
    }
    let socket = usage("ann", Utc::now());
    for minutes in 1..=2 {
        let mut so_far = socket.clone();
        (so_far.outcome, so_far.messages_in) = (Outcome::Interrupted, Some(minutes));
        so_far.duration_ms = minutes as u32 * 60_000;
        record(&vault, so_far);
    }
    eventually("they are in the journal", async || {
        vault.metrics().usage_events.journalled.get() == 1000
    })
    .await;
    println!("recorded");
    std::future::pending::<()>().await;
}

async fn what_a_killed_process_left_is_delivered_once(house: House) {
    house.open().await.close().await;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "record::records_until_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(CHILD, format!("{}|{}", house.url, house.folder().display()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        use std::io::BufRead;
        std::io::BufReader::new(out)
            .lines()
            .map_while(Result::ok)
            .any(|line| line.contains("recorded"))
    });
    assert!(said.await.unwrap(), "the child recorded");
    child.kill().unwrap();
    child.wait().unwrap();
    // A crash of the machine may also cut the last line.
    let left = journal_files(&house);
    assert!(!left.is_empty());
    let last = left.last().unwrap();
    let cut = [fs::read(last).unwrap(), b"0123abcd {\"kind\":\"usa".to_vec()].concat();
    fs::write(last, cut).unwrap();
    for round in 0..2 {
        let vault = house.open().await;
        eventually("all are stored", async || stored(&vault).await == 999).await;
        eventually("the journal is empty", async || journal_files(&house).is_empty()).await;
        let socket = "SELECT COUNT(*) FROM usage
            WHERE messages_in = 2 AND duration_ms = 120000 AND outcome = 'interrupted' AND closed_by IS NULL";
        assert_eq!(house.count(socket).await, 1, "what the open socket had used");
        assert_eq!(
            vault.metrics().usage_events.unreadable.get(),
            u64::from(round == 0)
        );
        vault.close().await;
    }
}

async fn what_waits_is_delivered_once_the_database_is_back(house: House) {
    let vault = house.open().await;
    let mut raw = house.raw().await;
    block(&mut raw, &house).await;
    for _ in 0..700 {
        record(&vault, usage("ann", Utc::now()));
    }
    eventually("they are in the journal", async || {
        vault.metrics().usage_events.journalled.get() == 700
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(vault.metrics().usage_events.stored.get(), 0);
    assert!(vault.metrics().journal_bytes.get() > 700 * 100);
    raw.execute("ROLLBACK").await;
    eventually("all are stored", async || stored(&vault).await == 700).await;
    eventually("the journal is empty", async || {
        vault.metrics().journal_bytes.get() == 0
    })
    .await;
    assert!(journal_files(&house).is_empty());
}

async fn one_poisonous_event_does_not_hold_up_the_others(house: House) {
    let vault = house.open().await;
    house
        .execute("CREATE UNIQUE INDEX one_of_a_kind ON usage (provider_request_id)")
        .await;
    for n in 0..20 {
        let mut event = usage("ann", Utc::now());
        event.provider_request_id = Some(format!("{}", n.max(1)));
        record(&vault, event);
    }
    eventually("the others are stored", async || stored(&vault).await == 19).await;
    eventually("the poisonous one is counted", async || {
        vault.metrics().usage_events.rejected.get() == 1 && journal_files(&house).is_empty()
    })
    .await;
}

async fn a_name_that_no_index_takes_does_not_hold_up_the_others(house: House) {
    let vault = house.open().await;
    // Of ever new letters, for what repeats is compressed first.
    let long: String = (0..2_000).map(|_| Uuid::new_v4().simple().to_string()).collect();
    record(&vault, usage(&long, Utc::now()));
    record(&vault, usage("ann", Utc::now()));
    eventually("the other is stored", async || {
        house
            .count("SELECT COUNT(*) FROM usage WHERE user_id = 'ann'")
            .await
            == 1
    })
    .await;
    eventually("nothing waits", async || journal_files(&house).is_empty()).await;
}

async fn closing_delivers_the_last_event(house: House) {
    let vault = house.open().await;
    for _ in 0..100 {
        record(&vault, usage("ann", Utc::now()));
    }
    let other_hand = vault.clone();
    vault.close().await;
    assert_eq!(house.count("SELECT COUNT(*) FROM usage").await, 100);
    record(&other_hand, usage("ann", Utc::now()));
    assert_eq!(other_hand.metrics().usage_events.dropped_queue.get(), 1);
}

async fn a_journal_at_its_limit_drops_and_counts(mut house: House) {
    house.journal_max_bytes = 20_000;
    let vault = house.open().await;
    let mut raw = house.raw().await;
    block(&mut raw, &house).await;
    for _ in 0..30 {
        for _ in 0..10 {
            record(&vault, usage("ann", Utc::now()));
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let counts = &vault.metrics().usage_events;
    eventually("all are counted", async || {
        counts.journalled.get() + counts.dropped_journal.get() == 300
    })
    .await;
    assert!(counts.dropped_journal.get() > 0 && counts.journalled.get() > 0);
    let on_disk: u64 = journal_files(&house)
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(on_disk <= 20_000, "{on_disk}");
    raw.execute("ROLLBACK").await;
    let journalled = counts.journalled.get() as usize;
    eventually("what was taken is stored", async || {
        stored(&vault).await == journalled
    })
    .await;
}

async fn a_disk_that_refuses_loses_nothing_while_the_database_answers(house: House) {
    let vault = house.open().await;
    fs::create_dir(house.path("usage.journal")).unwrap();
    for _ in 0..50 {
        record(&vault, usage("ann", Utc::now()));
    }
    eventually("all are stored", async || stored(&vault).await == 50).await;
    assert_eq!(vault.metrics().usage_events.unwritten.get(), 50);
    fs::remove_dir(house.path("usage.journal")).unwrap();
    record(&vault, usage("ann", Utc::now()));
    eventually("the disk is used again", async || {
        vault.metrics().usage_events.journalled.get() == 1
    })
    .await;
    eventually("all are stored", async || stored(&vault).await == 51).await;
}
