//! Plain pages: where `setup_url` leads, and what to do there.
//!
//! They hold no secrets, no scripts and no styles, and need no sign-in: all they say is how to call the API.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Html;
use policies::descriptor::{Provider, Setting};
use policies::vocabulary::Operation;

use crate::Admin;
use crate::problem::Problem;

pub async fn index(State(admin): State<Arc<Admin>>) -> Html<String> {
    let items: String = admin
        .providers
        .iter()
        .map(|provider| {
            let (id, name) = (escaped(provider.id.as_str()), escaped(&provider.name));
            format!("<li><a href=\"/providers/{id}\">{name}</a></li>\n")
        })
        .collect();
    page(
        "Voxgate",
        &format!(
            "<p>Voxgate passes speech calls to the providers below, on keys that their owners keep here. \
             Choose a provider to see how its key is stored.</p>\n<ul>\n{items}</ul>\n\
             <p>Every call is under <code>{}/api/v1</code>.</p>",
            escaped(&admin.public_url)
        ),
    )
}

pub async fn provider(
    State(admin): State<Arc<Admin>>,
    Path(id): Path<String>,
) -> Result<Html<String>, Problem> {
    let provider = admin.provider(&id)?;
    let call = curl(
        &admin.public_url,
        &format!("credentials/{}", provider.id),
        &credential_example(provider),
    );
    Ok(page(
        &provider.name,
        &format!(
            "<p>Get a key at <a href=\"{key_url}\" rel=\"noreferrer\">{key_url}</a>, then store it with the call \
             below. {name} is asked whether it works before anything is kept.</p>\n{call}",
            key_url = escaped(&provider.key_url),
            name = escaped(&provider.name),
        ),
    ))
}

pub async fn selection(
    State(admin): State<Arc<Admin>>,
    Path(operation): Path<String>,
) -> Result<Html<String>, Problem> {
    let operation = crate::api::selections::operation(&operation)?;
    let speaks = |provider: &&Arc<Provider>| provider.operations.contains(&operation);
    let provider = admin
        .providers
        .iter()
        .find(speaks)
        .map_or("…", |provider| provider.id.as_str());
    let example = format!("{{\"provider\":\"{provider}\",\"model\":\"…\"}}");
    let what = if operation == Operation::Tts {
        "speaks"
    } else {
        "transcribes"
    };
    Ok(page(
        &format!("Selection: {operation}"),
        &format!(
            "<p>Choose which provider and model {what} for you, with the call below. \
             The next request follows the choice.</p>\n{}",
            curl(&admin.public_url, &format!("selections/{operation}"), &example)
        ),
    ))
}

/// The body that stores a key, with the settings that have no default.
fn credential_example(provider: &Provider) -> String {
    let asked_for = |setting: &&Setting| {
        setting.default.is_none() && (setting.required || setting.required_unless.is_some())
    };
    let needed = provider.settings.iter().filter(asked_for);
    let settings: Vec<String> = needed
        .map(|setting| {
            let example = setting.known.first().map_or("…", String::as_str);
            format!("\"{}\":\"{example}\"", setting.name)
        })
        .collect();
    format!("{{\"api_key\":\"…\",\"settings\":{{{}}}}}", settings.join(","))
}

fn curl(public_url: &str, path: &str, body: &str) -> String {
    let command = format!(
        "curl -X PUT {public_url}/api/v1/{path} \\\n  -H \"Authorization: Bearer $VOXGATE_TOKEN\" \\\n  \
         -H 'Content-Type: application/json' \\\n  -d '{body}'"
    );
    format!("<pre>{}</pre>", escaped(&command))
}

fn page(title: &str, body: &str) -> Html<String> {
    let title = escaped(title);
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
    ))
}

/// Text that means itself in HTML, also inside a quoted attribute.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::House;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escaped("<a href=\"x\">&"), "&lt;a href=&quot;x&quot;&gt;&amp;");
    }

    #[tokio::test]
    async fn a_page_says_how_to_store_a_key_and_loads_nothing() {
        let house = House::build().await;
        let said = house.call("GET /providers/azure", "", "").await;
        assert_eq!(said.status, 200);
        assert!(
            said.text
                .contains("curl -X PUT http://admin.test/api/v1/credentials/azure"),
            "{}",
            said.text
        );
        assert!(
            said.text.contains("&quot;region&quot;"),
            "what azure needs is in the example: {}",
            said.text
        );
        assert!(
            said.headers["content-security-policy"]
                .to_str()
                .is_ok_and(|policy| policy.contains("default-src 'none'"))
        );
        assert_eq!(said.headers["x-content-type-options"], "nosniff");
        for path in ["/", "/selections/tts", "/selections/stt"] {
            assert_eq!(
                house.call(&format!("GET {path}"), "", "").await.status,
                200,
                "{path}"
            );
        }
        house
            .call("GET /providers/%3Cscript%3E", "", "")
            .await
            .is(404, "unknown_provider");
        house
            .call("GET /selections/lookup", "", "")
            .await
            .is(404, "not_found");
    }
}
