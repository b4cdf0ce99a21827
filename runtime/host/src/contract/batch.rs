//! `batch`: selects the item of a call that the other interfaces refer to.

use super::bindings::batching::weirgate::handler::batch::Host;
use crate::attempt::Attempt;

impl Host for Attempt {
    fn select(&mut self, index: u32) -> wasmtime::Result<()> {
        Ok(self.select_item(index)?)
    }
}
