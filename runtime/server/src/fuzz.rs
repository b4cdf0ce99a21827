//! The parsers of untrusted input, for fuzzing: only access to private modules.

pub use crate::{content::events, live::subjects as live_subjects};
