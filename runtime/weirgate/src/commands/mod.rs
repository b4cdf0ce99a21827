//! The commands, one file per noun.

pub mod arguments;
pub mod attempts;
mod bodies;
pub mod breakers;
pub mod bulk_jobs;
pub mod completions;
mod consent;
pub mod dead_letters;
mod decide;
pub mod deliveries;
mod deploy;
pub mod dev;
mod event_log;
pub mod events;
mod files;
pub mod handlers;
pub mod log;
pub mod new;
mod replayed;
pub mod replays;
pub mod serve;
pub mod status;
mod table;
pub mod timeline;
mod toolchain;
pub mod verify;
mod versions;
