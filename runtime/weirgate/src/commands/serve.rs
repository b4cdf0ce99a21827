//! `weirgate serve`: connects all parts and runs until it is stopped.

use std::{future::Future, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::{net::TcpListener, signal::unix};
use weirgate_engine::{Clock, Handle, IdentityWindow, SystemClock};
use weirgate_host::HostOptions;
use weirgate_types::EventLimits;

use crate::{
    configuration::Configuration, descriptors, failure::misused, listen, output, private, telemetry::Telemetry,
};

/// Flags override the environment (`WEIRGATE__SERVER__LISTEN`), which overrides the file.
#[derive(Debug, Args)]
pub struct Serve {
    /// A configuration file (docs/configuration.md)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen address, for instance 127.0.0.1:8080
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Data directory: log, views and modules
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Directory of the built demo shop, served under /shop/
    #[arg(long, value_name = "DIR")]
    pub shop: Option<PathBuf>,
    /// Start even if acknowledged records are missing from the log; they are lost
    #[arg(long)]
    pub accept_loss: bool,
    /// Check the configuration, and start nothing
    #[arg(long)]
    pub check: bool,
    /// Stop when standard input ends; `weirgate dev` starts its server so
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// How long connections may take to end when the server stops. Together with the time for calls in flight, and for closing
/// log and views, this stays below ten seconds.
const CONNECTIONS_GRACE: Duration = Duration::from_secs(2);
/// How long the engine may take to stop.
const ENGINE_GRACE: Duration = Duration::from_millis(7_500);

const COLLECT_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// Shorter intervals would leave no time to work.
const TIMEOUT_MS_MIN: u64 = 100;

pub fn run(flags: &Serve) -> Result<()> {
    let settings = Configuration::load(flags).map_err(|error| misused(&error))?;
    let addresses =
        listen::addresses(&settings.server.listen, settings.server.open).map_err(|error| misused(&error))?;
    if flags.check {
        return output::line("the configuration is valid");
    }
    let telemetry = Telemetry::start()?;
    // The allocator requests huge pages of 2 MiB, most of which would be almost empty: half of the server's memory, and no
    // faster (docs/performance.md). If the kernel refuses, the server only uses more memory.
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the kernel still provides huge pages");
    }
    let descriptors = descriptors::raise();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    private::close_new_files();
    private::data_directory(&settings.data.dir)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let ended = runtime.block_on(async {
        let listen = &settings.server.listen;
        let bound = TcpListener::bind(addresses.as_slice()).await;
        let listener = bound.with_context(|| format!("cannot listen on {listen}"))?;
        let start = starting(&settings, &telemetry, &clock, flags.accept_loss)?;
        let engine = weirgate_server::answer_while(&listener, tokio::task::spawn_blocking(start)).await??;
        let listening = Listening { listener, descriptors, stops_with_stdin: flags.stop_with_stdin };
        serve(settings, engine, clock, listening).await
    });
    // Uploads being compiled, and clients that do not read, would delay the end.
    runtime.shutdown_background();
    ended
}

/// What starts the engine. It recovers the log, which may take long.
fn starting(
    settings: &Configuration,
    telemetry: &Telemetry,
    clock: &Arc<dyn Clock>,
    accept_loss: bool,
) -> Result<impl FnOnce() -> Result<Handle> + use<>> {
    let program = std::env::current_exe().context("cannot locate the server's executable")?;
    let compiler = vec![program.into_os_string(), "compile-module".into()];
    let workers = match settings.engine.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        workers => workers,
    };
    let slots = weirgate_engine::WorkerSlots::new(workers, settings.engine.outbound_workers);
    let mut host = HostOptions::new(settings.data.dir.join("modules"), compiler);
    host.outbound.allow_private.clone_from(&settings.outbound.allow_private);
    host.budget = weirgate_engine::Budget::new(settings.server.budget_bytes);
    // Each worker makes one call at a time.
    host.instances_max = host.instances_max.max(u32::try_from(slots.threads)?);
    let options = weirgate_engine::Options {
        host,
        dir: settings.data.dir.clone(),
        slots,
        secrets: settings.secrets.bound()?,
        events_in_flight_max: settings.engine.events_in_flight_max,
        disk_free_bytes_min: settings.data.disk_free_bytes_min,
        ballast_bytes: settings.data.ballast_bytes,
        identity_window: IdentityWindow {
            positions: settings.engine.identity_window_positions,
            age_ms: u64::from(settings.engine.identity_window_hours) * 3_600_000,
        },
        modules: weirgate_engine::ModuleOptions {
            grace: Duration::from_millis(settings.modules.unused_grace_ms),
            unused_bytes_max: settings.modules.unused_bytes_max,
        },
        machine: weirgate_engine::Limits {
            host_breaker: settings.host_breaker.policy(),
            ..weirgate_engine::Limits::default()
        },
        seed: clock.now_ms(),
        join_trace: telemetry.join_trace(),
        accept_loss,
    };
    let (clock, dir) = (Arc::clone(clock), settings.data.dir.clone());
    Ok(move || {
        let engine = weirgate_engine::start(options, clock);
        engine.with_context(|| format!("the server cannot start on {}", dir.display()))
    })
}

