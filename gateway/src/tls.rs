//! Certificates: ours towards callers, exchangeable while serving, and the roots we trust towards providers.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use parking_lot::RwLock;
use pingora::listeners::TlsAccept;
use pingora::listeners::tls::TlsSettings;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tempfile::NamedTempFile;

use crate::StartError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl TlsFiles {
    /// Whether both can be read and belong together.
    pub fn check(&self) -> Result<(), StartError> {
        read_pair(self).map(drop)
    }
}

/// The certificate of the listener. Each handshake takes the one that is current.
#[derive(Debug)]
pub struct LiveCert {
    current: RwLock<Arc<CertifiedKey>>,
}

impl LiveCert {
    pub fn load(files: &TlsFiles) -> Result<Self, StartError> {
        Ok(Self {
            current: RwLock::new(Arc::new(read_pair(files)?)),
        })
    }

    /// Reads the files again; on any error the certificate in use stays.
    pub fn reload(&self, files: &TlsFiles) -> Result<(), StartError> {
        let fresh = Arc::new(read_pair(files)?);
        *self.current.write() = fresh;
        Ok(())
    }
}

impl ResolvesServerCert for LiveCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().clone())
    }
}

struct NoCallbacks;

impl TlsAccept for NoCallbacks {}

/// The listener's TLS: this certificate, HTTP/2 preferred over HTTP/1.1.
pub fn listener(cert: Arc<LiveCert>) -> Result<TlsSettings, StartError> {
    let mut settings =
        TlsSettings::with_callbacks(Box::new(NoCallbacks)).map_err(|e| StartError::Tls(e.to_string()))?;
    settings.set_cert_resolver(cert);
    settings.enable_h2();
    Ok(settings)
}

fn read_pair(files: &TlsFiles) -> Result<CertifiedKey, StartError> {
    let unreadable = |path: &Path, reason: String| StartError::File {
        path: path.to_owned(),
        reason,
    };
    let chain = certificates(&files.cert)?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| unreadable(&files.key, e.to_string()))?;
    CertifiedKey::from_der(chain, key, &rustls::crypto::aws_lc_rs::default_provider())
        .and_then(|pair| pair.keys_match().map(|()| pair))
        .map_err(|error| StartError::Certificate {
            cert: files.cert.clone(),
            key: files.key.clone(),
            reason: error.to_string(),
        })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let unreadable = |reason: String| StartError::File {
        path: path.to_owned(),
        reason,
    };
    let chain = CertificateDer::pem_file_iter(path)
        .map_err(|e| unreadable(e.to_string()))?
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| unreadable(e.to_string()))?;
    if chain.is_empty() {
        Err(unreadable("it holds no certificate".into()))
    } else {
        Ok(chain)
    }
}

/// The system's roots and those of `extra` in one file: pingora takes either the system's or a file's.
/// The file is needed only until the connector has read it.
pub fn roots(extra: &Path) -> Result<NamedTempFile, StartError> {
    let mut all = rustls_native_certs::load_native_certs().certs;
    all.extend(certificates(extra)?);
    let mut file = NamedTempFile::new().map_err(StartError::Roots)?;
    for certificate in all {
        write_pem(&mut file, &certificate).map_err(StartError::Roots)?;
    }
    file.flush().map_err(StartError::Roots)?;
    Ok(file)
}

fn write_pem(file: &mut impl Write, certificate: &[u8]) -> std::io::Result<()> {
    writeln!(file, "-----BEGIN CERTIFICATE-----")?;
    for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
        file.write_all(line)?;
        writeln!(file)?;
    }
    writeln!(file, "-----END CERTIFICATE-----")
}
