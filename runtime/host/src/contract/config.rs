//! `config`: settings from the handler's manifest.

use super::bindings::weirgate::handler::config::Host;
use crate::attempt::Attempt;

impl Host for Attempt {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<String>> {
        self.host_call()?;
        Ok(self.item.config.get(&name).cloned())
    }
}
