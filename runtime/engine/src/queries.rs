//! Limits for queries: how many may read the views and the log at once, beside the writer and off the async threads.
//!
//! Scans visit many rows or records. Few run at once, so that they leave processors to everything else. Reads fetch one item, and
//! statuses have threads of their own, so that nothing else delays them. Of each, some more wait, and beyond those a query is
//! refused. What commands, watched subjects and the engine itself read is never refused: they are limited elsewhere.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Refusal;

/// Maximum number of waiting scans.
const SCANS_WAITING_MAX: usize = 32;
/// Maximum number of concurrent reads of one item, and of those that wait.
const READS_MAX: usize = 16;
const READS_WAITING_MAX: usize = 1_024;
/// The same for statuses. The clients of a server that was restarted ask all at once.
const STATUSES_MAX: usize = 16;
const STATUSES_WAITING_MAX: usize = 4_096;

/// See the module documentation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    scans: Line,
    reads: Line,
    statuses: Line,
}

/// Some run at once, some wait.
#[derive(Debug, Clone)]
struct Line {
    /// One permit per running or waiting query.
    room: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

impl Line {
    fn new(running_max: usize, waiting_max: usize) -> Self {
        let [room, running] = [running_max + waiting_max, running_max].map(|n| Arc::new(Semaphore::new(n)));
        Self { room, running }
    }

    async fn enter(&self) -> Result<Slot, Refusal> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::TooManyQueries)?;
        Ok(Slot { _room: Some(room), ..self.wait().await? })
    }

    /// Waits however many others wait.
    async fn wait(&self) -> Result<Slot, Refusal> {
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        Ok(Slot { _room: None, _running: running })
    }
}

/// A query's slot. It is released on drop, also when its caller has gone.
#[derive(Debug)]
pub struct Slot {
    _room: Option<OwnedSemaphorePermit>,
    _running: OwnedSemaphorePermit,
}

impl Queries {
    /// For a machine with this many processors: scans use half of them.
    pub fn new(processors: usize) -> Self {
        Self {
            scans: Line::new((processors / 2).max(1), SCANS_WAITING_MAX),
            reads: Line::new(READS_MAX, READS_WAITING_MAX),
            statuses: Line::new(STATUSES_MAX, STATUSES_WAITING_MAX),
        }
    }

    /// A slot for a scan.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`]: the maximum number of scans is waiting.
    pub async fn scan(&self) -> Result<Slot, Refusal> {
        self.scans.enter().await
    }

    /// A slot for one of the engine's own scans, which waits however many others wait.
    pub async fn own_scan(&self) -> Result<Slot, Refusal> {
        self.scans.wait().await
    }

    /// Reads one item, on a thread that may wait for the disk.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`]: the maximum number of reads is waiting.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        run(self.reads.enter().await?, work).await
    }

    /// The same for a command, or for the engine itself: it waits however many others wait.
    pub async fn own_read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        run(self.reads.wait().await?, work).await
    }

    /// Reads a status.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`]: the maximum number of them is waiting.
    pub async fn status<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        run(self.statuses.enter().await?, work).await
    }

    /// Reads a status for a watcher, of which each reads one at a time: their number is that of live connections at most.
    pub async fn watched_status<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        run(self.statuses.wait().await?, work).await
    }
}

async fn run<T: Send + 'static>(slot: Slot, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    blocking(move || {
        let _slot = slot;
        work()
    })
    .await
}

/// Runs a job that may wait for the disk beside the async tasks.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| match error.is_panic() {
        true => Refusal::Panicked(Box::new(error)),
        false => Refusal::Stopped,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn scans_beyond_the_waiting_limit_are_refused_and_reads_have_a_line_of_their_own() {
        let queries = Queries::new(2);
        let running = queries.scan().await.expect("the first");
        let waiting: Vec<_> = (0..SCANS_WAITING_MAX).map(|_| Box::pin(queries.scan())).collect();
        let mut waiting = futures(waiting);
        assert!(waiting.iter_mut().all(|scan| poll(scan).is_none()), "they wait");
        assert!(matches!(queries.scan().await, Err(Refusal::TooManyQueries)));
        assert_eq!(queries.read(|| 7).await.expect("an answer"), 7);
        drop(waiting.pop());
        assert!(poll(&mut Box::pin(queries.scan())).is_none(), "a dropped query releases its slot");
        drop(running);
        assert!(poll(waiting.first_mut().expect("one that waits")).is_some_and(|scan| scan.is_ok()));
    }

    #[tokio::test]
    async fn reads_that_wait_are_limited_and_delay_no_status() {
        let queries = Queries::new(2);
        let running: Vec<_> = (0..READS_MAX).map(|_| poll(&mut Box::pin(queries.reads.enter()))).collect();
        assert!(running.iter().all(|slot| matches!(slot, Some(Ok(_)))), "they run");
        let mut waiting: Vec<_> = (0..READS_WAITING_MAX).map(|_| Box::pin(queries.read(|| 7))).collect();
        assert!(waiting.iter_mut().all(|read| poll(read).is_none()), "they wait");
        assert!(matches!(queries.read(|| 7).await, Err(Refusal::TooManyQueries)));
        assert!(poll(&mut Box::pin(queries.own_read(|| 7))).is_none(), "a command's waits");
        assert_eq!(queries.status(|| 7).await.expect("a status"), 7);
        drop((running, waiting));
        assert_eq!(queries.read(|| 7).await.expect("an answer"), 7);
    }

    type Waiting<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Slot, Refusal>> + 'a>>;

    fn futures<'a>(
        scans: Vec<std::pin::Pin<Box<impl Future<Output = Result<Slot, Refusal>> + 'a>>>,
    ) -> Vec<Waiting<'a>> {
        scans.into_iter().map(|scan| -> Waiting<'a> { scan }).collect()
    }

    fn poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut context) {
            std::task::Poll::Ready(ready) => Some(ready),
            std::task::Poll::Pending => None,
        }
    }
}
