//! The backend of a context: the contract's imports as a trait. In a component they are the runtime's; natively they are the
//! test kit's recorder. Knows bytes and names, no types of the handler.

use crate::{Due, HttpError, Request, Response};

/// One event for one handler, and the number of the attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Stable over all attempts and over restarts: use it as an idempotency key.
    pub id: String,
    /// The handler's name, as deployed.
    pub handler: String,
    /// The event's position in the log. Positions increase; a key's events come in the order of their positions.
    pub position: u64,
    /// The key: the event's `partitionkey`, else its `subject`. State is scoped to it.
    pub key: String,
    /// 1 for the first attempt.
    pub attempt: u32,
}

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

/// An event to be appended, with its data as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEmission {
    pub r#type: String,
    pub subject: Option<String>,
    pub key: Option<String>,
    pub data_content_type: Option<String>,
    pub data: Vec<u8>,
}

/// The event of a timer, with its data as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawTimer {
    pub due: Due,
    pub r#type: String,
    pub data_content_type: Option<String>,
    pub data: Vec<u8>,
}

/// A status whose data is JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawStatus {
    pub subject: Option<String>,
    pub state: String,
    pub text: String,
    pub data: Option<String>,
}

/// The contract's imports. A call that exceeds a limit does not return.
pub(crate) trait Backend {
    fn state_get(&self, name: &str) -> Option<Vec<u8>>;
    fn state_set(&self, name: &str, value: Vec<u8>);
    fn state_delete(&self, name: &str);
    fn state_list(&self, prefix: &str) -> Vec<String>;
    fn emit(&self, emission: RawEmission);
    fn set_status(&self, status: RawStatus);
    fn start_timer(&self, name: &str, timer: RawTimer);
    fn cancel_timer(&self, name: &str);
    fn fetch(&self, step: &str, request: Request) -> Result<Response, HttpError>;
    fn config(&self, name: &str) -> Option<String>;
    fn log(&self, level: Level, message: &str);
}
