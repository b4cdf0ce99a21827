//! The thread that writes and merges the runs of the index of identities, when the writer says that there is something to write, and
//! makes damaged ones again.

use std::{sync::Arc, thread, time::Duration};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use weirgate_history::{HistoryError, Identities, Progress};

/// How often it looks for damaged runs: those who find one do not wake it.
const IDLE: Duration = Duration::from_secs(1);
/// How long to wait after an error before trying again.
const TROUBLE: Duration = Duration::from_secs(5);

/// Starts the thread. It looks for work each time the returned channel gets something, and ends with it.
pub fn start(identities: Arc<Identities>) -> std::io::Result<Sender<()>> {
    let (wake, woken) = bounded(1);
    thread::Builder::new().name("identities".into()).spawn(move || run(&identities, &woken))?;
    Ok(wake)
}

fn run(identities: &Identities, woken: &Receiver<()>) {
    loop {
        let made = make_all(identities, woken);
        let pause = match &made {
            Ok(()) => IDLE,
            Err(error) => {
                let error = error as &dyn std::error::Error;
                tracing::warn!(error, "a run of the index of identities was not made; this is tried again");
                TROUBLE
            }
        };
        if woken.recv_timeout(pause) == Err(RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

/// Returns when everything is made, or when the writer has ended.
fn make_all(identities: &Identities, woken: &Receiver<()>) -> Result<(), HistoryError> {
    while identities.make_next()? != Progress::Nothing {
        if woken.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
            break;
        }
    }
    Ok(())
}
