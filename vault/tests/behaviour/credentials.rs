use std::sync::Arc;
use std::time::Duration;

use policies::descriptor::{Providers, Settings};
use policies::vocabulary::{AuditAction, Code, CredentialStatus, Owner, ProviderId, TeamId};
use vault::{NewCredential, SystemKey, Vault, VaultError};

use crate::harness::*;
use crate::on_both;

on_both!(
    a_stored_key_pays_for_the_next_call,
    a_replacement_is_seen_by_the_very_next_call_and_keeps_the_id,
    a_deleted_key_is_gone_at_once,
    a_change_is_waited_for_until_it_holds_on_another_node,
    one_query_answers_all_who_miss_at_once,
    owners_do_not_see_each_others_keys,
    every_change_and_every_read_is_on_record,
    a_change_that_cannot_be_audited_is_not_made,
    a_late_refusal_of_the_old_key_does_not_touch_the_new_one,
    a_refusal_in_live_traffic_is_noted_once_and_healed,
    a_key_stored_for_other_hosts_says_so,
    a_key_for_a_url_that_is_no_longer_listed_says_so,
    a_system_key_is_the_last_resort_and_remembers_its_status,
    nothing_stored_shows_the_key,
    changes_of_one_credential_at_once_wait_for_each_other,
);

async fn a_stored_key_pays_for_the_next_call(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    assert!(vault.cached_credential(&ann, &elevenlabs()).is_none());
    assert!(vault.credential(&ann, &elevenlabs()).await.unwrap().is_none());
    assert!(matches!(vault.cached_credential(&ann, &elevenlabs()), Some(None)));
    let (row, created) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    assert!(created);
    assert_eq!((row.masked_key.as_str(), row.version), ("…nted", 1));
    assert!(
        vault.cached_credential(&ann, &elevenlabs()).is_none(),
        "absence is known no longer"
    );
    let opened = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    assert_eq!(opened.secret.expose(), KEY);
    assert_eq!(opened.id, Some(row.id));
    assert!(!opened.bound_elsewhere);
    assert!(vault.cached_credential(&ann, &elevenlabs()).is_some());
    assert_eq!(
        vault.list_credentials(&actor("ann"), &ann).await.unwrap(),
        vec![row]
    );
}

async fn a_replacement_is_seen_by_the_very_next_call_and_keeps_the_id(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let (first, _) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    vault.credential(&ann, &elevenlabs()).await.unwrap();
    let (second, created) = vault
        .put_credential(&actor("ann"), credential(&ann, "sk-other-key"))
        .await
        .unwrap();
    assert!(!created);
    assert_eq!(
        (second.id, second.version, second.created_at),
        (first.id, 2, first.created_at)
    );
    let opened = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    assert_eq!((opened.secret.expose(), opened.version), ("sk-other-key", 2));
}

async fn a_deleted_key_is_gone_at_once(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let (first, _) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    vault.credential(&ann, &elevenlabs()).await.unwrap();
    assert!(
        vault
            .delete_credential(&actor("ann"), &ann, &elevenlabs())
            .await
            .unwrap()
    );
    assert!(vault.credential(&ann, &elevenlabs()).await.unwrap().is_none());
    assert!(
        !vault
            .delete_credential(&actor("ann"), &ann, &elevenlabs())
            .await
            .unwrap()
    );
    let (again, created) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    assert!(created && again.id != first.id && again.version > first.version);
}

async fn a_change_is_waited_for_until_it_holds_on_another_node(house: House) {
    let here = house.open().await;
    let there = house.open_for_command().await;
    let ann = user("ann");
    there
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    assert!(here.credential(&ann, &elevenlabs()).await.unwrap().is_some());
    there
        .delete_credential(&actor("ann"), &ann, &elevenlabs())
        .await
        .unwrap();
    let changed = std::time::Instant::now();
    there.let_others_notice().await;
    assert!(here.credential(&ann, &elevenlabs()).await.unwrap().is_none());
    assert!(
        changed.elapsed() < Duration::from_secs(1),
        "took {:?}",
        changed.elapsed()
    );
}

async fn one_query_answers_all_who_miss_at_once(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    let calls = (0..200).map(|_| {
        let (vault, ann) = (vault.clone(), ann.clone());
        tokio::spawn(async move { vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap() })
    });
    for opened in futures::future::join_all(calls).await {
        assert_eq!(opened.unwrap().secret.expose(), KEY);
    }
    assert_eq!(vault.metrics().credential_cache.load.get(), 1);
}

