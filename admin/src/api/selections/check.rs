//! Whether what is chosen is there: each model and voice, asked of its provider with the owner's credential.
//!
//! A selection is about calls to come. A credential that is missing or refused can still be mended, so without
//! one the descriptor's word counts. A provider that fails to answer leaves it open, and nothing is stored.

use catalogue::{Offer, Silence, Unlisted, Unusable};
use futures::future::{join, join_all};
use policies::descriptor::Provider;
use policies::rules::payers;
use policies::vocabulary::{Choice, Operation, Owner, Selection};
use tokio::time::{Instant, timeout_at};
use vault::Credential;

use crate::Admin;
use crate::caller::Proven;
use crate::problem::Problem;
use crate::trouble::{silent, unlisted};

/// Checks all choices at the same time; of several problems the first choice's is told.
pub async fn check(
    admin: &Admin,
    proven: &Proven,
    owner: &Owner,
    operation: Operation,
    selection: &Selection,
) -> Result<(), Problem> {
    let first = Choice {
        provider: selection.provider.clone(),
        model: selection.model.clone(),
        voice: selection.voice.clone(),
    };
    let check = Check {
        admin,
        proven,
        owners: owners(proven, owner),
        operation,
        deadline: catalogue::deadline(),
    };
    let mut choices = vec![check.choice(&first, String::new())];
    for (number, fallback) in selection.fallbacks.iter().enumerate() {
        choices.push(check.choice(fallback, format!("fallbacks[{number}].")));
    }
    join_all(choices).await.into_iter().collect()
}

/// Whose credentials would pay for calls with a selection of this owner, before the system's.
fn owners(proven: &Proven, owner: &Owner) -> Vec<Owner> {
    match owner {
        Owner::User(_) => payers(&proven.caller).collect(),
        Owner::Team(_) | Owner::System => vec![owner.clone()],
    }
}

struct Check<'a> {
    admin: &'a Admin,
    proven: &'a Proven,
    owners: Vec<Owner>,
    operation: Operation,
    deadline: Instant,
}

impl Check<'_> {
    /// `within` is the path to the choice, for errors.
    async fn choice(&self, choice: &Choice, within: String) -> Result<(), Problem> {
        if choice.model.is_none() && choice.voice.is_none() {
            return Ok(());
        }
        let provider = self.admin.provider(choice.provider.as_str())?;
        match timeout_at(self.deadline, self.there(provider, choice, &within)).await {
            Ok(checked) => checked,
            Err(_) => Err(silent(provider, Silence::Timeout)),
        }
    }

    async fn there(&self, provider: &Provider, choice: &Choice, within: &str) -> Result<(), Problem> {
        let owners = self.owners.iter().cloned();
        let credential = match self.admin.catalogue.credential_of(owners, provider).await {
            Ok(credential) => Some(credential),
            Err(Unusable::Missing | Unusable::BoundElsewhere | Unusable::Refused) => None,
            Err(Unusable::Vault(error)) => return Err(error.into()),
        };
        let (model, voice) = join(
            self.model(provider, credential.as_deref(), choice.model.as_deref()),
            self.voice(provider, credential.as_deref(), choice.voice.as_deref()),
        )
        .await;
        let what = format!("model for {}", self.operation);
        present(provider, model, &what, format!("{within}model"))?;
        present(provider, voice, "voice", format!("{within}voice"))
    }

    async fn model(
        &self,
        provider: &Provider,
        credential: Option<&Credential>,
        chosen: Option<&str>,
    ) -> Result<Offer, Unlisted> {
        let Some(id) = chosen else {
            return Ok(Offer::Possible);
        };
        let (catalogue, by) = (&self.admin.catalogue, &self.proven.actor);
        catalogue
            .offers_model(by, provider, credential, self.operation, id)
            .await
    }

    async fn voice(
        &self,
        provider: &Provider,
        credential: Option<&Credential>,
        chosen: Option<&str>,
    ) -> Result<Offer, Unlisted> {
        let Some(id) = chosen else {
            return Ok(Offer::Possible);
        };
        let (catalogue, by) = (&self.admin.catalogue, &self.proven.actor);
        catalogue.offers_voice(by, provider, credential, id).await
    }
}

