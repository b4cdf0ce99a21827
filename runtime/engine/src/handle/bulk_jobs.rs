//! Bulk jobs: one paced command for all dead letters that match a filter, with visible progress. A job ends with the
//! process; commands that it recorded by then are in the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use weirgate_types::DeliveryId;

use super::{CommandRequest, DeadLetterFilter, Handle};
use crate::{Audit, Refusal};

/// Number of bulk jobs remembered, and so the maximum of those that run.
const KEPT_MAX: usize = 100;
const PAGE: usize = 100;

#[derive(Default)]
pub struct BulkJobs {
    /// A std mutex: held for one map operation.
    known: Mutex<BTreeMap<u64, BulkJob>>,
}

/// A bulk job and its progress.
#[derive(Debug, Clone)]
pub struct BulkJob {
    pub id: u64,
    /// The command's name.
    pub command: &'static str,
    pub actor: String,
    pub reason: String,
    pub state: BulkJobState,
    /// When it was started, in Unix milliseconds.
    pub started_at_ms: u64,
    /// How many deliveries were handled, and how many of those were refused because they were closed or running.
    pub done: u64,
    pub refused: u64,
    /// The error that stopped it.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkJobState {
    Running,
    Done,
    Cancelled,
    Failed,
}

impl BulkJobState {
    /// The name of the job's state.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }
}

impl BulkJobs {
    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, BulkJob>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the oldest that has ended, where there are too many.
    fn begin(&self, command: &'static str, audit: &Audit, started_at_ms: u64) -> Result<u64, Refusal> {
        let mut known = self.known();
        if known.len() >= KEPT_MAX {
            let ended = known.values().find(|job| job.state != BulkJobState::Running).map(|job| job.id);
            known.remove(&ended.ok_or(Refusal::TooManyJobs(KEPT_MAX))?);
        }
        let id = known.last_key_value().map_or(1, |(last, _)| last + 1);
        let Audit { actor, reason } = audit.clone();
        let state = BulkJobState::Running;
        known
            .insert(id, BulkJob { id, command, actor, reason, state, started_at_ms, done: 0, refused: 0, error: None });
        Ok(id)
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut BulkJob)) {
        if let Some(job) = self.known().get_mut(&id) {
            change(job);
        }
    }

    /// A delivery was handled.
    pub(super) fn count(&self, id: u64, is_refused: bool) {
        self.change(id, |job| {
            job.done += 1;
            job.refused += u64::from(is_refused);
        });
    }

    pub(super) fn is_running(&self, id: u64) -> bool {
        self.known().get(&id).is_some_and(|job| job.state == BulkJobState::Running)
    }
}

impl Handle {
    /// Creates a bulk job; the returned future carries it out, and dropping the future ends it.
    ///
    /// # Errors
    /// [`Refusal::TooManyJobs`].
    pub fn begin_bulk_job(
        &self,
        filter: DeadLetterFilter,
        request: CommandRequest,
        audit: Audit,
        (per_second, now_ms): (u32, u64),
    ) -> Result<(u64, impl Future<Output = ()> + Send + use<>), Refusal> {
        let command = request.word();
        self.begin_job(command, audit, now_ms, move |handle, id, audit| async move {
            handle.carry_out(id, filter, request, audit, per_second).await
        })
    }

    /// Creates a job that `work` does; the returned future carries it out.
    pub(super) fn begin_job<F, W>(
        &self,
        command: &'static str,
        audit: Audit,
        now_ms: u64,
        work: F,
    ) -> Result<(u64, impl Future<Output = ()> + Send + use<F, W>), Refusal>
    where
        F: FnOnce(Self, u64, Audit) -> W + Send,
        W: Future<Output = Result<(), Refusal>> + Send,
    {
        let id = self.0.bulk_jobs.begin(command, &audit, now_ms)?;
        let handle = self.clone();
        let job = async move {
            let result = work(handle.clone(), id, audit).await;
            handle.end_job(id, result);
        };
        Ok((id, job))
    }

    fn end_job(&self, id: u64, result: Result<(), Refusal>) {
        self.0.bulk_jobs.change(id, |job| match result {
            _ if job.state != BulkJobState::Running => {}
            Ok(()) => job.state = BulkJobState::Done,
            Err(refusal) => (job.state, job.error) = (BulkJobState::Failed, Some(refusal.to_string())),
        });
    }

    /// # Errors
    /// There is no such bulk job.
    pub fn bulk_job(&self, id: u64) -> Result<BulkJob, Refusal> {
        self.0.bulk_jobs.known().get(&id).cloned().ok_or(Refusal::UnknownBulkJob(id))
    }

    /// The newest bulk jobs, the oldest first.
    #[must_use]
    pub fn bulk_jobs(&self) -> Vec<BulkJob> {
        self.0.bulk_jobs.known().values().cloned().collect()
    }

    /// Stops the job before its next delivery.
    ///
    /// # Errors
    /// There is no such bulk job.
    pub fn cancel_bulk_job(&self, id: u64) -> Result<BulkJob, Refusal> {
        self.0.bulk_jobs.change(id, |job| {
            if job.state == BulkJobState::Running {
                job.state = BulkJobState::Cancelled;
            }
        });
        self.bulk_job(id)
    }

    async fn carry_out(
        &self,
        id: u64,
        filter: DeadLetterFilter,
        request: CommandRequest,
        audit: Audit,
        per_second: u32,
    ) -> Result<(), Refusal> {
        let pause = Duration::from_secs(1) / per_second.max(1);
        // Deliveries that become dead letters again meanwhile are skipped: the job passes through the store once.
        let mut after = None::<DeliveryId>;
        loop {
            let scan = self.0.queries.own_scan().await?;
            let page = self.dead_letters_in(scan, filter.clone(), after, PAGE).await?;
            for dead_letter in page.dead_letters {
                if !self.0.bulk_jobs.is_running(id) {
                    return Ok(());
                }
                let answer = self.command_delivery(dead_letter.delivery, request.clone(), audit.clone()).await;
                let is_refused = match answer {
                    Ok(_) => false,
                    Err(
                        Refusal::NotOpen(_)
                        | Refusal::Running(_)
                        | Refusal::Changed(_)
                        | Refusal::NotADeadLetter(_)
                        | Refusal::Correction(_),
                    ) => true,
                    Err(refusal) => return Err(refusal),
                };
                self.0.bulk_jobs.count(id, is_refused);
                tokio::time::sleep(pause).await;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

impl CommandRequest {
    /// The command's name.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Correct(_) => "correct",
            Self::Skip => "skip",
            Self::Resolve(_) => "resolve",
            Self::Discard => "discard",
            Self::DeadLetter => "dead-letter",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_runs_is_not_forgotten() {
        let (jobs, audit) = (BulkJobs::default(), Audit { actor: "eva".into(), reason: String::new() });
        let begin = || jobs.begin("discard", &audit, 0);
        let first = begin().expect("a job");
        for _ in 0..2 * KEPT_MAX {
            let id = begin().expect("a job");
            jobs.change(id, |job| job.state = BulkJobState::Done);
            assert!(jobs.is_running(first) && jobs.known().len() <= KEPT_MAX);
        }
        let mut last = first;
        for _ in 1..KEPT_MAX {
            last = begin().expect("those that ended are forgotten");
        }
        assert!(matches!(begin(), Err(Refusal::TooManyJobs(KEPT_MAX))));
        jobs.change(first, |job| job.state = BulkJobState::Cancelled);
        assert_eq!(begin().ok(), Some(last + 1));
        assert!(!jobs.known().contains_key(&first));
    }
}
