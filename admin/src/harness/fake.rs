//! A provider on a loopback port that does with each request what a test wants.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{MODELS, PLANTED, WRONG_KEY};

/// A request as the fake provider got it: the head, in lower case but for the values.
pub struct Asked {
    /// Method, path and query.
    pub line: String,
    pub headers: BTreeMap<String, String>,
}

/// What the fake provider does with a request.
pub enum Does {
    Answer(u16, &'static str, String),
    /// Reads and never answers.
    Hang,
    /// Closes without a word.
    Cut,
}

type Behaviour = Arc<dyn Fn(&Asked) -> Does + Send + Sync>;

/// A provider on a port of its own.
#[derive(Clone)]
pub struct Fake {
    address: SocketAddr,
    behaviour: Arc<Mutex<Behaviour>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let behaviour: Behaviour =
            Arc::new(|_| Does::Answer(500, "", "nobody told me what to say".to_owned()));
        let fake = Self {
            address: listener.local_addr().expect("bound"),
            behaviour: Arc::new(Mutex::new(behaviour)),
            asked: Arc::default(),
        };
        let serving = fake.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(socket));
            }
        });
        fake
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn does(&self, behaviour: impl Fn(&Asked) -> Does + Send + Sync + 'static) {
        *self.behaviour.lock().expect("not poisoned") = Arc::new(behaviour);
    }

    pub fn says(&self, status: u16, headers: &'static str, body: &str) {
        let body = body.to_owned();
        self.does(move |_| Does::Answer(status, headers, body.clone()));
    }

    /// Takes the planted key in the one right place, and nothing else.
    pub fn takes_the_planted_key(&self) {
        self.does(
            |asked| match asked.headers.get("xi-api-key").map(String::as_str) {
                Some(PLANTED) => Does::Answer(200, "", MODELS.to_owned()),
                _ => Does::Answer(401, "", WRONG_KEY.to_owned()),
            },
        );
    }

    /// Method, path and query of everything asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }

    async fn serve(self, mut socket: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match socket.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let asked = read(&String::from_utf8_lossy(&head));
        self.asked.lock().expect("not poisoned").push(asked.line.clone());
        let behaviour = self.behaviour.lock().expect("not poisoned").clone();
        match behaviour(&asked) {
            Does::Cut => {}
            Does::Hang => std::future::pending().await,
            Does::Answer(status, headers, body) => {
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                // The caller may have left; that is for its side of the test to judge.
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        }
    }
}

fn read(head: &str) -> Asked {
    let mut lines = head.lines();
    let line = lines
        .next()
        .unwrap_or("")
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    Asked { line, headers }
}