/// Where the server listens, and until when.
struct Listening {
    listener: TcpListener,
    descriptors: Option<u64>,
    stops_with_stdin: bool,
}

async fn serve(
    settings: Configuration,
    engine: Handle,
    clock: Arc<dyn Clock>,
    Listening { listener, descriptors, stops_with_stdin }: Listening,
) -> Result<()> {
    let options = server_options(&settings, descriptors)?;
    tracing::info!(connections_max = options.connections_max, ?descriptors, "connections are limited");
    tracing::info!(address = %listener.local_addr()?, epoch = %engine.epoch(), head = engine.head().0, "serving");
    let asked = asked_to_stop(stops_with_stdin)?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = weirgate_server::serve(listener, engine.clone(), clock, options, async {
        let _ = stopped.await;
    });
    tokio::pin!(server);
    tokio::select! {
        () = &mut server => bail!("the server stopped: it cannot accept connections"),
        () = asked => {}
        // The log may hold less than memory does now, so nothing more is acknowledged: recovery determines what is durable.
        fault = engine.fault() => match fault {
            Some(fault) => return Err(anyhow::Error::new(fault).context("the server stops")),
            None => bail!("the server stops: the thread of the writer panicked"),
        },
    }
    tracing::info!("stopping");
    let _ = stop.send(());
    if tokio::time::timeout(CONNECTIONS_GRACE, server).await.is_err() {
        tracing::info!("closing connections that did not end in time");
    }
    if tokio::time::timeout(ENGINE_GRACE, engine.stop()).await.is_err() {
        tracing::warn!("the engine did not stop in time; the next start recovers from the log");
    }
    Ok(())
}

fn server_options(settings: &Configuration, descriptors: Option<u64>) -> Result<weirgate_server::Options> {
    let (server, live) = (&settings.server, &settings.live);
    let outbound_workers = settings.engine.outbound_workers;
    let grace = Duration::from_millis(settings.modules.unused_grace_ms);
    let defaults = weirgate_server::Options::default();
    Ok(weirgate_server::Options {
        shop: server.shop.clone(),
        event_limits: EventLimits { implied_key: settings.events.key_default.implied(), ..defaults.event_limits },
        connections_max: descriptors::connections(server.connections_max, descriptors, outbound_workers),
        header_timeout: timeout(server.header_timeout_ms),
        body_timeout: timeout(server.body_timeout_ms),
        body_idle_timeout: timeout(server.body_idle_timeout_ms),
        upload_timeout: timeout(server.upload_timeout_ms),
        collect_interval: defaults.collect_interval.min(grace).max(COLLECT_INTERVAL_MIN),
        live_connections_max: live.connections_max,
        heartbeat: timeout(live.heartbeat_ms),
        ping_interval: timeout(live.ping_ms),
        pong_timeout: timeout(live.pong_timeout_ms),
        access: settings.access()?,
        ..defaults
    })
}

fn timeout(ms: u64) -> Duration {
    Duration::from_millis(ms.max(TIMEOUT_MS_MIN))
}

fn asked_to_stop(with_stdin: bool) -> Result<impl Future<Output = ()>> {
    let mut terminate = unix::signal(unix::SignalKind::terminate())?;
    let mut interrupt = unix::signal(unix::SignalKind::interrupt())?;
    // A terminal that is closed.
    let mut hangup = unix::signal(unix::SignalKind::hangup())?;
    // With a handler, a write beyond the limit on a file's size fails instead of ending the process.
    let too_large = unix::signal(unix::SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    Ok(async move {
        let _too_large = too_large;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {}
            () = stdin_ended(), if with_stdin => {}
        }
    })
}

/// Resolves when the process at the other end of standard input has ended, in whatever way.
async fn stdin_ended() {
    let (sender, ended) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // An error means that there is nothing to wait for either.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        drop(sender);
    });
    let _ = ended.await;
}
