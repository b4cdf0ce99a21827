//! The parsers of untrusted input, for fuzzing: only access to private modules.

pub use crate::{
    content::events,
    live::{messages as live_messages, subjects as live_subjects},
};
