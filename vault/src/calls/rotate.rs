//! Making a new master key current, while traffic flows.
//!
//! The steps are ordered so that the process may be killed between any two: the new key is in the file before
//! anything needs it, each credential is rewrapped by comparing and setting, and an old key leaves the database
//! only when no credential refers to it, and the file only after that. A rotation that finds credentials under
//! older keys finishes that work instead of making yet another key. Servers notice the new key when a credential
//! refers to it; one that still seals with a key that is gone is refused by the database, and reads the file.
//!
//! Nodes that share a database must share the key file, or be given its new content before credentials refer
//! to it.

use policies::vocabulary::{Actor, AuditAction, AuditEvent};
use uuid::Uuid;

use super::check::Finding;
use crate::envelope;
use crate::error::{During, VaultError};
use crate::key_check::unproven;
use crate::keyring::{Keyring, MasterKey};
use crate::store::credentials::{self, Holding};
use crate::store::db::{Tx, within};
use crate::store::{audit, master_keys, revision};
use crate::vault::{Inner, Vault};

const BATCH: i64 = 100;

/// What a rotation did.
#[derive(Clone, Debug, Default)]
pub struct RotateReport {
    /// The id of the master key that is current now.
    pub current: String,
    /// An earlier rotation had been interrupted and was finished; no new key was made.
    pub resumed: bool,
    pub rewrapped: u64,
    /// Credentials that do not open and were left as they are.
    pub failed: Vec<Finding>,
    /// Master keys that nothing uses any more, taken out of the file.
    pub retired: Vec<String>,
    /// Older master keys that stay in the file, with the number of credentials that need each.
    pub kept: Vec<(String, u64)>,
}

impl Vault {
    /// Makes a new master key current and rewraps every credential; may be run again after any interruption.
    pub async fn rotate(&self, by: &Actor) -> Result<RotateReport, VaultError> {
        let _lock = self.0.keyring.lock_for_rotation()?;
        self.0.adopt_key_file().await?;
        let mut report = RotateReport {
            resumed: self.0.is_rotating().await?,
            ..RotateReport::default()
        };
        if !report.resumed {
            self.0.add_master_key(by).await?;
        }
        loop {
            let (rewrapped, failed) = self.0.rewrap_all(by).await?;
            report.rewrapped += rewrapped;
            report.failed = failed;
            match self.0.retire(by, &mut report).await {
                // A server sealed one more under an old key at this very moment.
                Err(error) if error.is_about_values() => continue,
                done => done?,
            }
            let left: u64 = report.kept.iter().map(|(_, count)| count).sum();
            if rewrapped == 0 || left == report.failed.len() as u64 {
                break;
            }
        }
        report.current = self.0.keyring.ring().current().id.clone();
        Ok(report)
    }
}

impl Inner {
    /// Reads the key file again, and makes its current key known to the database if a rotation was killed
    /// before it could. Holding the revision keeps this apart from the step that makes a key current, so that the
    /// key registered here is never one that is about to be retired.
    pub async fn adopt_key_file(&self) -> Result<(), VaultError> {
        const DOING: &str = "registering the master key";
        within(DOING, async {
            let mut tx = self.db.begin(DOING).await?;
            revision::hold(tx.link()).await.during(DOING)?;
            let ring = self.keyring.reload()?;
            let proof = ring.current().proof(&self.chance).map_err(unproven)?;
            master_keys::insert(tx.link(), &ring.current().id, self.now(), &proof)
                .await
                .during(DOING)?;
            tx.commit(DOING).await
        })
        .await
    }

    /// Whether credentials are still under older keys than the current one.
    async fn is_rotating(&self) -> Result<bool, VaultError> {
        const DOING: &str = "looking for an interrupted rotation";
        let ring = self.keyring.ring();
        within(DOING, async {
            let mut reader = self.db.read(DOING).await?;
            let older =
                credentials::under_other_keys(reader.link(), &ring.current().id, Uuid::nil(), 1).await?;
            Ok(!older.is_empty())
        })
        .await
    }

    /// The commit comes after the file, so that whoever meets the key in the database finds it there. A key in
    /// the file that the database lacks does no harm: it is current, and registered by the next to open.
    async fn add_master_key(&self, by: &Actor) -> Result<(), VaultError> {
        const DOING: &str = "registering the new master key";
        let key = MasterKey::generate(self.now(), &self.chance)?;
        let proof = key.proof(&self.chance).map_err(unproven)?;
        let before = self.keyring.ring().current().id.clone();
        let event = self.rotation_event(by, format!("master key {} takes the place of {before}", key.id));
        within(DOING, async {
            let mut tx = self.db.begin(DOING).await?;
            revision::hold(tx.link()).await.during(DOING)?;
            master_keys::insert(tx.link(), &key.id, self.now(), &proof)
                .await
                .during(DOING)?;
            audit::insert(tx.link(), &[&event])
                .await
                .during("storing an audit event")?;
            self.keyring.replace(self.keyring.ring().with(key))?;
            tx.commit(DOING).await
        })
        .await
    }

