//! Envelope encryption: each credential is sealed with a data key of its own, which a master key wraps.
//!
//! All of it is AES-256-GCM with random nonces. What a seal authenticates besides the key is everything that
//! decides where the key may go and who pays with it: owner, provider, credential id, version, hosts and
//! settings, each with its length before it, so that no two sets of them read the same. A row that was copied
//! to another owner, swapped, taken from an older version or pointed at another host does not open. A wrapped
//! data key is bound to its credential, version and master key likewise.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use policies::descriptor::{Hosts, Settings};
use policies::vocabulary::{CredentialId, Owner, ProviderId};
use zeroize::{Zeroize, Zeroizing};

use crate::clock::{Chance, NoChance};
use crate::secret::Secret;

pub(crate) const KEY_LEN: usize = 32;

/// What a seal authenticates besides the key.
#[derive(Clone, Copy)]
pub(crate) struct Binding<'a> {
    pub owner: &'a Owner,
    pub provider: &'a ProviderId,
    pub id: CredentialId,
    pub version: i64,
    pub hosts: &'a Hosts,
    pub settings: &'a Settings,
}

/// A data key, wrapped.
#[derive(Clone, Debug)]
pub(crate) struct Wrapped {
    pub kek_id: String,
    pub dek: Vec<u8>,
    pub nonce: Vec<u8>,
}

/// A credential's key, sealed, with the data key that opens it.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub wrapped: Wrapped,
    pub sealed: Vec<u8>,
    pub nonce: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    #[error(
        "its data key does not unwrap: the row was changed, moved or replayed, or the master key is another one"
    )]
    Unwrap,
    #[error("its seal does not open: the row was changed, moved, replayed or pointed at other hosts")]
    Unseal,
    #[error("the cipher refused to seal")]
    Cipher,
    #[error("the system's random source failed")]
    Chance,
}

impl From<NoChance> for EnvelopeError {
    fn from(_: NoChance) -> Self {
        EnvelopeError::Chance
    }
}

/// A key ready for use. Its own memory is wiped by aws-lc when it is dropped.
pub(crate) struct Cipher(LessSafeKey);

impl Cipher {
    pub fn new(bytes: &[u8; KEY_LEN]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key is as long as AES-256 wants");
        Self(LessSafeKey::new(key))
    }

    /// The ciphertext with its tag, and the nonce it was made with.
    pub fn seal(
        &self,
        plain: &[u8],
        associated: &[u8],
        chance: &dyn Chance,
    ) -> Result<(Vec<u8>, Vec<u8>), EnvelopeError> {
        let mut nonce = [0; NONCE_LEN];
        chance.fill(&mut nonce)?;
        // Room for the tag, so that the plaintext is not left behind in a buffer that was grown out of.
        let mut text = Vec::with_capacity(plain.len() + AES_256_GCM.tag_len());
        text.extend_from_slice(plain);
        let done = self.0.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut text,
        );
        if done.is_err() {
            text.zeroize();
            return Err(EnvelopeError::Cipher);
        }
        Ok((text, nonce.to_vec()))
    }

    pub fn open(&self, sealed: &[u8], nonce: &[u8], associated: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(associated), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }
}

impl Binding<'_> {
    fn associated_data(&self) -> Vec<u8> {
        let mut text = Fields::new("voxgate credential 1");
        text.add(self.owner.kind());
        text.add(self.owner.id());
        text.add(self.provider.as_str());
        text.add(self.id.as_bytes());
        text.add(self.version.to_be_bytes());
        text.add(self.hosts.canonical());
        for (name, value) in self.settings {
            text.add(name);
            text.add(value);
        }
        text.0
    }
}

/// Byte strings, each after its length.
pub(crate) struct Fields(pub Vec<u8>);

impl Fields {
    pub fn new(purpose: &str) -> Self {
        let mut fields = Self(Vec::with_capacity(256));
        fields.add(purpose);
        fields
    }

    pub fn add(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}

fn wrap_associated_data(kek_id: &str, id: CredentialId, version: i64) -> Vec<u8> {
    let mut text = Fields::new("voxgate data key 1");
    text.add(kek_id);
    text.add(id.as_bytes());
    text.add(version.to_be_bytes());
    text.0
}

/// Seals with a new data key.
pub(crate) fn seal(
    binding: Binding<'_>,
    secret: &Secret,
    kek_id: &str,
    kek: &Cipher,
    chance: &dyn Chance,
) -> Result<Sealed, EnvelopeError> {
    let mut dek = Zeroizing::new([0; KEY_LEN]);
    chance.fill(dek.as_mut_slice())?;
    let (sealed, nonce) =
        Cipher::new(&dek).seal(secret.expose().as_bytes(), &binding.associated_data(), chance)?;
    let wrapped = wrap(&dek, binding.id, binding.version, kek_id, kek, chance)?;
    Ok(Sealed {
        wrapped,
        sealed,
        nonce,
    })
}

pub(crate) fn unseal(binding: Binding<'_>, sealed: &Sealed, kek: &Cipher) -> Result<Secret, EnvelopeError> {
    let dek = unwrap(&sealed.wrapped, binding.id, binding.version, kek)?;
    let mut plain = Cipher::new(&dek)
        .open(&sealed.sealed, &sealed.nonce, &binding.associated_data())
        .ok_or(EnvelopeError::Unseal)?;
    let text = std::str::from_utf8(&plain).map_err(|_| EnvelopeError::Unseal)?;
    let secret = Secret::new(text);
    plain.zeroize();
    Ok(secret)
}

/// The same data key under another master key. The credential itself is not opened.
pub(crate) fn rewrap(
    wrapped: &Wrapped,
    id: CredentialId,
    version: i64,
    from: &Cipher,
    to: (&str, &Cipher),
    chance: &dyn Chance,
) -> Result<Wrapped, EnvelopeError> {
    let dek = unwrap(wrapped, id, version, from)?;
    wrap(&dek, id, version, to.0, to.1, chance)
}

fn wrap(
    dek: &[u8; KEY_LEN],
    id: CredentialId,
    version: i64,
    kek_id: &str,
    kek: &Cipher,
    chance: &dyn Chance,
) -> Result<Wrapped, EnvelopeError> {
    let (dek, nonce) = kek.seal(dek, &wrap_associated_data(kek_id, id, version), chance)?;
    Ok(Wrapped {
        kek_id: kek_id.to_owned(),
        dek,
        nonce,
    })
}

fn unwrap(
    wrapped: &Wrapped,
    id: CredentialId,
    version: i64,
    kek: &Cipher,
) -> Result<Zeroizing<[u8; KEY_LEN]>, EnvelopeError> {
    let plain = kek
        .open(
            &wrapped.dek,
            &wrapped.nonce,
            &wrap_associated_data(&wrapped.kek_id, id, version),
        )
        .ok_or(EnvelopeError::Unwrap)?;
    let mut dek = Zeroizing::new([0; KEY_LEN]);
    if plain.len() != KEY_LEN {
        return Err(EnvelopeError::Unwrap);
    }
    dek.copy_from_slice(&plain);
    Ok(dek)
}
