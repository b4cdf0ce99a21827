//! Breakers: of handlers, by their attempts, and of hosts, by the calls that all handlers make to them.

use weirgate_types::{BreakerChanged, BreakerId};

use super::Machine;
use crate::{
    Action, Turned,
    breaker::{Breaker, Turn},
};

/// Who turns a breaker where nobody asked for it.
const RUNTIME: &str = "weirgate";
/// A breaker that an operator opened stays so until he closes it, or for this long.
const TRIPPED_MS: u64 = 365 * 86_400_000;

impl Machine {
    /// Calls to hosts ended.
    pub(super) fn called(&mut self, hosts: &[(String, bool)], now_ms: u64, actions: &mut Vec<Action>) {
        for (host, is_well) in hosts {
            let policy = self.limits.host_breaker;
            let breaker = self.hosts.entry(host.clone()).or_insert_with(|| Breaker::new(policy));
            if let Some(turn) = breaker.count(!is_well, now_ms) {
                turn_breaker(BreakerId::Host(host.clone()), turn, actions);
            }
        }
    }

    pub(super) fn wish_breaker(
        &mut self,
        breaker: &BreakerId,
        open: bool,
        (by, why): (&str, &str),
        now_ms: u64,
        actions: &mut Vec<Action>,
    ) {
        if let (true, BreakerId::Handler(name)) = (open, breaker) {
            let handler = self.handlers.get_mut(name);
            handler.and_then(|handler| handler.breaker.as_mut()).into_iter().for_each(Breaker::begin_to_open);
        }
        let open_until_ms = open.then(|| now_ms.saturating_add(TRIPPED_MS));
        let (breaker, by, why) = (breaker.clone(), by.to_owned(), why.to_owned());
        actions.push(Action::Turn(Turned::Breaker { breaker, open_until_ms, by, why }));
    }

    pub(super) fn breaker_changed(&mut self, changed: &BreakerChanged) {
        let breaker = match &changed.breaker {
            BreakerId::Handler(name) => self.handlers.get_mut(name).and_then(|handler| handler.breaker.as_mut()),
            BreakerId::Host(host) => {
                let policy = self.limits.host_breaker;
                Some(self.hosts.entry(host.clone()).or_insert_with(|| Breaker::new(policy)))
            }
        };
        if let Some(breaker) = breaker {
            breaker.turned(changed.open_until_ms);
        }
    }

    /// Take up an open breaker of a host where a view left off.
    pub fn restore_host(&mut self, host: &str, until_ms: u64, again: u32) {
        let breaker = Breaker::resumed(self.limits.host_breaker, Some((until_ms, again)));
        self.hosts.insert(host.to_owned(), breaker);
    }

    /// The hosts that have been called, and whether their breakers are open: until when, and for the how manieth time in a
    /// row.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, Option<(u64, u32)>)> {
        self.hosts.iter().map(|(host, breaker)| (host.as_str(), breaker.open()))
    }
}

pub(super) fn turn_breaker(breaker: BreakerId, turn: Turn, actions: &mut Vec<Action>) {
    let (open_until_ms, why) = match turn {
        Turn::Open { until_ms } => (Some(until_ms), "too many calls failed"),
        Turn::Close => (None, "a call went through"),
    };
    let (by, why) = (RUNTIME.to_owned(), why.to_owned());
    actions.push(Action::Turn(Turned::Breaker { breaker, open_until_ms, by, why }));
}