    /// Passes over all credentials once; how many it rewrapped, and which do not unwrap.
    async fn rewrap_all(&self, by: &Actor) -> Result<(u64, Vec<Finding>), VaultError> {
        const DOING: &str = "rewrapping credentials";
        let ring = self.keyring.ring();
        let (mut rewrapped, mut failed, mut after) = (0, Vec::new(), Uuid::nil());
        loop {
            let (holdings, done) = within(DOING, async {
                let mut tx = self.db.begin(DOING).await?;
                let holdings =
                    credentials::under_other_keys(tx.link(), &ring.current().id, after, BATCH).await?;
                let mut done = 0;
                for holding in &holdings {
                    match self.rewrap_one(&mut tx, holding, &ring).await? {
                        Rewrap::Done => done += 1,
                        Rewrap::Changed => {}
                        Rewrap::Fails(why) => failed.push(Finding::of(holding.clone(), why)),
                    }
                }
                if done > 0 {
                    let what = format!(
                        "rewrapped {done} credential(s) with master key {}",
                        ring.current().id
                    );
                    audit::insert(tx.link(), &[&self.rotation_event(by, what)])
                        .await
                        .during(DOING)?;
                }
                tx.commit(DOING).await?;
                Ok((holdings, done))
            })
            .await?;
            rewrapped += done;
            let Some(last) = holdings.last() else {
                return Ok((rewrapped, failed));
            };
            after = last.id;
        }
    }

    async fn rewrap_one(&self, tx: &mut Tx, holding: &Holding, ring: &Keyring) -> Result<Rewrap, VaultError> {
        let stored = match credentials::find_by_id(tx.link(), holding.id).await {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Rewrap::Changed),
            Err(VaultError::Corrupt { what, .. }) => return Ok(Rewrap::Fails(what)),
            Err(error) => return Err(error),
        };
        let (id, version, old) = (stored.row.id, stored.row.version, &stored.sealed.wrapped);
        let Some(from) = ring.get(&old.kek_id) else {
            return Ok(Rewrap::Fails(format!(
                "master key {} is not in the key file",
                old.kek_id
            )));
        };
        let to = ring.current();
        let new = match envelope::rewrap(old, id, version, &from.cipher, (&to.id, &to.cipher), &self.chance) {
            Ok(new) => new,
            Err(error) => return Ok(Rewrap::Fails(error.to_string())),
        };
        let set = credentials::rewrap(tx.link(), id, version, &old.kek_id, &new).await;
        Ok(if set.during("rewrapping a credential")? {
            Rewrap::Done
        } else {
            Rewrap::Changed
        })
    }

    /// Takes keys that nothing refers to out of the database, then out of the file.
    async fn retire(&self, by: &Actor, report: &mut RotateReport) -> Result<(), VaultError> {
        const DOING: &str = "retiring master keys";
        let ring = self.keyring.ring();
        let current = &ring.current().id;
        let (known, counts) = within(DOING, async {
            let mut tx = self.db.begin(DOING).await?;
            let retired = master_keys::delete_unused(tx.link(), current)
                .await
                .during(DOING)?;
            if !retired.is_empty() {
                let event = self.rotation_event(by, format!("retired master key(s) {}", retired.join(", ")));
                audit::insert(tx.link(), &[&event]).await.during(DOING)?;
            }
            let known = master_keys::list(tx.link()).await.during(DOING)?;
            let counts = credentials::count_by_key(tx.link()).await.during(DOING)?;
            tx.commit(DOING).await?;
            Ok((known, counts))
        })
        .await?;
        // Also those whose rotation was killed between the database and the file.
        let unknown = |id: &&str| *id != current && !known.iter().any(|known| known.id == *id);
        let retired: Vec<String> = ring.ids().filter(unknown).map(str::to_owned).collect();
        if !retired.is_empty() {
            self.keyring.replace(ring.without(&retired))?;
        }
        report.retired.extend(retired);
        let kept = counts.into_iter().filter(|(id, _)| id != current);
        report.kept = kept.map(|(id, count)| (id, count.unsigned_abs())).collect();
        Ok(())
    }

    fn rotation_event(&self, by: &Actor, what: String) -> AuditEvent {
        AuditEvent {
            detail: Some(what),
            ..self.event(by, AuditAction::CredentialRewrap)
        }
    }
}

enum Rewrap {
    Done,
    /// Replaced or deleted in the meantime; nothing is left to do.
    Changed,
    Fails(String),
}
