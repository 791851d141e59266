//! `voxgate serve`: both listeners, until a signal ends them.
//!
//! `SIGTERM` and `SIGINT` close the gateway's listener, let running calls finish within
//! `gateway.drain_seconds`, then bring the record home. `SIGHUP` reads the configuration again and takes over
//! what can change live; a configuration that cannot be used is logged and changes nothing.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use admin::AdminSettings;
use anyhow::Context;
use callers::Callers;
use catalogue::Catalogue;
use clap::Args;
use gateway::{GatewaySettings, Live, TlsFiles};
use policies::vocabulary::UserId;
use tokio::signal::unix::{SignalKind, signal};
use vault::{NewToken, SystemClock, Vault};

use super::{Common, operator_at_the_machine};
use crate::settings::{Settings, Tls};
use crate::{log, wiring};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// The user whose token the first start prints.
const FIRST_USER: &str = "admin";

/// How long calls on the admin listener may take to finish once it stops.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Both listeners and what they stand on.
struct Service {
    vault: Vault,
    callers: Callers,
    gateway: gateway::Running,
    admin: admin::Running,
    addresses: Addresses,
}

struct Addresses {
    gateway: SocketAddr,
    admin: SocketAddr,
    gateway_scheme: &'static str,
}

pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let settings = arguments.common.settings()?;
    let log = log::start(&settings.log)?;
    let app = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("app")
        .enable_all()
        .build()
        .context("start the app runtime")?;
    let result = app.block_on(serve(&arguments.common, settings, &log, app.handle().clone()));
    app.shutdown_timeout(Duration::from_secs(1));
    result.map(|()| ExitCode::SUCCESS)
}

async fn serve(
    common: &Common,
    mut settings: Settings,
    log: &log::Flush,
    app: tokio::runtime::Handle,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let is_first_start = !settings.vault.master_key_file.exists();
    let service = start(&settings, app).await?;
    tracing::info!(
        gateway = %service.addresses.gateway,
        admin = %service.addresses.admin,
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    if is_first_start {
        introduce(&settings, &service).await?;
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => settings = reload(common, settings, &service, log),
        }
    }
    stop(service, Duration::from_secs(settings.gateway.drain_seconds)).await;
    Ok(())
}

async fn start(settings: &Settings, app: tokio::runtime::Handle) -> anyhow::Result<Service> {
    let registry = prometheus::Registry::new();
    let providers = wiring::providers(settings)?;
    let system = wiring::system_keys(settings, &providers)?;
    let providers = Arc::new(providers);
    let vault = Vault::open(wiring::vault_settings(settings), providers.clone(), system).await?;
    vault
        .metrics()
        .register(&registry)
        .context("register the vault's metrics")?;
    let callers = Callers::new(
        wiring::issuers(settings)?,
        vault.clone(),
        app.clone(),
        Arc::new(SystemClock),
    )
    .context("auth.jwt")?;
    let ca_file = settings.gateway.ca_file.clone();
    let catalogue = Catalogue::new(vault.clone(), providers.clone(), ca_file).context("gateway.ca_file")?;
    let gateway = gateway::start(
        gateway_settings(settings),
        providers.clone(),
        vault.clone(),
        callers.clone(),
        app,
        &registry,
        catalogue.clone(),
    )
    .context("start the gateway")?;
    let admin = admin::start(
        admin_settings(settings),
        providers,
        vault.clone(),
        callers.clone(),
        catalogue,
        registry,
    )
    .context("start the admin listener")?;
    let addresses = Addresses {
        gateway: gateway.address(),
        admin: admin.address(),
        gateway_scheme: if settings.gateway.tls.is_some() {
            "https"
        } else {
            "http"
        },
    };
    Ok(Service {
        vault,
        callers,
        gateway,
        admin,
        addresses,
    })
}

