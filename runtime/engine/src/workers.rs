//! The worker threads: each takes a call, makes it, and sends back its result. There are more workers than processors: calls
//! that wait for the network or for a processor keep theirs meanwhile.

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Sender, TrySendError};
use tracing::{Span, info_span};
use weirgate_core::WorkerSlots;
use weirgate_host::{Call, CallError, NoOutbound, Outbound, Processor, ReadState};
use weirgate_log::LogReader;
use weirgate_types::{DeliveryId, Event, LogLine};
use weirgate_views::Views;

use crate::{
    Clock, Metrics, StorageError, WorkerFault,
    command::Command,
    corrections,
    job::{CallResult, ItemResult, Job, JobItem, StoredRecord},
    journaled_calls::{CallServices, JournaledCalls},
    lost,
    pool::{Pool, ProcessorSlot},
    state::{KeyState, ReadLog, earlier_version},
};

/// Called with an attempt's span and the event's `traceparent`, so that the binary can continue the producer's trace.
pub type JoinTrace = Arc<dyn Fn(&Span, &str) + Send + Sync>;

/// How long to wait when the host has no room.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// What a worker reads from and replies to.
#[derive(Clone)]
pub struct Worker {
    pub done: Sender<Command>,
    pub views: Views,
    pub log: LogReader,
    pub call_services: CallServices,
    pub metrics: Arc<Metrics>,
    pub join_trace: Option<JoinTrace>,
}

/// The queue to the workers. They end when it is dropped.
pub struct Jobs(To);

enum To {
    Workers(Arc<Pool>),
    #[cfg(feature = "sim")]
    Taker(Sender<Job>),
}

impl Jobs {
    /// All of them, for one consumer.
    #[cfg(feature = "sim")]
    pub fn to(taker: Sender<Job>) -> Self {
        Self(To::Taker(taker))
    }

    pub fn send(&self, job: Job) {
        match &self.0 {
            To::Workers(pool) => pool.submit(job),
            #[cfg(feature = "sim")]
            To::Taker(taker) => drop(taker.send(job)),
        }
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        match &self.0 {
            To::Workers(pool) => pool.close(),
            #[cfg(feature = "sim")]
            To::Taker(_) => {}
        }
    }
}

/// Start the workers.
pub fn start(
    slots: WorkerSlots,
    worker: &Worker,
    clock: Arc<dyn Clock>,
) -> std::io::Result<(Jobs, Vec<JoinHandle<()>>)> {
    let pool = Pool::new(slots, clock);
    let start = |index: usize| {
        let (worker, pool) = (worker.clone(), Arc::clone(&pool));
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || worker.run(&pool, index))
    };
    let threads = (0..slots.threads).map(start).collect::<Result<_, _>>()?;
    Ok((Jobs(To::Workers(pool)), threads))
}

/// An attempt's input for its call.
struct Prepared {
    stored: StoredRecord,
    /// The event with its corrected data, if it was corrected.
    corrected: Option<Event>,
    /// The version of the key's state that the call has to migrate.
    migrate_from: Option<u32>,
}

impl Prepared {
    fn event(&self, delivery: &DeliveryId) -> Result<&Event, StorageError> {
        let event = self.corrected.as_ref().or_else(|| self.stored.event(delivery.position));
        event.ok_or(StorageError::Missing { what: "event", position: delivery.position })
    }
}

impl Prepared {
    fn is_lost(&self) -> bool {
        self.stored.record.event_at(0).is_some_and(lost::is_lost)
    }
}

/// The attempts of a call that is not made.
fn not_called(job: &Job, prepared: Vec<Prepared>, error: impl Fn(&JobItem, &Prepared) -> CallError) -> CallResult {
    let ended = job.items.iter().zip(prepared).map(|(item, prepared)| {
        let position = item.delivery.position;
        let error = error(item, &prepared);
        let (attempt, stored) = (item.attempt, prepared.stored);
        let (log, reads) = (Vec::new(), Vec::new());
        ItemResult { position, attempt, stored, result: Err(error), log, reads, migrated_from: None, correction: None }
    });
    let items = ended.collect();
    CallResult { reproducible: false, ..CallResult::of(job, items) }
}

