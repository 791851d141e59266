//! A fake of every host of every provider.

use std::sync::Arc;

use super::{Fake, Kind, tls};

/// One fake per host.
pub struct Fakes {
    pub elevenlabs: Arc<Fake>,
    pub azure_api: Arc<Fake>,
    pub azure_tts: Arc<Fake>,
    pub azure_stt: Arc<Fake>,
    pub gemini: Arc<Fake>,
}

impl Fakes {
    pub async fn start(identity: Option<&tls::Identity>) -> Self {
        let start = async |kind| match identity {
            None => Fake::start(kind).await,
            Some(identity) => Fake::start_tls(kind, identity).await,
        };
        Self {
            elevenlabs: start(Kind::ElevenLabs).await,
            azure_api: start(Kind::AzureApi).await,
            azure_tts: start(Kind::AzureTts).await,
            azure_stt: start(Kind::AzureStt).await,
            gemini: start(Kind::Gemini).await,
        }
    }

    pub fn all(&self) -> [&Arc<Fake>; 5] {
        [
            &self.elevenlabs,
            &self.azure_api,
            &self.azure_tts,
            &self.azure_stt,
            &self.gemini,
        ]
    }

    /// The hosts of one provider.
    pub fn of(&self, provider: &str) -> Vec<&Arc<Fake>> {
        match provider {
            "elevenlabs" => vec![&self.elevenlabs],
            "azure" => vec![&self.azure_api, &self.azure_tts, &self.azure_stt],
            "gemini" => vec![&self.gemini],
            other => panic!("no fake of {other}"),
        }
    }
}
