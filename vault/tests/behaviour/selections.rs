use policies::vocabulary::{Caller, Choice, Operation, Owner, Selection, TeamId, UserId};

use crate::harness::*;
use crate::on_both;

on_both!(
    a_choice_is_kept_changed_and_forgotten,
    a_caller_s_own_choice_comes_before_its_teams,
    a_choice_that_cannot_be_audited_is_not_made
);

fn selection(voice: &str) -> Selection {
    let choice = Choice {
        provider: azure(),
        model: None,
        voice: Some("en-US-AvaNeural".to_owned()),
    };
    Selection {
        provider: elevenlabs(),
        model: Some("eleven_v3".to_owned()),
        voice: Some(voice.to_owned()),
        fallbacks: vec![choice],
    }
}

async fn a_choice_is_kept_changed_and_forgotten(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    assert!(vault.selection(&ann, Operation::Tts).await.unwrap().is_none());
    assert!(
        vault
            .put_selection(&by, &ann, Operation::Tts, &selection("one"))
            .await
            .unwrap()
    );
    assert_eq!(
        *vault.selection(&ann, Operation::Tts).await.unwrap().unwrap(),
        selection("one")
    );
    assert!(vault.cached_selection(&ann, Operation::Tts).is_some());
    assert!(
        !vault
            .put_selection(&by, &ann, Operation::Tts, &selection("two"))
            .await
            .unwrap()
    );
    assert_eq!(
        *vault.selection(&ann, Operation::Tts).await.unwrap().unwrap(),
        selection("two")
    );
    let read = vault.read_selection(&by, &ann, Operation::Tts).await.unwrap();
    assert_eq!(read, Some(selection("two")));
    assert_eq!(
        vault.list_selections(&by, &ann).await.unwrap(),
        [(Operation::Tts, selection("two"))]
    );
    assert!(
        vault
            .read_selection(&by, &ann, Operation::Stt)
            .await
            .unwrap()
            .is_none()
    );
    assert!(vault.delete_selection(&by, &ann, Operation::Tts).await.unwrap());
    assert!(!vault.delete_selection(&by, &ann, Operation::Tts).await.unwrap());
    assert!(vault.selection(&ann, Operation::Tts).await.unwrap().is_none());
    let counts: Vec<_> = audited(&vault).await.into_iter().collect();
    assert_eq!(
        counts,
        [
            ("selection.create", 1),
            ("selection.delete", 1),
            ("selection.read", 3),
            ("selection.update", 1)
        ]
    );
}

async fn a_caller_s_own_choice_comes_before_its_teams(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    let team = |name: &str| Owner::Team(TeamId::new(name));
    let caller = Caller {
        user: UserId::new("ann"),
        teams: vec![TeamId::new("red"), TeamId::new("blue")],
        admin_of: Vec::new(),
        roles: Vec::new(),
        scopes: None,
        token_id: None,
        expires_at: None,
    };
    let operation = Operation::Tts;
    let chosen = async || {
        let found = vault.selection_for(&caller, operation).await.unwrap();
        let cached = vault.cached_selection_for(&caller, operation);
        assert_eq!(cached, Some(found.clone()), "what was looked up is in memory");
        found.and_then(|selection| selection.voice.clone())
    };
    assert_eq!(vault.cached_selection_for(&caller, operation), None);
    assert_eq!(chosen().await, None);
    for (owner, voice) in [(team("blue"), "blue"), (team("red"), "red"), (ann, "own")] {
        vault
            .put_selection(&by, &owner, operation, &selection(voice))
            .await
            .unwrap();
        assert_eq!(vault.cached_selection_for(&caller, operation), None, "{voice}");
        assert_eq!(chosen().await.as_deref(), Some(voice));
    }
}

async fn a_choice_that_cannot_be_audited_is_not_made(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    house.execute("ALTER TABLE audit RENAME TO audit_away").await;
    assert!(
        vault
            .put_selection(&by, &ann, Operation::Tts, &selection("one"))
            .await
            .is_err()
    );
    house.execute("ALTER TABLE audit_away RENAME TO audit").await;
    assert!(vault.selection(&ann, Operation::Tts).await.unwrap().is_none());
}
