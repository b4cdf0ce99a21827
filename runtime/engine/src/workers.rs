//! The worker threads: each takes an attempt, makes the call, and sends back how it ended.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use crossbeam_channel::{Receiver, Sender};
use tracing::{Span, info_span};
use weirgate_host::{Call, CallError, CallReport};
use weirgate_log::{LogReader, Views};
use weirgate_types::{Event, HandlerName};

use crate::{
    Metrics,
    command::Command,
    job::{Finished, Job},
    state::KeyState,
};

/// Called with an attempt's span and the event's `traceparent`, so that the binary can join the producer's trace.
pub type JoinTrace = Arc<dyn Fn(&Span, &str) + Send + Sync>;

/// How long to wait for room in the host.
const BUSY_PAUSE: Duration = Duration::from_millis(2);

/// What a worker reads and where it answers.
#[derive(Clone)]
pub struct Worker {
    pub jobs: Receiver<Job>,
    pub done: Sender<Command>,
    pub views: Views,
    pub log: LogReader,
    pub metrics: Arc<Metrics>,
    pub join_trace: Option<JoinTrace>,
}

/// Start `count` workers; each ends when the jobs' sender is gone.
pub fn start(count: usize, worker: &Worker) -> std::io::Result<Vec<JoinHandle<()>>> {
    let start = |number| {
        let worker = worker.clone();
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || worker.run())
    };
    (0..count).map(start).collect()
}

impl Worker {
    fn run(&self) {
        while let Ok(job) = self.jobs.recv() {
            // A job that vanished would hold its key for ever.
            let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(&job)));
            let attempt = attempt.unwrap_or_else(|_| Err(format!("a worker panicked at {}", job.delivery)));
            let command = attempt.unwrap_or_else(|why| Command::Broken { why });
            if self.done.send(command).is_err() {
                return;
            }
        }
    }

    fn attempt(&self, job: &Job) -> Result<Command, String> {
        let position = job.delivery.position;
        let (first, record) = if let Some((first, record)) = &job.record {
            (*first, Arc::clone(record))
        } else {
            let read = self.log.read(position).map_err(|e| e.to_string())?;
            let (first, record) = read.ok_or_else(|| format!("the log has no record at {position}"))?;
            (first, Arc::new(record))
        };
        let event = position.0.checked_sub(first.0).and_then(|offset| record.event_at(offset));
        let event = event.ok_or_else(|| format!("the log has no event at {position}"))?;
        let report = self.call(job, event);
        if let Err(CallError::State(error)) = &report.result {
            return Err(error.to_string());
        }
        let finished =
            Finished { delivery: job.delivery.clone(), attempt: job.attempt, key: event.key().to_owned(), report };
        Ok(Command::Finished(Box::new(finished)))
    }

    fn call(&self, job: &Job, event: &Event) -> CallReport {
        let span = self.span(job, event);
        let _entered = span.enter();
        let report = loop {
            match self.call_once(job, event) {
                // The host has no room just now; that is nobody's attempt.
                CallReport { result: Err(CallError::Busy), .. } => thread::park_timeout(BUSY_PAUSE),
                report => break report,
            }
        };
        self.metrics.attempted(&job.delivery.handler, &report);
        trace_ending(&span, &job.delivery.handler, &report);
        report
    }

    fn call_once(&self, job: &Job, event: &Event) -> CallReport {
        let state = KeyState::new(self.views.clone(), self.log.clone(), &job.delivery.handler, event.key());
        let call = Call {
            event,
            delivery: &job.delivery,
            key: event.key(),
            attempt: job.attempt,
            at_ms: job.at_ms,
            config: &job.callee.config,
            limits: &job.callee.limits,
        };
        job.callee.module.call(&call, Box::new(state))
    }

    fn span(&self, job: &Job, event: &Event) -> Span {
        let span = info_span!(
            target: "weirgate::attempt", "attempt", otel.kind = "consumer",
            handler = %job.delivery.handler, delivery = %job.delivery, attempt = job.attempt,
            messaging.operation.name = "process", messaging.message.id = %event.id, event.type = %event.r#type,
            outcome = tracing::field::Empty,
        );
        if let (Some(join), Some(parent)) = (&self.join_trace, event.extensions.get("traceparent")) {
            join(&span, parent);
        }
        span
    }
}

fn trace_ending(span: &Span, handler: &HandlerName, report: &CallReport) {
    let outcome = match &report.result {
        Ok(_) => "completed",
        Err(CallError::Failed(failure)) => {
            tracing::debug!(target: "weirgate::attempt", %handler, message = %failure.message, "attempt failed");
            "failed"
        }
        Err(_) => "not-tried",
    };
    span.record("outcome", outcome);
    for line in &report.log {
        tracing::debug!(target: "weirgate::attempt", %handler, level = ?line.level, message = %line.message, "handler log");
    }
}
