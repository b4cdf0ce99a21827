//! Limits for queries: how many may read the views and the log at once, beside the writer and off the async threads.
//!
//! Scans visit many rows or records. Few run at once, so that they leave processors to everything else; some more wait, and
//! beyond those a query is refused. Reads fetch one item; they wait for each other and are never refused.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Refusal;

/// Maximum number of waiting scans.
const SCANS_WAITING_MAX: usize = 32;
/// Maximum number of concurrent reads.
const READS_MAX: usize = 16;

/// See the module documentation. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    /// One permit per running or waiting scan.
    room: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// A scan's slot. It is released on drop, also when its caller has gone.
#[derive(Debug)]
pub struct Scan {
    _room: Option<OwnedSemaphorePermit>,
    _scan: OwnedSemaphorePermit,
}

impl Queries {
    /// For a machine with this many processors: scans use half of them.
    pub fn new(processors: usize) -> Self {
        let scans = (processors / 2).max(1);
        let [room, scans, reads] = [scans + SCANS_WAITING_MAX, scans, READS_MAX].map(|n| Arc::new(Semaphore::new(n)));
        Self { room, scans, reads }
    }

    /// A slot for a scan.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`]: the maximum number of scans is waiting.
    pub async fn scan(&self) -> Result<Scan, Refusal> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::TooManyQueries)?;
        let scan = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        Ok(Scan { _room: Some(room), _scan: scan })
    }

    /// A slot for one of the engine's own scans, which waits however many others wait.
    pub async fn own_scan(&self) -> Result<Scan, Refusal> {
        let scan = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        Ok(Scan { _room: None, _scan: scan })
    }

    /// Reads one item, on a thread that may wait for the disk.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }
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
    async fn scans_beyond_the_waiting_limit_are_refused_and_reads_are_not() {
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

    type Waiting<'a> = std::pin::Pin<Box<dyn Future<Output = Result<Scan, Refusal>> + 'a>>;

    fn futures<'a>(
        scans: Vec<std::pin::Pin<Box<impl Future<Output = Result<Scan, Refusal>> + 'a>>>,
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