async fn owners_do_not_see_each_others_keys(house: House) {
    let vault = house.open().await;
    let same_name = [user("x"), Owner::Team(TeamId::new("x")), Owner::System];
    for (owner, key) in same_name.iter().zip(["sk-of-user", "sk-of-team", "sk-of-system"]) {
        vault
            .put_credential(&actor("x"), credential(owner, key))
            .await
            .unwrap();
    }
    for (owner, key) in same_name.iter().zip(["sk-of-user", "sk-of-team", "sk-of-system"]) {
        let opened = vault.credential(owner, &elevenlabs()).await.unwrap().unwrap();
        assert_eq!(opened.secret.expose(), key);
        assert_eq!(vault.list_credentials(&actor("x"), owner).await.unwrap().len(), 1);
    }
    assert!(
        vault
            .credential(&user("y"), &elevenlabs())
            .await
            .unwrap()
            .is_none()
    );
}

async fn every_change_and_every_read_is_on_record(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    let (row, _) = vault.put_credential(&by, credential(&ann, KEY)).await.unwrap();
    vault.put_credential(&by, credential(&ann, KEY)).await.unwrap();
    vault.read_credential(&by, &ann, &elevenlabs()).await.unwrap();
    vault.list_credentials(&by, &ann).await.unwrap();
    let valid = CredentialStatus::Valid;
    let validate = AuditAction::CredentialValidate;
    vault
        .set_credential_status(&by, row.id, 2, valid, None, None, validate)
        .await
        .unwrap()
        .unwrap();
    vault.delete_credential(&by, &ann, &elevenlabs()).await.unwrap();
    let counts: Vec<_> = audited(&vault).await.into_iter().collect();
    assert_eq!(
        counts,
        [
            ("credential.create", 1),
            ("credential.delete", 1),
            ("credential.read", 2),
            ("credential.update", 1),
            ("credential.validate", 1)
        ]
    );
    let event = &vault.read_audit(Default::default()).await.unwrap().items[0];
    assert_eq!(event.owner.as_deref(), Some("user:ann"));
    assert_eq!(event.ip, by.ip);
    assert_eq!(event.request_id, by.request_id);
}

async fn a_change_that_cannot_be_audited_is_not_made(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    vault.put_credential(&by, credential(&ann, KEY)).await.unwrap();
    house.execute("ALTER TABLE audit RENAME TO audit_away").await;
    assert!(
        vault
            .put_credential(&by, credential(&ann, "sk-other-key"))
            .await
            .is_err()
    );
    assert!(vault.delete_credential(&by, &ann, &elevenlabs()).await.is_err());
    assert!(vault.read_credential(&by, &ann, &elevenlabs()).await.is_err());
    assert!(vault.list_credentials(&by, &ann).await.is_err());
    assert!(vault.rotate(&by).await.is_err());
    house.execute("ALTER TABLE audit_away RENAME TO audit").await;
    let opened = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    assert_eq!((opened.secret.expose(), opened.version), (KEY, 1));
}

async fn a_late_refusal_of_the_old_key_does_not_touch_the_new_one(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    let (old, _) = vault.put_credential(&by, credential(&ann, KEY)).await.unwrap();
    let (new, _) = vault
        .put_credential(&by, credential(&ann, "sk-other-key"))
        .await
        .unwrap();
    let invalid = |version| {
        let (vault, by) = (&vault, &by);
        vault.set_credential_status(
            by,
            old.id,
            version,
            CredentialStatus::Invalid,
            Some(Code::CredentialInvalid),
            None,
            AuditAction::CredentialStatus,
        )
    };
    assert!(invalid(old.version).await.unwrap().is_none());
    assert_eq!(
        vault
            .credential(&ann, &elevenlabs())
            .await
            .unwrap()
            .unwrap()
            .status,
        CredentialStatus::Valid
    );
    assert!(invalid(new.version).await.unwrap().is_some());
    let now = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    assert_eq!(
        (now.status, now.status_reason),
        (CredentialStatus::Invalid, Some(Code::CredentialInvalid))
    );
}

