//! Commands for all open deliveries of a handler, as bulk jobs: before it is removed, each is skipped and each dead letter is
//! discarded; after a deployment, those that wait for a retry may run at once. Each decision is recorded.

use std::time::Duration;

use weirgate_core::{DeliveryPhase, DeliveryRow};
use weirgate_types::{DeliveryId, HandlerName, Mode, Position};
use weirgate_views::Views;

use super::{CommandRequest, Handle, blocking};
use crate::{Audit, Refusal, StorageError, command::Command, keys};

/// Deliveries read at once.
const SLICE: usize = 256;
/// Until deliveries that run are looked at again.
const PAUSE: Duration = Duration::from_millis(20);

/// Which rows of a handler a job passes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Open,
    Retrying,
    DeadLetters,
}

impl Handle {
    /// Removes a handler that has neither open deliveries nor dead letters. Returns the position of the record.
    ///
    /// # Errors
    /// There is no such handler, or it has some: [`Refusal::HasDeliveries`].
    pub async fn remove(&self, handler: HandlerName, audit: Audit) -> Result<Position, Refusal> {
        self.ask(|reply| Command::Remove { handler, audit, reply }).await
    }

    /// Number of dead letters of a handler, counted up to `most`.
    ///
    /// # Errors
    /// The views cannot be read.
    pub async fn count_dead_letters(&self, handler: HandlerName, most: usize) -> Result<usize, Refusal> {
        let views = self.0.statuses.views.clone();
        let count = move || views.scan_keys(&keys::dead_letters_of(&handler), None, most).map(|keys| keys.len());
        Ok(self.0.queries.own_read(count).await??)
    }

    /// Creates a job that drains a handler, skips what is open, discards its dead letters and removes it. The returned
    /// future carries it out.
    ///
    /// # Errors
    /// [`Refusal::TooManyJobs`].
    pub fn begin_removal(
        &self,
        handler: HandlerName,
        audit: Audit,
        now_ms: u64,
    ) -> Result<(u64, impl Future<Output = ()> + Send + use<>), Refusal> {
        self.begin_job("remove", audit, now_ms, move |own, id, audit| async move {
            own.remove_with_open(id, handler, audit).await
        })
    }

    /// Creates a job that runs a handler's deliveries that wait for a retry now, with all their attempts.
    ///
    /// # Errors
    /// [`Refusal::TooManyJobs`].
    pub fn begin_retry_of_waiting(
        &self,
        handler: HandlerName,
        audit: Audit,
        now_ms: u64,
    ) -> Result<(u64, impl Future<Output = ()> + Send + use<>), Refusal> {
        self.begin_job("retry", audit, now_ms, move |own, id, audit| async move {
            own.decide_each(id, &handler, Which::Retrying, &audit).await
        })
    }

    async fn remove_with_open(&self, id: u64, handler: HandlerName, audit: Audit) -> Result<(), Refusal> {
        // It takes no more events, so this ends.
        self.change_mode(handler.clone(), Mode::Draining, audit.clone()).await?;
        while self.0.bulk_jobs.is_running(id) {
            self.decide_each(id, &handler, Which::Open, &audit).await?;
            self.decide_each(id, &handler, Which::DeadLetters, &audit).await?;
            match self.remove(handler.clone(), audit.clone()).await {
                // Some run, or became dead letters meanwhile.
                Err(Refusal::HasDeliveries { .. }) => tokio::time::sleep(PAUSE).await,
                removed => return removed.map(drop),
            }
        }
        Ok(())
    }

    /// Passes once through a handler's deliveries. Those that run, and those that another command decided, are left out.
    async fn decide_each(&self, id: u64, handler: &HandlerName, which: Which, audit: &Audit) -> Result<(), Refusal> {
        let request = match which {
            Which::Open => CommandRequest::Skip,
            Which::Retrying => CommandRequest::Retry,
            Which::DeadLetters => CommandRequest::Discard,
        };
        let mut after = None::<Vec<u8>>;
        loop {
            let (views, name) = (self.0.statuses.views.clone(), handler.clone());
            let (slice, last) = blocking(move || read_slice(&views, &name, which, after.as_deref())).await??;
            for delivery in slice {
                if !self.0.bulk_jobs.is_running(id) {
                    return Ok(());
                }
                match self.command_delivery(delivery, request.clone(), audit.clone()).await {
                    Ok(_) => self.0.bulk_jobs.count(id, false),
                    // It is looked at again.
                    Err(Refusal::Running(_) | Refusal::NotOpen(_) | Refusal::NotADeadLetter(_))
                        if which != Which::Retrying => {}
                    Err(Refusal::Running(_) | Refusal::NotOpen(_) | Refusal::Changed(_) | Refusal::Correction(_)) => {
                        self.0.bulk_jobs.count(id, true);
                    }
                    Err(Refusal::Busy) => tokio::time::sleep(PAUSE).await,
                    Err(refusal) => return Err(refusal),
                }
            }
            match last {
                Some(last) => after = Some(last),
                None => return Ok(()),
            }
        }
    }
}

/// The next deliveries, and the last row that was read, if there was one.
fn read_slice(
    views: &Views,
    handler: &HandlerName,
    which: Which,
    after: Option<&[u8]>,
) -> Result<(Vec<DeliveryId>, Option<Vec<u8>>), StorageError> {
    let prefix = match which {
        Which::Open | Which::Retrying => keys::deliveries_of(handler),
        Which::DeadLetters => keys::dead_letters_of(handler),
    };
    let rows = views.scan(&prefix, after, SLICE)?;
    let last = rows.last().map(|(key, _)| key.clone());
    let is_wanted = |value: &[u8]| match which {
        Which::Open | Which::DeadLetters => true,
        Which::Retrying => postcard::from_bytes::<DeliveryRow>(value)
            .is_ok_and(|row| matches!(row.phase, DeliveryPhase::Retrying { .. })),
    };
    let wanted = rows.iter().filter(|(_, value)| is_wanted(value));
    Ok((wanted.filter_map(|(key, _)| keys::delivery_of(key)).collect(), last))
}
