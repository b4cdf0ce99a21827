//! Room for questions: how many may read the views and the log at once, beside the writer and off the async threads.
//!
//! Scans go through many rows or records. Few of them run at once, so that they leave processors to everything else; some more
//! wait, and beyond those a question is refused. Reads look at one thing; they wait for each other and are refused never.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Refusal;

/// How many scans may wait for others.
const SCANS_WAITING_MAX: usize = 32;
/// How many reads go on at once.
const READS_MAX: usize = 16;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queries {
    /// One permit a scan that goes on or waits.
    room: Arc<Semaphore>,
    scans: Arc<Semaphore>,
    reads: Arc<Semaphore>,
}

/// A scan's place. It goes back when this is dropped, also where nobody waits for the answer any more.
#[derive(Debug)]
pub struct Scan {
    _room: Option<OwnedSemaphorePermit>,
    _scan: OwnedSemaphorePermit,
}

impl Queries {
    /// For a machine with so many processors: scans take half of them.
    pub fn new(processors: usize) -> Self {
        let scans = (processors / 2).max(1);
        let [room, scans, reads] = [scans + SCANS_WAITING_MAX, scans, READS_MAX].map(|n| Arc::new(Semaphore::new(n)));
        Self { room, scans, reads }
    }

    /// A place for a scan.
    ///
    /// # Errors
    /// [`Refusal::TooManyQueries`]: as many as may wait do.
    pub async fn scan(&self) -> Result<Scan, Refusal> {
        let room = Arc::clone(&self.room).try_acquire_owned().map_err(|_| Refusal::TooManyQueries)?;
        let scan = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        Ok(Scan { _room: Some(room), _scan: scan })
    }

    /// A place for a scan of the engine's own, which waits however many others do.
    pub async fn own_scan(&self) -> Result<Scan, Refusal> {
        let scan = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        Ok(Scan { _room: None, _scan: scan })
    }

    /// Look at one thing, on a thread that may wait for the disk.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let permit = Arc::clone(&self.reads).acquire_owned().await.map_err(|_| Refusal::Stopped)?;
        blocking(move || {
            let _permit = permit;
            work()
        })
        .await
    }
}

/// Run something that may wait for the disk beside the async tasks.
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
    async fn beyond_those_that_wait_scans_are_refused_and_reads_are_not() {
        let queries = Queries::new(2);
        let running = queries.scan().await.expect("the first");
        let waiting: Vec<_> = (0..SCANS_WAITING_MAX).map(|_| Box::pin(queries.scan())).collect();
        let mut waiting = futures(waiting);
        assert!(waiting.iter_mut().all(|scan| poll(scan).is_none()), "they wait");
        assert!(matches!(queries.scan().await, Err(Refusal::TooManyQueries)));
        assert_eq!(queries.read(|| 7).await.expect("an answer"), 7);
        drop(waiting.pop());
        assert!(poll(&mut Box::pin(queries.scan())).is_none(), "whoever left gave his place back");
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
