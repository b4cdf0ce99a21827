//! The parsers of what anyone may send, for fuzzing: nothing but ways into private modules.

pub use crate::{content::events, live::subjects as live_subjects};
