//! The endpoints: HTTP, WebSocket, server-sent events, the OpenAPI document, and the pages.
//!
//! Turns requests into calls of the engine, and its answers into responses. Knows no delivery rules and reads no files
//! except the pages it serves. Each route has its own file under `routes`.

mod access;
mod admission;
mod app;
mod connections;
mod content;
mod exposition;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod live;
mod objects;
mod pages;
mod parameters;
mod parsing;
mod payload;
mod problem;
mod refusals;
mod routes;
mod serve;
mod slot;
mod stall;
mod starting;
mod tasks;
mod unread;

pub use access::{Access, SettingError};
pub use app::Options;
pub use problem::Problem;
pub use routes::openapi;
pub use serve::serve;
pub use starting::answer_while;
