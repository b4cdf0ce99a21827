//! Breakers: of handlers, by their attempts, and of hosts, by each handler's calls to them, so that one handler's bad calls
//! shut no other handler out. An operator may open a host's breaker for all handlers.

use std::ops::Bound;

use weirgate_types::{BreakerChanged, BreakerId, CalledHost, HandlerName, HostCall, Position};

use super::Machine;
use crate::{
    Action, Now, StateChange,
    breaker::{Breaker, OpenPeriod, Transition},
};

/// The actor of changes that the runtime makes.
const RUNTIME: &str = "weirgate";
/// Default for how long a breaker that an operator opened stays open, unless an operator closes it earlier.
const TRIPPED_MS: u64 = 365 * 86_400_000;

impl Machine {
    /// A handler's calls to hosts ended. They count for the handler's host breaker, and for the breaker of all handlers
    /// while that is open.
    pub(super) fn called(&mut self, handler: &HandlerName, calls: &[HostCall], now: Now, actions: &mut Vec<Action>) {
        let Some(deployed) = self.handlers.get(handler) else { return };
        let capabilities = deployed.manifest.capabilities.clone();
        // A call of an earlier version may have called others.
        for HostCall { host, is_success } in calls.iter().filter(|call| capabilities.names_host(&call.host)) {
            let own = CalledHost::of_handler(handler, host);
            let policy = self.limits.host_breaker;
            let transition = self
                .hosts
                .entry(own.clone())
                .or_insert_with(|| Breaker::new(policy))
                .count(!is_success, now.elapsed_ms);
            let of_all = CalledHost::of_all_handlers(host);
            let open = self.hosts.get_mut(&of_all).filter(|breaker| breaker.open().is_some());
            let transition_of_all = open.and_then(|breaker| breaker.count(!is_success, now.elapsed_ms));
            for (called, transition) in [(own, transition), (of_all, transition_of_all)] {
                if let Some(transition) = transition {
                    change_breaker(BreakerId::Host(called), transition, actions);
                }
            }
        }
    }

    /// The handler has a new version: breakers of hosts that it may not call any longer are dropped.
    pub(super) fn keep_hosts_of(&mut self, handler: &HandlerName, capabilities: &weirgate_types::Capabilities) {
        let is_gone =
            |called: &CalledHost| called.handler.as_ref() == Some(handler) && !capabilities.names_host(&called.host);
        self.hosts.retain(|called, _| !is_gone(called));
    }

    pub(super) fn set_breaker(
        &mut self,
        breaker: &BreakerId,
        open: bool,
        (actor, reason): (&str, &str),
        actions: &mut Vec<Action>,
    ) {
        if let (true, BreakerId::Handler(name)) = (open, breaker) {
            let handler = self.handlers.get_mut(name);
            handler.and_then(|handler| handler.breaker.as_mut()).into_iter().for_each(Breaker::begin_to_open);
        }
        let open_ms = open.then_some(TRIPPED_MS);
        let (breaker, actor, reason) = (breaker.clone(), actor.to_owned(), reason.to_owned());
        actions.push(Action::ChangeState(StateChange::Breaker { breaker, open_ms, actor, reason }));
    }

    pub(super) fn breaker_changed(&mut self, position: Position, changed: &BreakerChanged) {
        let elapsed_ms = self.anchors.elapsed_ms(position, changed.at_ms);
        let breaker = match &changed.breaker {
            // The calls of all handlers are counted only while it is open.
            BreakerId::Host(host) if host.handler.is_none() && changed.open_ms.is_none() => {
                self.hosts.remove(host);
                None
            }
            BreakerId::Handler(name) => self.handlers.get_mut(name).and_then(|handler| handler.breaker.as_mut()),
            BreakerId::Host(host) => {
                let policy = self.limits.host_breaker;
                Some(self.hosts.entry(host.clone()).or_insert_with(|| Breaker::new(policy)))
            }
        };
        if let Some(breaker) = breaker {
            breaker.changed(changed.open_ms.map(|open_ms| elapsed_ms.saturating_add(open_ms)));
        }
    }

    /// Restores an open host breaker from a view.
    pub fn restore_host(&mut self, host: CalledHost, open: OpenPeriod) {
        self.hosts.insert(host, Breaker::resumed(self.limits.host_breaker, Some(open)));
    }

    /// The hosts that have been called, and the open time of those whose breaker is open.
    pub fn hosts(&self) -> impl Iterator<Item = (&CalledHost, Option<OpenPeriod>)> {
        self.hosts_after(None)
    }

    /// Those behind one, in order: the hosts of all handlers first.
    pub fn hosts_after(&self, after: Option<&CalledHost>) -> impl Iterator<Item = (&CalledHost, Option<OpenPeriod>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let hosts = self.hosts.range::<CalledHost, _>((start, Bound::Unbounded));
        hosts.map(|(host, breaker)| (host, breaker.open()))
    }

    /// The open time of a host's breaker, if it is known.
    #[must_use]
    pub fn host(&self, host: &CalledHost) -> Option<Option<OpenPeriod>> {
        self.hosts.get(host).map(Breaker::open)
    }

    /// Number of hosts whose breakers are open for all handlers.
    #[must_use]
    pub fn hosts_of_all(&self) -> usize {
        self.hosts.keys().take_while(|host| host.handler.is_none()).count()
    }
}

pub(super) fn change_breaker(breaker: BreakerId, transition: Transition, actions: &mut Vec<Action>) {
    let (open_ms, reason) = match transition {
        Transition::Open { open_ms } => (Some(open_ms), "too many calls failed"),
        Transition::Close => (None, "a call succeeded"),
    };
    let (actor, reason) = (RUNTIME.to_owned(), reason.to_owned());
    actions.push(Action::ChangeState(StateChange::Breaker { breaker, open_ms, actor, reason }));
}
