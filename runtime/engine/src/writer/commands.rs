//! How the writer carries out each command.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
};

use weirgate_core::{AttemptResult, Input, Now};
use weirgate_history::HistoryError;
use weirgate_host::{CallError, Module};
use weirgate_types::{Deployed, Digest, Event, FIRST_STATE_VERSION, HandlerName, Manifest, OnDeploy, Position, Record};

use super::{After, Exit, Writer};
use crate::{
    HandlerItem, Ingested, Refusal, causation,
    command::{Command, Permit, Reply},
    identities::Identified,
    job::{CallResult, DeployedHandler, ItemResult, recorded_failure},
};

/// Maximum number of handlers: each event is matched against each handler, so their number adds to the cost of every event.
const HANDLERS_MAX: usize = 256;
/// Maximum number of earlier versions of a handler that finish what was under way: each keeps its module in memory.
const FINISHING_MAX: usize = 8;
/// Maximum number of subscriptions of one handler that are still needed, because they are in force for events that are not
/// scanned yet.
const SUBSCRIPTIONS_PENDING_MAX: usize = 64;

impl Writer {
    pub fn take(&mut self, command: Command) -> Result<(), Exit> {
        match command {
            Command::Ingest { events, to, permit, reply } => self.accept(events, to.as_ref(), permit, reply)?,
            Command::CallResult(call) => self.take_call_result(call)?,
            Command::Deploy { deployed, module, replaces, reply } => self.deploy(*deployed, module, replaces, reply)?,
            Command::Remove { handler, audit, reply } => self.remove(handler, audit, reply)?,
            Command::Loaded { handler, digest, module } => self.loaded(&handler, digest, module)?,
            Command::ChangeMode { handler, mode, audit, reply } => self.change_mode(handler, mode, audit, reply)?,
            Command::Decide { command, reply } => self.command_delivery(*command, reply)?,
            Command::SetBreaker { breaker, open, audit, reply } => self.set_breaker(&breaker, open, &audit, reply)?,
            Command::Breakers { after, limit, reply } => {
                let page = self.delivery.list_breakers(after.as_ref(), limit, self.time.now());
                self.durability.when_durable(After::Breakers { reply, page });
            }
            Command::Step { mut stepped, reply } => {
                stepped.at_ms = self.time.at_ms();
                stepped.previous = self.delivery.machine().row(&stepped.delivery).and_then(|row| row.carried.step);
                self.stage(Record::Stepped(*stepped))?;
                if let Some(reply) = reply {
                    self.durability.when_durable(After::Stepped(reply));
                }
                self.perform(None)?;
            }
            Command::Called { handler, calls } => self.feed(Input::Called { handler: &handler, calls: &calls })?,
            Command::Handlers { name, reply } => {
                let items = self.list_handlers(name.as_ref());
                self.durability.when_durable(After::Handlers { reply, items });
            }
            Command::KnownStates { deliveries, reply } => {
                let known = self.delivery.known_states(&deliveries, self.time.now());
                self.durability.when_durable(After::KnownStates { reply, known });
            }
            Command::StepReplay { step, audit, reply } => self.step_replay(*step, audit, reply)?,
            Command::HoldKey { handler, key, reply } => self.hold_key(&handler, key, reply)?,
            Command::EndHold { hold } => self.end_hold(hold)?,
            Command::Repair { token, repaired, has_more, reply } => {
                self.repair(&token, *repaired, has_more, reply)?;
            }
            Command::Stop { reply } => self.begin_to_stop(reply)?,
            Command::WorkerFailed(fault) => return Err(Exit::Fault(fault.into())),
        }
        Ok(())
    }

    fn accept(
        &mut self,
        mut events: Vec<Identified>,
        to: Option<&HandlerName>,
        permit: Permit,
        reply: Reply<Vec<Ingested>>,
    ) -> Result<(), Exit> {
        if let Some(unknown) = to.filter(|to| self.delivery.machine().handler(to).is_none()) {
            drop(reply.send(Err(Refusal::UnknownHandler(unknown.clone()))));
            return Ok(());
        }
        if !self.durability.has_space() {
            drop(reply.send(Err(Refusal::DiskFull)));
            return Ok(());
        }
        match self.ingress.renew(&mut events) {
            Err(error @ HistoryError::NotReady { .. }) => {
                drop(reply.send(Err(error.into())));
                return Ok(());
            }
            renewed => renewed?,
        }
        let mut ingested = Vec::with_capacity(events.len());
        for one in events {
            let head = self.delivery.machine().head();
            let first = self.ingress.first_position(&one, head);
            let Identified { event, identity, .. } = one;
            let (id, source, key) = (event.id.clone(), event.source.clone(), event.key().to_owned());
            let (position, duplicate) = match first {
                Some(position) => (position, true),
                None => {
                    let (to, at_ms) = (to.cloned(), self.time.at_ms());
                    let position = self.stage(Record::Accepted { event, to, at_ms })?;
                    self.ingress.accepted(identity, position);
                    (position, false)
                }
            };
            let counter = if duplicate { &self.metrics.events_duplicate } else { &self.metrics.events_accepted };
            counter.inc();
            ingested.push(Ingested { id, source, key, position, duplicate });
        }
        self.durability.when_durable(After::Ingested { reply, ingested, permit });
        self.perform(None)
    }

