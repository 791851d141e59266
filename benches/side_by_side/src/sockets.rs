//! WebSockets at both ends: an echo, and callers that count what comes back to them.
//!
//! A message holds its number and has to come back as it went, byte for byte. The callers' frames are masked as the
//! standard wants it, the echo's are not.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{interval_at, sleep, timeout};

use crate::http::Head;
use crate::load::{heads, number, quantile};

/// The example of the standard, and what it has to be answered with.
const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";
const AGREED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
    sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const PATIENCE: Duration = Duration::from_secs(20);
/// Handshakes under way at once.
const OPENING: usize = 32;
const CLOSE: u8 = 0x88;
const TEXT: u8 = 0x81;

/// Whether a head asks for a WebSocket that this end can agree to.
pub fn is_asked_for(head: &Head<'_>) -> bool {
    head.field("upgrade") == Some(b"websocket") && head.field("sec-websocket-key") == Some(KEY)
}

/// Agrees, and sends every message back until the other side says goodbye or leaves.
pub async fn echo(mut socket: TcpStream) -> io::Result<()> {
    socket.write_all(AGREED).await?;
    let mut buffer = vec![0; 16 * 1024];
    let (mut from, mut to) = (0, 0);
    loop {
        while let Some((begins, ends)) = masked(&buffer[from..to]) {
            let frame = &mut buffer[from..from + ends];
            let mask = [
                frame[begins - 4],
                frame[begins - 3],
                frame[begins - 2],
                frame[begins - 1],
            ];
            turn(&mut frame[begins..], mask);
            // The head of the answer is shorter by the mask, and takes its place.
            frame.copy_within(0..begins - 4, 4);
            frame[5] &= 0x7f;
            socket.write_all(&frame[4..]).await?;
            if frame[4] == CLOSE {
                return socket.shutdown().await;
            }
            from += ends;
        }
        buffer.copy_within(from..to, 0);
        (from, to) = (0, to - from);
        match socket.read(&mut buffer[to..]).await? {
            0 => return Ok(()),
            got => to += got,
        }
    }
}

/// Where the payload of the first frame begins and ends, once it is whole.
fn masked(bytes: &[u8]) -> Option<(usize, usize)> {
    let (begins, length) = match bytes.get(1)? & 0x7f {
        126 => (
            8,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        short => (6, usize::from(short)),
    };
    (bytes.len() >= begins + length).then_some((begins, begins + length))
}

fn turn(payload: &mut [u8], mask: [u8; 4]) {
    let keys = mask.iter().cycle();
    payload.iter_mut().zip(keys).for_each(|(byte, key)| *byte ^= key);
}

/// How many callers send what, how often, and for how long.
pub struct Plan {
    address: String,
    heads: PathBuf,
    connections: usize,
    seconds: f64,
    size: usize,
    /// Zero: each as soon as the one before is back.
    every: Duration,
    /// One message each, and then silence: the time is spent on it.
    idle: bool,
}

impl Plan {
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            address: String::new(),
            heads: PathBuf::new(),
            connections: 1,
            seconds: 1.0,
            size: 64,
            every: Duration::ZERO,
            idle: false,
        };
        for argument in arguments {
            let (name, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("{argument}: not name=value"))?;
            match name {
                "address" => plan.address = value.to_owned(),
                "heads" => plan.heads = value.into(),
                "connections" => plan.connections = number(argument, value)?,
                "seconds" => plan.seconds = number(argument, value)?,
                "size" => plan.size = number(argument, value)?,
                "every_ms" => plan.every = Duration::from_millis(number(argument, value)?),
                "idle" => plan.idle = number(argument, value)?,
                _ => return Err(format!("{argument}: unknown name")),
            }
        }
        Ok(plan)
    }
}

pub struct Report {
    seconds: f64,
    sent: u64,
    /// From a message's departure to its return.
    times: Vec<u128>,
}

impl Report {
    pub fn to_json(&self) -> String {
        format!(
            r#"{{"sent":{},"back":{},"seconds":{:.6},"p50_us":{:.1},"p99_us":{:.1}}}"#,
            self.sent,
            self.times.len(),
            self.seconds,
            quantile(&self.times, 0.50) as f64 / 1000.0,
            quantile(&self.times, 0.99) as f64 / 1000.0,
        )
    }
}

/// Opens every connection, says so, and starts the clock.
pub async fn run(plan: Plan) -> Result<Report, String> {
    let heads = Arc::new(heads(&plan.heads)?);
    let plan = Arc::new(plan);
    let opening = Arc::new(Semaphore::new(OPENING));
    let mut handshakes = JoinSet::new();
    for nth in 0..plan.connections {
        let (heads, plan, opening) = (heads.clone(), plan.clone(), opening.clone());
        handshakes.spawn(async move {
            let _one = opening.acquire().await;
            let opened = timeout(PATIENCE, Caller::open(&plan, &heads[nth % heads.len()])).await;
            opened.map_err(|_| "a handshake takes too long".to_owned())?
        });
    }
    let callers = handshakes.join_all().await.into_iter();
    let callers: Vec<Caller> = callers.collect::<Result<_, _>>()?;
    println!("open");
    let began = Instant::now();
    let mut conversations = JoinSet::new();
    for (nth, caller) in callers.into_iter().enumerate() {
        // Spread over the time between two messages.
        let late = plan.every.mul_f64(nth as f64 / plan.connections as f64);
        conversations.spawn(caller.converse(plan.clone(), began + late));
    }
    let (mut sent, mut times) = (0, Vec::new());
    for ended in conversations.join_all().await {
        let (more, took) = ended?;
        sent += more;
        times.extend(took);
    }
    times.sort_unstable();
    Ok(Report {
        seconds: began.elapsed().as_secs_f64(),
        sent,
        times,
    })
}

