//! Starting: opens log, views and host, recovers, and starts the threads.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, thread};

use crossbeam_channel::{Sender, bounded};
use tokio::sync::watch;
use weirgate_core::{Entropy, Limits, Machine, WorkerSlots};
use weirgate_host::{BoundSecret, Host, HostOptions};
use weirgate_log::{Log, LogError};
use weirgate_types::{Digest, HandlerName};
use weirgate_views::Views;

use crate::{
    Clock, EngineFault, Handle, HandlerItem, Hub, Metrics, StartError,
    ballast::Ballast,
    command::Command,
    handle::{BulkJobs, ReplaySlots, Shared},
    host_breakers::HostBreakers,
    identities::IdentityWindow,
    indexing::Indexing,
    journaled_calls::CallServices,
    modules::{ModuleDisk, ModuleOptions, Modules},
    queries::Queries,
    runs,
    scrub::Scrub,
    secrets::Secrets,
    statuses::Statuses,
    storage,
    time::Time,
    what_ifs::WhatIfs,
    workers::{self, JoinTrace, Worker},
    writer::{Delivery, DiskSpace, Durability, Exit, FreeSpace, Ingress, Writer},
};

/// Maximum number of commands that wait for the writer.
const COMMANDS_MAX: usize = 16 * 1_024;

/// The options of an engine.
pub struct Options {
    /// Where log, views and modules are kept.
    pub dir: PathBuf,
    pub host: HostOptions,
    /// How many calls may compute at once, and how many may be in flight.
    pub slots: WorkerSlots,
    /// Secrets that handlers may put into their requests, by name, and where.
    pub secrets: BTreeMap<String, BoundSecret>,
    /// Maximum number of events on their way into the log.
    pub events_in_flight_max: usize,
    /// New events are refused when less than this is free on the disk, in bytes.
    pub disk_free_bytes_min: u64,
    /// Size of the ballast file, which is released when the disk is full; 0: no ballast.
    pub ballast_bytes: u64,
    pub identity_window: IdentityWindow,
    pub modules: ModuleOptions,
    pub machine: Limits,
    /// Seeds the jitter of retries.
    pub seed: u64,
    pub join_trace: Option<JoinTrace>,
    /// Start even if acknowledged records are missing from the log, and accept their loss.
    pub accept_loss: bool,
}

/// Opens everything under `options.dir`, recovers, and starts the threads.
///
/// # Errors
/// The log is damaged, lacks acknowledged records or is in use, or the directory cannot be used.
pub fn start(options: Options, clock: Arc<dyn Clock>) -> Result<Handle, StartError> {
    let mut ballast = Ballast::new(options.dir.join("ballast"), options.ballast_bytes, options.disk_free_bytes_min);
    ballast.make_room();
    let (log, views) = storage::open(&options.dir, options.accept_loss, clock.now_ms())?;
    let module_disk = ModuleDisk { dir: options.host.dir.clone(), free_bytes_min: options.disk_free_bytes_min };
    let host = Arc::new(Host::new(options.host)?);
    let metrics = Arc::new(Metrics::default());
    let time = Time::new(Arc::clone(&clock), Arc::clone(&metrics), last_at_ms(&log)?);
    let (commands, inbox) = bounded(COMMANDS_MAX);
    let host_breakers = Arc::new(HostBreakers::new(Arc::clone(&clock)));
    let secrets = Arc::new(Secrets::new(options.secrets));
    let call_services = call_services(&log, &commands, &host_breakers, &secrets);
    let worker = Worker {
        done: commands.clone(),
        views: views.clone(),
        log: log.reader(),
        call_services,
        metrics: Arc::clone(&metrics),
        join_trace: options.join_trace,
    };
    let (jobs, workers) = workers::start(options.slots, &worker, Arc::clone(&clock))?;
    drop(worker);
    ballast.take();
    let space = DiskSpace::new(free_space(storage::log_dir(&options.dir), options.disk_free_bytes_min), ballast);
    let (fault_sender, fault) = watch::channel(None);
    let machine = Machine::new(options.machine, Entropy::seeded(options.seed));
    let window = options.identity_window;
    let identities = storage::open_identities(&options.dir, &log, window, time.at_ms())?;
    let complete = runs::start(Arc::clone(&identities))?;
    let identities = (Arc::clone(&identities), complete, window);
    let ingress = Ingress::new(inbox, options.events_in_flight_max, identities);
    let delivery = Delivery::new(machine, log.key_hasher(), (jobs, workers), Arc::clone(&host_breakers));
    let modules = Modules::new(Arc::clone(&host), views.clone(), Arc::clone(&clock), options.modules, module_disk);
    let history = storage::open_history(&options.dir, &log);
    let indexing = Indexing::start(history, storage::history_dir(&options.dir), options.disk_free_bytes_min)?;
    let indexing = indexing.with(Scrub::start(log.reader(), Arc::clone(&metrics))?);
    let services = (modules, secrets, host_breakers, indexing, clock);
    let shared = share(&log, views, commands.clone(), services, &metrics, (&ingress, &space), fault);
    let durability = Durability::new(log, shared.statuses.clone(), Arc::clone(&shared.hub), space);
    run(Writer::new(ingress, delivery, durability, time, metrics), host, commands, fault_sender)?;
    let handle = Handle::new(shared);
    if let Err(error) = handle.resume_replays() {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "replays that were being applied do not go on; apply them again");
    }
    if let Err(error) = handle.resume_what_ifs() {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "what-ifs are not computed again until they are asked for");
    }
    Ok(handle)
}

