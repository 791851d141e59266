//! Calls in closed loops over kept connections: each waits for its answer before it sends the next.
//!
//! Heads come from a file, one per user, and are taken in turn; the body is the same for all.
//! Any answer but 200 ends the run: a proxy that refuses quickly must not look fast.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, sleep, timeout};

use crate::http::{Body, Head};

const PATIENCE: Duration = Duration::from_secs(20);

/// What to send, how often, and for how long.
pub struct Plan {
    address: String,
    heads: PathBuf,
    body: Option<PathBuf>,
    connections: u32,
    /// The run ends with whichever of the two comes first.
    seconds: f64,
    calls: u64,
    /// All connections send at once, this often; zero: each as soon as it can.
    every: Duration,
    /// Connection n starts n times this late.
    stagger: Duration,
    /// Size of the pieces in which the upstream sends; two in one read count as merged.
    piece: u64,
}

impl Plan {
    pub fn parse(arguments: &[String]) -> Result<Self, String> {
        let mut plan = Self {
            address: String::new(),
            heads: PathBuf::new(),
            body: None,
            connections: 32,
            seconds: f64::INFINITY,
            calls: u64::MAX,
            every: Duration::ZERO,
            stagger: Duration::ZERO,
            piece: 0,
        };
        for argument in arguments {
            let (name, value) = argument
                .split_once('=')
                .ok_or_else(|| format!("{argument}: not name=value"))?;
            match name {
                "address" => plan.address = value.to_owned(),
                "heads" => plan.heads = value.into(),
                "body" => plan.body = Some(value.into()),
                "connections" => plan.connections = number(argument, value)?,
                "seconds" => plan.seconds = number(argument, value)?,
                "calls" => plan.calls = number(argument, value)?,
                "every_ms" => plan.every = Duration::from_millis(number(argument, value)?),
                "stagger_ms" => plan.stagger = Duration::from_millis(number(argument, value)?),
                "piece" => plan.piece = number(argument, value)?,
                _ => return Err(format!("{argument}: unknown name")),
            }
        }
        if plan.seconds.is_infinite() && plan.calls == u64::MAX {
            return Err("a run needs seconds=… or calls=…".into());
        }
        Ok(plan)
    }
}

pub fn number<T: FromStr>(argument: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{argument}: not a number"))
}

/// One call as its caller saw it.
struct Timing {
    first_byte: Duration,
    whole: Duration,
    /// Pieces that arrived in one read with the piece before them.
    merged: u64,
}

pub struct Report {
    seconds: f64,
    timings: Vec<Timing>,
}

impl Report {
    pub fn to_json(&self) -> String {
        let whole = sorted(self.timings.iter().map(|t| t.whole));
        let first = sorted(self.timings.iter().map(|t| t.first_byte));
        let merged: u64 = self.timings.iter().map(|t| t.merged).sum();
        format!(
            r#"{{"calls":{},"seconds":{:.6},"p50_us":{},"p99_us":{},"first_byte_p50_us":{},"merged":{merged}}}"#,
            self.timings.len(),
            self.seconds,
            quantile(&whole, 0.50),
            quantile(&whole, 0.99),
            quantile(&first, 0.50),
        )
    }
}

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<u128> {
    let mut micros: Vec<u128> = times.map(|time| time.as_micros()).collect();
    micros.sort_unstable();
    micros
}