/// One connection.
struct Caller {
    socket: TcpStream,
    /// The message as it goes, and as it has to come back.
    goes: Vec<u8>,
    returns: Vec<u8>,
    back: Vec<u8>,
}

impl Caller {
    async fn open(plan: &Plan, head: &[u8]) -> Result<Self, String> {
        let failed = |error: io::Error| format!("opening a WebSocket: {error}");
        let mut socket = TcpStream::connect(&plan.address).await.map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.write_all(head).await.map_err(failed)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.map_err(failed)?);
        }
        if !answer.starts_with(b"HTTP/1.1 101 ") {
            return Err(format!("refused: {}", String::from_utf8_lossy(&answer)));
        }
        let (goes, returns) = message(plan.size);
        Ok(Self {
            socket,
            back: vec![0; returns.len()],
            goes,
            returns,
        })
    }

    /// How many messages went, and how long each took that came back.
    async fn converse(mut self, plan: Arc<Plan>, begins: Instant) -> Result<(u64, Vec<u128>), String> {
        let ends = begins + Duration::from_secs_f64(plan.seconds);
        let mut pace = (!plan.every.is_zero()).then(|| interval_at(begins.into(), plan.every));
        let (mut sent, mut times) = (0, Vec::new());
        while sent == 0 || (!plan.idle && Instant::now() < ends) {
            if let Some(pace) = &mut pace {
                pace.tick().await;
            }
            self.number(sent);
            sent += 1;
            let began = Instant::now();
            let exchanged = timeout(PATIENCE, self.exchange()).await;
            exchanged.map_err(|_| format!("message {sent} is lost"))??;
            times.push(began.elapsed().as_nanos());
        }
        if plan.idle {
            sleep(ends.saturating_duration_since(Instant::now())).await;
        }
        timeout(PATIENCE, self.close())
            .await
            .map_err(|_| "no goodbye came")??;
        Ok((sent, times))
    }

    async fn exchange(&mut self) -> Result<(), String> {
        let failed = |error: io::Error| format!("a message: {error}");
        self.socket.write_all(&self.goes).await.map_err(failed)?;
        self.socket.read_exact(&mut self.back).await.map_err(failed)?;
        match self.back == self.returns {
            true => Ok(()),
            false => Err("a message has changed on its way".into()),
        }
    }

    /// Puts its number into the message.
    fn number(&mut self, number: u64) {
        let digits = format!("{number:08}");
        let at = payload_begins(&self.returns) + NUMBER_AT;
        self.returns[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        for (nth, digit) in digits.bytes().enumerate() {
            let key = MASK[(NUMBER_AT + nth) % MASK.len()];
            self.goes[at + MASK.len() + nth] = digit ^ key;
        }
    }

    async fn close(&mut self) -> Result<(), String> {
        let failed = |error: io::Error| format!("a goodbye: {error}");
        let goodbye = [CLOSE, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        self.socket.write_all(&goodbye).await.map_err(failed)?;
        let mut answer = Vec::new();
        self.socket.read_to_end(&mut answer).await.map_err(failed)?;
        match answer == [CLOSE, 2, 0x03, 0xe8] {
            true => Ok(()),
            false => Err(format!("another goodbye: {answer:?}")),
        }
    }
}

/// Where a message's number stands in its payload.
const NUMBER_AT: usize = br#"{"text":""#.len();

/// Where the payload of a frame without a mask begins.
fn payload_begins(frame: &[u8]) -> usize {
    if frame[1] & 0x7f == 126 { 4 } else { 2 }
}

/// A piece of text to be spoken, masked and not.
fn message(size: usize) -> (Vec<u8>, Vec<u8>) {
    let filled = "a".repeat(size.saturating_sub(NUMBER_AT + 8 + 2));
    let payload = format!(r#"{{"text":"00000000{filled}"}}"#).into_bytes();
    let mut head = vec![TEXT];
    match u8::try_from(payload.len()) {
        Ok(short) if short < 126 => head.push(short),
        _ => {
            head.push(126);
            head.extend((payload.len() as u16).to_be_bytes());
        }
    }
    let returns = [head.as_slice(), &payload].concat();
    head[1] |= 0x80;
    let mut masked = payload;
    turn(&mut masked, MASK);
    ([head.as_slice(), &MASK, &masked].concat(), returns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_asked_and_is_the_same_without_its_mask() {
        for size in [64, 125, 126, 4096] {
            let (mut goes, returns) = message(size);
            let (begins, ends) = masked(&goes).expect("it is whole");
            assert_eq!((ends - begins, ends), (size, goes.len()));
            assert_eq!(masked(&goes[..ends - 1]), None);
            turn(&mut goes[begins..], MASK);
            assert_eq!(goes[begins..], returns[payload_begins(&returns)..]);
        }
    }
}