/// What handles and workers share.
pub type Services = (Arc<Modules>, Arc<Secrets>, Arc<HostBreakers>, Indexing, Arc<dyn Clock>);

/// Shared by all handles of an engine.
pub fn share(
    log: &Log,
    views: Views,
    commands: Sender<Command>,
    (modules, secrets, host_breakers, indexing, clock): Services,
    metrics: &Arc<Metrics>,
    (ingress, space): (&Ingress, &DiskSpace),
    fault: watch::Receiver<Option<Arc<EngineFault>>>,
) -> Shared {
    let statuses = Statuses { views, log: log.reader() };
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let queries = Queries::new(processors);
    Shared {
        commands,
        epochs: Arc::clone(log.epochs()),
        keys: log.key_hasher(),
        hub: Arc::new(Hub::new(statuses.clone(), queries.clone())),
        statuses,
        modules,
        metrics: Arc::clone(metrics),
        in_flight: Arc::clone(ingress.permits()),
        is_ready: space.readiness(),
        fault,
        queries,
        bulk_jobs: BulkJobs::default(),
        what_ifs: WhatIfs::default(),
        replays: ReplaySlots::default(),
        secrets,
        host_breakers,
        indexing,
        identities: Arc::clone(ingress.identities()),
        clock,
    }
}

/// The time of the log's last record; 0 where it has none.
pub fn last_at_ms(log: &Log) -> Result<u64, LogError> {
    Ok(log.reader().read(log.head())?.map_or(0, |(_, record)| record.at_ms()))
}

/// What handlers' outbound calls go through.
fn call_services(
    log: &Log,
    commands: &Sender<Command>,
    host_breakers: &Arc<HostBreakers>,
    secrets: &Arc<Secrets>,
) -> CallServices {
    let (commands, host_breakers) = (commands.clone(), Arc::clone(host_breakers));
    CallServices {
        epochs: Arc::clone(log.epochs()),
        log: log.reader(),
        commands,
        host_breakers,
        secrets: Arc::clone(secrets),
    }
}

fn run(
    mut writer: Writer,
    host: Arc<Host>,
    commands: Sender<Command>,
    fault_sender: watch::Sender<Option<Arc<EngineFault>>>,
) -> Result<(), StartError> {
    match writer.recover(&host.runtime_version()) {
        Ok(()) => {}
        Err(Exit::Fault(fault)) => return Err(fault.into()),
        // Recovery takes no command, so none can request a stop.
        Err(Exit::Asked) => return Ok(()),
    }
    let modules = {
        let modules = |item: &HandlerItem| item.digests().map(|digest| (item.name.clone(), digest)).collect::<Vec<_>>();
        writer.list_handlers(None).iter().flat_map(modules).collect()
    };
    thread::Builder::new().name("modules".into()).spawn(move || load(&host, modules, &commands))?;
    thread::Builder::new().name("writer".into()).spawn(move || {
        if let Err(fault) = writer.run() {
            tracing::error!(error = &fault as &dyn std::error::Error, "the writer stopped");
            fault_sender.send_replace(Some(Arc::new(fault)));
        }
    })?;
    Ok(())
}

/// Loads the modules of the handlers that were deployed before. A handler whose module is missing waits for it.
fn load(host: &Host, modules: Vec<(HandlerName, Digest)>, commands: &Sender<Command>) {
    for (handler, digest) in modules {
        let module = match host.load(digest) {
            Ok(module) => Some(module),
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(%handler, error, "the handler waits: its module cannot be loaded");
                None
            }
        };
        if commands.send(Command::Loaded { handler, digest, module }).is_err() {
            return;
        }
    }
}

fn free_space(dir: PathBuf, bytes_min: u64) -> FreeSpace {
    Box::new(move || {
        let disk = rustix::fs::statvfs(&dir).ok()?;
        disk.f_bavail.saturating_mul(disk.f_frsize).checked_sub(bytes_min)
    })
}
