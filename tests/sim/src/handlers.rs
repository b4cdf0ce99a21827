//! What the handlers of a history do with a delivery that succeeds: a function of its event, its state and the time, so that what-ifs can
//! execute it again. A version without the setting [`FIXED`] has a bug.

use std::{collections::BTreeMap, sync::Arc};

use weirgate_engine::sim::{Executable, Load, Services};
use weirgate_host::{Call, CallError, ModuleError};
use weirgate_types::{
    Deployed, Digest, Effects, Event, HandlerName, KEY_REPAIRED, Manifest, Position, StateWrite, StatusWrite,
};

use crate::{
    Chance,
    attempts::{some_emission, some_timer},
    calls::Host,
    checks::index_of,
};

/// The state value that counts completed deliveries of a key.
pub const COUNT: &str = "count";
/// Counts them too, but for those that the bug is about.
pub const RIGHT: &str = "right";
/// A digest of the completed deliveries of a key in their order.
pub const ORDER: &str = "order";
/// What emitted events are called before their number.
pub const EMITTED: &str = "out.";
/// A subject whose status has a part that several keys write.
pub const SHARED: &str = "shared";
/// Where the last compensation of a key was asked for.
const COMPENSATED: &str = "compensated";
/// A setting of versions without the bug.
pub const FIXED: &str = "fixed";

/// A delivery that succeeds.
#[derive(Debug, Clone, Copy)]
pub struct Delivered<'a> {
    pub handler: &'a HandlerName,
    pub key: &'a str,
    pub r#type: &'a str,
    pub position: Position,
    pub wall_ms: u64,
    /// What its call was answered; 0: it made none.
    pub answer: u64,
}

/// The state of a key.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    pub all: u64,
    pub right: u64,
    pub order: u64,
}

/// The handlers of a history.
#[derive(Debug, Clone, Copy)]
pub struct Handlers {
    pub seed: u64,
    /// Whether deliveries call outside.
    pub has_calls: bool,
    /// Whether keys share a part of a status.
    pub shares: bool,
}

/// The same, as replays execute them.
#[derive(Debug, Clone)]
pub struct Modules {
    pub handlers: Handlers,
    pub host: Arc<Host>,
}

impl Counts {
    pub fn read(read: impl Fn(&str) -> Option<Vec<u8>>) -> Self {
        let number = |name| number_of(read(name));
        Self { all: number(COUNT), right: number(RIGHT), order: number(ORDER) }
    }

    /// As they are after some writes.
    #[must_use]
    pub fn with(self, writes: &[StateWrite]) -> Self {
        let [all, right, order] = [(COUNT, self.all), (RIGHT, self.right), (ORDER, self.order)].map(|(name, stood)| {
            let written = writes.iter().rfind(|write| write.name == name);
            written.map_or(stood, |write| number_of(write.value.clone()))
        });
        Self { all, right, order }
    }

    fn writes(self) -> Vec<StateWrite> {
        vec![write(COUNT, self.all), write(RIGHT, self.right), write(ORDER, self.order)]
    }
}

fn number_of(value: Option<Vec<u8>>) -> u64 {
    value.and_then(|value| value.try_into().ok()).map_or(0, u64::from_le_bytes)
}

fn write(name: &str, number: u64) -> StateWrite {
    StateWrite { name: name.to_owned(), value: Some(number.to_le_bytes().to_vec()) }
}

