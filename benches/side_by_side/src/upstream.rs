//! A speech provider of fixed answers: JSON of 1 KiB, audio of 32 KiB, a transcript for an upload and streams of MP3 as
//! ElevenLabs gives them; streams of samples, in base64 in events, as Gemini does; an echo over WebSockets.
//!
//! It refuses every call that does not carry a key, or still carries the caller's token, so a proxy
//! that skips its job fails the run instead of winning it.

mod streams;

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep_until};

use self::streams::{Stream, Streams, frames};
use crate::http::{Body, Head};
use crate::sockets;

/// Whole answers, head and body, made once; and streams.
struct Answers {
    models: Vec<u8>,
    timestamps: Vec<u8>,
    audio: Vec<u8>,
    transcript: Vec<u8>,
    gemini_models: Vec<u8>,
    known: Vec<u8>,
    not_found: Vec<u8>,
    unauthorized: Vec<u8>,
    mp3: Streams,
    events: Streams,
}

enum Reply<'a> {
    Whole(&'a [u8]),
    Key(Vec<u8>),
    Stream(&'a Stream),
    Socket,
}

impl Answers {
    fn new() -> Self {
        let timestamps = format!(r#"{{"audio_base64":"{}","alignment":null}}"#, "/+MY".repeat(247));
        assert_eq!(timestamps.len(), 1024);
        Self {
            models: json(
                200,
                r#"[{"model_id":"eleven_flash_v2_5","name":"Flash","can_do_text_to_speech":true,"languages":[]}]"#,
            ),
            timestamps: json(200, &timestamps),
            audio: answer(200, "audio/mpeg", &frames(32 * 1024)),
            transcript: json(
                200,
                r#"{"language_code":"en","text":"hello","words":[],"audio_duration_secs":8.2}"#,
            ),
            gemini_models: json(
                200,
                r#"{"models":[{"name":"models/gemini-3.8-flash-tts","displayName":"Flash TTS"}]}"#,
            ),
            known: json(200, r#"{"api_key_id":"a","scopes":["usage:write"]}"#),
            not_found: json(404, r#"{"detail":"Not Found"}"#),
            unauthorized: json(
                401,
                r#"{"detail":{"status":"invalid_api_key","message":"no key, or a token with it"}}"#,
            ),
            mp3: Streams::mp3(),
            events: Streams::events(),
        }
    }

    fn reply(&self, head: &Head<'_>) -> Reply<'_> {
        let bearer = head.field("authorization");
        let deepgrams = bearer.and_then(|value| value.strip_prefix(b"Token "));
        let key = ["xi-api-key", "x-goog-api-key"]
            .iter()
            .find_map(|name| head.field(name));
        let key = key.or(deepgrams).filter(|key| key.starts_with(b"key-"));
        let Some(key) = key.filter(|_| bearer.is_some() == deepgrams.is_some()) else {
            return Reply::Whole(&self.unauthorized);
        };
        if sockets::is_asked_for(head) {
            return Reply::Socket;
        }
        let mut words = head.first_line.split(|byte| *byte == b' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let path = target.split(|byte| *byte == b'?').next().unwrap_or_default();
        match (method, path) {
            (b"GET", b"/v1/models") => Reply::Whole(&self.models),
            (b"GET", b"/v1/user/subscription") => Reply::Key(json(
                200,
                &format!(r#"{{"key":"{}"}}"#, String::from_utf8_lossy(key)),
            )),
            (b"POST", b"/v1/speech-to-text") => Reply::Whole(&self.transcript),
            (b"POST", path) if path.starts_with(b"/v1/text-to-speech/") => {
                if path.ends_with(b"/stream") {
                    Reply::Stream(self.mp3.asked_by(path))
                } else if path.ends_with(b"/with-timestamps") {
                    Reply::Whole(&self.timestamps)
                } else {
                    Reply::Whole(&self.audio)
                }
            }
            (b"GET", b"/v1/auth/token") => Reply::Whole(&self.known),
            (b"GET", b"/v1beta/models") => Reply::Whole(&self.gemini_models),
            (b"POST", path) if path.ends_with(b":streamGenerateContent") => {
                Reply::Stream(self.events.asked_by(path))
            }
            _ => Reply::Whole(&self.not_found),
        }
    }
}

fn json(status: u16, body: &str) -> Vec<u8> {
    answer(status, "application/json", body.as_bytes())
}

fn answer(status: u16, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} -\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// Listens on a free port, prints it, and serves until killed.
pub async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let answers = Arc::new(Answers::new());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let answers = answers.clone();
        tokio::spawn(async move {
            match converse(socket, &answers).await {
                // Proxies close idle connections this way.
                Err(e) if e.kind() != io::ErrorKind::ConnectionReset => {
                    eprintln!("upstream connection ended: {e}")
                }
                _ => {}
            }
        });
    }
}

async fn converse(mut socket: TcpStream, answers: &Answers) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut filled = 0;
    loop {
        let got = socket.read(&mut buffer[filled..]).await?;
        if got == 0 {
            return Ok(());
        }
        filled += got;
        let Some(head) = Head::read(&buffer[..filled]) else {
            continue;
        };
        let reply = answers.reply(&head);
        let mut body = Body::of(&head).unwrap_or(Body::Sized { left: 0 });
        let passed = body.feed(&buffer[head.length..filled]);
        passed.map_err(io::Error::other)?;
        while !body.ended() {
            let got = socket.read(&mut buffer).await?;
            if got == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            body.feed(&buffer[..got]).map_err(io::Error::other)?;
        }
        filled = 0;
        match reply {
            Reply::Whole(bytes) => socket.write_all(bytes).await?,
            Reply::Key(bytes) => socket.write_all(&bytes).await?,
            Reply::Socket => return sockets::echo(socket).await,
            Reply::Stream(chosen) => stream(&mut socket, chosen).await?,
        }
    }
}

async fn stream(socket: &mut TcpStream, stream: &Stream) -> io::Result<()> {
    let began = Instant::now();
    for (number, piece) in (0..).zip(&stream.pieces) {
        if number > 0 {
            sleep_until(began + stream.every * number).await;
        }
        socket.write_all(piece).await?;
    }
    Ok(())
}
