//! How the writer stops: calls in flight get some time to end, then log and views are closed, even if calls still run.

use std::{
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::sync::oneshot;
use weirgate_core::Input;

use super::{Exit, Writer};

/// How long calls in flight may take to end when the server stops. Those that take longer are tried again after the next
/// start.
const STOP_GRACE: Duration = Duration::from_secs(4);
/// How long to wait for idle worker threads.
const JOIN_PATIENCE: Duration = Duration::from_millis(500);
const JOIN_LOOK: Duration = Duration::from_millis(5);

impl Writer {
    pub(super) fn begin_to_stop(&mut self, reply: oneshot::Sender<()>) -> Result<(), Exit> {
        self.ingress.stop(self.time.monotonic() + STOP_GRACE, reply);
        self.feed(Input::Stopping)
    }

    /// Whether a stop was requested, and running calls have ended or used their time.
    pub(super) fn may_stop(&self) -> bool {
        self.ingress
            .stop_by()
            .is_some_and(|stop_by| self.delivery.machine().running() == 0 || self.time.monotonic() >= stop_by)
    }

    /// Closes log and views. Calls in flight are interrupted: nothing waits for them, and their pending requests end with
    /// the closed channel. An interrupted attempt counts at the next start.
    pub fn stop(self) {
        let Self { ingress, delivery, mut durability, .. } = self;
        let cut_off = delivery.machine().running();
        if cut_off > 0 {
            tracing::info!(calls = cut_off, "cutting off calls that did not end in time");
        }
        let waiting = durability.take_waiting();
        durability.close();
        let workers = delivery.close();
        drop(waiting);
        let replies = ingress.close();
        join_idle(workers, cut_off);
        for reply in replies {
            // Its receiver may be gone.
            let _ = reply.send(());
        }
    }
}

/// Joins the workers that end on their own, all but `busy` of them. The others end with the process.
fn join_idle(workers: Vec<JoinHandle<()>>, busy: usize) {
    let mut left = JOIN_PATIENCE;
    let mut running = workers;
    while running.len() > busy && !left.is_zero() {
        let (ended, others): (Vec<_>, Vec<_>) = running.into_iter().partition(JoinHandle::is_finished);
        running = others;
        for worker in ended {
            if worker.join().is_err() {
                tracing::warn!("a worker panicked");
            }
        }
        thread::park_timeout(JOIN_LOOK);
        left = left.saturating_sub(JOIN_LOOK);
    }
}
