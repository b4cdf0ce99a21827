//! What handlers call outside: a host that gives another answer to each request, so that an answer that is used again differs from one that was
//! asked for anew.

use std::sync::{Mutex, MutexGuard, PoisonError};

use weirgate_engine::sim::Services;
use weirgate_host::{Call, CallError, Outbound, OutboundCall, Source};
use weirgate_types::{DeliveryId, Digest, HandlerName, Position, StepAnswer, StepRequest, StepResult};

use crate::{
    Chance,
    checks::index_of,
    handlers::{EMITTED, Handlers},
};

/// The step of a delivery that makes a call.
pub const STEP: &str = "rate";

/// A call of a replay that reached the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeCall {
    pub idempotency_key: String,
    pub delivery: DeliveryId,
    pub request: StepRequest,
}

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Host(Mutex<Answered>);

#[derive(Debug, Default)]
struct Answered {
    count: u64,
    by_replays: Vec<MadeCall>,
}

impl Host {
    fn answered(&self) -> MutexGuard<'_, Answered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a request.
    pub fn answer(&self) -> StepAnswer {
        let mut answered = self.answered();
        answered.count += 1;
        StepAnswer { status: 200, headers: Vec::new(), body: answered.count.to_string().into_bytes() }
    }

    /// The calls of replays since the last call of this function.
    pub fn take(&self) -> Vec<MadeCall> {
        std::mem::take(&mut self.answered().by_replays)
    }

    /// What a delivery's call comes to in a replay.
    pub fn fetch(&self, call: &Call<'_>, (_, outbound): &Services, request: StepRequest) -> Result<u64, CallError> {
        let outbound: &dyn Outbound = &**outbound;
        let result = match outbound.source(STEP, &request)? {
            Source::Record(known) => known.result,
            Source::Nothing => return Err(CallError::Unrecorded(STEP.to_owned())),
            Source::Network => {
                let answer = self.answer();
                let (idempotency_key, delivery) = (outbound.idempotency_key(STEP), call.delivery.clone());
                self.answered().by_replays.push(MadeCall { idempotency_key, delivery, request: request.clone() });
                let result = StepResult::Answered(answer);
                outbound.record(STEP, OutboundCall { request, result: result.clone(), requests: 1 })?;
                result
            }
        };
        match result.finished() {
            Some(answer) => Ok(number_of(answer)),
            None => Err(CallError::Unrecorded(STEP.to_owned())),
        }
    }
}

/// What an answer says.
#[must_use]
pub fn number_of(answer: &StepAnswer) -> u64 {
    String::from_utf8_lossy(&answer.body).parse().unwrap_or(0)
}

impl Handlers {
    /// The request of a delivery, if it makes one. With the bug, it is another one.
    #[must_use]
    pub fn request(
        self,
        handler: &HandlerName,
        r#type: &str,
        position: Position,
        is_fixed: bool,
    ) -> Option<StepRequest> {
        let place = position.0 * 3 + index_of(handler) as u64;
        let mut chance = Chance::seeded(self.seed.wrapping_mul(37).wrapping_add(place));
        let calls = self.has_calls && (r#type.starts_with("order.") || r#type.starts_with("pay."));
        if !calls || r#type.starts_with(EMITTED) || !chance.one_in(2) {
            return None;
        }
        let method = if chance.one_in(3) { "POST" } else { "GET" };
        let is_wrong = !is_fixed && self.is_hit(handler, r#type, position);
        let mut digest = [u8::from(is_wrong); 32];
        digest.iter_mut().zip(place.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
        let digest = Digest(digest);
        Some(StepRequest { method: method.to_owned(), url: "https://rates.example/".to_owned(), digest })
    }
}