impl Worker {
    fn run(&self, pool: &Arc<Pool>, index: usize) {
        while let Some((call, job)) = pool.next(index) {
            let (pool_of_call, deployed) = (Arc::clone(pool), Arc::clone(&job.deployed));
            let processor: Arc<dyn Processor> =
                Arc::new(ProcessorSlot { pool: pool_of_call, worker: index, call, deployed });
            // A job that vanished would block its key for ever.
            let result = catch_unwind(AssertUnwindSafe(|| self.call(&job, &processor)));
            let result = result.unwrap_or_else(|_| Err(WorkerFault::Panicked(job.handler.clone())));
            let command = result.map_or_else(Command::WorkerFailed, |call| Command::CallResult(Box::new(call)));
            let sent = match self.done.try_send(command) {
                Err(TrySendError::Full(command)) => {
                    // Other calls compute while this one waits for the writer.
                    processor.release();
                    self.done.send(command).is_ok()
                }
                sent => sent.is_ok(),
            };
            pool.end(index, call);
            if !sent {
                return;
            }
        }
    }

    fn call(&self, job: &Job, processor: &Arc<dyn Processor>) -> Result<CallResult, WorkerFault> {
        let mut keys = BTreeSet::new();
        let prepared =
            job.items.iter().map(|item| self.prepare(job, item, &mut keys)).collect::<Result<Vec<_>, _>>()?;
        let call = match (job.items.as_slice(), prepared.as_slice()) {
            _ if job.deployed.is_discarded() => not_called(job, prepared, |_, _| CallError::Discarded),
            // The attempts of lost events fail without a call, and the others of the call are made later.
            _ if prepared.iter().any(Prepared::is_lost) => not_called(job, prepared, |item, one| match one.is_lost() {
                true => CallError::Failed(lost::failure(item.delivery.position)),
                false => CallError::Blocked,
            }),
            ([item], [prepared]) if !job.deployed.module.is_batch() => self.call_one(job, item, prepared, processor)?,
            _ => self.call_batch(job, &prepared, processor)?,
        };
        for item in &call.items {
            if let Err(CallError::State(error)) = &item.result {
                return Err(error.clone().into());
            }
            self.metrics.attempted(&job.handler, &item.result);
        }
        Ok(call)
    }

    /// What the log and the views hold for an attempt. `keys` are those of the call so far: the first item of a key migrates its
    /// state for the others.
    fn prepare(&self, job: &Job, item: &JobItem, keys: &mut BTreeSet<String>) -> Result<Prepared, StorageError> {
        let position = item.delivery.position;
        let stored = match &item.stored {
            Some(stored) => stored.clone(),
            None => {
                let read = StoredRecord::read(&self.log, position)?;
                read.ok_or(StorageError::Missing { what: "record", position })?
            }
        };
        let event = stored.event(position).ok_or(StorageError::Missing { what: "event", position })?;
        let corrected = corrections::as_delivered(&self.log, event, item.carried.correction)?;
        let migrate_from = match keys.insert(event.key().to_owned()) {
            true => earlier_version(&self.views, &job.handler, event.key(), job.deployed.state_version)?,
            false => None,
        };
        Ok(Prepared { stored, corrected, migrate_from })
    }

    fn call_one(
        &self,
        job: &Job,
        item: &JobItem,
        prepared: &Prepared,
        processor: &Arc<dyn Processor>,
    ) -> Result<CallResult, WorkerFault> {
        let event = prepared.event(&item.delivery)?;
        let span = self.span(item, event);
        let _entered = span.enter();
        let (report, reads) = loop {
            let (outbound, reads) = (self.outbound(job, item)?, reads_of(job));
            let state = self.state(item, event, reads.as_ref());
            let report =
                job.deployed.module.call(&call(job, item, (event, prepared.migrate_from), processor), state, outbound);
            match report.result {
                // The host has no room now; that spends no attempt.
                Err(CallError::Busy) => thread::park_timeout(BUSY_PAUSE),
                _ => break (report, reads),
            }
        };
        self.metrics.spent(&job.handler, report.cpu);
        trace_result(&span, item, &report.result, &report.log);
        let ended = ItemResult {
            position: item.delivery.position,
            attempt: item.attempt,
            stored: prepared.stored.clone(),
            result: report.result,
            log: report.log,
            reads: reads.map(|reads| reads.take()).unwrap_or_default(),
            migrated_from: prepared.migrate_from,
            correction: report.correction,
        };
        let (cpu_us, reproducible) = (micros(report.cpu), report.reproducible);
        Ok(CallResult { cpu_us, reproducible, hosts: report.hosts, ..CallResult::of(job, vec![ended]) })
    }

