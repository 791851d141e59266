//! Whether the voice that is to speak has the style that the caller asks for, by the provider's list of voices.
//!
//! Where that list cannot be had, or does not show the voice, the call is made: the provider knows.

use policies::unified::SpeechPlan;
use policies::vocabulary::Refusal;

use super::Request;

impl Request<'_> {
    pub(super) async fn check_style(&self, plan: &SpeechPlan) -> Result<(), Refusal> {
        let candidate = plan.candidate();
        let Some(id) = candidate.voice.clone().filter(|_| plan.wants_style()) else {
            return Ok(());
        };
        let (by, caller, provider) = (self.actor(), self.caller.clone(), candidate.provider.clone());
        let catalogue = self.gateway.catalogue.clone();
        // A hop to the runtime that owns the database's connections.
        let asked = self
            .gateway
            .app
            .spawn(async move { catalogue.voice(&by, &caller, &provider, &id).await });
        match asked.await {
            Ok(Some(voice)) => plan.check_style(&voice),
            Ok(None) => Ok(()),
            Err(stopped) => {
                tracing::warn!(%stopped, "a style is not checked: looking the voice up broke off");
                Ok(())
            }
        }
    }
}
