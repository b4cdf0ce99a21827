//! What waits until the pass's records are durable.

use crossbeam_channel::Sender;
use weirgate_types::{HandlerName, Position};

use crate::{
    BreakerItem, HandlerItem, Ingested, Refusal,
    command::{KnownState, Permit, Reply},
    job::Job,
    workers::Jobs,
};

pub enum After {
    Ingested { reply: Reply<Vec<Ingested>>, ingested: Vec<Ingested>, permit: Permit },
    Handlers { reply: Reply<Vec<HandlerItem>>, items: Vec<HandlerItem> },
    KnownStates { reply: Reply<Vec<KnownState>>, known: Vec<KnownState> },
    Handler { reply: Reply<HandlerItem>, item: Box<Result<HandlerItem, Refusal>> },
    Commanded { reply: Reply<Position>, position: Position },
    Breakers { reply: Reply<Vec<BreakerItem>>, items: Vec<BreakerItem> },
    Stepped(Sender<Result<(), Refusal>>),
    Deliver(Job),
}

impl After {
    /// Whether it is this call of a handler.
    pub fn is_call(&self, handler: &HandlerName, call: Position) -> bool {
        matches!(self, Self::Deliver(job) if job.call == call && job.handler == *handler)
    }

    /// A reader who has gone away misses his answer, and nothing else happens.
    pub fn perform(self, jobs: &Jobs) {
        match self {
            Self::Ingested { reply, ingested, permit } => {
                drop(permit);
                drop(reply.send(Ok(ingested)));
            }
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::KnownStates { reply, known } => drop(reply.send(Ok(known))),
            Self::Handler { reply, item } => drop(reply.send(*item)),
            Self::Commanded { reply, position } => drop(reply.send(Ok(position))),
            Self::Breakers { reply, items } => drop(reply.send(Ok(items))),
            Self::Stepped(reply) => drop(reply.send(Ok(()))),
            Self::Deliver(job) => jobs.send(job),
        }
    }
}
