//! Browsers: they keep a document of every key, and apply pushed deltas. It never goes back, and nothing is missing from it.

use std::collections::BTreeMap;

use weirgate_engine::{Watch, sim::Engine};
use weirgate_types::{DeliveryId, HandlerName, PartDelivery, Position, StatusDocument};

use super::{History, Stop, unreadable};
use crate::{
    Checked, Order, Plan, Rule,
    checks::{Life, check},
    handlers::SHARED,
};

#[derive(Default)]
pub struct Watching {
    watch: Option<Watch>,
    documents: BTreeMap<String, StatusDocument>,
}

impl Watching {
    /// They connect to a process that has just started.
    pub fn begin(&mut self, engine: &Engine, plan: &Plan) -> Checked {
        let mut watch = Watch::new(engine.handle().hub().clone());
        let shared = plan.shares.then(|| SHARED.to_owned());
        for key in (0..plan.keys).map(|key| format!("k{key}")).chain(shared) {
            let document = watch.add_blocking(&key).map_err(unreadable)?;
            let before = self.version(&key);
            check(Rule::Shown, document.version >= before, || {
                format!("{key} was shown at version {before}, and is now at {}", document.version)
            })?;
            self.documents.insert(key, document);
        }
        self.watch = Some(watch);
        Ok(())
    }

    fn version(&self, key: &str) -> Position {
        self.documents.get(key).map_or(Position::ZERO, |document| document.version)
    }

    /// They receive the pushed deltas.
    pub fn look(&mut self) -> Checked {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        for (key, document) in &mut self.documents {
            let Some(shared) = watch.news(key) else { continue };
            let delta = &shared.delta;
            let follows = delta.previous == document.version && delta.version > document.version;
            check(Rule::Shown, follows, || {
                format!("{key}: {} to {} is pushed to who is at {}", delta.previous, delta.version, document.version)
            })?;
            for (name, part) in &delta.parts {
                document.set(name, part.clone());
            }
        }
        Ok(())
    }
}

impl Watching {
    /// The state and data of a handler's part of a key's status, as browsers show it; empty if it has set none.
    pub fn shown(&self, key: &str, handler: &HandlerName) -> (&str, &str) {
        let part = self.documents.get(key).and_then(|document| document.parts.get(handler.as_str()));
        part.map_or(("", ""), |part| (&part.state, part.data.as_ref().map_or("", |data| data.get())))
    }
}

impl History<'_> {
    /// The phases that they see are those of the records.
    pub(super) fn check_parts(&self) -> Result<(), Stop> {
        for (key, document) in &self.watching.documents {
            for (name, part) in &document.parts {
                let (Some(said), Ok(handler)) = (&part.delivery, name.parse::<HandlerName>()) else { continue };
                let item = self.checks.item(&DeliveryId { handler, position: said.event() });
                let life = item.map(|item| item.life);
                let runs_again = item.is_some_and(crate::checks::Item::was_discarded);
                let fits = match said {
                    PartDelivery::Retrying { .. } => {
                        runs_again || matches!(life, Some(Life::Retrying { .. } | Life::Running))
                    }
                    PartDelivery::AwaitingCorrection { .. } => life == Some(Life::AwaitingCorrection),
                    PartDelivery::DeadLettered { .. } => matches!(life, Some(Life::Held | Life::Dead)),
                };
                check(Rule::Shown, fits, || format!("{name} of {key} is shown as {said:?}, and is {life:?}"))?;
            }
        }
        Ok(())
    }

    /// Every delivery that waits for time or data is shown, if deliveries of a key run one after the other, each in its own
    /// call.
    pub(super) fn check_waiting_is_shown(&self) -> Result<(), Stop> {
        for (index, watched) in self.checks.handlers.iter().enumerate() {
            for position in watched.open.iter().filter(|_| watched.kind.order == Order::Key && !watched.kind.batch) {
                let Some(item) = watched.items.get(position) else { continue };
                let life = item.life;
                let of_key = watched.items.iter().filter(|(_, other)| other.key == item.key);
                let is_plain = of_key.into_iter().all(|(position, other)| !other.was_opened_again(*position));
                if !is_plain || !matches!(life, Life::Retrying { .. } | Life::AwaitingCorrection | Life::Held) {
                    continue;
                }
                let document = self.watching.documents.get(self.event_at(*position).key());
                let part = document.and_then(|document| document.parts.get(crate::plan::name(index).as_str()));
                let said = part.and_then(|part| part.delivery.as_ref()).map(PartDelivery::event);
                check(Rule::Shown, said == Some(*position), || {
                    format!("{} at {position} is {life:?}, shown is {said:?}", watched.kind.name)
                })?;
            }
        }
        Ok(())
    }

    /// Their documents equal the views.
    pub(super) fn check_watching(&self) -> Result<(), Stop> {
        for (key, document) in &self.watching.documents {
            let kept = self.engine.handle().hub().document_blocking(key);
            let kept = kept.map_err(unreadable)?;
            let [shown, kept] = [document, &kept].map(|document| serde_json::to_string(document).unwrap_or_default());
            check(Rule::Shown, shown == kept, || format!("{key} is shown as {shown}, kept as {kept}"))?;
        }
        Ok(())
    }
}
