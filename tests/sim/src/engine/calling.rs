//! Deliveries that call outside. Live, an attempt goes on when the answer is durable, and a later attempt uses it again. Replays use recorded
//! answers; they call only what was consented to.

use weirgate_engine::sim::{Call, MissingAnswers, Replay, ReplayError, Runs};
use weirgate_types::{AttemptFailure, DeliveryId, FailureClass, FailureKind, Position, Record, StepRequest, Stepped};

use super::{History, Stop, unreadable};
use crate::{
    Checked, Rule,
    calls::{MadeCall, STEP, number_of},
    checks::check,
    handlers,
};

/// Maximum number of calls of a replay that is computed while nothing else goes on.
const CALLS_MAX: usize = 1_000;

impl History<'_> {
    /// The answers of a call's deliveries, in order; `None`: some were asked for just now.
    pub(super) fn answers(&mut self, call: &Call) -> Option<Vec<Result<u64, AttemptFailure>>> {
        let (handler, is_fixed) = (call.handler().clone(), call.has_setting(handlers::FIXED));
        let (mut answers, mut is_waiting) = (Vec::new(), false);
        let items: Vec<_> = call.items().collect();
        for (index, (position, attempt)) in items.into_iter().enumerate() {
            let r#type = self.event_at(position).r#type.clone();
            let Some(request) = self.handlers.request(&handler, &r#type, position, is_fixed) else {
                answers.push(Ok(0));
                continue;
            };
            let delivery = DeliveryId { handler: handler.clone(), position };
            let own = self.stepped(&delivery).rfind(|stepped| stepped.attempt == attempt).cloned();
            let known = own.or_else(|| self.engine.answered_before(call, index, STEP));
            if known.is_some() {
                // A later handler of that name may come to it again.
                self.asked.remove(&(delivery.clone(), attempt));
            }
            match known {
                Some(known) if known.request != request => {
                    let differs = AttemptFailure::found(FailureKind::Handler, "the step has another request");
                    answers.push(Err(AttemptFailure { class: FailureClass::Permanent, ..differs }));
                }
                Some(known) => answers.push(Ok(known.result.finished().map_or(0, number_of))),
                None => {
                    is_waiting = true;
                    if self.asked.insert((delivery, attempt)) {
                        let answer = self.host.answer();
                        drop(self.engine.answer_request(call, index, (STEP.to_owned(), request), answer));
                    }
                }
            }
        }
        (!is_waiting).then_some(answers)
    }

    /// The answers of a delivery in the log, since a handler of that name was removed.
    fn stepped(&self, delivery: &DeliveryId) -> impl DoubleEndedIterator<Item = &Stepped> {
        let is_its = |stepped: &Stepped| stepped.delivery == *delivery && stepped.step == STEP;
        let removed = |record: &Record| matches!(record, Record::Removed(one) if one.handler == delivery.handler);
        let from = self.records.iter().rposition(|(_, record)| removed(record)).unwrap_or(0);
        self.records.iter().skip(from).filter_map(move |(_, record)| match record {
            Record::Stepped(stepped) if is_its(stepped) => Some(stepped),
            _ => None,
        })
    }

    /// What a request of a delivery is answered in a replay: as the delivery was, or as a replay was.
    pub(super) fn answer_of(
        &self,
        delivery: &DeliveryId,
        request: &StepRequest,
        replay: Option<&Replay>,
    ) -> Option<u64> {
        let own = self.stepped(delivery).find(|stepped| stepped.request == *request);
        let own = own.and_then(|stepped| stepped.result.finished()).map(number_of);
        let of_replay = |replay: &Replay| {
            let answered = |(_, record): &(Position, Record)| match record {
                Record::ReplayAnswered(one) if one.delivery == *delivery && self.counts_for(one.replay, replay) => {
                    Some((one.request.clone(), number_of(&one.answer)))
                }
                _ => None,
            };
            let mut answered = self.records.iter().rev().filter_map(answered);
            answered.find(|(known, _)| known == request).map(|(_, number)| number)
        };
        let is_last = replay.is_some_and(|replay| replay.request.missing_answers == MissingAnswers::Last);
        let last = || self.stepped(delivery).next_back().and_then(|one| one.result.finished()).map(number_of);
        own.or_else(|| replay.and_then(of_replay)).or_else(|| if is_last { last() } else { None })
    }

    /// Whether the answers of a replay are used again by another one: if it is the same, or its plan was approved and not undone.
    fn counts_for(&self, answered: Position, replay: &Replay) -> bool {
        let approved = |record: &Record| matches!(record, Record::ReplayApproved(one) if one.replay == answered);
        let is_approved = || self.records.iter().any(|(_, record)| approved(record));
        answered == replay.id.replay || is_approved() && !self.undone().contains(&answered)
    }

    /// What came of a look at the log; `None`: a call was made, and is looked at again when its answer is durable.
    pub(super) fn unless_it_waits<T>(
        &mut self,
        replay: &Replay,
        looked: Result<T, ReplayError>,
    ) -> Result<Option<T>, Stop> {
        for made in self.host.take() {
            self.check_made(replay, &made)?;
        }
        match (replay.waits.swap(false, std::sync::atomic::Ordering::Relaxed), looked) {
            (true, Err(_)) => Ok(None),
            (_, looked) => Ok(Some(looked.map_err(unreadable)?)),
        }
    }

    /// A what-if makes no call without consent, and with it those that only read; an application those that were approved. A call whose
    /// answer is durable is not made again.
    fn check_made(&mut self, replay: &Replay, made: &MadeCall) -> Checked {
        let is_safe = matches!(made.request.method.as_str(), "GET" | "HEAD");
        let consents = replay.request.missing_answers == MissingAnswers::Call && is_safe;
        let approves = replay.is_applied && replay.choices.allow_calls;
        let is_candidate = matches!(replay.request.runs, Runs::Candidate(_));
        check(Rule::Calls, is_candidate && (consents || approves), || {
            format!("replay {} makes {made:?} without consent", replay.id)
        })?;
        let is_answer = |record: &Record| match record {
            Record::ReplayAnswered(one) => {
                one.replay == replay.id.replay && one.delivery == made.delivery && one.request == made.request
            }
            _ => false,
        };
        let is_known = self.records.iter().any(|(_, record)| is_answer(record));
        check(Rule::Calls, !is_known, || format!("replay {} makes {made:?} again", replay.id))?;
        let whose = (replay.id.replay, made.delivery.clone());
        let other =
            self.repairs.keys.insert(made.idempotency_key.clone(), whose.clone()).filter(|other| *other != whose);
        check(Rule::Calls, other.is_none(), || format!("replay {} makes {made:?} with the key of {other:?}", replay.id))
    }

    /// Nothing else goes on: what was called is awaited.
    pub(super) fn compute_whole(&mut self, replay: &Replay) -> Result<weirgate_engine::Computed, Stop> {
        for _ in 0..CALLS_MAX {
            if let Some(computed) = self.compute(replay)? {
                return Ok(computed);
            }
            self.pass()?;
        }
        Err(unreadable(format!("replay {} makes calls without an end", replay.id)).into())
    }
}
