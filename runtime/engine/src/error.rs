//! The engine's errors: failed starts, refused commands, faults that end the engine. Each keeps its cause as its source, so
//! that a report can print the whole chain.

use std::error::Error;

use weirgate_history::HistoryError;
use weirgate_host::{HostError, ModuleError, StateError};
use weirgate_log::LogError;
use weirgate_types::{BreakerId, DeliveryId, Digest, HandlerName, ManifestError, Position, RecordError};
use weirgate_views::ViewError;

use crate::{handle::Growth, replay::ReplayError, replays::ReplayState};

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Views(#[from] ViewError),
    #[error(transparent)]
    Host(#[from] HostError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the data directory cannot be used")]
    Dir(#[from] std::io::Error),
    #[error("the indexes of the log cannot be opened or made")]
    History(#[from] HistoryError),
    #[error("the engine cannot recover")]
    Recovery(#[from] EngineFault),
}

/// The log or the views cannot be read, or their contents differ from what was written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Views(#[from] ViewError),
    /// The next start makes what is damaged again.
    #[error("the index of identities cannot be read")]
    Identities(#[from] HistoryError),
    /// The views are rebuilt from the log if they are missing.
    #[error("the views cannot be read ({what}); delete the folder `views`: it is rebuilt from the log")]
    Row { what: &'static str, source: Option<Cause> },
    #[error("{what} cannot be encoded")]
    Encode { what: &'static str, source: Cause },
    /// A row of the views or a record refers to a record that does not exist, or that has another kind.
    #[error("the log holds no {what} at {position}")]
    Missing { what: &'static str, position: Position },
}

type Cause = Box<dyn Error + Send + Sync>;

impl StorageError {
    /// A row of the views whose key or value has the wrong form.
    pub(crate) fn row(what: &'static str) -> Self {
        Self::Row { what, source: None }
    }

    /// A row of the views whose value cannot be decoded.
    pub(crate) fn undecodable<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Row { what, source: Some(Box::new(error)) }
    }

    pub(crate) fn encode<E: Error + Send + Sync + 'static>(what: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Encode { what, source: Box::new(error) }
    }
}

/// Why a worker cannot make a call: not the handler's fault, so no attempt is counted.
#[derive(Debug, thiserror::Error)]
pub enum WorkerFault {
    #[error("a worker panicked at a call of {0}")]
    Panicked(HandlerName),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    State(#[from] StateError),
}

/// Why the engine ends: memory may differ from the durable state, so no request is answered any more. The next start
/// recovers from the log.
#[derive(Debug, thiserror::Error)]
pub enum EngineFault {
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Worker(#[from] WorkerFault),
    #[error("{0} is ready without a module")]
    NoModule(HandlerName),
}

/// A refused command: nothing has changed, unless the variant says otherwise. Grouped by what the caller does.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    // Retry later.
    #[error("too many events are in flight; send them again later")]
    Busy,
    #[error("too many concurrent lists or reads; try again later")]
    TooManyQueries,
    #[error("{0}; try again later")]
    HistoryNotReady(HistoryError),
    #[error("the disk is nearly full; no new events are accepted until there is space")]
    DiskFull,
    #[error("the disk became full during the write: the outcome is unknown until there is space; check it then")]
    OutcomeUnknown,
    #[error("too many modules are being uploaded or loaded; try again later")]
    ModuleQueueFull,
    #[error(
        "modules that were never deployed take more than {bytes_max} bytes; deploy them, or wait until they are deleted"
    )]
    TooManyModules { bytes_max: u64 },
    #[error("a key of {0} is on hold for a repair, or too many are; try again later")]
    KeyOnHold(HandlerName),
    #[error("the key was not repaired: its hold ended, or an attempt of it took too long; try again")]
    HoldOver,
    #[error("{0} bulk jobs run, the maximum; cancel one, or wait until one has ended")]
    TooManyJobs(usize),
    #[error("the server is stopping")]
    Stopped,
    // The request is wrong.
    #[error("{0} handlers are deployed, the maximum; deploy another version of one of them")]
    TooManyHandlers(usize),
    #[error(
        "breakers of {0} hosts are open for all handlers, the maximum; reset one of them, or trip it for one handler"
    )]
    TooManyBreakers(usize),
    #[error("{0} lags behind its last 64 changes of subscriptions; change them again when it has caught up")]
    TooFarBehind(HandlerName),
    #[error("there is no handler {0}")]
    UnknownHandler(HandlerName),
    #[error("{0} is not a dead letter")]
    NotADeadLetter(DeliveryId),
    #[error("{0} is neither open nor a dead letter: it was completed, skipped or resolved")]
    NotOpen(DeliveryId),
    #[error("{0} is running; try again when the attempt has ended")]
    Running(DeliveryId),
    #[error("{0} changed meanwhile; look at it and try again")]
    Changed(DeliveryId),
    #[error("another version of {0} was deployed meanwhile; look at its versions and try again")]
    VersionChanged(HandlerName),
    #[error(
        "the version of {} may do more than the one in force; look at `growth`, and approve it with `approve={}`",
        .0.handler, .0.digest
    )]
    NeedsApproval(Box<Growth>),
    #[error("{0} is being removed; deploy it again when that is done")]
    BeingRemoved(HandlerName),
    #[error(
        "{handler} has {open} open deliveries, or dead letters: decide them, drain it, or remove it with `skip_open`, which skips and discards them"
    )]
    HasDeliveries { handler: HandlerName, open: usize },
    #[error("{handler} has no version {number}")]
    UnknownVersion { handler: HandlerName, number: u32 },
    #[error("{0} has no version before the one in force")]
    NoEarlierVersion(HandlerName),
    #[error("version {number} of {handler} is in force already")]
    VersionInForce { handler: HandlerName, number: u32 },
    #[error(
        "the state of {handler} has version {from}, and this deployment has `state_version = {to}`: a later form is not converted back; rebuild the state from the events"
    )]
    OlderState { handler: HandlerName, from: u32, to: u32 },
    #[error(
        "keys of {handler} may have state of an earlier version than {to}, and the component does not export `migrate-state`, which converts it (the version in force has `state_version = {from}`)"
    )]
    NoMigration { handler: HandlerName, from: u32, to: u32 },
    #[error(
        "`on_deploy = \"finish\"` is for handlers with `ordering = \"key\"` before and after: the deliveries of {0} have another order, or had one once; deploy with `on_deploy = \"move\"`"
    )]
    CannotFinish(HandlerName),
    #[error(
        "{most} earlier versions of {handler} have something to finish, the maximum: wait for one of them, or deploy with `on_deploy = \"move\"`"
    )]
    TooManyFinishing { handler: HandlerName, most: usize },
    #[error("{key} finishes what it has under way with an earlier version of {handler}: repair it after that")]
    KeyFinishes { handler: HandlerName, key: String },
    #[error("there is no replay {0}")]
    UnknownReplay(Position),
    #[error("replay {replay} is {}: {}", .state.word(), .state.next())]
    ReplayState { replay: Position, state: ReplayState },
    #[error("replay {replay} of {handler} is {}: {}", .state.word(), .state.next())]
    ReplayUnderWay { handler: HandlerName, replay: Position, state: ReplayState },
    #[error(
        "another version of {handler} was deployed since the plan of replay {replay} was approved: deploy the candidate again if it is \
         not in force, look at the plan, and approve it again"
    )]
    ApprovalOver { handler: HandlerName, replay: Position },
    #[error(
        "{handler} was removed since replay {replay} was asked for, and a later handler of that name is another one: ask anew"
    )]
    HandlerReplaced { handler: HandlerName, replay: Position },
    #[error("a timer of the repair came due meanwhile: look at the key again")]
    TimerDue,
    #[error("another key has written {handler}'s part of the status of {subject} meanwhile: look at the key again")]
    PartWritten { handler: HandlerName, subject: String },
    #[error("{0}")]
    Selection(String),
    #[error("what replay {0} would do is not computed yet; try again later")]
    ReplayNotReady(Position),
    #[error("what replay {replay} would do cannot be computed: {reason}")]
    ReplayFailed { replay: Position, reason: String },
    #[error("replay {0} has ended, and to compute it again may call hosts; ask again what would be")]
    ReplayOver(Position),
    #[error("the plan of replay {replay} is {plan} by now; look at it again and approve that")]
    PlanChanged { replay: Position, plan: Digest },
    #[error(
        "the plan of replay {replay} is not whole: the limit `{what}` was reached at position {at}; ask about less, or set higher `bounds`"
    )]
    PlanNotWhole { replay: Position, what: &'static str, at: Position },
    #[error("the plan of replay {0} has nothing to append, and leaves nothing: there is nothing to approve")]
    PlanIsEmpty(Position),
    #[error("no key of the plan of replay {0} can be repaired; the plan says of each why not")]
    NoKeyCanBeRepaired(Position),
    #[error(
        "the version before handled events after position {through}, up to which replay {replay} looked, until its candidate was deployed at \
         {version}: ask again what would be, so that they are part of the plan, or approve some keys of it (`keys`)"
    )]
    HandledSince { replay: Position, through: Position, version: Position },
    #[error(
        "an undo of the handler has ended after position {through}, up to which replay {replay} looked: ask again what would be, so that what it \
         has brought back is part of the plan, or approve some keys of it (`keys`)"
    )]
    UndoneSince { replay: Position, through: Position },
    #[error("too many replays wait to be computed: ask again later, or cancel some")]
    TooManyWhatIfs,
    #[error("replay {0} is not approved, or has ended")]
    NotApproved(Position),
    #[error("replay {0} is being applied: approve again when that is over, or cancel it")]
    ReplayRuns(Position),
    #[error("the plan of replay {replay} has no key {key:?}")]
    KeyNotPlanned { replay: Position, key: String },
    #[error(
        "{handler} cannot be folded again by replay {replay}: its manifest does not allow it (`fold_again = true`), or nothing differs for it \
         and another replay has repaired it"
    )]
    NotFoldable { replay: Position, handler: HandlerName },
    #[error("replay {replay} plans nothing for {handler}: its plan names the receivers that it plans something for")]
    ReceiverNotPlanned { replay: Position, handler: HandlerName },
    #[error("replay {0} has repaired nothing that could be undone")]
    NothingToUndo(Position),
    #[error(
        "the undo of replay {0} was not asked for, or was cancelled: ask for it first (`weirgate replays undo {0}`)"
    )]
    UndoNotRequested(Position),
    #[error(
        "the candidate is not in force: deploy it to {0} first, so that later events are handled as the repaired ones"
    )]
    CandidateNotInForce(HandlerName),
    #[error("{what} may take at most {bytes_max} bytes")]
    ReplayText { what: &'static str, bytes_max: usize },
    #[error("the repair takes {bytes} bytes; at most {bytes_max} are allowed")]
    RepairTooLarge { bytes: usize, bytes_max: usize },
    #[error("there is no breaker {0}: give the handler a [breaker] in its manifest")]
    UnknownBreaker(BreakerId),
    #[error("no module's digest begins with {0}")]
    UnknownDigest(String),
    #[error("the digests of several modules begin with {0}; give more digits")]
    AmbiguousDigest(String),
    #[error(transparent)]
    Id(#[from] weirgate_types::IdError),
    #[error("there is no bulk job {0}")]
    UnknownBulkJob(u64),
    #[error("{0}")]
    Correction(String),
    #[error(
        "the secret `{secret}` is not bound to the handler {handler}: the operator binds it in the server's configuration, with handlers, hosts and header"
    )]
    SecretNotBound { secret: String, handler: HandlerName },
    #[error("the secret `{secret}` is bound to {hosts}, which `capabilities.hosts` does not name")]
    SecretElsewhere { secret: String, hosts: String },
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Module(#[from] ModuleError),
    // The server failed.
    #[error("the log or its views cannot be read")]
    Storage(#[from] StorageError),
    #[error("the history of the log cannot be read")]
    History(#[source] HistoryError),
    #[error("recorded attempts cannot be executed again")]
    Replay(#[source] Box<ReplayError>),
    #[error("a task of the server panicked")]
    Panicked(#[source] Cause),
}

impl From<ReplayError> for Refusal {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::History(error) => error.into(),
            ReplayError::Storage(error) => error.into(),
            error => Self::Replay(Box::new(error)),
        }
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        match error {
            error @ HistoryError::NotReady { .. } => Self::HistoryNotReady(error),
            HistoryError::Log(error) => error.into(),
            error => Self::History(error),
        }
    }
}

impl From<LogError> for Refusal {
    fn from(error: LogError) -> Self {
        Self::Storage(error.into())
    }
}

impl From<ViewError> for Refusal {
    fn from(error: ViewError) -> Self {
        Self::Storage(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each error's own text, from the outermost to the first cause.
    fn chain(error: &dyn Error) -> Vec<String> {
        let (mut texts, mut cause) = (vec![error.to_string()], error.source());
        while let Some(error) = cause {
            texts.push(error.to_string());
            cause = error.source();
        }
        texts
    }

    #[test]
    fn a_fault_keeps_its_cause_down_to_the_operating_systems_error() {
        let full = || std::io::Error::from_raw_os_error(28);
        let log = LogError::Io { doing: "writing", file: "1.seg".into(), source: full() };
        let fault = EngineFault::Storage(log.into());
        assert_eq!(chain(&fault), ["writing 1.seg failed (os error 28)".to_owned(), full().to_string()]);
        let worker = WorkerFault::State(StateError::new(StorageError::Missing { what: "step", position: Position(7) }));
        let fault = chain(&EngineFault::Worker(worker));
        assert_eq!(fault, ["the state of a delivery cannot be read", "the log holds no step at 7"]);
    }

    #[test]
    fn a_refusal_for_a_row_that_cannot_be_decoded_names_the_decoders_error() {
        let error = postcard::from_bytes::<u64>(&[]).expect_err("no bytes");
        let text = error.to_string();
        let refusal = Refusal::from(StorageError::undecodable("a timer")(error));
        let chain = chain(&refusal);
        assert!(chain.iter().any(|part| part.contains("(a timer)")) && chain.last() == Some(&text), "{chain:?}");
    }
}
