//! The kinds of handlers in histories: their settings, and what these promise.

use crate::Chance;

/// Which deliveries wait for which.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Key,
    Handler,
    /// None; with `input`, emissions keep the order of their events.
    None {
        input: bool,
    },
}

/// A way of delivering to a handler.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    pub order: Order,
    pub holds: bool,
    pub batch: bool,
    /// Whether events are resequenced.
    pub resequences: bool,
    /// Number of attempts of each retry stage.
    pub stages: &'static [u32],
    settings: &'static str,
}

const ONE_LEVEL: &str = r#""retry":[{"attempts":1,"first_delay_ms":30,"delay_ms_max":60}]"#;
const TWO_LEVELS: &str = r#""retry":[{"attempts":2,"first_delay_ms":20,"delay_ms_max":40},{"attempts":1,"first_delay_ms":500,"delay_ms_max":500,"jitter":"equal"}]"#;
/// The longest delay of each stage.
pub const DELAYS_MS_MAX: [u64; 2] = [60, 500];
const BREAKER: &str =
    r#","breaker":{"window_ms":2000,"attempts_min":3,"failure_ratio":0.5,"open_ms":100,"open_ms_max":400}"#;

const fn kind(name: &'static str, order: Order, stages: &'static [u32], settings: &'static str) -> Kind {
    Kind { name, order, holds: false, batch: false, resequences: false, stages, settings }
}

pub const KINDS: [Kind; 11] = [
    kind("plain", Order::Key, &[2, 1], ""),
    Kind { holds: true, ..kind("hold", Order::Key, &[1], r#","after_dead_letter":"hold""#) },
    kind("line", Order::Handler, &[2, 1], r#","ordering":"handler""#),
    kind("input", Order::None { input: true }, &[1], r#","ordering":"none","emit_order":"input""#),
    Kind { batch: true, ..kind("batch", Order::Key, &[2, 1], r#","batch":{"events_max":3}"#) },
    kind("free", Order::None { input: false }, &[1], r#","ordering":"none""#),
    Kind {
        batch: true,
        holds: true,
        ..kind("batch-hold", Order::Key, &[1], r#","batch":{"events_max":3},"after_dead_letter":"hold""#)
    },
    Kind {
        holds: true,
        ..kind("line-hold", Order::Handler, &[1], r#","ordering":"handler","after_dead_letter":"hold""#)
    },
    Kind { resequences: true, ..kind("sequence", Order::Key, &[2, 1], r#","resequence":{"gap_timeout_ms":400}"#) },
    Kind {
        resequences: true,
        holds: true,
        ..kind("sequence-hold", Order::Key, &[1], r#","resequence":{"gap_timeout_ms":3000},"after_dead_letter":"hold""#)
    },
    kind("strict", Order::Key, &[], r#","dead_letter_stop":{"ratio":0.5,"ended_min":4}"#),
];

impl Kind {
    /// The stage of the wait after `spent` failed attempts; `None`: they are used up.
    #[must_use]
    pub fn stage_after(&self, spent: u32) -> Option<u8> {
        let mut left = spent;
        for (index, attempts) in self.stages.iter().enumerate() {
            if left <= *attempts {
                return u8::try_from(index).ok();
            }
            left -= attempts;
        }
        None
    }
}

/// A handler of a history.
#[derive(Debug)]
pub struct Setting {
    pub kind: &'static Kind,
    pub concurrency: u64,
    pub has_breaker: bool,
    /// Whether its first version begins with the first event of the log.
    pub from_beginning: bool,
}

impl Setting {
    pub fn draw(chance: &mut Chance) -> Self {
        let kind = KINDS.get(chance.index(KINDS.len())).unwrap_or(&KINDS[0]);
        let (concurrency, has_breaker) = (chance.between(1, 3), chance.one_in(3));
        Self { kind, concurrency, has_breaker, from_beginning: chance.one_in(3) }
    }

    /// The manifest of one of its versions.
    #[must_use]
    pub fn manifest(&self, name: &str, takes: Takes) -> String {
        let more = [(takes.payments, r#","pay.*""#), (takes.emissions, r#","out.*""#)];
        let more: String = more.iter().filter(|(is, _)| *is).map(|(_, pattern)| *pattern).collect();
        let retry = match self.kind.stages {
            [] => r#""retry":[]"#,
            [_] => ONE_LEVEL,
            _ => TWO_LEVELS,
        };
        let breaker = if self.has_breaker { BREAKER } else { "" };
        let start = if self.from_beginning { r#","start":"beginning""# } else { "" };
        let (settings, concurrency) = (self.kind.settings, self.concurrency);
        // Versions differ in the hosts that they may call.
        let hosts = if takes.payments { r#""https://host-0""# } else { r#""https://host-0","https://host-1""# };
        let subscriptions = format!(r#"[{{"types":["order.*"{more}],"corrections":["fix.*"]}}]"#);
        format!(
            r#"{{"name":"{name}","subscriptions":{subscriptions},"concurrency":{concurrency},"capabilities":{{"hosts":[{hosts}]}},{retry}{settings}{breaker}{start}}}"#
        )
    }
}

/// The other types that a version takes besides orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Takes {
    pub payments: bool,
    pub emissions: bool,
}

impl Takes {
    /// A manifest's settings, by its text.
    #[must_use]
    pub fn of_manifest(manifest: &str) -> Self {
        Self { payments: manifest.contains("pay.*"), emissions: manifest.contains("out.*") }
    }

    #[must_use]
    pub fn takes(self, r#type: &str) -> bool {
        r#type.starts_with("order.")
            || self.payments && r#type.starts_with("pay.")
            || self.emissions && r#type.starts_with("out.")
    }
}
