//! Handlers that are functions of an event and a state.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use weirgate_host::{Call, ModuleError, ReadState, StateError};
use weirgate_types::{Digest, Effects, HandlerName, Manifest};

use crate::replay::execute::{Executable, HandlerFunction, ItemInput, Load, Services};

/// What a version of a handler does with an event.
pub type Handler = Arc<dyn Fn(&ItemInput<'_>, &dyn ReadState) -> Effects + Send + Sync>;

/// The versions in force, as a fork executes them, the candidate, and what handles a call as a whole.
pub struct Functions {
    pub versions: BTreeMap<HandlerName, Handler>,
    pub candidate: Option<Handler>,
    pub of_calls: BTreeMap<HandlerName, Arc<HandlerFunction>>,
}

/// The module of the candidate.
pub const CANDIDATE: Digest = Digest([1; 32]);

impl Load for Functions {
    fn load_for(&self, digest: Digest, manifest: &Manifest) -> Result<Executable, ModuleError> {
        if let Some(function) = self.of_calls.get(&manifest.name) {
            return Ok(Executable::of_function(Arc::clone(function), manifest));
        }
        let candidate = self.candidate.as_ref().filter(|_| digest == CANDIDATE);
        let handler = candidate.or_else(|| self.versions.get(&manifest.name)).ok_or(ModuleError::Missing(digest))?;
        Ok(executable(handler, manifest))
    }
}

fn item<'a>(call: &Call<'a>) -> ItemInput<'a> {
    let event = Cow::Borrowed(call.event);
    ItemInput { delivery: call.delivery.clone(), attempt: call.attempt, event, depth: 0, migrate_from: None }
}

pub fn executable(handler: &Handler, manifest: &Manifest) -> Executable {
    let handler = Arc::clone(handler);
    let function = move |calls: &[Call<'_>], services: &[Services]| {
        let mut written = BTreeMap::new();
        let results = calls.iter().zip(services).map(|(call, (state, _))| {
            let of_key = written.entry(call.key).or_insert_with(BTreeMap::new);
            let effects = match calls.len() {
                1 => handler(&item(call), &**state),
                _ => handler(&item(call), &after_others(&**state, of_key)),
            };
            of_key.extend(effects.state.iter().map(|write| (write.name.clone(), write.value.clone())));
            Ok(effects)
        });
        results.collect()
    };
    Executable::of_function(Arc::new(function), manifest)
}

/// A key's state after the deliveries of it that come first in the same call.
fn after_others(before: &dyn ReadState, written: &BTreeMap<String, Option<Vec<u8>>>) -> KeyState {
    let names = before.list("", usize::MAX).expect("the names").into_iter();
    let mut state: BTreeMap<_, _> =
        names.filter_map(|name| Some((name.clone(), before.get(&name).expect("a value")?))).collect();
    for (name, value) in written {
        match value {
            Some(value) => drop(state.insert(name.clone(), value.clone())),
            None => drop(state.remove(name)),
        }
    }
    KeyState(state)
}

/// The state of a key.
pub struct KeyState(pub BTreeMap<String, Vec<u8>>);

impl ReadState for KeyState {
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(name).cloned())
    }

    fn list(&self, prefix: &str, limit: usize) -> Result<Vec<String>, StateError> {
        Ok(self.0.keys().filter(|name| name.starts_with(prefix)).take(limit).cloned().collect())
    }
}