fn gateway_settings(settings: &Settings) -> GatewaySettings {
    let gateway = &settings.gateway;
    GatewaySettings {
        listen: gateway.listen,
        workers: gateway.workers,
        max_body_bytes: gateway.max_body_bytes,
        max_head_bytes: gateway.max_head_bytes,
        head_timeout: Duration::from_secs(gateway.head_timeout_seconds),
        write_timeout: Duration::from_secs(gateway.write_timeout_seconds),
        fallback_after: Duration::from_secs(gateway.fallback_after_seconds),
        attempts_time: Duration::from_secs(gateway.attempts_seconds),
        spool_folder: gateway.spool_dir.clone(),
        spool_max_bytes: gateway.spool_max_bytes,
        socket_idle: Duration::from_secs(gateway.socket_idle_seconds),
        socket_token_time: Duration::from_secs(gateway.socket_token_seconds),
        socket_record_every: Duration::from_secs(gateway.socket_record_seconds),
        close_on_revoke: gateway.close_on_revoke,
        tls: gateway.tls.as_ref().map(tls_files),
        cors_origins: gateway.cors_origins.clone(),
        public_url: wiring::public_url(settings),
        ca_file: gateway.ca_file.clone(),
    }
}

fn admin_settings(settings: &Settings) -> AdminSettings {
    AdminSettings {
        listen: settings.admin.listen,
        public_url: wiring::public_url(settings),
    }
}

fn tls_files(tls: &Tls) -> TlsFiles {
    TlsFiles {
        cert: tls.cert.clone(),
        key: tls.key.clone(),
    }
}

/// Says what was made and where, this once.
async fn introduce(settings: &Settings, service: &Service) -> anyhow::Result<()> {
    let Addresses {
        gateway,
        admin,
        gateway_scheme,
    } = &service.addresses;
    println!("Voxgate is running.");
    println!();
    println!("  gateway     {gateway_scheme}://{gateway}");
    println!("  admin       http://{admin}");
    if let Some(file) = wiring::sqlite_file(&settings.database.url) {
        println!("  database    {} (created)", file.display());
    }
    println!(
        "  master key  {} (created, mode 0600)",
        settings.vault.master_key_file.display()
    );
    println!();
    println!("Back up the master key: without it, no stored provider key can be opened.");
    if settings.auth.jwt.is_empty() {
        show_first_token(service).await?;
    }
    Ok(())
}

/// Without a sign-in of the host application's, this token is the only way in.
async fn show_first_token(service: &Service) -> anyhow::Result<()> {
    let new = NewToken {
        user: UserId::new(FIRST_USER),
        name: "first sign-in".to_owned(),
        ttl: None,
        scopes: None,
        roles: vec!["operator".to_owned()],
        teams: Vec::new(),
        admin_of: Vec::new(),
    };
    let (_, token) = service
        .vault
        .create_token(&operator_at_the_machine(), new)
        .await
        .context("create the first token")?;
    println!();
    println!("Sign-in token of user \"{FIRST_USER}\" (operator), shown only now:");
    println!();
    println!("  {}", token.expose());
    println!();
    println!("Try it:");
    println!();
    println!(
        "  curl -H 'Authorization: Bearer {}' http://{}/api/v1/me",
        token.expose(),
        service.addresses.admin
    );
    println!();
    Ok(())
}

/// Takes over what can change live and returns the settings that hold from now on.
fn reload(common: &Common, current: Settings, service: &Service, log: &log::Flush) -> Settings {
    let next = match common.settings() {
        Ok(next) => next,
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "configuration not reloaded");
            return current;
        }
    };
    match apply(&next, service, log) {
        Ok(()) => {
            tracing::info!("configuration reloaded");
            next
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "configuration not reloaded");
            current
        }
    }
}

/// Everything that may be refused comes first, the gateway's own part last of it: it either counts or changes
/// nothing.
fn apply(next: &Settings, service: &Service, log: &log::Flush) -> anyhow::Result<()> {
    let level = log::level(&next.log.level)?;
    let providers = wiring::providers(next)?;
    let system = wiring::system_keys(next, &providers)?;
    let issuers = service
        .callers
        .prepare(wiring::issuers(next)?)
        .context("auth.jwt")?;
    service.gateway.reload(Live {
        cors_origins: next.gateway.cors_origins.clone(),
        tls: next.gateway.tls.as_ref().map(tls_files),
    })?;
    service.callers.take_over(issuers);
    service.vault.replace_system(system);
    log.set_level(level)
}

async fn stop(service: Service, drain: Duration) {
    tracing::info!(in_flight = service.gateway.in_flight(), "draining");
    service.gateway.drain(drain).await;
    service.admin.stop(LAST_ANSWERS_WITHIN).await;
    service.vault.close().await;
    tracing::info!("stopped");
}
