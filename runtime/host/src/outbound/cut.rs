//! Exchanges that can be cut off: each runs on a thread of its own, and its caller looks now and then whether the result is still needed.
//! A thread whose exchange was cut off sends no request any more, and ends with its time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use weirgate_types::StepAnswer;

use super::{Network, error::FetchError, request::Outgoing};
use crate::{Grant, Processor, clock::Deadline};

/// How often it is looked whether the result is still needed.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Maximum number of such exchanges, those that were cut off and have not ended included.
const EXCHANGES_MAX: usize = 64;

/// A request, and what it may take.
pub(super) struct Exchange<'a> {
    pub(super) request: &'a Outgoing,
    pub(super) deadline: Deadline,
    pub(super) answer_bytes_max: u64,
    /// The bytes of the answer, held until the thread ends.
    pub(super) room: Grant,
}

/// What came of an exchange, with the bytes of its answer; `None`: it was cut off, because `processor` discards the call.
pub(super) fn exchange(
    network: &Arc<Network>,
    exchange: Exchange<'_>,
    processor: &dyn Processor,
) -> Option<(Result<StepAnswer, FetchError>, Option<Grant>)> {
    let unreachable = |reason: String| Some((Err(FetchError::Unreachable(reason)), None));
    let Some(slot) = Slot::take(network.cuttable()) else {
        return unreachable(format!("{EXCHANGES_MAX} calls that were cut off have not ended"));
    };
    let (sender, ended) = sync_channel(1);
    let is_cut = Arc::new(AtomicBool::new(false));
    let Exchange { request, deadline, answer_bytes_max, room } = exchange;
    let (on_thread, request, cut) = (Arc::clone(network), request.clone(), Arc::clone(&is_cut));
    let work = move || {
        let _slot = slot;
        let answer = on_thread.exchange_unless(cut, &request, &deadline, answer_bytes_max);
        // The receiver is gone if it was cut off.
        let _ = sender.send((answer, room));
    };
    if let Err(error) = std::thread::Builder::new().name("call".into()).spawn(work) {
        return unreachable(format!("a thread for the call cannot be started: {error}"));
    }
    loop {
        match ended.recv_timeout(LOOK) {
            Ok((answer, room)) => return Some((answer, Some(room))),
            Err(RecvTimeoutError::Timeout) if processor.is_discarded() => {
                is_cut.store(true, Ordering::Relaxed);
                return None;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return unreachable("the call was aborted".to_owned()),
        }
    }
}

/// Held while an exchange is in progress.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(under_way));
        (under_way.fetch_add(1, Ordering::SeqCst) < EXCHANGES_MAX).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
