use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use policies::vocabulary::{ClosedBy, RecordEvent, UsageEvent};
use sqlx::migrate::Migrator;
use uuid::Uuid;
use vault::{KeyringError, OpenError, UsageFilter, Vault};

use crate::harness::*;
use crate::on_both;

on_both!(
    two_processes_that_open_at_once_both_succeed,
    what_is_not_migrated_is_refused_when_told_so,
    migrating_is_told_and_done_once,
    a_database_of_the_first_layout_keeps_its_record,
    a_column_that_another_node_adds_does_not_disturb_reading,
    a_missing_key_file_is_refused_once_there_are_credentials,
    a_damaged_key_file_is_refused_and_nothing_touched,
    a_key_file_of_another_database_is_refused_and_nothing_touched,
    a_key_file_open_to_others_is_refused,
    a_newer_database_is_refused,
);

fn refused(opened: Result<Vault, OpenError>) -> OpenError {
    opened.err().expect("it is refused")
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn two_processes_that_open_at_once_both_succeed(house: House) {
    let (one, two, three) = futures::join!(
        house.try_open(),
        async { Ok::<_, OpenError>(house.open_for_command().await) },
        async { Ok::<_, OpenError>(house.open_for_command().await) }
    );
    let (one, two, three) = (one.unwrap(), two.unwrap(), three.unwrap());
    assert_eq!(house.count("SELECT COUNT(*) FROM master_keys").await, 1);
    one.put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap();
    for vault in [two, three] {
        let opened = vault
            .credential(&user("ann"), &elevenlabs())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(opened.secret.expose(), KEY);
    }
    assert_eq!(mode(&house.key_file()), 0o600);
    if house.kind == Kind::Sqlite {
        for name in ["voxgate.db", "voxgate.db-wal", "voxgate.db-shm"] {
            assert_eq!(mode(&house.path(name)), 0o600, "{name}");
        }
    }
}

async fn what_is_not_migrated_is_refused_when_told_so(mut house: House) {
    house.migrate = false;
    let error = refused(house.try_open().await);
    assert!(
        matches!(error, OpenError::MigrationsPending { pending: 2, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("voxgate migrate"));
    assert!(!house.key_file().exists());
    Vault::migrate(&house.url).await.unwrap();
    house.open().await;
}

async fn migrating_is_told_and_done_once(house: House) {
    assert_eq!(Vault::migrate(&house.url).await.unwrap(), 2);
    assert_eq!(Vault::migrate(&house.url).await.unwrap(), 0);
}

/// Leaves the database as an earlier version made it, with a record of a call.
async fn of_the_first_layout(house: &House, call: &UsageEvent) {
    if house.kind == Kind::Sqlite {
        fs::write(house.path("voxgate.db"), "").unwrap();
    }
    let folder = match house.kind {
        Kind::Sqlite => "../migrations/sqlite",
        Kind::Postgres => "../migrations/postgres",
    };
    let all = Migrator::new(Path::new(folder)).await.unwrap();
    let first = all.iter().filter(|migration| migration.version == 1).cloned();
    let first = Migrator::with_migrations(first.collect());
    match house.raw().await {
        Raw::Sqlite(mut c) => first.run(&mut c).await.unwrap(),
        Raw::Postgres(mut c) => first.run(&mut c).await.unwrap(),
    }
    let bytes = |id: Uuid| match house.kind {
        Kind::Sqlite => format!("x'{}'", id.simple()),
        Kind::Postgres => format!("'{id}'"),
    };
    let at = call.at.to_rfc3339();
    let (id, request) = (bytes(call.id), bytes(call.request_id));
    house
        .execute(&format!(
            "INSERT INTO usage (id, at, day, user_id, provider, model, operation, mode, credential_source, status,
                 outcome, bytes_in, bytes_out, characters, audio_seconds, estimated_cost, ttfb_ms, duration_ms,
                 attempt, request_id)
             VALUES ({id}, '{at}', '2026-11-22', 'ann', 'elevenlabs', 'eleven_flash_v2_5', 'tts', 'native', 'user',
                 200, 'ok', 100, 20000, 42, 1.5, 0.25, 80, 400, 1, {request})"
        ))
        .await;
}

async fn a_database_of_the_first_layout_keeps_its_record(mut house: House) {
    let call = usage("ann", "2026-11-22T09:40:00Z".parse().unwrap());
    of_the_first_layout(&house, &call).await;
    house.migrate = false;
    let error = refused(house.try_open().await);
    assert!(
        matches!(error, OpenError::MigrationsPending { pending: 1, .. }),
        "{error}"
    );
    assert_eq!(Vault::migrate(&house.url).await.unwrap(), 1);
    let vault = house.open().await;
    let socket = UsageEvent {
        messages_in: Some(3),
        closed_by: Some(ClosedBy::Provider),
        close_code: Some(1000),
        ..usage("ann", "2026-11-22T09:41:00Z".parse().unwrap())
    };
    vault.record(RecordEvent::Usage(Box::new(socket.clone())));
    // Delivered again, as after a crash.
    vault.record(RecordEvent::Usage(Box::new(call.clone())));
    eventually("the socket is stored", async || {
        vault
            .read_usage(UsageFilter::default())
            .await
            .unwrap()
            .items
            .len()
            == 2
    })
    .await;
    let back = vault.read_usage(UsageFilter::default()).await.unwrap().items;
    assert_eq!(
        serde_json::to_value(back).unwrap(),
        serde_json::to_value([socket, call]).unwrap()
    );
}

async fn a_column_that_another_node_adds_does_not_disturb_reading(house: House) {
    let vault = house.open().await;
    vault.record(RecordEvent::Usage(Box::new(usage("ann", chrono::Utc::now()))));
    eventually("it is stored", async || {
        vault
            .read_usage(UsageFilter::default())
            .await
            .unwrap()
            .items
            .len()
            == 1
    })
    .await;
    house.execute("ALTER TABLE usage ADD COLUMN mood TEXT").await;
    for _ in 0..20 {
        assert_eq!(
            vault
                .read_usage(UsageFilter::default())
                .await
                .unwrap()
                .items
                .len(),
            1
        );
    }
}

async fn a_missing_key_file_is_refused_once_there_are_credentials(house: House) {
    let vault = house.open().await;
    let before = fs::read(house.key_file()).unwrap();
    vault.clone().close().await;
    fs::remove_file(house.key_file()).unwrap();
    let vault = house.open().await;
    assert_ne!(
        fs::read(house.key_file()).unwrap(),
        before,
        "without credentials a new one is made"
    );
    vault
        .put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap();
    vault.close().await;
    fs::remove_file(house.key_file()).unwrap();
    let error = refused(house.try_open().await);
    assert!(
        matches!(error, OpenError::MasterKey(KeyringError::Missing { .. })),
        "{error}"
    );
    assert!(!house.key_file().exists());
}

/// What a refusal must leave as it is.
async fn state(house: &House) -> (Vec<u8>, i64, i64) {
    let keys = house.count("SELECT COUNT(*) FROM master_keys").await;
    let revision = house.count("SELECT number FROM revision").await;
    (fs::read(house.key_file()).unwrap(), keys, revision)
}

async fn a_damaged_key_file_is_refused_and_nothing_touched(house: House) {
    let vault = house.open().await;
    vault
        .put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap();
    vault.close().await;
    let whole = fs::read(house.key_file()).unwrap();
    let mut cuts: Vec<Vec<u8>> = (0..whole.len())
        .step_by(7)
        .map(|end| whole[..end].to_vec())
        .collect();
    cuts.push(whole[..whole.len() - 1].to_vec());
    cuts.push([&whole[..], b"more\n"].concat());
    for place in (0..whole.len()).step_by(11) {
        let mut garbled = whole.clone();
        garbled[place] ^= 1;
        cuts.push(garbled);
    }
    for damaged in cuts {
        fs::write(house.key_file(), &damaged).unwrap();
        let before = state(&house).await;
        let error = refused(house.try_open().await);
        assert!(
            matches!(error, OpenError::MasterKey(KeyringError::Damaged { .. })),
            "{error}"
        );
        assert!(error.to_string().contains("master.key"), "{error}");
        assert_eq!(state(&house).await, before);
    }
    fs::write(house.key_file(), &whole).unwrap();
    let vault = house.open().await;
    assert!(
        vault
            .credential(&user("ann"), &elevenlabs())
            .await
            .unwrap()
            .is_some()
    );
}

async fn a_key_file_of_another_database_is_refused_and_nothing_touched(house: House) {
    let vault = house.open().await;
    vault
        .put_credential(&actor("ann"), credential(&user("ann"), KEY))
        .await
        .unwrap();
    vault.close().await;
    let elsewhere = House::new(Kind::Sqlite).await;
    elsewhere.open_for_command().await;
    fs::copy(elsewhere.key_file(), house.key_file()).unwrap();
    let before = state(&house).await;
    let error = refused(house.try_open().await);
    assert!(
        matches!(error, OpenError::MasterKey(KeyringError::Wrong { .. })),
        "{error}"
    );
    assert_eq!(state(&house).await, before);
}

async fn a_key_file_open_to_others_is_refused(house: House) {
    house.open().await.close().await;
    for (bits, fine) in [
        (0o644, false),
        (0o660, false),
        (0o602, false),
        (0o640, true),
        (0o400, true),
    ] {
        fs::set_permissions(house.key_file(), fs::Permissions::from_mode(bits)).unwrap();
        match house.try_open().await {
            Ok(vault) if fine => vault.close().await,
            Ok(_) => panic!("mode {bits:o} is let through"),
            Err(error) => {
                assert!(!fine, "mode {bits:o}: {error}");
                assert!(error.to_string().contains("chmod 600"), "{error}");
            }
        }
    }
}

async fn a_newer_database_is_refused(house: House) {
    house.open().await.close().await;
    house
        .execute("UPDATE _sqlx_migrations SET version = 9000 WHERE version = 2")
        .await;
    let error = refused(house.try_open().await);
    assert!(
        matches!(error, OpenError::NewerDatabase { version: 9000, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn two_servers_do_not_share_a_journal() {
    let house = House::new(Kind::Sqlite).await;
    let vault = house.open().await;
    let error = refused(house.try_open().await);
    assert!(matches!(error, OpenError::JournalInUse { .. }), "{error}");
    vault.close().await;
    house.open().await;
}

#[tokio::test]
async fn an_unusable_url_is_refused_without_its_password() {
    let mut house = House::new(Kind::Sqlite).await;
    for (url, says) in [
        ("mysql://ann:hunter2@db/x", "neither"),
        ("sqlite::memory:", "needs a file"),
        ("postgres://ann:hunter2@127.0.0.1:1/x", "127.0.0.1:1"),
        ("postgres://ann:hunter2@127.0.0.1:none/x", "database.url"),
    ] {
        house.url = url.to_owned();
        let error = refused(house.try_open().await);
        let mut text = format!("{error} {error:?}");
        let mut cause = std::error::Error::source(&error);
        while let Some(next) = cause {
            text += &next.to_string();
            cause = next.source();
        }
        assert!(text.contains(says), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!house.key_file().exists());
    }
}
