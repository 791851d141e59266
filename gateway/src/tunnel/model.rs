//! Which model a session is for, where its first message says so: one that may be used, or the caller's selection.

use policies::socket::FirstMessage;
use policies::socket::setup::{self, Setup, SetupPlan};
use policies::vocabulary::{Code, Refusal};

use crate::proxy::Gateway;
use crate::stages::authorise::Grant;
use crate::unified::selection::selection_for;

pub struct Decided {
    pub model: String,
    /// The first message as it goes upstream, where it is not as it came.
    pub instead: Option<Vec<u8>>,
}

pub async fn decide(
    gateway: &Gateway,
    grant: &Grant,
    plan: &SetupPlan,
    message: &FirstMessage,
) -> Result<Decided, Refusal> {
    let provider = grant.provider();
    let named = |refusal: Refusal| refusal.provider(provider.id.clone());
    match setup::read(plan, &message.payload).map_err(named)? {
        Setup::Model(model) => Ok(Decided { model, instead: None }),
        Setup::FromSelection => {
            let model = selected(gateway, grant, plan).await.map_err(named)?;
            let instead = setup::with_model(plan, &message.payload, &model);
            Ok(Decided {
                model,
                instead: Some(instead),
            })
        }
    }
}

/// The model that the caller has selected for what this endpoint does, if it is this provider's.
async fn selected(gateway: &Gateway, grant: &Grant, plan: &SetupPlan) -> Result<String, Refusal> {
    let (operation, provider) = (grant.operation(), grant.provider());
    let selection = selection_for(grant.caller(), operation, &gateway.vault, &gateway.app).await?;
    let model = selection
        .filter(|selection| selection.provider == provider.id)
        .and_then(|selection| selection.model.clone());
    match model {
        Some(model) if setup::permits(plan, &model) => Ok(model),
        Some(_) => Err(Refusal::new(
            Code::ForbiddenEndpoint,
            format!("the model selected for {operation} is none for a live session"),
        )),
        None => Err(Refusal::new(
            Code::SelectionMissing,
            format!(
                "no model of {} is selected for {operation}; name one, or select one",
                provider.name
            ),
        )),
    }
}
