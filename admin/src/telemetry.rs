//! One struct per event: its log line and its metrics together. Nobody else here calls either library.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use policies::vocabulary::{ProviderId, RequestId, UserId};
use prometheus::{Gauge, IntCounterVec, IntGaugeVec, Opts, Registry};

use crate::problem::Problem;

/// This crate's metrics, in the registry that all crates share.
pub struct Telemetry {
    validations: IntCounterVec,
}

impl Telemetry {
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let validations = IntCounterVec::new(
            Opts::new(
                "voxgate_credential_validations_total",
                "Keys put to their provider, by what came of it.",
            ),
            &["provider", "outcome"],
        )?;
        let build = IntGaugeVec::new(
            Opts::new("voxgate_build_info", "Always 1; the labels tell."),
            &["version"],
        )?;
        let start = Gauge::new(
            "voxgate_start_time_seconds",
            "When this process began to serve, since 1970.",
        )?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        start.set(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0.0, |since| since.as_secs_f64()),
        );
        registry.register(Box::new(validations.clone()))?;
        registry.register(Box::new(build))?;
        registry.register(Box::new(start))?;
        Ok(Self { validations })
    }
}

/// A key was put to its provider. `outcome` is a verdict's word, or the code of why there is none.
pub struct Validated<'a> {
    pub request_id: RequestId,
    pub provider: &'a ProviderId,
    pub outcome: &'static str,
    /// Why the provider could not be asked, as the log may read it.
    pub cause: Option<&'a str>,
    pub duration: Duration,
}

impl Validated<'_> {
    pub fn record(self, telemetry: &Telemetry) {
        telemetry
            .validations
            .with_label_values(&[self.provider.as_str(), self.outcome])
            .inc();
        tracing::info!(
            target: "admin",
            request_id = %self.request_id,
            provider = %self.provider,
            outcome = self.outcome,
            cause = self.cause,
            duration_ms = self.duration.as_millis() as u64,
            "credential validated",
        );
    }
}

/// A call was answered. The path is the route's pattern: neither ids nor the query reach the log.
pub struct Answered<'a> {
    pub request_id: RequestId,
    pub method: &'a str,
    pub path: &'a str,
    pub status: u16,
    pub user: Option<&'a UserId>,
    pub problem: Option<&'a Problem>,
    pub duration: Duration,
}

impl Answered<'_> {
    /// Our own failures are errors, those of others warnings; probes of health and metrics come every few
    /// seconds and are for debugging only.
    pub fn record(self) {
        let Self {
            request_id,
            method,
            path,
            status,
            ..
        } = self;
        let user = self.user.map(UserId::as_str);
        let code = self.problem.map(|problem| problem.code.as_str());
        let cause = self.problem.and_then(|problem| problem.cause.as_deref());
        let duration_ms = self.duration.as_millis() as u64;
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: "admin",
                    %request_id, method, path, status, user, code, cause, duration_ms,
                    "call answered"
                )
            };
        }
        match status {
            500 => line!(error),
            501.. => line!(warn),
            _ if path.starts_with("/api/") => line!(info),
            _ => line!(debug),
        }
    }
}

/// A connection ended otherwise than by agreement.
pub fn connection_broke(cause: &dyn std::error::Error) {
    tracing::debug!(target: "admin", cause = %cause, "connection broke");
}

/// The listener could not take a connection: out of file descriptors, most likely.
pub fn accept_failed(cause: &std::io::Error) {
    tracing::warn!(target: "admin", cause = %cause, "accepting a connection failed");
}
