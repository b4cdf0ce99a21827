//! Events, keys, positions, records and commits: the data shared by all parts of Weirgate, with its wire format.
//!
//! Knows no I/O, no clock and no delivery rules. `docs/formats/log.md` describes the records on disk.

mod cloudevents;
mod commit;
mod decisions;
mod delivery;
mod disk;
mod epoch;
mod event;
mod ids;
pub mod json;
mod key_repaired;
mod manifest;
mod record;
mod replays;
#[cfg(feature = "schema")]
mod schema;
mod status;
mod step;
pub mod wording;

pub use cloudevents::{Extension, MediaType, RawEvent, not_in_attributes, not_in_keys, quoted_string};
pub use commit::{
    Carried, Commit, Effects, LogLevel, LogLine, Outcome, StateReads, StateWrite, StatusWrite, TimerSetting, TimerWrite,
};
pub use decisions::{
    BreakerChanged, BreakerId, CalledHost, Correction, DeliveryCommand, DeliveryDecided, HostCall, Mode, ModeChanged,
    Removed, TimerId,
};
pub use delivery::{AttemptFailure, DeliveryId, FailureClass, FailureKind};
pub use disk::is_out_of_space;
pub use epoch::{Epoch, Epochs, Known};
pub use event::{Event, EventError, EventLimits, ExtensionValue, ImpliedKey};
pub use ids::{Digest, HandlerName, IdError, KeyHash, KeyHasher, Position};
pub use key_repaired::{CallBefore, KEY_REPAIRED, KeyRepaired, LoggedEvent, ValueBefore};
pub use manifest::{
    AfterDeadLetter, BatchPolicy, BreakerPolicy, CallLimits, Capabilities, CapabilityChange, DeadLetterStop, EmitOrder,
    FIRST_STATE_VERSION, Interest, Jitter, Manifest, ManifestError, MayDo, OnDeploy, Ordering, RUNTIME_TYPES,
    Resequence, RetryStage, Schedule, SettingChange, Start, Subscription, check_types, default_stages, glob,
};
pub use record::{
    Anchor, CorrectionRefused, Deployed, GapPassed, Lost, Record, RecordError, RuntimeChanged, RuntimeVersion, Stepped,
    Written,
};
pub use replays::{
    ApplyBegun, RepairRefused, Repaired, RepairsRefused, ReplayAnswered, ReplayApproved, ReplayEnd, ReplayEnded,
    ReplayRequested, UndoRequested,
};
pub use status::{PartDelivery, StatusDelta, StatusDocument, StatusPart};
pub use step::{StepAnswer, StepRequest, StepResult};
