//! Shared parts of the tests on the real binary: the server as a child process whose log is read, clients for its endpoints,
//! and waiting for a condition with a deadline. Knows nothing of the runtime's crates: it sees what a user sees.
// A test that cannot continue panics with the reason.
#![allow(clippy::missing_panics_doc, clippy::must_use_candidate, clippy::indexing_slicing, clippy::unwrap_used)]

pub mod activation;
pub mod charges;
mod cli;
mod client;
mod clock;
mod events;
mod gateway;
mod journey;
mod lines;
mod live;
mod python;
mod raw_socket;
mod replays;
mod scripts;
mod server;
mod terminal;
mod wait;
mod what_if;

pub use cli::Cli;
pub use client::{Answer, Client};
pub use clock::WallClock;
pub use events::{event, from, handler, manifest, order_handlers, placed};
pub use gateway::{Gateway, Request};
pub use journey::Journey;
pub use live::{Document, Live};
pub use python::python_program;
pub use raw_socket::{CLOSE, End, HANDSHAKE, PING, PONG, RawFrame, RawSocket, TEXT, closing, masked};
pub use scripts::run_script;
pub use server::{Server, Setup, binary, free_port};
pub use terminal::Terminal;
pub use wait::{eventually, within};