fn present(
    provider: &Provider,
    offer: Result<Offer, Unlisted>,
    what: &str,
    param: String,
) -> Result<(), Problem> {
    match offer.map_err(|why| unlisted(provider, why))? {
        Offer::Possible => Ok(()),
        Offer::Absent(some) => {
            let instead = match some.is_empty() {
                true => String::new(),
                false => format!("; among those it has are {}", some.join(", ")),
            };
            let detail = format!("{} has no such {what}{instead}", provider.name);
            Err(Problem::invalid(param, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::{Value, json};

    use crate::harness::{Does, Fake, House, LACKS_MODELS_READ, MODELS, PLANTED, WRONG_KEY, key};

    const TTS: &str = "PUT /api/v1/selections/tts";
    const STT: &str = "PUT /api/v1/selections/stt";

    /// A provider with one model and so many pages of one voice each, `voice-0` and on.
    fn lists(fake: &Fake, pages: usize) {
        fake.does(move |asked| {
            if !asked.line.contains("/v2/voices") {
                return Does::Answer(200, "", MODELS.to_owned());
            }
            let page = asked.line.split("next_page_token=").nth(1);
            let page: usize = page.map_or(0, |page| page.parse().expect("a page that was named"));
            let next = (page + 1 < pages).then(|| (page + 1).to_string());
            let voice = json!({"voice_id": format!("voice-{page}"), "name": "Any"});
            Does::Answer(
                200,
                "",
                json!({"voices": [voice], "next_page_token": next}).to_string(),
            )
        });
    }

    async fn put(house: &House, line: &str, token: &str, body: Value) -> (u16, Value) {
        let said = house.call(line, token, &body.to_string()).await;
        (said.status.as_u16(), said.json())
    }

    fn eleven(model: Option<&str>, voice: Option<&str>) -> Value {
        json!({"provider": "elevenlabs", "model": model, "voice": voice})
    }

    #[tokio::test]
    async fn what_the_provider_does_not_list_is_refused_by_field_with_what_it_does() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        lists(&house.fake, 2);
        let model = "eleven_multilingual_v2";
        let there = eleven(Some(model), Some("voice-1"));
        assert_eq!(put(&house, TTS, &token, there.clone()).await.0, 201);
        let table = [
            (TTS, eleven(Some("scribe_v2"), None), "model", model),
            (
                TTS,
                eleven(Some(model), Some("voice-2")),
                "voice",
                "voice-0, voice-1",
            ),
            (STT, eleven(Some(model), None), "model", "scribe_v2, scribe_v1"),
            (
                TTS,
                json!({"provider": "azure", "fallbacks": [eleven(Some("eleven_v9"), None)]}),
                "fallbacks[0].model",
                model,
            ),
        ];
        for (line, body, param, some) in table {
            let problem = house
                .call(line, &token, &body.to_string())
                .await
                .is(400, "invalid_request");
            assert_eq!(problem["param"], param, "{body}: {problem}");
            assert!(problem["detail"].as_str().unwrap().contains(some), "{problem}");
        }
        let read = house.call("GET /api/v1/selections/tts", &token, "").await.ok();
        assert_eq!(
            read["voice"], there["voice"],
            "the refused ones have changed nothing"
        );
    }

    #[tokio::test]
    async fn a_voice_beyond_the_pages_that_are_followed_is_taken_on_trust() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        lists(&house.fake, 11);
        let selection = eleven(None, Some("voice-99"));
        assert_eq!(put(&house, TTS, &token, selection.clone()).await.0, 201);
        let before = house.fake.asked().len();
        assert_eq!(put(&house, TTS, &token, selection).await.0, 200);
        assert_eq!(house.fake.asked().len(), before, "the pages were kept");
    }

    #[tokio::test]
    async fn nothing_is_spoken_for_stt() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let (status, problem) = put(&house, STT, &token, eleven(None, Some("voice-0"))).await;
        assert_eq!((status, &problem["param"]), (400, &json!("voice")));
    }

    #[tokio::test]
    async fn without_a_credential_the_descriptor_s_word_counts() {
        let house = House::build().await;
        let token = house.token("ann").await;
        let gemini = |model: &str, voice: &str| json!({"provider": "gemini", "model": model, "voice": voice});
        for (selection, param) in [
            (eleven(Some("eleven_v9"), Some("any")), None),
            (gemini("gemini-2.5-flash-preview-tts", "Kore"), None),
            (gemini("gemini-2.5-flash-preview-tts", "Nobody"), Some("voice")),
            (gemini("gemini-2.5-pro", "Kore"), Some("model")),
            (
                json!({"provider": "azure", "model": "fast-transcription"}),
                Some("model"),
            ),
        ] {
            let (status, said) = put(&house, TTS, &token, selection.clone()).await;
            assert_eq!(status >= 400, param.is_some(), "{selection}: {said}");
            assert_eq!(said["param"].as_str(), param, "{selection}: {said}");
        }
        assert_eq!(house.fake.asked().len(), 0);
    }

    #[tokio::test]
    async fn a_key_that_may_not_list_or_is_refused_leaves_it_to_the_descriptor() {
        let house = House::build().await;
        let token = house.token("ann").await;
        for answer in [LACKS_MODELS_READ, WRONG_KEY] {
            house.store(&token).await;
            house.fake.says(401, "", answer);
            let (status, said) = put(&house, TTS, &token, eleven(Some("eleven_v9"), Some("any"))).await;
            assert!(status < 400, "{answer}: {said}");
            let (status, said) = put(&house, STT, &token, eleven(Some("whisper"), None)).await;
            assert_eq!(
                (status, &said["param"]),
                (400, &json!("model")),
                "{answer}: {said}"
            );
        }
    }

    #[tokio::test]
    async fn a_provider_that_fails_leaves_it_open_and_nothing_is_stored() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        let selection = eleven(Some("eleven_multilingual_v2"), None);
        house.fake.does(|_| Does::Cut);
        let (status, problem) = put(&house, TTS, &token, selection.clone()).await;
        assert_eq!((status, &problem["retryable"]), (502, &json!(true)), "{problem}");
        house.fake.says(500, "", "{}");
        let (status, problem) = put(&house, TTS, &token, selection).await;
        assert_eq!((status, &problem["code"]), (502, &json!("provider_error")));
        house
            .call("GET /api/v1/selections/tts", &token, "")
            .await
            .is(404, "not_found");
    }

    #[tokio::test]
    async fn silent_providers_are_waited_for_together() {
        let house = House::build().await;
        let token = house.token("ann").await;
        house.store(&token).await;
        house.serve_system_key("gemini");
        house.fake.does(|_| Does::Hang);
        let gemini = json!({"provider": "gemini", "model": "gemini-2.5-flash-preview-tts"});
        let selection = json!({
            "provider": "elevenlabs", "model": "eleven_v3", "voice": "voice-0", "fallbacks": [gemini],
        });
        let started = Instant::now();
        let (status, problem) = put(&house, TTS, &token, selection).await;
        assert_eq!(
            (status, &problem["code"]),
            (504, &json!("provider_timeout")),
            "{problem}"
        );
        assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    }

    #[tokio::test]
    async fn a_team_s_selection_is_checked_with_the_team_s_key() {
        let house = House::build().await;
        let admin = house.member("ann", "red", true).await;
        house.store(&admin).await;
        house.fake.says(200, "", "[]");
        let line = "PUT /api/v1/selections/tts?owner=team:red";
        let selection = eleven(Some("eleven_multilingual_v2"), None);
        let (status, said) = put(&house, line, &admin, selection.clone()).await;
        assert_eq!(status, 201, "the admin's own key has no part in it: {said}");
        house.fake.takes_the_planted_key();
        house
            .call(
                "PUT /api/v1/credentials/elevenlabs?owner=team:red",
                &admin,
                &key(PLANTED),
            )
            .await
            .ok();
        house.fake.says(200, "", "[]");
        let (status, said) = put(&house, line, &admin, selection).await;
        assert_eq!((status, &said["param"]), (400, &json!("model")), "{said}");
    }
}