pub fn quantile(sorted: &[u128], part: f64) -> u128 {
    let last = sorted.len().saturating_sub(1);
    sorted
        .get((last as f64 * part).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// What all connections draw on.
struct Supply {
    plan: Plan,
    /// Head and body of each user, ready to send.
    requests: Vec<Vec<u8>>,
    turn: AtomicUsize,
    left: AtomicU64,
    started: Instant,
}

impl Supply {
    fn read(plan: Plan) -> Result<Self, String> {
        let body = match &plan.body {
            Some(path) => std::fs::read(path).map_err(|e| format!("reading the body: {e}"))?,
            None => Vec::new(),
        };
        let requests = heads(&plan.heads)?.into_iter();
        let requests = requests.map(|head| [head, body.clone()].concat()).collect();
        let left = AtomicU64::new(plan.calls);
        Ok(Self {
            plan,
            requests,
            turn: AtomicUsize::new(0),
            left,
            started: Instant::now(),
        })
    }

    /// The next request, until time or calls have run out.
    fn next(&self) -> Option<&[u8]> {
        if self.started.elapsed().as_secs_f64() >= self.plan.seconds {
            return None;
        }
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .ok()?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Some(&self.requests[turn % self.requests.len()])
    }
}

/// The heads in a file, one per user.
pub fn heads(file: &Path) -> Result<Vec<Vec<u8>>, String> {
    let bytes = std::fs::read(file).map_err(|e| format!("reading the heads: {e}"))?;
    let mut heads = Vec::new();
    let mut rest = &bytes[..];
    while let Some(end) = memmem::find(rest, b"\r\n\r\n") {
        heads.push(rest[..end + 4].to_vec());
        rest = &rest[end + 4..];
    }
    match heads.is_empty() {
        true => Err("the file of heads holds none".into()),
        false => Ok(heads),
    }
}

/// Opens every connection, then starts the clock.
pub async fn run(plan: Plan) -> Result<Report, String> {
    let mut supply = Supply::read(plan)?;
    let mut sockets = Vec::new();
    for _ in 0..supply.plan.connections {
        let socket = TcpStream::connect(&supply.plan.address).await;
        let socket = socket.map_err(|e| format!("connecting to {}: {e}", supply.plan.address))?;
        socket
            .set_nodelay(true)
            .map_err(|e| format!("setting nodelay: {e}"))?;
        sockets.push(socket);
    }
    supply.started = Instant::now();
    let supply = Arc::new(supply);
    let mut loops = JoinSet::new();
    for (index, socket) in (0..).zip(sockets) {
        loops.spawn(keep_calling(socket, supply.clone(), supply.plan.stagger * index));
    }
    let mut timings = Vec::new();
    while let Some(ended) = loops.join_next().await {
        timings.extend(ended.map_err(|e| format!("a connection's loop: {e}"))??);
    }
    Ok(Report {
        seconds: supply.started.elapsed().as_secs_f64(),
        timings,
    })
}

async fn keep_calling(
    mut socket: TcpStream,
    supply: Arc<Supply>,
    late: Duration,
) -> Result<Vec<Timing>, String> {
    let mut timings = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut pace = (!supply.plan.every.is_zero()).then(|| {
        let mut pace = interval_at(supply.started.into(), supply.plan.every);
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        pace
    });
    sleep(late).await;
    loop {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        let Some(request) = supply.next() else {
            return Ok(timings);
        };
        let answer = timeout(
            PATIENCE,
            call(&mut socket, request, supply.plan.piece, &mut buffer),
        )
        .await;
        timings.push(answer.map_err(|_| format!("no whole answer in {PATIENCE:?}"))??);
    }
}

async fn call(
    socket: &mut TcpStream,
    request: &[u8],
    piece: u64,
    buffer: &mut [u8],
) -> Result<Timing, String> {
    let sent = Instant::now();
    socket
        .write_all(request)
        .await
        .map_err(|e| format!("sending a request: {e}"))?;
    let (mut body, mut payload) = read_head(socket, buffer).await?;
    let mut first_byte = (payload > 0).then(|| sent.elapsed());
    let mut merged = pieces(payload, piece).saturating_sub(1);
    while !body.ended() {
        let got = read(socket, buffer).await?;
        let before = payload;
        payload += body.feed(&buffer[..got])?;
        if payload > before {
            first_byte.get_or_insert_with(|| sent.elapsed());
            merged += (pieces(payload, piece) - pieces(before, piece)).saturating_sub(1);
        }
    }
    let whole = sent.elapsed();
    Ok(Timing {
        first_byte: first_byte.unwrap_or(whole),
        whole,
        merged,
    })
}

/// How many whole pieces so many bytes hold.
fn pieces(payload: u64, piece: u64) -> u64 {
    payload.checked_div(piece).unwrap_or_default()
}

/// Reads to the end of the head; returns what follows it, and how much payload came along.
async fn read_head(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<(Body, u64), String> {
    let mut filled = 0;
    loop {
        filled += read(socket, &mut buffer[filled..]).await?;
        let Some(head) = Head::read(&buffer[..filled]) else {
            continue;
        };
        if !head.first_line.starts_with(b"HTTP/1.1 200 ") {
            return Err(format!("refused: {}", String::from_utf8_lossy(&buffer[..filled])));
        }
        let mut body = Body::of(&head).ok_or("an answer without length")?;
        let payload = body.feed(&buffer[head.length..filled])?;
        return Ok((body, payload));
    }
}

async fn read(socket: &mut TcpStream, buffer: &mut [u8]) -> Result<usize, String> {
    match socket.read(buffer).await {
        Ok(0) => Err("the connection ended before its answer".into()),
        Ok(got) => Ok(got),
        Err(e) => Err(format!("reading an answer: {e}")),
    }
}