    fn take_call_result(&mut self, mut call: Box<CallResult>) -> Result<(), Exit> {
        let (handler, calls) = (call.handler.clone(), std::mem::take(&mut call.hosts));
        Self::check_depths(&mut call);
        self.check_migrations(&mut call)?;
        let failure = |item: &ItemResult| item.result.as_ref().err().map(recorded_failure);
        let answers: Vec<_> = call.items.iter().map(|item| (failure(item), item.correction.is_some())).collect();
        let results = call.items.iter().zip(&answers).map(|(item, (failure, corrected))| AttemptResult {
            position: item.position,
            attempt: item.attempt,
            result: failure.as_ref().map_or(Ok(()), Err),
            corrected: *corrected,
        });
        let results: Vec<_> = results.collect();
        self.tell(Input::AttemptResults { handler: &handler, results: &results });
        self.perform(Some(&mut call))?;
        if calls.is_empty() { Ok(()) } else { self.feed(Input::Called { handler: &handler, calls: &calls }) }
    }

    fn check_depths(call: &mut CallResult) {
        for item in &mut call.items {
            let depth = item.stored.depth_at(item.position);
            causation::check(&mut item.result, depth, &call.deployed.limits);
        }
    }

    /// Deliveries of a key may overlap (`ordering = "none"`): of those that migrated its state at the same time, the first
    /// commit counts, and the others run again on the migrated state.
    fn check_migrations(&mut self, call: &mut CallResult) -> Result<(), Exit> {
        let mut late = BTreeSet::new();
        for item in &mut call.items {
            let key = item.stored.event(item.position).map_or("", Event::key);
            if let Some(from) = item.migrated_from
                && self.durability.projection_mut().state_version(&call.handler, key)? != from
            {
                late.insert(key.to_owned());
            }
            if late.contains(key) {
                item.result = Err(CallError::MigratedMeanwhile);
                // Alone, it comes to another result.
                call.reproducible = false;
            }
        }
        Ok(())
    }

    fn deploy(
        &mut self,
        mut deployed: Deployed,
        module: Module,
        replaces: Option<Position>,
        reply: Reply<HandlerItem>,
    ) -> Result<(), Exit> {
        let (name, digest) = (deployed.handler.clone(), deployed.digest);
        let may = self.has_room_for(&deployed).and_then(|()| self.may_replace(&name, replaces));
        if let Err(refusal) = may.and_then(|()| self.keeps_state(&deployed, &module)) {
            drop(reply.send(Err(refusal)));
            return Ok(());
        }
        if !self.is_deployed(&deployed) {
            match self.finishing_beside(&deployed)? {
                Ok(finishing) => deployed.finishing = finishing,
                Err(refusal) => {
                    drop(reply.send(Err(refusal)));
                    return Ok(());
                }
            }
            Now { at_ms: deployed.at_ms, wall_ms: deployed.wall_ms, .. } = self.time.now();
            self.stage(Record::Deployed(deployed))?;
        }
        self.loaded(&name, digest, Some(module))?;
        self.after_handler(name, reply);
        Ok(())
    }

    /// The earlier versions that finish what their keys have under way, once this one is in force. A rollback leaves nothing to the
    /// version that it replaces.
    fn finishing_beside(&self, deployed: &Deployed) -> Result<Result<Vec<Position>, Refusal>, Exit> {
        let manifest = match Manifest::from_record(&deployed.manifest) {
            Ok(manifest) => manifest,
            Err(error) => return Ok(Err(error.into())),
        };
        let before = self.delivery.machine().handler(&deployed.handler);
        let Some(before) = before.filter(|_| manifest.on_deploy == OnDeploy::Finish && deployed.copied_from.is_none())
        else {
            return Ok(Ok(Vec::new()));
        };
        if before.overlaps || before.manifest.ordering != manifest.ordering {
            return Ok(Err(Refusal::CannotFinish(deployed.handler.clone())));
        }
        let finishing = self.versions_under_way(&deployed.handler)?;
        Ok(match finishing.len() > FINISHING_MAX {
            true => Err(Refusal::TooManyFinishing { handler: deployed.handler.clone(), most: FINISHING_MAX }),
            false => Ok(finishing),
        })
    }

