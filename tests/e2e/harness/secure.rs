//! A gateway that listens with TLS.

use std::path::Path;

use toml::Table;

use super::World;
use super::config::{path_value, set};
use crate::fakes::tls::Identity;

/// Puts a certificate and its key where the configuration names them.
pub fn install(identity: &Identity, folder: &Path) -> (String, String) {
    let (certificate, key) = (folder.join("gateway.crt"), folder.join("gateway.pem"));
    std::fs::write(&certificate, &identity.certificate_pem).expect("write the certificate");
    std::fs::write(&key, &identity.key_pem).expect("write its key");
    (path_value(&certificate), path_value(&key))
}

pub fn listen_with(identity: &Identity, config: &mut Table, folder: &Path) {
    let (certificate, key) = install(identity, folder);
    set(config, "gateway.tls.cert", certificate);
    set(config, "gateway.tls.key", key);
}

impl World {
    /// The gateway by the name in its certificate.
    pub fn secure_url(&self, path: &str) -> String {
        let port = self.node().gateway.rsplit(':').next().expect("a port");
        format!("https://localhost:{port}{path}")
    }
}
