use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use vault::{Vault, VaultError};

use crate::harness::*;
use crate::on_both;

on_both!(
    rotating_leaves_every_key_open_and_only_the_new_master_key,
    a_running_server_notices_the_new_master_key,
    rotating_under_load_loses_nothing,
    an_interrupted_rotation_is_finished_by_the_next,
    a_rotation_killed_after_the_file_is_harmless,
    a_rotation_killed_before_the_file_was_cleared_is_harmless,
    what_does_not_unwrap_is_left_and_its_master_key_kept,
    two_rotations_do_not_run_at_once,
);

async fn opens(vault: &Vault, name: &str) -> String {
    let opened = vault.credential(&user(name), &elevenlabs()).await.unwrap();
    opened.expect("it is there").secret.expose().to_owned()
}

fn keys_in_file(house: &House) -> usize {
    let text = fs::read_to_string(house.key_file()).unwrap();
    text.lines().filter(|line| line.starts_with("key ")).count()
}

async fn store(vault: &Vault, names: &[&str]) {
    for name in names {
        let new = credential(&user(name), &format!("sk-key-of-{name}"));
        vault.put_credential(&actor(name), new).await.unwrap();
    }
}

async fn rotating_leaves_every_key_open_and_only_the_new_master_key(house: House) {
    let vault = house.open_for_command().await;
    store(&vault, &["ann", "bob"]).await;
    let before = fs::read_to_string(house.key_file()).unwrap();
    let report = vault.rotate(&actor("root")).await.unwrap();
    assert_eq!(
        (report.rewrapped, report.retired.len(), report.kept.len()),
        (2, 1, 0)
    );
    assert!(!report.resumed && report.failed.is_empty());
    assert!(!before.contains(&report.current));
    assert_eq!(keys_in_file(&house), 1);
    assert_eq!(house.count("SELECT COUNT(*) FROM master_keys").await, 1);
    let afresh = house.open_for_command().await;
    assert_eq!(opens(&afresh, "ann").await, "sk-key-of-ann");
    assert!(audited(&vault).await["credential.rewrap"] >= 2);
    fs::write(house.key_file(), before).unwrap();
    let error = house
        .try_open()
        .await
        .err()
        .expect("the old key file is refused")
        .to_string();
    assert!(
        error.contains("master.key") && error.contains(&report.current),
        "{error}"
    );
}

async fn a_running_server_notices_the_new_master_key(house: House) {
    let server = house.open().await;
    store(&server, &["ann"]).await;
    let command = house.open_for_command().await;
    for round in 0..3 {
        command.rotate(&actor("root")).await.unwrap();
        assert_eq!(opens(&server, "ann").await, "sk-key-of-ann", "round {round}");
        store(&server, &["bob"]).await;
        assert_eq!(
            opens(&house.open_for_command().await, "bob").await,
            "sk-key-of-bob",
            "round {round}"
        );
    }
    assert_eq!(keys_in_file(&house), 1);
}

