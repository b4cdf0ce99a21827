//! Deployments and modes of a world's handlers.

use weirgate_core::Input;
use weirgate_types::{Deployed, Mode, ModeChanged, Position, Record};

use super::{DIGEST, World, deployed, name, notice};

impl World {
    /// Deploy a handler for all `order.*` events, which `fix.*` events correct, with more settings as JSON
    /// (`,"concurrency":1`).
    pub fn deploy(&mut self, handler: &str, extra: &str) {
        self.deploy_beside(handler, extra, Vec::new());
    }

    /// The same, with `on_deploy = "finish"`: earlier versions that have something under way finish it.
    pub fn deploy_to_finish(&mut self, handler: &str, extra: &str) {
        let handler_name = name(handler);
        let mut needed = self.machine.versions_of_open(&handler_name);
        let timers = self.timers_of.iter().filter(|((of, _), _)| *of == handler_name);
        needed.extend(timers.filter_map(|(_, set_by)| self.machine.version_as_of(&handler_name, *set_by)));
        let view = self.handler(handler);
        let earlier = view.finishing.iter().map(|version| version.position);
        let finishing = earlier.chain([view.version]).filter(|version| needed.contains(version)).collect();
        self.deploy_beside(handler, extra, finishing);
    }

    fn deploy_beside(&mut self, handler: &str, extra: &str, finishing: Vec<Position>) {
        let subscription = r#"{"types":["order.*"],"corrections":["fix.*"]}"#;
        let manifest = format!(r#"{{"name":"{handler}","subscriptions":[{subscription}]{extra}}}"#);
        self.stage(Record::Deployed(Deployed {
            at_ms: self.now_ms,
            wall_ms: self.now_ms,
            finishing,
            ..deployed(handler, manifest)
        }));
        self.ready(handler);
    }

    pub fn ready(&mut self, handler: &str) {
        self.feed(Input::Ready { handler: &name(handler), digest: DIGEST });
    }

    pub fn pause(&mut self, handler: &str, pause: bool) {
        self.set_mode(handler, if pause { Mode::Paused } else { Mode::Running });
    }

    pub fn set_mode(&mut self, handler: &str, mode: Mode) {
        let (handler, at_ms) = (name(handler), self.now_ms);
        let (actor, reason, notice) = ("test".into(), String::new(), notice());
        self.stage(Record::ModeChanged(ModeChanged { handler, mode, actor, reason, at_ms, notice }));
        self.feed(Input::Tick);
    }
}
