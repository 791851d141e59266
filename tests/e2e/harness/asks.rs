//! What a test asks of its world: commands, users and their keys, calls of the admin API, records.

use std::time::{Duration, Instant};

use http::Method;
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use super::command::{self, Ran};
use super::config::{own_server, secret};
use super::{Answer, World};
use crate::fakes::Behaviour;

/// A user with an access token.
#[derive(Clone)]
pub struct User {
    pub name: String,
    pub token: String,
}

impl User {
    pub fn of_token(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
        }
    }
}

impl World {
    /// Runs a command on the run's configuration.
    pub async fn command(&self, arguments: &[&str]) -> Ran {
        let ran = self.command_that_may_tell(arguments).await;
        self.planted.search(
            "a command's output",
            format!("{}{}", ran.stdout, ran.stderr).as_bytes(),
        );
        ran
    }

    /// A command that takes no configuration.
    pub async fn command_alone(&self, arguments: &[&str]) -> Ran {
        command::run(command::voxgate(self.folder()).args(arguments)).await
    }

    /// The same for `token create`, whose output is there to show a token.
    pub async fn command_that_may_tell(&self, arguments: &[&str]) -> Ran {
        command::run(
            command::voxgate(self.folder())
                .args(arguments)
                .args(["--config", "voxgate.toml"]),
        )
        .await
    }

    pub async fn user(&self, name: &str) -> User {
        self.user_with(name, &[]).await
    }

    pub async fn user_with(&self, name: &str, arguments: &[&str]) -> User {
        let arguments = [&["token", "create", "--user", name], arguments].concat();
        let token = self
            .command_that_may_tell(&arguments)
            .await
            .succeeded()
            .stdout
            .trim()
            .to_owned();
        assert!(
            token.starts_with("vxg_") && token.len() == 40,
            "a token alone on standard output"
        );
        self.planted.plant(&format!("{name}'s token"), &token);
        User {
            name: name.to_owned(),
            token,
        }
    }

    /// A key that the provider knows, and nobody else may see.
    pub fn key(&self, provider: &str) -> String {
        let key = secret("sk");
        self.planted.plant(&format!("a key of {provider}"), &key);
        self.fakes
            .of(provider)
            .iter()
            .for_each(|fake| fake.treat(&key, Behaviour::Normal));
        key
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        Answer::read(response, &self.planted).await
    }

    pub async fn ask_admin(&self, user: &User, method: Method, path: &str, body: Option<Value>) -> Answer {
        let mut request = self
            .http
            .request(method, self.admin(path))
            .bearer_auth(&user.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    pub async fn read(&self, user: &User, path: &str) -> Value {
        self.ask_admin(user, Method::GET, path, None)
            .await
            .succeeded()
            .json()
    }

    pub async fn put_key(&self, user: &User, provider: &str, key: &str) -> Answer {
        let settings = match provider {
            "azure" => json!({"region": "eastus"}),
            "openai-compatible" => json!({"base_url": own_server(&self.fakes.of(provider)[0].url)}),
            _ => json!({}),
        };
        let body = json!({"api_key": key, "settings": settings});
        self.ask_admin(
            user,
            Method::PUT,
            &format!("/api/v1/credentials/{provider}"),
            Some(body),
        )
        .await
    }

    /// Stores a new key of the user's and returns it.
    pub async fn stored_key(&self, user: &User, provider: &str) -> String {
        let key = self.key(provider);
        self.put_key(user, provider, &key).await.succeeded();
        key
    }

    /// The user's usage records once there are as many as expected; they reach the database in batches.
    pub async fn usage(&self, user: &User, expected: usize) -> Vec<Value> {
        self.records(user, "/api/v1/usage?limit=200", expected).await
    }

    pub async fn records(&self, user: &User, path: &str, expected: usize) -> Vec<Value> {
        let records = self
            .records_within(user, path, expected, Duration::from_secs(15))
            .await;
        assert_eq!(records.len(), expected, "{path}: {records:#?}");
        records
    }

    /// The records once there are at least so many. The database may be away in between.
    pub async fn records_within(&self, user: &User, path: &str, least: usize, limit: Duration) -> Vec<Value> {
        let deadline = Instant::now() + limit;
        loop {
            let page = self.ask_admin(user, Method::GET, path, None).await;
            let found = if page.status.is_success() {
                page.json()["items"].as_array().cloned()
            } else {
                None
            };
            match found {
                Some(records) if records.len() >= least => return records,
                _ => assert!(
                    Instant::now() < deadline,
                    "{path}: {least} expected, found {}",
                    page.text()
                ),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
