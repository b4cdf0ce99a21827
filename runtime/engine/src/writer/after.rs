//! Replies and jobs that wait until the pass's records are durable.

use crossbeam_channel::Sender;
use weirgate_core::HoldId;
use weirgate_types::Position;

use super::Delivery;
use crate::{
    BreakerItem, BreakerPage, HandlerItem, Ingested, Refusal,
    command::{HoldToken, KnownState, Permit, Reply},
    job::Job,
};

pub enum After {
    Ingested { reply: Reply<Vec<Ingested>>, ingested: Vec<Ingested>, permit: Permit },
    Handlers { reply: Reply<Vec<HandlerItem>>, items: Vec<HandlerItem> },
    KnownStates { reply: Reply<Vec<KnownState>>, known: Vec<KnownState> },
    Handler { reply: Reply<HandlerItem>, item: Box<Result<HandlerItem, Refusal>> },
    Commanded { reply: Reply<Position>, position: Position },
    Breakers { reply: Reply<BreakerPage>, page: BreakerPage },
    Breaker { reply: Reply<BreakerItem>, item: BreakerItem },
    Held { reply: Reply<HoldToken>, token: HoldToken },
    Stepped(Sender<Result<(), Refusal>>),
    Deliver(Job),
}

impl After {
    /// A reply to a client that has disconnected is dropped. Returns the hold that it was about, which nothing would end.
    pub fn perform(self, delivery: &Delivery) -> Option<HoldId> {
        match self {
            Self::Ingested { reply, ingested, permit } => {
                drop(permit);
                drop(reply.send(Ok(ingested)));
            }
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::KnownStates { reply, known } => drop(reply.send(Ok(known))),
            Self::Handler { reply, item } => drop(reply.send(*item)),
            Self::Commanded { reply, position } => drop(reply.send(Ok(position))),
            Self::Breakers { reply, page } => drop(reply.send(Ok(page))),
            Self::Breaker { reply, item } => drop(reply.send(Ok(item))),
            Self::Held { reply, token } => {
                return reply.send(Ok(token)).err().and_then(Result::ok).map(|token| token.hold);
            }
            Self::Stepped(reply) => drop(reply.send(Ok(()))),
            Self::Deliver(job) => delivery.send(job),
        }
        None
    }

    /// Answers queries, and tells callers of pending writes that the outcome is not known yet; commands without a caller are
    /// kept for later. Holds are refused, and so added to `over`.
    pub fn answer_outcome_unknown(self, over: &mut Vec<HoldId>) -> Option<Self> {
        match self {
            Self::Ingested { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Handler { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Commanded { reply, .. } => drop(reply.send(Err(Refusal::OutcomeUnknown))),
            Self::Held { reply, token } => {
                over.push(token.hold);
                drop(reply.send(Err(Refusal::DiskFull)));
            }
            Self::Breakers { reply, page } => drop(reply.send(Ok(page))),
            Self::Breaker { reply, item } => drop(reply.send(Ok(item))),
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::KnownStates { reply, known } => drop(reply.send(Ok(known))),
            // The guest waits until its outbound call is durable.
            waiting @ (Self::Deliver(_) | Self::Stepped(_)) => return Some(waiting),
        }
        None
    }
}
