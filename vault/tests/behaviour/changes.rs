//! What whoever holds on to an answer of the vault's is told of: changes made here or by others, and nothing else.

use chrono::TimeDelta;
use policies::vocabulary::{Operation, UserId};
use vault::{PageRequest, Vault};

use crate::harness::*;
use crate::on_both;
use crate::tokens::new_token;

on_both!(
    the_mark_moves_with_our_own_changes,
    the_mark_moves_with_the_changes_of_others,
    the_mark_moves_only_once_the_change_is_seen,
    uses_and_reads_do_not_move_the_mark,
    other_system_keys_move_the_mark,
);

/// Whether it moves the mark of this vault by the time it is done.
async fn moved<T>(vault: &Vault, change: impl Future<Output = T>) -> (bool, T) {
    let before = vault.change_mark();
    let made = change.await;
    (vault.change_mark() != before, made)
}

async fn the_mark_moves_with_our_own_changes(house: House) {
    let vault = house.open().await;
    let ann = actor("ann");
    let (told, made) = moved(&vault, vault.create_token(&ann, new_token("ann"))).await;
    assert!(told);
    let (token, _) = made.unwrap();
    let put = || vault.put_credential(&ann, credential(&user("ann"), KEY));
    for what in ["stored", "replaced"] {
        let (told, made) = moved(&vault, put()).await;
        assert!(told && made.is_ok(), "{what}");
    }
    let (user, provider) = (user("ann"), elevenlabs());
    let (told, gone) = moved(&vault, vault.delete_credential(&ann, &user, &provider)).await;
    assert!(told && gone.unwrap());
    let (told, gone) = moved(&vault, vault.revoke_token(&ann, token.id, None)).await;
    assert!(told && gone.unwrap());
}

async fn the_mark_moves_with_the_changes_of_others(house: House) {
    let vault = house.open().await;
    let other = house.open_for_command().await;
    let ann = actor("ann");
    let (token, _) = other.create_token(&ann, new_token("ann")).await.unwrap();
    settled(&vault).await;
    let before = vault.change_mark();
    other.revoke_token(&ann, token.id, None).await.unwrap();
    eventually("a revoked token is noticed", async || {
        vault.change_mark() != before
    })
    .await;
    other
        .put_credential(&ann, credential(&user("ann"), KEY))
        .await
        .unwrap();
    settled(&vault).await;
    let before = vault.change_mark();
    other
        .delete_credential(&ann, &user("ann"), &elevenlabs())
        .await
        .unwrap();
    eventually("a deleted credential is noticed", async || {
        vault.change_mark() != before
    })
    .await;
}

async fn the_mark_moves_only_once_the_change_is_seen(house: House) {
    let vault = house.open().await;
    let other = house.open_for_command().await;
    let ann = actor("ann");
    for _ in 0..5 {
        let (row, plain) = other.create_token(&ann, new_token("ann")).await.unwrap();
        settled(&vault).await;
        assert!(vault.token(&plain.hash()).await.unwrap().is_some());
        let before = vault.change_mark();
        other.revoke_token(&ann, row.id, None).await.unwrap();
        while vault.change_mark() == before {
            tokio::task::yield_now().await;
        }
        assert!(
            !matches!(vault.cached_token(&plain.hash()), Some(Some(_))),
            "what is in memory no longer proves anyone"
        );
        assert!(vault.token(&plain.hash()).await.unwrap().is_none());
    }
}

async fn uses_and_reads_do_not_move_the_mark(house: House) {
    let vault = house.open().await;
    let ann = actor("ann");
    let (_, plain) = vault.create_token(&ann, new_token("ann")).await.unwrap();
    vault
        .put_credential(&ann, credential(&user("ann"), KEY))
        .await
        .unwrap();
    settled(&vault).await;
    let before = vault.change_mark();
    for _ in 0..3 {
        assert!(vault.token(&plain.hash()).await.unwrap().is_some());
        assert!(
            vault
                .credential(&user("ann"), &elevenlabs())
                .await
                .unwrap()
                .is_some()
        );
        vault.selection(&user("ann"), Operation::Tts).await.unwrap();
        house.clock.advance(TimeDelta::minutes(1));
    }
    vault
        .list_tokens(&ann, &UserId::new("ann"), PageRequest::default())
        .await
        .unwrap();
    vault.record(policies::vocabulary::RecordEvent::Usage(Box::new(usage(
        "ann",
        chrono::Utc::now(),
    ))));
    settled(&vault).await;
    assert_eq!(vault.change_mark(), before);
}

async fn other_system_keys_move_the_mark(house: House) {
    let vault = house.open().await;
    let before = vault.change_mark();
    vault.replace_system(Vec::new());
    assert_ne!(vault.change_mark(), before);
}

/// All that was changed until now is noticed: the vault looks ten times a second.
async fn settled(vault: &Vault) {
    vault.let_others_notice().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
}