async fn a_refusal_in_live_traffic_is_noted_once_and_healed(house: House) {
    let vault = house.open().await;
    let (ann, by) = (user("ann"), actor("ann"));
    vault.put_credential(&by, credential(&ann, KEY)).await.unwrap();
    let opened = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    for _ in 0..50 {
        let (invalid, reason) = (CredentialStatus::Invalid, Some(Code::CredentialInvalid));
        vault.note_status(
            by.clone(),
            &opened,
            invalid,
            reason,
            Some("the provider refused it".to_owned()),
        );
    }
    let status = async || {
        vault
            .credential(&ann, &elevenlabs())
            .await
            .unwrap()
            .unwrap()
            .status
    };
    eventually("it is invalid", async || {
        status().await == CredentialStatus::Invalid
    })
    .await;
    assert_eq!(audited(&vault).await["credential.status"], 1);
    let row = vault
        .read_credential(&by, &ann, &elevenlabs())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(row.status_detail.as_deref(), Some("the provider refused it"));
    let refused = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    vault.note_status(by, &refused, CredentialStatus::Valid, None, None);
    eventually("it is valid again", async || {
        status().await == CredentialStatus::Valid
    })
    .await;
    assert_eq!(audited(&vault).await["credential.status"], 2);
}

async fn a_key_stored_for_other_hosts_says_so(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let east = credential_with(&ann, &azure(), KEY, &[("region", "eastus")]);
    let mut elsewhere = credential_with(&ann, &azure(), KEY, &[("region", "westeurope")]);
    elsewhere.hosts = east.hosts.clone();
    vault.put_credential(&actor("ann"), elsewhere).await.unwrap();
    let opened = vault.credential(&ann, &azure()).await.unwrap().unwrap();
    assert!(opened.bound_elsewhere);
    assert_eq!(opened.hosts, east.hosts);
    let findings = vault.check().await.unwrap();
    assert_eq!(findings.len(), 1);
    assert!(findings[0].what.contains("hosts"), "{}", findings[0].what);
}

async fn a_key_for_a_url_that_is_no_longer_listed_says_so(house: House) {
    const URL: &str = "http://10.0.0.5:8000/v1";
    let listing = |urls: &[&str]| {
        let text = include_str!("../../../config/providers/gemini.toml");
        let text = text.replacen("id = \"gemini\"", "id = \"own\"", 1).replacen(
            "https://generativelanguage.googleapis.com",
            "{base_url}",
            1,
        );
        let setting = "\n[[settings]]\nname = \"base_url\"\ntitle = \"Base URL\"\nshape = \"operator_url\"\n";
        let urls: Vec<_> = urls.iter().map(|url| (*url).to_owned()).collect();
        let own = Providers::default().with_file("own.toml", &(text + setting));
        Arc::new(own.unwrap().with_base_urls("own", &urls).unwrap())
    };
    let (ann, own) = (user("ann"), ProviderId::new("own"));
    let listed = listing(&[URL]);
    let known = listed.get("own").unwrap();
    let settings = Settings::from([("base_url".to_owned(), URL.to_owned())]);
    let new = NewCredential {
        provider: own.clone(),
        hosts: known.hosts(&settings).unwrap(),
        settings,
        ..credential(&ann, KEY)
    };
    let vault = Vault::open(house.settings(), listed.clone(), Vec::new())
        .await
        .unwrap();
    vault.put_credential(&actor("ann"), new).await.unwrap();
    let opened = vault.credential(&ann, &own).await.unwrap().unwrap();
    assert!(!opened.bound_elsewhere);
    assert!(vault.check().await.unwrap().is_empty());
    vault.close().await;

    for urls in [&[][..], &["http://10.0.0.6:8000/v1"]] {
        let vault = Vault::open(house.settings(), listing(urls), Vec::new())
            .await
            .unwrap();
        let opened = vault.credential(&ann, &own).await.unwrap().unwrap();
        assert!(opened.bound_elsewhere, "{urls:?}");
        let findings = vault.check().await.unwrap();
        assert!(findings[0].what.contains("hosts"), "{}", findings[0].what);
        vault.close().await;
    }
}