impl Handlers {
    /// Whether the bug is about a delivery.
    #[must_use]
    pub fn is_hit(self, handler: &HandlerName, r#type: &str, position: Position) -> bool {
        self.chance(handler, place(r#type, position)).one_in(3)
    }

    /// What a delivery comes to, and what it makes of the state.
    pub fn handle(self, delivered: Delivered<'_>, is_fixed: bool, counts: &mut Counts) -> Effects {
        let Delivered { handler, key, r#type, position, wall_ms, answer } = delivered;
        if r#type == KEY_REPAIRED {
            return Effects { state: vec![write(COMPENSATED, position.0)], ..Effects::default() };
        }
        let place = place(r#type, position);
        let mut chance = self.chance(handler, place);
        let is_wrong = chance.one_in(3) && !is_fixed;
        counts.all += 1;
        counts.right += u64::from(!is_wrong);
        counts.order = counts.order.wrapping_mul(31).wrapping_add(place + 1 + answer * 1_000);
        let mut effects = Effects { state: counts.writes(), ..Effects::default() };
        if chance.one_in(2) {
            let (state, data) =
                (format!("s{}", place % 5), Some(format!("{{\"right\":{},\"order\":{}}}", counts.right, counts.order)));
            let state = if is_wrong { "wrong".to_owned() } else { state };
            let subject = if self.shares && chance.one_in(3) { SHARED } else { key }.to_owned();
            effects.status.push(StatusWrite { subject, state, text: String::new(), data });
        }
        let emission = some_emission(&mut chance, handler, key, position);
        effects.emitted.extend(emission.filter(|_| !is_wrong).map(|event| Event { data: data_of(position), ..event }));
        if r#type != "timer.due" && !r#type.starts_with(EMITTED) {
            effects.timers.extend(some_timer(&mut chance, wall_ms));
        }
        effects
    }

    fn chance(self, handler: &HandlerName, place: u64) -> Chance {
        Chance::seeded(self.seed.wrapping_mul(41).wrapping_add(place * 3 + index_of(handler) as u64))
    }
}

impl Modules {
    /// The deliveries of a call: later ones see what earlier ones of their key have written.
    fn call(&self, calls: &[Call<'_>], services: &[Services], is_fixed: bool) -> Vec<Result<Effects, CallError>> {
        let mut written: BTreeMap<&str, Counts> = BTreeMap::new();
        let handled = calls.iter().zip(services).map(|(call, services)| {
            let read = || Counts::read(|name| services.0.get(name).ok().flatten());
            let (handler, r#type, position) = (&call.delivery.handler, &*call.event.r#type, call.delivery.position);
            let request = self.handlers.request(handler, r#type, position, is_fixed);
            let answer = request.map_or(Ok(0), |request| self.host.fetch(call, services, request))?;
            let counts = written.entry(call.key).or_insert_with(read);
            let delivered = Delivered { handler, key: call.key, r#type, position, wall_ms: call.wall_ms, answer };
            Ok(self.handlers.handle(delivered, is_fixed, counts))
        });
        handled.collect()
    }
}

/// What a delivery is about: where its event is or, since a what-if has emitted events that the log does not hold, what such a one says. A
/// correction changes its data, so its type says it.
fn place(r#type: &str, position: Position) -> u64 {
    match r#type.strip_prefix(EMITTED) {
        Some(number) => 1_000_000 + number.parse().unwrap_or(0),
        None => position.0,
    }
}

/// Some emitted events of a key are equal.
fn data_of(position: Position) -> Vec<u8> {
    format!("{{\"n\":{}}}", position.0 % 3).into_bytes()
}

/// The manifest of a version without the bug.
#[must_use]
pub fn fixed(manifest: &str) -> String {
    format!(r#"{},"config":{{"{FIXED}":"yes"}}}}"#, manifest.strip_suffix('}').unwrap_or(manifest))
}

/// The manifest of a receiver that may be folded again.
#[must_use]
pub fn folded_again(manifest: &str) -> String {
    format!(r#"{},"fold_again":true}}"#, manifest.strip_suffix('}').unwrap_or(manifest))
}

#[must_use]
pub fn is_fixed(manifest: &Manifest) -> bool {
    manifest.config.contains_key(FIXED)
}

/// The same, of a deployment's record.
///
/// # Panics
/// Its manifest is invalid.
#[must_use]
pub fn is_fixed_record(deployed: &Deployed) -> bool {
    is_fixed(&Manifest::from_record(&deployed.manifest).unwrap_or_else(|error| panic!("{error}")))
}

impl Load for Modules {
    fn load_for(&self, _: Digest, manifest: &Manifest) -> Result<Executable, ModuleError> {
        let (modules, is_fixed) = (self.clone(), is_fixed(manifest));
        let call = move |calls: &[Call<'_>], services: &[Services]| modules.call(calls, services, is_fixed);
        Ok(Executable::of_function(Arc::new(call), manifest))
    }
}
