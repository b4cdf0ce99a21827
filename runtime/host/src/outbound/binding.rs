//! A secret, and where it may go: the operator's decision, which no manifest changes.

use std::fmt;

use weirgate_types::HandlerName;

use super::target::{Target, is_same_origin};

/// The shortest secret, in bytes. A handler sees where an answer repeats a secret, because that part is replaced. So it can
/// test guesses with answers that repeat them, and a shorter secret would be found soon.
pub const SECRET_BYTES_MIN: usize = 8;

/// A secret as the operator has bound it.
#[derive(Clone, PartialEq, Eq)]
pub struct BoundSecret {
    /// `None`: the operator has set no value yet.
    pub value: Option<String>,
    /// The handlers that may use it.
    pub handlers: Vec<String>,
    /// The hosts that it may be sent to, as in a manifest: `https://api.example.com`.
    pub hosts: Vec<String>,
    /// The header that it may be in, in lower case.
    pub header: String,
}

impl BoundSecret {
    #[must_use]
    pub fn is_for(&self, handler: &HandlerName) -> bool {
        self.handlers.iter().any(|bound| bound == handler.as_str())
    }

    /// Whether it may be sent to a host of a manifest's list.
    #[must_use]
    pub fn is_for_host(&self, listed: &str) -> bool {
        self.hosts.iter().any(|bound| is_same_origin(bound, listed))
    }

    pub(super) fn goes_to(&self, target: &Target) -> bool {
        target.is_listed(&self.hosts).is_ok()
    }
}

/// Without the value.
impl fmt::Debug for BoundSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { value: _, handlers, hosts, header } = self;
        let mut shown = f.debug_struct("BoundSecret");
        shown.field("handlers", handlers).field("hosts", hosts).field("header", header).finish_non_exhaustive()
    }
}