async fn a_system_key_is_the_last_resort_and_remembers_its_status(house: House) {
    let key = || {
        let NewCredential {
            provider,
            secret,
            settings,
            hosts,
            ..
        } = credential(&Owner::System, KEY);
        SystemKey {
            provider,
            secret,
            settings,
            hosts,
        }
    };
    let vault = vault::Vault::open(house.settings(), providers(), vec![key()])
        .await
        .unwrap();
    assert!(vault.system_credential(&azure()).is_none());
    let system = vault.system_credential(&elevenlabs()).unwrap();
    assert_eq!((system.secret.expose(), system.id), (KEY, None));
    let invalid = (CredentialStatus::Invalid, Some(Code::CredentialInvalid));
    vault.note_status(actor("ann"), &system, invalid.0, invalid.1, None);
    vault.note_status(actor("ann"), &system, invalid.0, invalid.1, None);
    assert_eq!(
        vault.system_credential(&elevenlabs()).unwrap().status,
        CredentialStatus::Invalid
    );
    eventually("it is audited", async || {
        audited(&vault).await.get("credential.status") == Some(&1)
    })
    .await;
    vault.replace_system(vec![key()]);
    vault.note_status(
        actor("ann"),
        &system,
        invalid.0,
        Some(Code::CredentialRestricted),
        None,
    );
    assert_eq!(
        vault.system_credential(&elevenlabs()).unwrap().status,
        CredentialStatus::Valid
    );
}

async fn nothing_stored_shows_the_key(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let token = vault
        .create_token(&actor("ann"), crate::tokens::new_token("ann"))
        .await
        .unwrap()
        .1;
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    vault.credential(&ann, &elevenlabs()).await.unwrap();
    let mut texts = vec![std::fs::read(house.key_file()).unwrap()];
    match house.kind {
        Kind::Sqlite => {
            let written =
                ["voxgate.db", "voxgate.db-wal"].map(|name| std::fs::read(house.path(name)).unwrap());
            assert!(
                written.concat().windows(4).any(|part| part == b"nted"),
                "the mask is in the files"
            );
            texts.extend(written);
        }
        Kind::Postgres => {
            let mut raw = house.raw().await;
            for table in [
                "credentials",
                "tokens",
                "audit",
                "master_keys",
                "credential_marks",
                "selections",
            ] {
                let all = format!(
                    "SELECT convert_to(COALESCE(string_agg(t::text || encode(convert_to(t::text, 'UTF8'), 'escape'), ' '), ''), 'UTF8') FROM {table} t"
                );
                texts.push(raw.bytes(&all).await);
            }
            assert!(
                texts
                    .iter()
                    .any(|text| text.windows(7).any(|part| part == "…nted".as_bytes()))
            );
        }
    }
    for planted in [KEY, token.expose()] {
        let hex: String = planted.bytes().map(|byte| format!("{byte:02x}")).collect();
        for text in &texts {
            assert!(
                !contains(text, planted.as_bytes()),
                "{} bytes hold it",
                text.len()
            );
            assert!(
                !contains(text, hex.as_bytes()),
                "{} bytes hold its hex",
                text.len()
            );
        }
    }
    let debug = format!("{:?}", vault.credential(&ann, &elevenlabs()).await.unwrap());
    assert!(!debug.contains(KEY) && debug.contains("Secret(…)"));
}

async fn changes_of_one_credential_at_once_wait_for_each_other(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let changes = (0..4).map(|worker| {
        let (vault, ann) = (vault.clone(), ann.clone());
        tokio::spawn(async move {
            for round in 0..10 {
                if (worker + round) % 2 == 0 {
                    vault
                        .put_credential(&actor("ann"), credential(&ann, KEY))
                        .await
                        .unwrap();
                } else {
                    vault
                        .delete_credential(&actor("ann"), &ann, &elevenlabs())
                        .await
                        .unwrap();
                }
            }
        })
    });
    for change in futures::future::join_all(changes).await {
        change.unwrap();
    }
    let (row, _) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    let opened = vault.credential(&ann, &elevenlabs()).await.unwrap().unwrap();
    assert_eq!((opened.version, opened.secret.expose()), (row.version, KEY));
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[tokio::test]
async fn a_bad_cursor_is_told_from_an_outage() {
    let house = House::new(Kind::Sqlite).await;
    let vault = house.open().await;
    let filter = vault::AuditFilter {
        cursor: Some("nonsense".to_owned()),
        ..Default::default()
    };
    assert!(matches!(vault.read_audit(filter).await, Err(VaultError::Cursor)));
}
