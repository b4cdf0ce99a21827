//! Replays on the running server: one at a time, on a thread of low priority with a share of a processor, ended when their caller
//! has gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use weirgate_types::Position;

use super::{Candidate, Handle};
use crate::{
    Refusal,
    replay::{self, Checked, Executable, Pace, Recordings, ReplayError, Verified},
};

/// Maximum number of replays that run or wait.
const WAITING_MAX: usize = 8;
/// Nice value of their thread: a tenth of a busy processor.
const NICE: i32 = 10;
/// Maximum CPU time of one check, and of one part of a verification.
const CHECK_CPU_MAX: Duration = Duration::from_secs(30);
const VERIFY_CPU_MAX: Duration = Duration::from_secs(5);

/// Permits for replays: for those that wait, and for the running one.
pub struct ReplaySlots {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Default for ReplaySlots {
    fn default() -> Self {
        let [waiting, running] = [WAITING_MAX, 1].map(|permits| Arc::new(Semaphore::new(permits)));
        Self { waiting, running }
    }
}

/// Cancels a replay when its caller has gone.
struct Wanted(Arc<AtomicBool>);

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Handle {
    /// Executes the last attempts of the handler again with a candidate, at least `sample` of them.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`], [`Refusal::HistoryNotReady`]; the log cannot be read, or the candidate not be executed.
    pub async fn check(&self, candidate: &Candidate, sample: usize) -> Result<Checked, Refusal> {
        let executable =
            Executable::new(candidate.module.clone(), &candidate.manifest).into_candidate(&candidate.manifest);
        let handler = candidate.manifest.name.clone();
        let mut recordings = self.recordings(self.head());
        let work = move |pace: &mut Pace| replay::check(&mut recordings, &executable, (&handler, sample), pace);
        self.execute_again(CHECK_CPU_MAX, work).await
    }

    /// Executes the attempts again whose commits lie behind `after`. Returns how far it came, which is `through` or less.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`], [`Refusal::HistoryNotReady`]; the log or a module cannot be read.
    pub async fn verify(&self, after: Position, through: Position) -> Result<(Verified, Position), Refusal> {
        let through = through.min(self.head());
        let mut recordings = self.recordings(through);
        self.execute_again(VERIFY_CPU_MAX, move |pace| replay::verify_range(&mut recordings, after, through, pace))
            .await
    }

    async fn execute_again<T: Send + 'static>(
        &self,
        cpu_max: Duration,
        work: impl FnOnce(&mut Pace) -> Result<T, ReplayError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let slots = &self.0.replays;
        let waiting = Arc::clone(&slots.waiting).try_acquire_owned().map_err(|_| Refusal::TooManyQueries)?;
        let running = Arc::clone(&slots.running).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        let cancelled = Arc::new(AtomicBool::new(false));
        let _wanted = Wanted(Arc::clone(&cancelled));
        let (send, result) = oneshot::channel();
        let run = move || {
            let _held: [OwnedSemaphorePermit; 2] = [waiting, running];
            // Of this thread alone: on Linux, a priority is a thread's.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, "the priority of a replay stays as it is");
            }
            drop(send.send(work(&mut Pace::beside(cancelled, cpu_max))));
        };
        thread::Builder::new().name("replay".into()).spawn(run).map_err(|error| Refusal::Panicked(Box::new(error)))?;
        let result = result.await.map_err(|error| Refusal::Panicked(Box::new(error)))?;
        Ok(result?)
    }

    /// The recorded calls that ended up to a position.
    #[must_use]
    pub fn recordings(&self, through: Position) -> Recordings {
        let (look, host) = (self.history().look(), Arc::clone(self.0.modules.host()));
        Recordings::new(look, Arc::clone(&self.0.epochs), host, through)
    }
}
