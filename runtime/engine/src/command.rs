//! What the sequencer is asked to do, and the answers. A closed list.

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weirgate_core::DeliveryState;
use weirgate_host::Module;
use weirgate_types::{AttemptFailure, DeliveryId, Deployed, Digest, Event, HandlerName, LogLine, Manifest, Position};

use crate::{Refusal, job::Finished};

/// A place among the events that may be on their way into the log at once. Given back when they are in it, however long
/// whoever sent them waits.
pub type Permit = OwnedSemaphorePermit;

pub type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// One thing to do. Replies are sent when what they say is durable.
#[derive(Debug)]
pub enum Command {
    Publish {
        events: Vec<Event>,
        permit: Permit,
        reply: Reply<Vec<Published>>,
    },
    Finished(Box<Finished>),
    Deploy {
        deployed: Box<Deployed>,
        module: Module,
        reply: Reply<HandlerItem>,
    },
    /// A module that was loaded at the start, or `None` where that failed.
    Loaded {
        handler: HandlerName,
        digest: Digest,
        module: Option<Module>,
    },
    Pause {
        handler: HandlerName,
        pause: bool,
        reply: Reply<HandlerItem>,
    },
    Resubmit {
        letter: Box<DeadLetter>,
        reply: Reply<DeliveryId>,
    },
    Handlers {
        reply: Reply<Vec<HandlerItem>>,
    },
    Deliveries {
        filter: DeliveryFilter,
        reply: Reply<Vec<DeliveryItem>>,
    },
    /// Stop after what has been taken is durable.
    Stop {
        reply: oneshot::Sender<()>,
    },
    /// Something outside the sequencer failed in a way that must not go on.
    Broken {
        why: String,
    },
}

/// What became of a published event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub id: String,
    pub source: String,
    pub key: String,
    /// Where the event stands in the log; for a duplicate, where its first copy does.
    pub position: Position,
    pub duplicate: bool,
}

/// A handler, as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct HandlerItem {
    pub name: HandlerName,
    pub digest: Digest,
    pub manifest: Manifest,
    pub paused: bool,
    /// Whether the module is loaded and can be called.
    pub ready: bool,
    /// Everything up to here is done with.
    pub checkpoint: Position,
    /// How many positions lie between the checkpoint and the log's head.
    pub lag: u64,
    pub open: usize,
    pub running: usize,
    pub retrying: usize,
    pub deployed_at_ms: u64,
}

/// Which open deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    pub handler: Option<HandlerName>,
    pub key: Option<String>,
    /// `running`, `ready`, `retrying` or `parked-behind`.
    pub state: Option<String>,
    pub limit: usize,
}

/// An open delivery.
#[derive(Debug, Clone)]
pub struct DeliveryItem {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub state: DeliveryState,
}

/// A delivery that used up its attempts or failed for good.
#[derive(Debug, Clone, Serialize, serde::Deserialize)]
pub struct DeadLetter {
    pub delivery: DeliveryId,
    pub key: String,
    pub attempt: u32,
    pub at_ms: u64,
    pub failure: AttemptFailure,
    /// The position of the commit that says so.
    pub position: Position,
    /// What the last attempt logged.
    pub log: Vec<LogLine>,
}
