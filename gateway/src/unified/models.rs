//! `GET /v1/models` and `/v1/models/{id}`: what the caller can call now.

use policies::unified::{model_json, models_json};
use policies::vocabulary::{Code, Mode, Refusal};

use super::Unified;
use super::attempts::Unanswered;
use crate::proxy::After;
use crate::telemetry::LookedUp;

/// The longest part of an id that is repeated to its caller.
const SHOWN: usize = 120;

impl Unified<'_> {
    /// All of them, or the one of this id.
    pub(super) async fn list_models(&mut self, id: Option<&str>) -> Result<After, Unanswered> {
        let gateway = self.request.gateway;
        let (by, caller) = (self.request.actor(), self.request.caller.clone());
        let catalogue = gateway.catalogue.clone();
        // A hop to the runtime that owns the database's connections.
        let asked = gateway
            .app
            .spawn(async move { catalogue.callable(&by, &caller).await });
        let listed = asked.await.map_err(|stopped| {
            Refusal::new(Code::Overloaded, "the models cannot be listed at the moment")
                .because(stopped.to_string())
                .retry_after(2)
        })?;
        let body = match id {
            None => models_json(&listed),
            Some(id) => model_json(id, &listed).ok_or_else(|| unknown(id))?,
        };
        let after = self.reply("application/json", body).await;
        let after = after.map_err(|_| Unanswered::CallerLeft)?;
        self.note_looked_up();
        Ok(after)
    }

    /// A log line and a count, but no usage: that is of calls to providers, and lists come from what the catalogue
    /// keeps, whoever it was asked for.
    fn note_looked_up(&self) {
        let (request, path) = (&self.request, self.session.req_header().uri.path());
        request.gateway.meters.looked_up(&LookedUp {
            request_id: request.call.id,
            user: &request.caller.user,
            mode: Mode::Unified,
            method: &request.call.method,
            path,
            ip: request.call.ip,
            duration: request.call.began.elapsed(),
        });
    }
}

fn unknown(id: &str) -> Refusal {
    let shown = &id[..id.floor_char_boundary(SHOWN)];
    Refusal::new(Code::NotFound, format!("{shown} is no model that you can call")).at("model")
}
