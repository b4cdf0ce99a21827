//! An attempt on its way to a worker and back.

use std::{collections::BTreeMap, sync::Arc};

use weirgate_host::{CallReport, Module};
use weirgate_types::{CallLimits, DeliveryId, Digest, Position, Record};

/// What a worker needs to make an attempt.
#[derive(Debug)]
pub struct Job {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub at_ms: u64,
    pub callee: Arc<Callee>,
    /// The record that holds the event and its position, where it is still in memory; else the worker reads it.
    pub record: Option<(Position, Arc<Record>)>,
}

/// A handler that can be called.
#[derive(Debug)]
pub struct Callee {
    pub digest: Digest,
    pub module: Module,
    pub config: Arc<BTreeMap<String, String>>,
    pub limits: CallLimits,
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Finished {
    pub delivery: DeliveryId,
    pub attempt: u32,
    pub key: String,
    pub report: CallReport,
}
