//! Whoever can write to the database, but has no master key, cannot make a key open anywhere else.

use policies::vocabulary::Owner;
use vault::{Vault, VaultError};

use crate::harness::*;
use crate::on_both;

on_both!(
    any_changed_byte_keeps_it_closed,
    a_row_moved_to_another_owner_or_provider_stays_closed,
    swapped_rows_stay_closed,
    swapped_seals_stay_closed,
    an_older_version_put_back_stays_closed,
    a_deleted_row_put_back_stays_closed,
    other_hosts_or_settings_keep_it_closed,
    a_row_that_makes_no_sense_is_named,
    check_finds_what_does_not_open_and_goes_on,
);

async fn opens(vault: &Vault, owner: &Owner) -> Result<String, String> {
    match vault.credential(owner, &elevenlabs()).await {
        Ok(opened) => Ok(opened.expect("there is one").secret.expose().to_owned()),
        Err(VaultError::Sealed { why, .. }) => Err(why),
        Err(other) => panic!("neither opened nor closed: {other}"),
    }
}

/// A vault that has nothing cached.
async fn afresh(house: &House) -> Vault {
    house.open_for_command().await
}

async fn any_changed_byte_keeps_it_closed(house: House) {
    let vault = afresh(&house).await;
    let ann = user("ann");
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    let mut raw = house.raw().await;
    let mut tried = 0;
    for column in ["sealed", "seal_nonce", "wrapped_dek", "wrap_nonce"] {
        let whole = raw.bytes(&format!("SELECT {column} FROM credentials")).await;
        let set = format!("UPDATE credentials SET {column} = $1");
        for place in 0..whole.len() {
            let mut changed = whole.clone();
            changed[place] ^= 1 << (place % 8);
            raw.set_bytes(&set, &changed).await;
            assert!(opens(&vault, &ann).await.is_err(), "{column} changed at {place}");
            tried += 1;
        }
        for cut in [&whole[1..], &whole[..whole.len() - 1], &[]] {
            raw.set_bytes(&set, cut).await;
            assert!(
                opens(&vault, &ann).await.is_err(),
                "{column} cut to {} bytes",
                cut.len()
            );
        }
        raw.set_bytes(&set, &whole).await;
    }
    assert_eq!(tried, KEY.len() + 16 + 12 + 32 + 16 + 12);
    assert_eq!(opens(&vault, &ann).await.unwrap(), KEY);
}

async fn a_row_moved_to_another_owner_or_provider_stays_closed(house: House) {
    let vault = house.open().await;
    let (ann, bob) = (user("ann"), user("bob"));
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    for table in ["credentials", "credential_marks"] {
        house
            .execute(&format!("UPDATE {table} SET owner_id = 'bob'"))
            .await;
    }
    assert!(opens(&afresh(&house).await, &bob).await.is_err());
    for table in ["credentials", "credential_marks"] {
        house
            .execute(&format!(
                "UPDATE {table} SET owner_id = 'ann', owner_kind = 'team'"
            ))
            .await;
    }
    let team = Owner::Team(policies::vocabulary::TeamId::new("ann"));
    assert!(opens(&afresh(&house).await, &team).await.is_err());
    for table in ["credentials", "credential_marks"] {
        house
            .execute(&format!(
                "UPDATE {table} SET owner_kind = 'user', provider = 'gemini'"
            ))
            .await;
    }
    let gemini = policies::vocabulary::ProviderId::new("gemini");
    assert!(matches!(
        afresh(&house).await.credential(&ann, &gemini).await,
        Err(VaultError::Sealed { .. })
    ));
    for table in ["credentials", "credential_marks"] {
        house
            .execute(&format!("UPDATE {table} SET provider = 'elevenlabs'"))
            .await;
    }
    assert_eq!(opens(&afresh(&house).await, &ann).await.unwrap(), KEY);
}

async fn swapped_rows_stay_closed(house: House) {
    let vault = afresh(&house).await;
    let (ann, bob) = (user("ann"), user("bob"));
    vault
        .put_credential(&actor("ann"), credential(&ann, "sk-key-of-ann"))
        .await
        .unwrap();
    vault
        .put_credential(&actor("bob"), credential(&bob, "sk-key-of-bob"))
        .await
        .unwrap();
    for (from, to) in [("ann", "x"), ("bob", "ann"), ("x", "bob")] {
        house
            .execute(&format!(
                "UPDATE credentials SET owner_id = '{to}' WHERE owner_id = '{from}'"
            ))
            .await;
    }
    assert!(opens(&vault, &ann).await.is_err());
    assert!(opens(&vault, &bob).await.is_err());
}

