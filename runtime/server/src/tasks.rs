//! Background tasks that continue after their request has been answered. They end with the server.

use std::sync::{Mutex, PoisonError};

use tokio::task::{JoinError, JoinSet};

/// See the module documentation. Dropping it ends the running tasks.
#[derive(Debug, Default)]
pub struct Tasks(
    /// A std mutex: held for the start of a task.
    Mutex<JoinSet<()>>,
);

impl Tasks {
    /// Runs `work` beside the requests. It reports its own result; a panic is logged.
    pub fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            tell(ended);
        }
        tasks.spawn(work);
    }

    /// Waits until all have ended. None may be started meanwhile.
    pub async fn ended(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = tasks.join_next().await {
            tell(ended);
        }
    }
}

fn tell(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a server task failed");
    }
}
