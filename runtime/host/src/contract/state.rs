//! `state`: committed values, with this call's own writes on top of them.

use std::collections::BTreeSet;

use super::{bindings::weirgate::handler::state::Host, check_name};
use crate::{
    attempt::Attempt,
    failure::{Stop, effect_limit},
};

const NAME_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 * 1024;
const LISTED_MAX: usize = 1_000;

impl Host for Attempt {
    fn get(&mut self, name: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.host_call()?;
        check_name("a state name", &name, NAME_BYTES_MAX)?;
        match self.written(&name) {
            Some(own) => Ok(own.clone()),
            None => Ok(self.item.state.get(&name).map_err(Stop::State)?),
        }
    }

    fn set(&mut self, name: String, value: Vec<u8>) -> wasmtime::Result<()> {
        self.host_call()?;
        check_name("a state name", &name, NAME_BYTES_MAX)?;
        if value.len() > VALUE_BYTES_MAX {
            return Err(effect_limit("too many bytes in a state value", VALUE_BYTES_MAX, "fixed").into());
        }
        Ok(self.item.effects.write_state(name, Some(value))?)
    }

    fn delete(&mut self, name: String) -> wasmtime::Result<()> {
        self.host_call()?;
        check_name("a state name", &name, NAME_BYTES_MAX)?;
        Ok(self.item.effects.write_state(name, None)?)
    }

    fn list(&mut self, prefix: String) -> wasmtime::Result<Vec<String>> {
        self.host_call()?;
        let written = self.written_names(&prefix);
        // Names that this call removes must not use up the limit.
        let removed = written.values().filter(|there| !**there).count();
        let committed = self.item.state.list(&prefix, LISTED_MAX + removed).map_err(Stop::State)?;
        let mut names: BTreeSet<String> = committed.into_iter().collect();
        for (name, there) in written {
            if there {
                names.insert(name.to_owned());
            } else {
                names.remove(name);
            }
        }
        Ok(names.into_iter().take(LISTED_MAX).collect())
    }
}