    fn call_batch(
        &self,
        job: &Job,
        prepared: &[Prepared],
        processor: &Arc<dyn Processor>,
    ) -> Result<CallResult, WorkerFault> {
        let events = job.items.iter().zip(prepared).map(|(item, prepared)| prepared.event(&item.delivery));
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let (report, reads) = loop {
            let items = job.items.iter().zip(&events);
            let migrated = prepared.iter().map(|prepared| prepared.migrate_from);
            let calls = items.clone().zip(migrated);
            let calls: Vec<_> =
                calls.map(|((item, event), migrated)| call(job, item, (event, migrated), processor)).collect();
            let reads: Vec<_> = job.items.iter().map(|_| reads_of(job)).collect();
            let states = items.zip(&reads).map(|((item, event), reads)| self.state(item, event, reads.as_ref()));
            let states = states.collect();
            let outbound = job.items.iter().map(|item| self.outbound(job, item)).collect::<Result<_, _>>()?;
            let report = job.deployed.module.call_batch(&calls, states, outbound);
            match report.results.first() {
                Some(Err(CallError::Busy)) => thread::park_timeout(BUSY_PAUSE),
                _ => break (report, reads),
            }
        };
        self.metrics.spent(&job.handler, report.cpu);
        let given = job.items.iter().zip(prepared).zip(reads);
        let items = given.zip(report.results.into_iter().zip(report.logs));
        let items = items.map(|(((item, prepared), reads), (result, log))| ItemResult {
            position: item.delivery.position,
            attempt: item.attempt,
            stored: prepared.stored.clone(),
            result,
            log,
            reads: reads.map(|reads| reads.take()).unwrap_or_default(),
            migrated_from: prepared.migrate_from,
            correction: None,
        });
        let (cpu_us, reproducible) = (micros(report.cpu), report.reproducible);
        Ok(CallResult { cpu_us, reproducible, hosts: report.hosts, ..CallResult::of(job, items.collect()) })
    }

    fn state(&self, item: &JobItem, event: &Event, reads: Option<&ReadLog>) -> Box<dyn ReadState> {
        let state = KeyState::new(self.views.clone(), self.log.clone(), &item.delivery.handler, event.key());
        Box::new(state.logging_to(reads.cloned()))
    }

    fn outbound(&self, job: &Job, item: &JobItem) -> Result<Box<dyn Outbound>, StorageError> {
        if job.deployed.capabilities.hosts.is_empty() {
            return Ok(Box::new(NoOutbound));
        }
        Ok(Box::new(JournaledCalls::new(&self.call_services, &item.delivery, item.attempt, item.carried.step)?))
    }

    fn span(&self, item: &JobItem, event: &Event) -> Span {
        let span = info_span!(
            target: "weirgate::attempt", "attempt", otel.kind = "consumer",
            handler = %item.delivery.handler, delivery = %item.delivery, attempt = item.attempt,
            messaging.operation.name = "process", messaging.message.id = %event.id, event.type = %event.r#type,
            outcome = tracing::field::Empty,
        );
        if let (Some(join), Some(parent)) = (&self.join_trace, event.extensions.get("traceparent")) {
            join(&span, parent.as_str());
        }
        span
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}

/// Where to log what the reads of an attempt see, if that does not follow from the attempt's position.
fn reads_of(job: &Job) -> Option<ReadLog> {
    job.deployed.overlaps.then(ReadLog::default)
}

fn call<'a>(
    job: &'a Job,
    item: &'a JobItem,
    (event, migrate_from): (&'a Event, Option<u32>),
    processor: &'a Arc<dyn Processor>,
) -> Call<'a> {
    Call {
        event,
        delivery: &item.delivery,
        key: event.key(),
        attempt: item.attempt,
        at_ms: job.at_ms,
        wall_ms: job.wall_ms,
        config: &job.deployed.config,
        limits: &job.deployed.limits,
        migrate_from,
        capabilities: &job.deployed.capabilities,
        processor,
    }
}

fn trace_result<T>(span: &Span, item: &JobItem, result: &Result<T, CallError>, log: &[LogLine]) {
    let handler = &item.delivery.handler;
    let outcome = match result {
        Ok(_) => "completed",
        Err(CallError::Failed(failure)) => {
            tracing::debug!(target: "weirgate::attempt", %handler, message = %failure.message, "attempt failed");
            "failed"
        }
        Err(_) => "not-tried",
    };
    span.record("outcome", outcome);
    for line in log {
        tracing::debug!(target: "weirgate::attempt", %handler, level = ?line.level, message = %line.message, "handler log");
    }
}