    /// Whether the same module and manifest are in force already: then nothing changes, and no attempt is discarded.
    fn is_deployed(&self, deployed: &Deployed) -> bool {
        let view = self.delivery.machine().handler(&deployed.handler);
        view.is_some_and(|view| {
            view.deployed.digest == deployed.digest
                && Manifest::from_record(&deployed.manifest).is_ok_and(|manifest| manifest == **view.manifest)
        })
    }

    /// Whether the version that a deployment replaces is still in force, and the name is free.
    fn may_replace(&self, name: &HandlerName, replaces: Option<Position>) -> Result<(), Refusal> {
        if self.removals.has(name) {
            return Err(Refusal::BeingRemoved(name.clone()));
        }
        let in_force = self.delivery.machine().handler(name).map(|view| view.version);
        match replaces.is_some() && replaces != in_force {
            true => Err(Refusal::VersionChanged(name.clone())),
            false => Ok(()),
        }
    }

    /// Whether a deployment can read the state that the version in force has written, and that earlier ones left unmigrated.
    fn keeps_state(&self, deployed: &Deployed, module: &Module) -> Result<(), Refusal> {
        let name = &deployed.handler;
        let Some(view) = self.delivery.machine().handler(name) else { return Ok(()) };
        let (from, to) = (view.manifest.state_version, Manifest::from_record(&deployed.manifest)?.state_version);
        let in_force = self.delivery.deployed(name, view.version);
        // Before the first version there was none; a module that is not there may have migrated.
        let is_migrating = || from > FIRST_STATE_VERSION && in_force.is_none_or(|deployed| deployed.module.migrates());
        if to < from {
            return Err(Refusal::OlderState { handler: name.clone(), from, to });
        }
        match !module.migrates() && (to > from || is_migrating()) {
            true => Err(Refusal::NoMigration { handler: name.clone(), from, to }),
            false => Ok(()),
        }
    }

    /// Whether a deployment fits the limits of handlers in memory.
    fn has_room_for(&self, deployed: &Deployed) -> Result<(), Refusal> {
        let Some(view) = self.delivery.machine().handler(&deployed.handler) else {
            return match self.delivery.machine().handlers().count() {
                count if count >= HANDLERS_MAX => Err(Refusal::TooManyHandlers(HANDLERS_MAX)),
                _ => Ok(()),
            };
        };
        let changes =
            || Manifest::from_record(&deployed.manifest).map(|new| new.subscriptions != view.manifest.subscriptions);
        match view.subscriptions_pending >= SUBSCRIPTIONS_PENDING_MAX && changes()? {
            true => Err(Refusal::TooFarBehind(deployed.handler.clone())),
            false => Ok(()),
        }
    }

    fn loaded(&mut self, name: &HandlerName, digest: Digest, module: Option<Module>) -> Result<(), Exit> {
        let Some(view) = self.delivery.machine().handler(name) else { return Ok(()) };
        let earlier = view.finishing.iter().map(|one| (one.position, one.deployed.digest, &one.manifest));
        let in_force = (view.version, view.deployed.digest, view.manifest);
        let versions = earlier.chain([in_force]).filter(|(_, of, _)| *of == digest);
        let versions = versions.map(|(version, _, manifest)| (version, manifest));
        let Some(module) = module else {
            // A deployment with the same digest may have come while the module was being looked up without success.
            let waits = versions.count() > 0 && !self.delivery.has_module(name, digest);
            return if waits { self.feed(Input::Unready { handler: name, digest }) } else { Ok(()) };
        };
        let deployed = versions.map(|(version, manifest)| DeployedHandler {
            version,
            digest,
            state_version: manifest.state_version,
            module: module.clone(),
            config: Arc::new(manifest.config.clone()),
            limits: manifest.limits,
            capabilities: manifest.capabilities.clone(),
            overlaps: view.overlaps,
            discarded: AtomicBool::new(false),
        });
        let deployed: Vec<_> = deployed.collect();
        for deployed in deployed {
            self.delivery.set_deployed(name, deployed);
        }
        self.feed(Input::Ready { handler: name, digest })
    }

    pub(super) fn after_handler(&mut self, name: HandlerName, reply: Reply<HandlerItem>) {
        let item = self.list_handlers(Some(&name)).pop().ok_or(Refusal::UnknownHandler(name));
        self.durability.when_durable(After::Handler { reply, item: Box::new(item) });
    }
}
