//! The data plane's log lines and metrics: one struct per event, both made from it.
//!
//! Label values come from closed sets: provider ids, our own words. Metric children are made once per
//! provider, since looking one up costs more than counting. A log line never holds a query, a token or
//! a key.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use http::Method;
use policies::descriptor::Providers;
use policies::vocabulary::{
    ClosedBy, Code, CredentialSource, Mode, Operation, Outcome, ProviderId, Refusal, RequestId, UsageEvent,
    UserId,
};
use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry,
};
use uuid::Uuid;

const REQUEST_SECONDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];
const OVERHEAD_SECONDS: &[f64] = &[
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0,
];
/// Paths and methods are the caller's to choose; a log line shows this much of one.
const SHOWN: usize = 200;
const NONE: &str = "none";

pub struct Meters {
    requests: IntCounterVec,
    upstream_errors: IntCounterVec,
    by_provider: HashMap<ProviderId, ProviderMeters>,
}

struct ProviderMeters {
    /// By mode, operation, outcome and credential source.
    requests: Vec<IntCounter>,
    by_operation: Vec<OperationMeters>,
    active: IntGauge,
    open_sockets: IntGauge,
}

/// What an exchange is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    WebSocket,
}

struct OperationMeters {
    duration: Histogram,
    first_byte: Histogram,
    overhead: Histogram,
    characters: IntCounter,
    audio_seconds: Counter,
}

/// The families that [`OperationMeters`] are children of.
struct Families {
    duration: HistogramVec,
    first_byte: HistogramVec,
    overhead: HistogramVec,
    characters: IntCounterVec,
    audio_seconds: CounterVec,
    active: IntGaugeVec,
}

/// A call that went to a provider, over.
pub struct Attempted<'a> {
    pub event: &'a UsageEvent,
    pub method: &'a Method,
    pub path: &'a str,
    pub ip: Option<IpAddr>,
    pub code: Option<Code>,
    pub cause: Option<&'a str>,
    pub duration: Duration,
    pub first_byte: Option<Duration>,
    pub overhead: Option<Duration>,
}

/// A call that did not.
pub struct Refused<'a> {
    pub request_id: RequestId,
    pub user: Option<&'a UserId>,
    pub provider: Option<&'a ProviderId>,
    pub operation: Option<Operation>,
    pub mode: Mode,
    pub method: &'a Method,
    pub ip: Option<IpAddr>,
    pub refusal: &'a Refusal,
    pub duration: Duration,
}

/// A lookup that was answered from what is known here, so for no provider.
pub struct LookedUp<'a> {
    pub request_id: RequestId,
    pub user: &'a UserId,
    pub mode: Mode,
    pub method: &'a Method,
    pub path: &'a str,
    pub ip: Option<IpAddr>,
    pub duration: Duration,
}

impl Meters {
    pub fn new(providers: &Providers, registry: &Registry) -> prometheus::Result<Self> {
        let requests = IntCounterVec::new(
            Opts::new("voxgate_requests_total", "Requests, by how they ended."),
            &["provider", "operation", "mode", "outcome", "credential"],
        )?;
        let upstream_errors = IntCounterVec::new(
            Opts::new(
                "voxgate_upstream_errors_total",
                "Failures on the provider's side.",
            ),
            &["provider", "kind"],
        )?;
        register(registry, &requests)?;
        register(registry, &upstream_errors)?;
        let families = Families::new(registry)?;
        let by_provider = providers
            .iter()
            .map(|provider| {
                (
                    provider.id.clone(),
                    ProviderMeters::new(&provider.id, &requests, &families),
                )
            })
            .collect();
        Ok(Self {
            requests,
            upstream_errors,
            by_provider,
        })
    }