async fn rotating_under_load_loses_nothing(house: House) {
    let server = house.open().await;
    let names: Vec<String> = (0..40).map(|n| format!("user{n}")).collect();
    store(&server, &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|worker| {
            let (server, names, stop, done) = (server.clone(), names.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                let mut n = worker;
                while !stop.load(Ordering::SeqCst) {
                    let name = &names[n % names.len()];
                    n += 7;
                    if n % 3 == 0 {
                        store(&server, &[name]).await;
                    }
                    assert_eq!(opens(&server, name).await, format!("sk-key-of-{name}"));
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let command = house.open_for_command().await;
    let mut rounds = 0;
    // However slow the machine, there is load between the rotations.
    while rounds < 5 || done.load(Ordering::SeqCst) < 40 {
        let report = command.rotate(&actor("root")).await.unwrap();
        assert!(report.failed.is_empty(), "{report:?}");
        rounds += 1;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    command.rotate(&actor("root")).await.unwrap();
    assert_eq!(keys_in_file(&house), 1);
    assert!(house.open_for_command().await.check().await.unwrap().is_empty());
}

async fn an_interrupted_rotation_is_finished_by_the_next(house: House) {
    let vault = house.open_for_command().await;
    store(&vault, &["ann", "bob", "cem"]).await;
    let old_rows = "CREATE TABLE old AS SELECT * FROM credentials";
    house.execute(old_rows).await;
    house
        .execute("CREATE TABLE old_keys AS SELECT * FROM master_keys")
        .await;
    let file_before = fs::read_to_string(house.key_file()).unwrap();
    let first = vault.rotate(&actor("root")).await.unwrap();
    // As a kill in the middle leaves it: both keys in file and database, one credential of three rewrapped.
    let merged = merge_key_files(&file_before, &house);
    fs::write(house.key_file(), merged).unwrap();
    house
        .execute("INSERT INTO master_keys SELECT * FROM old_keys")
        .await;
    house
        .execute("DELETE FROM credentials WHERE owner_id <> 'ann'")
        .await;
    house
        .execute("INSERT INTO credentials SELECT * FROM old WHERE owner_id <> 'ann'")
        .await;
    let command = house.open_for_command().await;
    assert!(
        command.check().await.unwrap().is_empty(),
        "in between, all of them open"
    );
    let second = command.rotate(&actor("root")).await.unwrap();
    assert!(second.resumed);
    assert_eq!((second.current, second.rewrapped), (first.current, 2));
    assert_eq!(keys_in_file(&house), 1);
    assert!(house.open_for_command().await.check().await.unwrap().is_empty());
}

/// The file as it is, with the keys of an earlier one among its keys.
fn merge_key_files(before: &str, house: &House) -> String {
    let now = fs::read_to_string(house.key_file()).unwrap();
    let old_key = before.lines().find(|line| line.starts_with("key ")).unwrap();
    let body: String = now
        .lines()
        .filter(|line| !line.starts_with("checksum "))
        .chain([old_key])
        .map(|line| format!("{line}\n"))
        .collect();
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let sum: String = sum.as_ref()[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{body}checksum {sum}\n")
}

async fn a_rotation_killed_after_the_file_is_harmless(house: House) {
    let vault = house.open_for_command().await;
    store(&vault, &["ann"]).await;
    // The same key file, with a newer current key that the database has not heard of.
    let file_before = fs::read_to_string(house.key_file()).unwrap();
    let elsewhere = House::new(Kind::Sqlite).await;
    elsewhere.open_for_command().await;
    fs::copy(elsewhere.key_file(), house.key_file()).unwrap();
    fs::write(house.key_file(), merge_key_files(&file_before, &house)).unwrap();
    let server = house.open().await;
    assert_eq!(opens(&server, "ann").await, "sk-key-of-ann");
    store(&server, &["bob"]).await;
    let report = server.rotate(&actor("root")).await.unwrap();
    assert!(report.resumed);
    assert_eq!((report.rewrapped, keys_in_file(&house)), (1, 1));
    assert!(house.open_for_command().await.check().await.unwrap().is_empty());
}

async fn a_rotation_killed_before_the_file_was_cleared_is_harmless(house: House) {
    let vault = house.open_for_command().await;
    store(&vault, &["ann"]).await;
    let file_before = fs::read_to_string(house.key_file()).unwrap();
    vault.rotate(&actor("root")).await.unwrap();
    fs::write(house.key_file(), merge_key_files(&file_before, &house)).unwrap();
    let report = house
        .open_for_command()
        .await
        .rotate(&actor("root"))
        .await
        .unwrap();
    assert_eq!((report.retired.len(), keys_in_file(&house)), (2, 1));
    assert!(house.open_for_command().await.check().await.unwrap().is_empty());
}

async fn what_does_not_unwrap_is_left_and_its_master_key_kept(house: House) {
    let vault = house.open_for_command().await;
    store(&vault, &["ann", "bob"]).await;
    let mut raw = house.raw().await;
    let wrapped = raw
        .bytes("SELECT wrapped_dek FROM credentials WHERE owner_id = 'ann'")
        .await;
    let set = "UPDATE credentials SET wrapped_dek = $1 WHERE owner_id = 'ann'";
    raw.set_bytes(set, &vec![0; wrapped.len()]).await;
    let report = vault.rotate(&actor("root")).await.unwrap();
    assert_eq!(
        (report.rewrapped, report.failed.len(), keys_in_file(&house)),
        (1, 1, 2)
    );
    assert_eq!(report.failed[0].owner, user("ann"));
    assert_eq!(
        report.kept.iter().map(|(_, count)| *count).collect::<Vec<_>>(),
        [1]
    );
    raw.set_bytes(set, &wrapped).await;
    let report = vault.rotate(&actor("root")).await.unwrap();
    assert!(report.resumed && report.failed.is_empty());
    assert_eq!(keys_in_file(&house), 1);
    assert_eq!(
        opens(&house.open_for_command().await, "ann").await,
        "sk-key-of-ann"
    );
}

async fn two_rotations_do_not_run_at_once(house: House) {
    let vault = house.open_for_command().await;
    let lock = fs::File::create(house.path("master.key.lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(matches!(
        vault.rotate(&actor("root")).await,
        Err(VaultError::MasterKey(_))
    ));
    drop(lock);
    vault.rotate(&actor("root")).await.unwrap();
}
