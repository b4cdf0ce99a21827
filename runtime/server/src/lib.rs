//! The endpoints: HTTP, WebSocket, server-sent events, the OpenAPI document, and the pages.
//!
//! Turns requests into the engine's questions and its answers into responses. Knows no rule of delivery and touches no
//! file but the pages it serves. Each route lives in a file of its own under `routes`.

mod app;
mod connections;
mod content;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod live;
mod parsing;
mod payload;
mod problem;
mod routes;
mod serve;
mod stall;
mod tasks;

pub use app::Options;
pub use problem::Problem;
pub use routes::openapi;
pub use serve::serve;
