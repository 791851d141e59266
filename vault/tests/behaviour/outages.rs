//! What callers see while the database is away, and that all is well when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use policies::vocabulary::Operation;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use vault::VaultError;

use crate::harness::*;
use crate::on_both;

on_both!(a_database_that_hangs_is_an_error_within_five_seconds);

async fn a_database_that_hangs_is_an_error_within_five_seconds(house: House) {
    let vault = house.open().await;
    let mut raw = house.raw().await;
    raw.execute(match house.kind {
        Kind::Sqlite => "BEGIN IMMEDIATE",
        Kind::Postgres => "BEGIN; LOCK TABLE credentials IN ACCESS EXCLUSIVE MODE",
    })
    .await;
    let asked = Instant::now();
    let error = vault
        .put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    assert!(
        asked.elapsed() < Duration::from_millis(5_200),
        "{:?}",
        asked.elapsed()
    );
    raw.execute("ROLLBACK").await;
    vault
        .put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap();
}

#[derive(Clone, Copy, PartialEq)]
enum Line {
    Open,
    /// Accepts and says nothing, like a host that went away.
    Frozen,
    Cut,
}

/// Stands between the vault and Postgres.
async fn gate(database: &str) -> (String, watch::Sender<Line>) {
    let url = url_parts(database);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (line, watched) = watch::channel(Line::Open);
    let upstream = Arc::new(url.0);
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let (mut watched, upstream) = (watched.clone(), upstream.clone());
            tokio::spawn(async move {
                if *watched.borrow_and_update() == Line::Open {
                    let mut far = TcpStream::connect(upstream.as_str()).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => return,
                        _ = watched.changed() => {}
                    }
                }
                while *watched.borrow_and_update() == Line::Frozen {
                    watched.changed().await.ok();
                }
            });
        }
    });
    (format!("postgres://voxgate@{address}/{}", url.1), line)
}

fn url_parts(database: &str) -> (String, String) {
    let rest = database.split_once('@').unwrap().1;
    let (address, name) = rest.split_once('/').unwrap();
    (address.to_owned(), name.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_may_go_away_and_come_back() {
    let mut house = House::new(Kind::Postgres).await;
    let (url, line) = gate(&house.url).await;
    house.url = url;
    let vault = house.open().await;
    let ann = user("ann");
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    vault.credential(&ann, &elevenlabs()).await.unwrap();
    let keyless = user("dee");
    vault.credential(&keyless, &elevenlabs()).await.unwrap();
    for (trouble, stranger) in [(Line::Cut, user("bob")), (Line::Frozen, user("cem"))] {
        line.send_replace(trouble);
        let asked = Instant::now();
        let missed =
            futures::future::join_all((0..20).map(|_| vault.selection(&stranger, Operation::Tts))).await;
        assert!(
            asked.elapsed() < Duration::from_millis(5_500),
            "{:?}",
            asked.elapsed()
        );
        assert!(
            missed
                .iter()
                .all(|answer| matches!(answer, Err(VaultError::Unavailable { .. })))
        );
        assert!(!vault.ready().await);
        house.clock.advance(TimeDelta::minutes(9));
        assert!(
            matches!(vault.cached_credential(&ann, &elevenlabs()), Some(Some(_))),
            "what is cached goes on paying"
        );
        assert!(
            matches!(vault.cached_credential(&keyless, &elevenlabs()), Some(None)),
            "also for those whose team pays"
        );
        eventually("the gauge says so", async || {
            vault.metrics().database_up.get() == 0
        })
        .await;
        line.send_replace(Line::Open);
        eventually("it is back", async || vault.ready().await).await;
        eventually("all works again", async || {
            vault.selection(&stranger, Operation::Tts).await.is_ok()
        })
        .await;
        eventually("the gauge says so", async || {
            vault.metrics().database_up.get() == 1
        })
        .await;
    }
}
