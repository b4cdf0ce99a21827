//! Work that goes on after its request has been answered. It ends with the server.

use std::sync::{Mutex, PoisonError};

use tokio::task::{JoinError, JoinSet};

/// See the module. Dropping it ends what is under way.
#[derive(Debug, Default)]
pub struct Tasks(
    /// A std mutex: held for the start of a task.
    Mutex<JoinSet<()>>,
);

impl Tasks {
    /// Carry `work` out beside the requests. It says itself how it ended; a panic is told in the log.
    pub fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            tell(ended);
        }
        tasks.spawn(work);
    }
}

fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a server task failed");
    }
}