async fn swapped_seals_stay_closed(house: House) {
    let vault = afresh(&house).await;
    let (ann, bob) = (user("ann"), user("bob"));
    vault
        .put_credential(&actor("ann"), credential(&ann, "sk-key-of-ann"))
        .await
        .unwrap();
    vault
        .put_credential(&actor("bob"), credential(&bob, "sk-key-of-bob"))
        .await
        .unwrap();
    let copied = |columns: &str| {
        let from = columns
            .split(", ")
            .map(|c| format!("(SELECT {c} FROM credentials WHERE owner_id = 'bob')"));
        format!(
            "UPDATE credentials SET ({columns}) = ({}) WHERE owner_id = 'ann'",
            from.collect::<Vec<_>>().join(", ")
        )
    };
    house.execute(&copied("sealed, seal_nonce")).await;
    assert!(opens(&vault, &ann).await.is_err(), "another's seal");
    house
        .execute(&copied("sealed, seal_nonce, wrapped_dek, wrap_nonce"))
        .await;
    assert!(opens(&vault, &ann).await.is_err(), "another's seal and data key");
    assert_eq!(opens(&vault, &bob).await.unwrap(), "sk-key-of-bob");
}

async fn an_older_version_put_back_stays_closed(house: House) {
    let vault = afresh(&house).await;
    let ann = user("ann");
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    house
        .execute("CREATE TABLE old AS SELECT * FROM credentials")
        .await;
    vault
        .put_credential(&actor("ann"), credential(&ann, "sk-new"))
        .await
        .unwrap();
    house
        .execute("DELETE FROM credentials; INSERT INTO credentials SELECT * FROM old")
        .await;
    assert!(opens(&vault, &ann).await.unwrap_err().contains("put back"));
    house.execute("UPDATE credentials SET version = 2").await;
    assert!(
        opens(&vault, &ann).await.is_err(),
        "with the version the mark asks for"
    );
}

async fn a_deleted_row_put_back_stays_closed(house: House) {
    let vault = afresh(&house).await;
    let ann = user("ann");
    vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    house
        .execute("CREATE TABLE old AS SELECT * FROM credentials")
        .await;
    vault
        .delete_credential(&actor("ann"), &ann, &elevenlabs())
        .await
        .unwrap();
    house.execute("INSERT INTO credentials SELECT * FROM old").await;
    assert!(
        opens(&afresh(&house).await, &ann)
            .await
            .unwrap_err()
            .contains("put back")
    );
}

async fn other_hosts_or_settings_keep_it_closed(house: House) {
    let vault = afresh(&house).await;
    let ann = user("ann");
    let new = credential_with(&ann, &azure(), KEY, &[("region", "eastus")]);
    vault.put_credential(&actor("ann"), new).await.unwrap();
    let closed = async || {
        matches!(
            vault.credential(&ann, &azure()).await,
            Err(VaultError::Sealed { .. })
        )
    };
    for (column, from, to) in [
        ("hosts", "eastus.tts.speech.microsoft.com", "evil.example"),
        ("hosts", "https", "http"),
        ("settings", "eastus", "westus"),
    ] {
        let change = |from: &str, to: &str| match house.kind {
            Kind::Sqlite => format!("UPDATE credentials SET {column} = replace({column}, '{from}', '{to}')"),
            Kind::Postgres => {
                format!("UPDATE credentials SET {column} = replace({column}::text, '{from}', '{to}')::jsonb")
            }
        };
        house.execute(&change(from, to)).await;
        assert!(closed().await, "{column}: {to} for {from}");
        house.execute(&change(to, from)).await;
    }
    assert_eq!(
        vault
            .credential(&ann, &azure())
            .await
            .unwrap()
            .unwrap()
            .secret
            .expose(),
        KEY
    );
}

async fn a_row_that_makes_no_sense_is_named(house: House) {
    let vault = house.open().await;
    let ann = user("ann");
    let (row, _) = vault
        .put_credential(&actor("ann"), credential(&ann, KEY))
        .await
        .unwrap();
    house.execute("UPDATE credentials SET status = 'splendid'").await;
    let error = vault
        .credential(&ann, &elevenlabs())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("credentials") && error.contains(&row.id.to_string()),
        "{error}"
    );
    vault
        .put_credential(&actor("ann"), credential(&ann, "sk-mended"))
        .await
        .unwrap();
    assert_eq!(
        opens(&vault, &ann).await.unwrap(),
        "sk-mended",
        "a broken row can be replaced"
    );
}

async fn check_finds_what_does_not_open_and_goes_on(house: House) {
    let vault = house.open().await;
    for name in ["ann", "bob", "cem", "dan"] {
        vault
            .put_credential(&actor(name), credential(&user(name), KEY))
            .await
            .unwrap();
    }
    assert!(vault.check().await.unwrap().is_empty());
    house
        .execute("UPDATE credentials SET status = 'splendid' WHERE owner_id = 'ann'")
        .await;
    house
        .execute("UPDATE credentials SET version = 7 WHERE owner_id = 'cem'")
        .await;
    let findings = vault.check().await.unwrap();
    let mut owners: Vec<_> = findings.iter().map(|finding| finding.owner.to_string()).collect();
    owners.sort();
    assert_eq!(owners, ["user:ann", "user:cem"]);
}
