//! Everything that a caller can call now, at every provider.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use policies::descriptor::{Model, Provider};
use policies::unified::Listed;
use policies::vocabulary::{Actor, Caller, Operation, Scope, Task, Verdict};
use policies::with_causes;
use tokio::time::{Instant, timeout_at};
use vault::Credential;

use crate::lists::Seen;
use crate::{Catalogue, Unlisted, Unusable};

/// For all providers together.
const CALLABLE_WITHIN: Duration = Duration::from_secs(3);

impl Catalogue {
    /// What this caller can call now: for each provider with a credential that can be used, the models of the
    /// operations that its scopes admit; live where the provider answers soon, else what the descriptor knows.
    pub async fn callable(&self, by: &Actor, caller: &Caller) -> Vec<Listed> {
        let admitted = admitted(caller);
        if admitted.is_empty() {
            return Vec::new();
        }
        let deadline = Instant::now() + CALLABLE_WITHIN;
        let offered = self.0.providers.iter().map(|provider| async {
            match self.paying(caller, provider).await {
                Some(credential) => {
                    let models = self.offered(by, provider, credential, deadline).await;
                    listed(provider, &models, &admitted)
                }
                None => Vec::new(),
            }
        });
        join_all(offered).await.into_iter().flatten().collect()
    }

    async fn paying(&self, caller: &Caller, provider: &Provider) -> Option<Arc<Credential>> {
        match self.credential(caller, provider).await {
            Ok(credential) => Some(credential),
            Err(Unusable::Missing | Unusable::BoundElsewhere | Unusable::Refused) => None,
            Err(Unusable::Vault(error)) => {
                let (provider, error) = (provider.id.as_str(), with_causes(&error));
                tracing::warn!(
                    provider,
                    error,
                    "a provider is left out of the models: its key cannot be looked up"
                );
                None
            }
        }
    }

    async fn offered(
        &self,
        by: &Actor,
        provider: &Arc<Provider>,
        credential: Arc<Credential>,
        deadline: Instant,
    ) -> Arc<Vec<Model>> {
        // On its own, so that a list that comes too late for this caller is there for the next.
        let (catalogue, by, of) = (self.clone(), by.clone(), provider.clone());
        let asking = tokio::spawn(async move { catalogue.listed_or_instead(&by, &of, &credential).await });
        let why = match timeout_at(deadline, asking).await {
            Ok(Ok(models)) => return models,
            Ok(Err(stopped)) => stopped.to_string(),
            Err(late) => late.to_string(),
        };
        from_descriptor(provider, &why)
    }

    /// What fails is not asked for again at once: this is for everyone who starts a program, and a provider that is
    /// down would be asked by each of them.
    async fn listed_or_instead(
        &self,
        by: &Actor,
        provider: &Provider,
        credential: &Credential,
    ) -> Arc<Vec<Model>> {
        let (instead, place) = (&self.0.lists.instead, Seen::from(credential));
        if let Some(models) = instead.get(&place).await {
            return models;
        }
        let models = match self.models(by, provider, credential).await {
            Ok(models) => return models,
            Err(Unlisted::Answered(Verdict::Invalid, _)) => Arc::default(),
            Err(unlisted) => from_descriptor(provider, &unlisted.to_string()),
        };
        instead.insert(place, models.clone()).await;
        models
    }
}

fn from_descriptor(provider: &Provider, why: &str) -> Arc<Vec<Model>> {
    let id = provider.id.as_str();
    tracing::debug!(provider = id, why, "models are listed from the descriptor");
    Arc::new(provider.models.fixed.clone())
}

fn admitted(caller: &Caller) -> Vec<Operation> {
    let operations = [(Scope::Tts, Operation::Tts), (Scope::Stt, Operation::Stt)];
    let admitted = operations.into_iter().filter(|(scope, _)| caller.may(*scope));
    admitted.map(|(_, operation)| operation).collect()
}

fn listed(provider: &Provider, models: &[Model], admitted: &[Operation]) -> Vec<Listed> {
    // A model that only native calls reach is none that `/v1` could call.
    let serves = |model: &Model, operation: &Operation| {
        let task = match operation {
            Operation::Tts => Task::Speech,
            Operation::Stt => Task::Transcription,
            Operation::Lookup => return false,
        };
        admitted.contains(operation) && provider.serves(task, &model.id)
    };
    let can = |model: &&Model| model.operations.iter().any(|operation| serves(model, operation));
    let models = models.iter().filter(can);
    models
        .map(|model| Listed {
            provider: provider.id.clone(),
            owned_by: provider.id.to_string(),
            model: model.id.clone(),
        })
        .collect()
}
