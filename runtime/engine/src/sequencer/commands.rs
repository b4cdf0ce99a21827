//! What the sequencer does at each command.

use std::{sync::Arc, time::Duration};

use weirgate_core::{Input, Verdict};
use weirgate_host::{CallError, Module};
use weirgate_types::{AttemptFailure, DeliveryId, Deployed, Digest, Event, FailureKind, HandlerName, Record};

use super::{After, End, Sequencer};
use crate::{
    HandlerItem, Published, Refusal,
    command::{Command, DeadLetter, Permit, Reply},
    job::{Callee, Finished},
    rows,
};

/// How long calls that are under way may take to end when the server stops. Those that take longer are tried again after
/// the next start.
const STOP_GRACE: Duration = Duration::from_secs(5);

impl Sequencer {
    pub fn take(&mut self, command: Command) -> Result<(), End> {
        match command {
            Command::Publish { events, permit, reply } => self.accept(events, permit, reply)?,
            Command::Finished(finished) => self.finished(finished)?,
            Command::Deploy { deployed, module, reply } => self.deploy(*deployed, module, reply)?,
            Command::Loaded { handler, digest, module } => self.loaded(&handler, digest, module)?,
            Command::Pause { handler, pause, reply } => self.pause(handler, pause, reply)?,
            Command::Resubmit { letter, reply } => self.resubmit(&letter, reply)?,
            Command::Handlers { reply } => {
                let items = self.list_handlers();
                self.after.push(After::Handlers { reply, items });
            }
            Command::Deliveries { filter, reply } => {
                let items = self.list_deliveries(&filter);
                self.after.push(After::Deliveries { reply, items });
            }
            Command::Stop { reply } => {
                self.stopping.push(reply);
                self.stop_by.get_or_insert(self.clock.monotonic() + STOP_GRACE);
                self.feed(Input::Stopping)?;
            }
            Command::Broken { why } => return Err(End::Broken(why)),
        }
        Ok(())
    }

    fn accept(&mut self, events: Vec<Event>, permit: Permit, reply: Reply<Vec<Published>>) -> Result<(), End> {
        if !*self.has_space.get_or_insert_with(|| (self.free_space)()) {
            drop(reply.send(Err(Refusal::DiskFull)));
            return Ok(());
        }
        let mut published = Vec::with_capacity(events.len());
        for event in events {
            let (id, source, key) = (event.id.clone(), event.source.clone(), event.key().to_owned());
            let (position, duplicate) = match self.projection.first_position(&source, &id)? {
                Some(position) => (position, true),
                None => (self.append(Record::Accepted { event, at_ms: self.clock.now_ms() })?, false),
            };
            let counter = if duplicate { &self.metrics.events_duplicate } else { &self.metrics.events_accepted };
            counter.inc();
            published.push(Published { id, source, key, position, duplicate });
        }
        self.after.push(After::Published { reply, published, permit });
        self.perform()
    }

    fn finished(&mut self, finished: Box<Finished>) -> Result<(), End> {
        let (delivery, attempt) = (finished.delivery.clone(), finished.attempt);
        let failure = match &finished.report.result {
            Ok(_) => None,
            Err(CallError::Failed(failure)) => Some(failure.clone()),
            // The worker keeps these to itself; were one to come, the attempt did not take place.
            Err(error) => Some(AttemptFailure::found(FailureKind::Interrupted, error.to_string())),
        };
        self.settling = Some(finished);
        let result = failure.as_ref().map_or(Ok(()), Err);
        self.feed(Input::Finished { delivery: &delivery, attempt, result })?;
        self.settling = None;
        Ok(())
    }

    fn deploy(&mut self, deployed: Deployed, module: Module, reply: Reply<HandlerItem>) -> Result<(), End> {
        let (name, digest) = (deployed.handler.clone(), deployed.digest);
        self.append(Record::Deployed(deployed))?;
        self.loaded(&name, digest, Some(module))?;
        self.after_handler(name, reply);
        Ok(())
    }

    fn loaded(&mut self, name: &HandlerName, digest: Digest, module: Option<Module>) -> Result<(), End> {
        let Some(view) = self.machine.handler(name).filter(|view| view.deployed.digest == digest) else {
            return Ok(());
        };
        let Some(module) = module else {
            // A deployment of the same digest may have come while the module was looked for in vain.
            let is_here = self.callees.get(name).is_some_and(|callee| callee.digest == digest);
            return if is_here { Ok(()) } else { self.feed(Input::Unready { handler: name }) };
        };
        let (config, limits) = (Arc::new(view.manifest.config.clone()), view.manifest.limits);
        self.callees.insert(name.clone(), Arc::new(Callee { digest, module, config, limits }));
        self.feed(Input::Ready { handler: name, digest })
    }

    fn pause(&mut self, handler: HandlerName, pause: bool, reply: Reply<HandlerItem>) -> Result<(), End> {
        match self.machine.may_pause(&handler, pause) {
            Verdict::UnknownHandler => {
                drop(reply.send(Err(Refusal::UnknownHandler(handler))));
                return Ok(());
            }
            Verdict::AlreadySo => {}
            Verdict::Granted => {
                let (name, at_ms) = (handler.clone(), self.clock.now_ms());
                self.append(match pause {
                    true => Record::Paused { handler: name, at_ms },
                    false => Record::Resumed { handler: name, at_ms },
                })?;
            }
        }
        self.perform()?;
        self.after_handler(handler, reply);
        Ok(())
    }

    fn after_handler(&mut self, name: HandlerName, reply: Reply<HandlerItem>) {
        let item = self.list_handlers().into_iter().find(|item| item.name == name).ok_or(Refusal::UnknownHandler(name));
        self.after.push(After::Handler { reply, item: Box::new(item) });
    }

    fn resubmit(&mut self, letter: &DeadLetter, reply: Reply<DeliveryId>) -> Result<(), End> {
        let delivery = letter.delivery.clone();
        let is_dead = self.views.get(&rows::dead_letter(&delivery))?.is_some() && !self.machine.is_open(&delivery);
        if !is_dead {
            drop(reply.send(Err(Refusal::NotADeadLetter(delivery))));
            return Ok(());
        }
        let record =
            Record::Resubmitted { delivery: delivery.clone(), key: letter.key.clone(), at_ms: self.clock.now_ms() };
        self.append(record)?;
        self.after.push(After::Resubmitted { reply, delivery });
        self.perform()
    }
}
