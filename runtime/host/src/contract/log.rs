//! `log`: lines that are kept with the attempt. Beyond the limit they are only counted, and do not end the call.

use weirgate_types::LogLevel;

use super::bindings::weirgate::handler::log::{Host, Level};
use crate::attempt::Attempt;

impl Host for Attempt {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.item.log.write(level, &message);
        Ok(())
    }
}
