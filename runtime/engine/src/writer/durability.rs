//! Durability: the log, the views behind it, and what waits for the next commit. Knows no machine and no clients.

use std::sync::Arc;

use weirgate_core::HoldId;
use weirgate_log::{Log, LogError, LogReader};
use weirgate_types::{HandlerName, Outcome, Position, Record};
use weirgate_views::Views;

use super::{after::After, space::DiskSpace};
use crate::{
    Hub, StorageError,
    job::{Job, StoredRecord},
    projection::Projection,
    recent::Recent,
    statuses::Statuses,
};

/// Approximate memory limit of the newest events, in bytes. Older events that become due are read from the log.
const RECENT_BYTES_MAX: usize = 16 << 20;

/// See the module documentation.
pub struct Durability {
    log: Log,
    reader: LogReader,
    projection: Projection,
    views: Views,
    hub: Arc<Hub>,
    recent: Recent,
    /// Replies and jobs to release when the staged records are durable.
    after: Vec<After>,
    staged_records: usize,
    committed_records: usize,
    /// Where each commit ended, for the simulator.
    #[cfg(feature = "sim")]
    commits: Vec<Position>,
    space: DiskSpace,
}

impl Durability {
    pub fn new(log: Log, statuses: Statuses, hub: Arc<Hub>, space: DiskSpace) -> Self {
        let keys = log.key_hasher();
        Self {
            reader: log.reader(),
            log,
            views: statuses.views.clone(),
            projection: Projection::new(statuses, keys),
            hub,
            recent: Recent::new(RECENT_BYTES_MAX),
            after: Vec::new(),
            staged_records: 0,
            committed_records: 0,
            #[cfg(feature = "sim")]
            commits: Vec::new(),
            space,
        }
    }

    /// The last durable position.
    pub fn head(&self) -> Position {
        self.log.head()
    }

    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    pub fn views(&self) -> &Views {
        &self.views
    }

    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    pub fn projection_mut(&mut self) -> &mut Projection {
        &mut self.projection
    }

    pub fn space(&mut self) -> &mut DiskSpace {
        &mut self.space
    }

    pub fn has_space(&self) -> bool {
        self.space.has_space()
    }

    /// Stages a record, and projects it. `None`: the batch is full, and has to be committed first.
    pub fn stage(&mut self, record: &Record) -> Result<Option<Position>, StorageError> {
        let position = match self.log.stage(record) {
            Err(LogError::BatchFull { .. }) => return Ok(None),
            staged => staged?,
        };
        self.staged_records += 1;
        self.projection.project(position, record)?;
        Ok(Some(position))
    }

    /// Keeps a staged record in memory if its events are delivered soon, or if it withholds emissions: those may be released
    /// before they can be read from the log.
    pub fn keep_recent(&mut self, position: Position, record: Record) {
        let withholds = record.commits().iter().any(|commit| commit.outcome == Outcome::Withheld);
        if withholds || record.events(position).next().is_some() {
            self.recent.push(position, Arc::new(record));
        }
    }

    /// Number of bytes that the next commit writes.
    pub fn staged_bytes(&self) -> usize {
        self.log.pending_bytes()
    }

    /// Whether nothing is staged and nothing waits for a commit.
    pub fn is_settled(&self) -> bool {
        self.staged_bytes() == 0 && self.after.is_empty()
    }

    /// Releases this when everything staged so far is durable.
    pub fn when_durable(&mut self, after: After) {
        self.after.push(after);
    }

    /// The job of a call that waits already. The deliveries of a call follow each other directly, so only the last job can
    /// belong to the same call.
    pub fn waiting_job(&mut self, handler: &HandlerName, call: Position) -> Option<&mut Job> {
        match self.after.last_mut() {
            Some(After::Deliver(job)) if job.call == call && job.handler == *handler => Some(job),
            _ => None,
        }
    }

    /// Replies and jobs that waited for the finished commit.
    pub fn take_waiting(&mut self) -> Vec<After> {
        std::mem::take(&mut self.after)
    }

    /// Tells the clients that wait for a commit that its outcome is not known yet. Entries without a client remain. Returns the holds
    /// that are over.
    pub fn answer_outcome_unknown(&mut self) -> Vec<HoldId> {
        let (waiting, mut over) = (std::mem::take(&mut self.after), Vec::new());
        self.after = waiting.into_iter().filter_map(|after| after.answer_outcome_unknown(&mut over)).collect();
        over
    }

    /// Makes the staged records durable.
    pub fn commit(&mut self) -> Result<Position, LogError> {
        let head = self.log.commit()?;
        self.committed_records = std::mem::take(&mut self.staged_records);
        #[cfg(feature = "sim")]
        self.commits.push(head);
        Ok(head)
    }

    /// Where each commit ended since the last call of this function.
    #[cfg(feature = "sim")]
    pub fn take_commits(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.commits)
    }

    /// Number of records that the last commit made durable.
    pub fn committed_records(&self) -> usize {
        self.committed_records
    }

    /// Applies durable records to the views, and broadcasts the changed statuses.
    pub fn apply(&mut self) -> Result<(), StorageError> {
        if self.log.head() == self.views.applied() && self.projection.changes() == 0 {
            return Ok(());
        }
        let (changes, parts) = self.projection.take()?;
        self.views.write(changes, self.log.head())?;
        if !parts.is_empty() {
            self.hub.broadcast(parts);
        }
        Ok(())
    }

    /// Applies records that were read again, up to a position: there are no watchers yet, so nothing is broadcast.
    pub fn apply_replayed(&mut self, through: Position) -> Result<(), StorageError> {
        let (changes, _) = self.projection.take()?;
        Ok(self.views.write(changes, through)?)
    }

    /// The record that holds the event at a position.
    pub fn stored(&self, position: Position) -> Result<StoredRecord, StorageError> {
        if let Some(stored) = self.recent(position) {
            return Ok(stored);
        }
        let read = StoredRecord::read(&self.reader, position)?;
        read.ok_or(StorageError::Missing { what: "record", position })
    }

    /// The same, if it is in memory.
    pub fn recent(&self, position: Position) -> Option<StoredRecord> {
        self.recent.covering(position).map(|(first, record)| StoredRecord { first, record })
    }

    /// Closes views and log, even if something waits.
    pub fn close(self) {
        if let Err(error) = self.views.close() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the views lag; the next start applies the log to them");
        }
        if let Err(error) = self.log.close() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the log could not be closed; its end will be checked when it is opened");
        }
    }
}