    pub fn attempted(&self, attempted: &Attempted<'_>) {
        let event = attempted.event;
        if let Some(meters) = self.by_provider.get(&event.provider) {
            meters.count(attempted);
        }
        match (event.status, attempted.code) {
            (Some(429), _) => self.upstream_error(&event.provider, "rate_limited"),
            (Some(500..), _) => self.upstream_error(&event.provider, "status_5xx"),
            (_, Some(Code::CredentialInvalid)) => self.upstream_error(&event.provider, "credential"),
            (Some(101), Some(Code::ProviderRateLimited)) => {
                self.upstream_error(&event.provider, "rate_limited");
            }
            _ => {}
        }
        tracing::info!(
            target: "call",
            request_id = text_of(event.request_id, &mut Uuid::encode_buffer()),
            user = event.user.as_str(),
            provider = event.provider.as_str(),
            operation = event.operation.as_str(),
            mode = event.mode.as_str(),
            method = attempted.method.as_str(),
            path = shown(attempted.path),
            status = event.status,
            outcome = event.outcome.as_str(),
            credential = event.credential_source.as_str(),
            model = event.model.as_deref(),
            bytes_in = event.bytes_in,
            bytes_out = event.bytes_out,
            characters = event.characters,
            audio_seconds = event.audio_seconds,
            ttfb_ms = event.ttfb_ms,
            duration_ms = event.duration_ms,
            messages_in = event.messages_in,
            messages_out = event.messages_out,
            close_code = event.close_code,
            closed_by = event.closed_by.map(ClosedBy::as_str),
            code = attempted.code.map(Code::as_str),
            cause = attempted.cause,
            ip = attempted.ip.map(tracing::field::display),
            "call"
        );
    }

    pub fn looked_up(&self, lookup: &LookedUp<'_>) {
        let (operation, outcome) = (Operation::Lookup.as_str(), Outcome::Ok.as_str());
        self.requests
            .with_label_values(&[NONE, operation, lookup.mode.as_str(), outcome, NONE])
            .inc();
        tracing::info!(
            target: "call",
            request_id = text_of(lookup.request_id, &mut Uuid::encode_buffer()),
            user = lookup.user.as_str(),
            operation,
            mode = lookup.mode.as_str(),
            method = lookup.method.as_str(),
            path = shown(lookup.path),
            status = 200,
            outcome,
            duration_ms = lookup.duration.as_millis() as u64,
            ip = lookup.ip.map(tracing::field::display),
            "call"
        );
    }

    pub fn refused(&self, refused: &Refused<'_>) {
        let provider = refused.provider.map_or(NONE, ProviderId::as_str);
        let operation = refused.operation.map_or(NONE, Operation::as_str);
        self.requests
            .with_label_values(&[provider, operation, refused.mode.as_str(), "refused", NONE])
            .inc();
        tracing::info!(
            target: "call",
            request_id = text_of(refused.request_id, &mut Uuid::encode_buffer()),
            user = refused.user.map(UserId::as_str),
            provider = refused.provider.map(ProviderId::as_str),
            operation = refused.operation.map(Operation::as_str),
            mode = refused.mode.as_str(),
            method = shown(refused.method.as_str()),
            outcome = "refused",
            code = refused.refusal.code.as_str(),
            reason = refused.refusal.message.as_ref(),
            cause = refused.refusal.cause.as_deref(),
            duration_ms = refused.duration.as_millis() as u64,
            ip = refused.ip.map(tracing::field::display),
            "call refused"
        );
    }

    pub fn upstream_error(&self, provider: &ProviderId, kind: &'static str) {
        self.upstream_errors
            .with_label_values(&[provider.as_str(), kind])
            .inc();
    }

    /// Counted as active until dropped.
    pub fn active(&self, provider: &ProviderId, kind: Kind) -> Option<Active> {
        let meters = self.by_provider.get(provider)?;
        let gauge = match kind {
            Kind::Http => meters.active.clone(),
            Kind::WebSocket => meters.open_sockets.clone(),
        };
        gauge.inc();
        Some(Active(gauge))
    }
}

