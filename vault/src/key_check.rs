//! Whether the master-key file and the database belong together, and making them so where both are new.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::{SystemChance, to_microseconds};
use crate::envelope::EnvelopeError;
use crate::error::{During, OpenError, VaultError};
use crate::key_file::{KeyringError, KeyringFile};
use crate::store::db::{Db, Link, Single, Tx};
use crate::store::{credentials, master_keys, revision};
use crate::vault::VaultSettings;

/// A rotation that goes on meanwhile may change file and database between our two looks.
pub(crate) async fn verify_patiently(connection: &mut Single, file: &Path) -> Result<(), OpenError> {
    let mut looks = 0;
    loop {
        looks += 1;
        let keyring = KeyringFile::load(file)?;
        match verify(connection.link(), keyring.as_ref(), file).await {
            Err(OpenError::MasterKey(KeyringError::Wrong { .. })) if looks < 3 => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            verified => return verified,
        }
    }
}

/// Whether the file holds every master key that the database knows, and they are the very keys.
pub(crate) async fn verify(
    mut link: Link<'_>,
    keyring: Option<&KeyringFile>,
    file: &Path,
) -> Result<(), OpenError> {
    const DOING: &str = "checking the master key";
    let Some(keyring) = keyring else {
        return match credentials::any(link).await.during(DOING)? {
            true => Err(KeyringError::Missing {
                file: file.to_owned(),
            }
            .into()),
            false => Ok(()),
        };
    };
    let ring = keyring.ring();
    for known in master_keys::list(link.again()).await.during(DOING)? {
        if !ring
            .get(&known.id)
            .is_some_and(|key| key.is_proven_by(&known.proof))
        {
            return Err(KeyringError::Wrong {
                file: file.to_owned(),
                id: known.id,
            }
            .into());
        }
    }
    Ok(())
}

/// Makes the key file where there may be none yet, and writes into the database which key is the current one.
/// Processes that start at once do this one after the other.
pub(crate) async fn settle(settings: &VaultSettings, db: &Db) -> Result<KeyringFile, OpenError> {
    const DOING: &str = "registering the master key";
    let file = &settings.master_key_file;
    let now = to_microseconds(settings.clock.now());
    let mut tx = db.begin(DOING).await?;
    revision::hold(tx.link()).await.during(DOING)?;
    // The one before us in the queue may have made it, or rotated.
    let keyring = KeyringFile::load(file)?;
    verify(tx.link(), keyring.as_ref(), file).await?;
    let keyring = match keyring {
        Some(keyring) => {
            register(&mut tx, &keyring, now).await?;
            keyring
        }
        None => {
            let made = KeyringFile::create(file, now, &SystemChance)?;
            register(&mut tx, &made, now).await?;
            // No credential refers to the others, and whoever lost their file cannot bring them back.
            master_keys::delete_others(tx.link(), &made.ring().current().id)
                .await
                .during(DOING)?;
            made
        }
    };
    tx.commit(DOING).await?;
    Ok(keyring)
}

async fn register(tx: &mut Tx, keyring: &KeyringFile, now: DateTime<Utc>) -> Result<(), VaultError> {
    let ring = keyring.ring();
    let key = ring.current();
    let proof = key.proof(&SystemChance).map_err(unproven)?;
    master_keys::insert(tx.link(), &key.id, now, &proof)
        .await
        .during("registering the master key")
}

pub(crate) fn unproven(error: EnvelopeError) -> VaultError {
    VaultError::Sealed {
        id: "of the master key's proof".to_owned(),
        why: error.to_string(),
    }
}
