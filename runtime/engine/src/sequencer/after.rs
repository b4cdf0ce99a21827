//! What waits until the turn's records are durable.

use crossbeam_channel::Sender;
use weirgate_types::DeliveryId;

use crate::{
    DeliveryItem, HandlerItem, Published, Refusal,
    command::{Permit, Reply},
    job::Job,
};

pub enum After {
    Published { reply: Reply<Vec<Published>>, published: Vec<Published>, permit: Permit },
    Handlers { reply: Reply<Vec<HandlerItem>>, items: Vec<HandlerItem> },
    Deliveries { reply: Reply<Vec<DeliveryItem>>, items: Result<Vec<DeliveryItem>, Refusal> },
    Handler { reply: Reply<HandlerItem>, item: Box<Result<HandlerItem, Refusal>> },
    Resubmitted { reply: Reply<DeliveryId>, delivery: DeliveryId },
    Deliver(Job),
}

impl After {
    /// A reader who has gone away misses his answer, and nothing else happens.
    pub fn perform(self, jobs: &Sender<Job>) {
        match self {
            Self::Published { reply, published, permit } => {
                drop(permit);
                drop(reply.send(Ok(published)));
            }
            Self::Handlers { reply, items } => drop(reply.send(Ok(items))),
            Self::Deliveries { reply, items } => drop(reply.send(items)),
            Self::Handler { reply, item } => drop(reply.send(*item)),
            Self::Resubmitted { reply, delivery } => drop(reply.send(Ok(delivery))),
            // The workers' end of the channel lives as long as the sequencer.
            Self::Deliver(job) => drop(jobs.send(job)),
        }
    }
}
