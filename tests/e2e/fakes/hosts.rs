//! A fake of every host of every provider.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Fake, Kind, tls};

/// One fake per host.
pub struct Fakes {
    pub elevenlabs: Arc<Fake>,
    pub azure_api: Arc<Fake>,
    pub azure_tts: Arc<Fake>,
    pub azure_stt: Arc<Fake>,
    pub gemini: Arc<Fake>,
    /// Providers with one host each, by id, in worlds that have them.
    pub others: BTreeMap<&'static str, Arc<Fake>>,
}

const OTHERS: &[(&str, Kind)] = &[
    ("openai", Kind::OpenAi),
    ("groq", Kind::Groq),
    ("openai-compatible", Kind::OwnServer),
    ("deepgram", Kind::Deepgram),
    ("cartesia", Kind::Cartesia),
];

impl Fakes {
    pub async fn start(identity: Option<&tls::Identity>) -> Self {
        match identity {
            None => Self::of_kind(Fake::start).await,
            Some(identity) => Self::of_kind(async |kind| Fake::start_tls(kind, identity).await).await,
        }
    }

    /// Providers that check bodies by their schemas, speak and listen.
    pub async fn strict() -> Self {
        Self::of_kind(Fake::start_strict).await
    }

    /// The same with the providers that speak OpenAI's dialect, Deepgram and Cartesia beside the three.
    pub async fn strict_with_others() -> Self {
        let mut fakes = Self::strict().await;
        for (id, kind) in OTHERS {
            fakes.others.insert(id, Fake::start_strict(*kind).await);
        }
        fakes
    }

    async fn of_kind(start: impl AsyncFn(Kind) -> Arc<Fake>) -> Self {
        Self {
            elevenlabs: start(Kind::ElevenLabs).await,
            azure_api: start(Kind::AzureApi).await,
            azure_tts: start(Kind::AzureTts).await,
            azure_stt: start(Kind::AzureStt).await,
            gemini: start(Kind::Gemini).await,
            others: BTreeMap::new(),
        }
    }

    pub fn all(&self) -> Vec<&Arc<Fake>> {
        let mut all = vec![
            &self.elevenlabs,
            &self.azure_api,
            &self.azure_tts,
            &self.azure_stt,
            &self.gemini,
        ];
        all.extend(self.others.values());
        all
    }

    /// The hosts of one provider.
    pub fn of(&self, provider: &str) -> Vec<&Arc<Fake>> {
        match provider {
            "elevenlabs" => vec![&self.elevenlabs],
            "azure" => vec![&self.azure_api, &self.azure_tts, &self.azure_stt],
            "gemini" => vec![&self.gemini],
            other => vec![
                self.others
                    .get(other)
                    .unwrap_or_else(|| panic!("no fake of {other}")),
            ],
        }
    }

    /// The host that speaks for a provider.
    pub fn speaking(&self, provider: &str) -> &Arc<Fake> {
        match provider {
            "azure" => &self.azure_tts,
            other => self.of(other)[0],
        }
    }

    /// The host that transcribes for a provider.
    pub fn listening(&self, provider: &str) -> &Arc<Fake> {
        match provider {
            "azure" => &self.azure_api,
            other => self.of(other)[0],
        }
    }
}