pub struct Active(IntGauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ProviderMeters {
    fn new(id: &ProviderId, requests: &IntCounterVec, families: &Families) -> Self {
        let id = id.as_str();
        let mut counters = Vec::new();
        for mode in Mode::ALL {
            for operation in Operation::ALL {
                for outcome in Outcome::ALL {
                    for source in CredentialSource::ALL {
                        let (operation, mode) = (operation.as_str(), mode.as_str());
                        let labels = [id, operation, mode, outcome.as_str(), source.as_str()];
                        counters.push(requests.with_label_values(&labels));
                    }
                }
            }
        }
        let by_operation = Operation::ALL
            .iter()
            .map(|operation| families.children(id, operation.as_str()))
            .collect();
        let active = families.active.with_label_values(&[id, "http"]);
        let open_sockets = families.active.with_label_values(&[id, "websocket"]);
        Self {
            requests: counters,
            by_operation,
            active,
            open_sockets,
        }
    }

    fn count(&self, attempted: &Attempted<'_>) {
        let event = attempted.event;
        let (outcomes, sources) = (Outcome::ALL.len(), CredentialSource::ALL.len());
        let operation = event.mode as usize * Operation::ALL.len() + event.operation as usize;
        let place =
            (operation * outcomes + event.outcome as usize) * sources + event.credential_source as usize;
        self.requests[place].inc();
        let meters = &self.by_operation[event.operation as usize];
        meters.duration.observe(attempted.duration.as_secs_f64());
        if let Some(first_byte) = attempted.first_byte {
            meters.first_byte.observe(first_byte.as_secs_f64());
        }
        if let Some(overhead) = attempted.overhead {
            meters.overhead.observe(overhead.as_secs_f64());
        }
        if let Some(characters) = event.characters {
            meters.characters.inc_by(characters);
        }
        if let Some(seconds) = event.audio_seconds.filter(|seconds| *seconds > 0.0) {
            meters.audio_seconds.inc_by(seconds);
        }
    }
}

impl Families {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let labels = &["provider", "operation"];
        let histogram = |name: &str, help: &str, buckets: &[f64]| {
            HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)
        };
        let families = Self {
            duration: histogram(
                "voxgate_request_duration_seconds",
                "From the request's head to the answer's end.",
                REQUEST_SECONDS,
            )?,
            first_byte: histogram(
                "voxgate_time_to_first_byte_seconds",
                "From the request's head to the answer's; over WebSockets from the first text or sound to the first of the answer.",
                REQUEST_SECONDS,
            )?,
            overhead: histogram(
                "voxgate_gateway_overhead_seconds",
                "From the request's head to the upstream request's, connecting left out.",
                OVERHEAD_SECONDS,
            )?,
            characters: IntCounterVec::new(
                Opts::new(
                    "voxgate_characters_total",
                    "Characters that providers were given.",
                ),
                labels,
            )?,
            audio_seconds: CounterVec::new(
                Opts::new("voxgate_audio_seconds_total", "Seconds of audio made or read."),
                labels,
            )?,
            active: IntGaugeVec::new(
                Opts::new("voxgate_active_streams", "Exchanges under way."),
                &["provider", "kind"],
            )?,
        };
        register(registry, &families.duration)?;
        register(registry, &families.first_byte)?;
        register(registry, &families.overhead)?;
        register(registry, &families.characters)?;
        register(registry, &families.audio_seconds)?;
        register(registry, &families.active)?;
        Ok(families)
    }

    fn children(&self, provider: &str, operation: &str) -> OperationMeters {
        let labels = [provider, operation];
        OperationMeters {
            duration: self.duration.with_label_values(&labels),
            first_byte: self.first_byte.with_label_values(&labels),
            overhead: self.overhead.with_label_values(&labels),
            characters: self.characters.with_label_values(&labels),
            audio_seconds: self.audio_seconds.with_label_values(&labels),
        }
    }
}

fn register(registry: &Registry, collector: &(impl Collector + Clone + 'static)) -> prometheus::Result<()> {
    registry.register(Box::new(collector.clone()))
}

/// A string field is taken as it is; one to be displayed goes through a formatter and a copy.
fn text_of(id: RequestId, room: &mut [u8]) -> &str {
    id.hyphenated().encode_lower(room)
}

fn shown(path: &str) -> &str {
    &path[..path.floor_char_boundary(SHOWN)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let path = format!("/{}", "é".repeat(SHOWN));
        assert!(shown(&path).len() <= SHOWN);
        assert_eq!(shown("/v1/voices"), "/v1/voices");
    }
}
