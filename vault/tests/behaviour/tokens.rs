use chrono::TimeDelta;
use policies::vocabulary::{Scope, TeamId, UserId};
use vault::{NewToken, PageRequest, token};

use crate::harness::*;
use crate::on_both;

on_both!(
    a_token_proves_its_user_and_what_it_may,
    a_revoked_token_is_refused_at_once,
    a_token_expires_also_from_memory,
    an_unknown_token_is_remembered_and_then_made,
    only_the_hash_finds_a_token,
    users_revoke_only_their_own,
    pages_hold_every_token_once,
    the_last_use_is_noted_by_the_minute,
);

pub fn new_token(name: &str) -> NewToken {
    NewToken {
        user: UserId::new(name),
        name: "laptop".to_owned(),
        ttl: None,
        scopes: None,
        roles: Vec::new(),
        teams: Vec::new(),
        admin_of: Vec::new(),
    }
}

async fn a_token_proves_its_user_and_what_it_may(house: House) {
    let vault = house.open().await;
    let new = NewToken {
        scopes: Some(vec![Scope::Tts, Scope::UsageRead]),
        roles: vec!["operator".to_owned()],
        teams: vec![TeamId::new("red")],
        admin_of: vec![TeamId::new("blue")],
        ttl: Some(TimeDelta::hours(1)),
        ..new_token("ann")
    };
    let (row, plain) = vault.create_token(&actor("ann"), new).await.unwrap();
    assert!(plain.expose().starts_with(&row.prefix) && row.prefix.len() < 10);
    let hash = token::parse(plain.expose()).unwrap();
    let caller = vault.token(&hash).await.unwrap().unwrap();
    assert_eq!((caller.user.as_str(), caller.token_id), ("ann", Some(row.id)));
    assert!(caller.may(Scope::Tts) && !caller.may(Scope::Stt) && !caller.is_operator());
    assert_eq!(
        (caller.teams[0].as_str(), caller.admin_of[0].as_str()),
        ("red", "blue")
    );
    assert_eq!(caller.expires_at, row.expires_at);
    assert_eq!(vault.cached_token(&hash).unwrap().unwrap(), caller);
    let listed = vault
        .list_tokens(&actor("ann"), &UserId::new("ann"), PageRequest::default())
        .await
        .unwrap();
    assert_eq!(listed.items, vec![row]);
}

async fn a_revoked_token_is_refused_at_once(house: House) {
    let vault = house.open().await;
    let (row, plain) = vault.create_token(&actor("ann"), new_token("ann")).await.unwrap();
    let hash = plain.hash();
    assert!(vault.token(&hash).await.unwrap().is_some());
    assert!(vault.revoke_token(&actor("ann"), row.id, None).await.unwrap());
    assert!(vault.cached_token(&hash).is_none());
    assert!(vault.token(&hash).await.unwrap().is_none());
    assert!(matches!(vault.cached_token(&hash), Some(None)));
    assert!(!vault.revoke_token(&actor("ann"), row.id, None).await.unwrap());
    let counts = audited(&vault).await;
    assert_eq!((counts["token.create"], counts["token.delete"]), (1, 1));
}

async fn a_token_expires_also_from_memory(house: House) {
    let vault = house.open().await;
    let new = NewToken {
        ttl: Some(TimeDelta::seconds(10)),
        ..new_token("ann")
    };
    let (_, plain) = vault.create_token(&actor("ann"), new).await.unwrap();
    assert!(vault.token(&plain.hash()).await.unwrap().is_some());
    house.clock.advance(TimeDelta::seconds(10));
    assert!(matches!(vault.cached_token(&plain.hash()), Some(None)));
    house.clock.advance(TimeDelta::hours(1));
    assert!(vault.token(&plain.hash()).await.unwrap().is_none());
}

async fn an_unknown_token_is_remembered_and_then_made(house: House) {
    let vault = house.open().await;
    let stranger = token::mint(&vault::SystemChance).unwrap();
    for _ in 0..3 {
        assert!(vault.token(&stranger.hash()).await.unwrap().is_none());
    }
    assert_eq!(vault.metrics().token_cache.load.get(), 1);
}

async fn only_the_hash_finds_a_token(house: House) {
    let vault = house.open().await;
    let (_, plain) = vault.create_token(&actor("ann"), new_token("ann")).await.unwrap();
    let stored = house.raw().await.bytes("SELECT hash FROM tokens").await;
    assert_eq!(stored, plain.hash().as_bytes());
}

async fn users_revoke_only_their_own(house: House) {
    let vault = house.open().await;
    let (row, plain) = vault.create_token(&actor("ann"), new_token("ann")).await.unwrap();
    assert!(
        !vault
            .revoke_token(&actor("bob"), row.id, Some(&UserId::new("bob")))
            .await
            .unwrap()
    );
    assert!(vault.token(&plain.hash()).await.unwrap().is_some());
    assert!(
        vault
            .revoke_token(&actor("ann"), row.id, Some(&UserId::new("ann")))
            .await
            .unwrap()
    );
}

async fn pages_hold_every_token_once(house: House) {
    let vault = house.open().await;
    for n in 0..23 {
        if n % 5 == 0 {
            house.clock.advance(TimeDelta::seconds(1));
        }
        vault.create_token(&actor("ann"), new_token("ann")).await.unwrap();
    }
    vault.create_token(&actor("bob"), new_token("bob")).await.unwrap();
    let mut seen = Vec::new();
    let mut page = PageRequest {
        cursor: None,
        limit: 4,
    };
    loop {
        let listed = vault
            .list_tokens(&actor("ann"), &UserId::new("ann"), page.clone())
            .await
            .unwrap();
        seen.extend(listed.items.iter().map(|row| (row.created_at, row.id)));
        let Some(next) = listed.next else { break };
        page.cursor = Some(next);
    }
    assert_eq!(seen.len(), 23);
    assert!(
        seen.windows(2).all(|pair| pair[0] > pair[1]),
        "newest first, none twice"
    );
}

async fn the_last_use_is_noted_by_the_minute(house: House) {
    let vault = house.open().await;
    let (_, plain) = vault.create_token(&actor("ann"), new_token("ann")).await.unwrap();
    let ann = UserId::new("ann");
    for _ in 0..100 {
        vault.token(&plain.hash()).await.unwrap();
    }
    vault.close().await;
    let vault = house.open_for_command().await;
    let row = vault
        .list_tokens(&actor("ann"), &ann, PageRequest::default())
        .await
        .unwrap()
        .items
        .remove(0);
    assert_eq!(row.last_used_at, Some(row.created_at));
}
