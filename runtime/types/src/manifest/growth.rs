//! What a version of a handler may do against another version: which of it grows. A deployment that lets a handler do more has to
//! be approved.
//!
//! Pure: manifests and the names of imports in, a list out.

use std::{collections::BTreeMap, fmt::Display};

use super::{CallLimits, Manifest, RUNTIME_TYPES, Schedule, Subscription, subscription::covers};

/// Prefix of the contract's interfaces. Those of WASI are not counted: what is offered of them reaches nothing outside a call.
const CONTRACT: &str = "weirgate:handler/";

/// Something that a handler may do, and that differs between two versions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CapabilityChange {
    /// For instance `hosts`, `subscriptions` or `limits.cpu_ms`.
    pub capability: String,
    /// As it was; `None`: it is new.
    pub before: Option<String>,
    /// As it is; `None`: it is gone.
    pub after: Option<String>,
    /// Whether the handler may do more than before.
    pub grows: bool,
}

/// What of a version says what it may do.
#[derive(Debug, Clone, Copy)]
pub struct MayDo<'a> {
    pub manifest: &'a Manifest,
    /// What its module imports.
    pub imports: &'a [String],
}

impl MayDo<'_> {
    /// What differs in `after`, in order of the capabilities' names. Where it is not known whether something is wider, it counts as wider.
    #[must_use]
    pub fn changes(&self, after: &MayDo<'_>) -> Vec<CapabilityChange> {
        let [old, new] = [self, after].map(|one| one.manifest);
        let mut changes = Vec::new();
        names("hosts", [&old.capabilities.hosts, &new.capabilities.hosts], &mut changes);
        names("secrets", [&old.capabilities.secrets, &new.capabilities.secrets], &mut changes);
        imports([self.imports, after.imports], &mut changes);
        subscriptions([&old.subscriptions, &new.subscriptions], &mut changes);
        schedules([&old.schedules, &new.schedules], &mut changes);
        let number = |changes: &mut Vec<_>, name: &str, before: u64, after: u64| {
            if before != after {
                changes.push(CapabilityChange::of(name, Some(before), Some(after), after > before));
            }
        };
        number(&mut changes, "concurrency", old.concurrency.into(), new.concurrency.into());
        for ((name, before), (_, after)) in limits(&old.limits).into_iter().zip(limits(&new.limits)) {
            number(&mut changes, &format!("limits.{name}"), before, after);
        }
        changes.sort();
        changes.dedup();
        changes
    }
}

impl CapabilityChange {
    fn of<T: Display>(capability: &str, before: Option<T>, after: Option<T>, grows: bool) -> Self {
        let [before, after] = [before, after].map(|value| value.map(|value| value.to_string()));
        Self { capability: capability.to_owned(), before, after, grows }
    }

    fn added(capability: &str, what: &str, grows: bool) -> Self {
        Self::of(capability, None, Some(what), grows)
    }

    fn removed(capability: &str, what: &str) -> Self {
        Self::of(capability, Some(what), None, false)
    }
}

fn names(capability: &str, [before, after]: [&[String]; 2], changes: &mut Vec<CapabilityChange>) {
    let new = after.iter().filter(|name| !before.contains(name));
    changes.extend(new.map(|name| CapabilityChange::added(capability, name, true)));
    let gone = before.iter().filter(|name| !after.contains(name));
    changes.extend(gone.map(|name| CapabilityChange::removed(capability, name)));
}

/// Compared without their versions.
fn imports([before, after]: [&[String]; 2], changes: &mut Vec<CapabilityChange>) {
    let interface = |import: &str| import.split_once('@').map_or(import, |(interface, _)| interface).to_owned();
    let [before, after] = [before, after].map(|all| all.iter().map(|one| interface(one)).collect::<Vec<_>>());
    let new = after.iter().filter(|name| !before.contains(name));
    changes.extend(new.map(|name| CapabilityChange::added("imports", name, name.starts_with(CONTRACT))));
    let gone = before.iter().filter(|name| !after.contains(name));
    changes.extend(gone.map(|name| CapabilityChange::removed("imports", name)));
}

/// A pattern of a subscription.
#[derive(Clone, Copy, PartialEq)]
struct Pattern<'a> {
    is_correction: bool,
    text: &'a str,
    source: Option<&'a str>,
}

impl<'a> Pattern<'a> {
    fn all(subscriptions: &'a [Subscription]) -> impl Iterator<Item = Self> {
        subscriptions.iter().flat_map(|one| {
            let source = one.source.as_deref();
            let of = move |is_correction| move |text: &'a String| Self { is_correction, text, source };
            one.types.iter().map(of(false)).chain(one.corrections.iter().map(of(true)))
        })
    }

    /// Whether all that the other one matches matches this one too.
    fn includes(&self, other: &Self) -> bool {
        let is_own = |text: &str| text.starts_with(RUNTIME_TYPES);
        self.is_correction == other.is_correction
            && covers(self.text, other.text)
            && (is_own(self.text) || !is_own(other.text))
            && self.source.is_none_or(|source| other.source.is_some_and(|other| covers(source, other)))
    }

    fn described(&self) -> String {
        let corrections = if self.is_correction { " as corrections" } else { "" };
        let source = self.source.map(|source| format!(" from {source}")).unwrap_or_default();
        format!("{}{source}{corrections}", self.text)
    }
}

fn subscriptions([before, after]: [&[Subscription]; 2], changes: &mut Vec<CapabilityChange>) {
    let [before, after] = [before, after].map(|all| Pattern::all(all).collect::<Vec<_>>());
    for pattern in after.iter().filter(|pattern| !before.contains(pattern)) {
        let grows = !before.iter().any(|old| old.includes(pattern));
        changes.push(CapabilityChange::added("subscriptions", &pattern.described(), grows));
    }
    let gone = before.iter().filter(|pattern| !after.contains(pattern));
    changes.extend(gone.map(|pattern| CapabilityChange::removed("subscriptions", &pattern.described())));
}

fn schedules([before, after]: [&[Schedule]; 2], changes: &mut Vec<CapabilityChange>) {
    let named = |all: &[Schedule]| -> BTreeMap<String, String> {
        let text = |one: &Schedule| {
            let data = one.data.as_ref().map(|data| format!(" with {}", data.get())).unwrap_or_default();
            format!("{}: {} as {} of {}{data}", one.name, one.cron, one.r#type, one.key)
        };
        all.iter().map(|one| (one.name.clone(), text(one))).collect()
    };
    let [mut before, after] = [before, after].map(named);
    for (name, now) in after {
        let was = before.remove(&name);
        if was.as_ref() != Some(&now) {
            changes.push(CapabilityChange::of("schedules", was, Some(now), true));
        }
    }
    changes.extend(before.into_values().map(|was| CapabilityChange::of("schedules", Some(was), None, false)));
}

fn limits(limits: &CallLimits) -> [(&'static str, u64); 12] {
    let CallLimits { cpu_ms, wall_ms, memory_bytes, effects_bytes, emitted_events, emitted_per_second, .. } = *limits;
    let CallLimits { causation_depth, host_calls, outbound_calls, outbound_bytes, log_lines, log_line_bytes, .. } =
        *limits;
    [
        ("cpu_ms", cpu_ms),
        ("wall_ms", wall_ms),
        ("memory_bytes", memory_bytes),
        ("effects_bytes", effects_bytes),
        ("emitted_events", emitted_events.into()),
        ("emitted_per_second", emitted_per_second.into()),
        ("causation_depth", causation_depth.into()),
        ("host_calls", host_calls.into()),
        ("outbound_calls", outbound_calls.into()),
        ("outbound_bytes", outbound_bytes),
        ("log_lines", log_lines.into()),
        ("log_line_bytes", log_line_bytes.into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(json: &str) -> Manifest {
        Manifest::from_json(&format!(r#"{{"name":"a",{json}}}"#)).expect(json)
    }

    /// Each change as `+capability after` where it grows, else `-capability after`; `before` where there is no `after`.
    fn changes(before: &str, after: &str) -> Vec<String> {
        let [before, after] = [before, after].map(manifest);
        let [before, after] = [&before, &after].map(|manifest| MayDo { manifest, imports: &[] });
        texts(&before.changes(&after))
    }

    fn texts(changes: &[CapabilityChange]) -> Vec<String> {
        let text = |change: &CapabilityChange| {
            let value = change.after.as_ref().or(change.before.as_ref()).cloned().unwrap_or_default();
            format!("{}{} {value}", if change.grows { '+' } else { '-' }, change.capability)
        };
        changes.iter().map(text).collect()
    }

    fn subscribed(before: &str, after: &str) -> Vec<String> {
        changes(&format!(r#""subscriptions":[{before}]"#), &format!(r#""subscriptions":[{after}]"#))
    }

    #[test]
    fn a_wider_subscription_grows_and_a_narrower_one_does_not() {
        for (before, after, expected) in [
            (r#"{"types":["a"]}"#, r#"{"types":["a"]}"#, &[][..]),
            (r#"{"types":["a.*"]}"#, r#"{"types":["a.b"]}"#, &["-subscriptions a.*", "-subscriptions a.b"]),
            (r#"{"types":["a.b"]}"#, r#"{"types":["a.*"]}"#, &["-subscriptions a.b", "+subscriptions a.*"]),
            (r#"{"types":["a*c"]}"#, r#"{"types":["a*b*c"]}"#, &["-subscriptions a*c", "-subscriptions a*b*c"]),
            (r#"{"types":["a*b*c"]}"#, r#"{"types":["a*c"]}"#, &["-subscriptions a*b*c", "+subscriptions a*c"]),
            (r#"{"types":["*"]}"#, r#"{"types":["*","weirgate.a"]}"#, &["+subscriptions weirgate.a"]),
            (r#"{"types":["weirgate.*"]}"#, r#"{"types":["weirgate.*","weirgate.a"]}"#, &["-subscriptions weirgate.a"]),
            (
                r#"{"types":["a"],"source":"/s"}"#,
                r#"{"types":["a"]}"#,
                &["-subscriptions a from /s", "+subscriptions a"],
            ),
            (
                r#"{"types":["a"]}"#,
                r#"{"types":["a"],"source":"/s"}"#,
                &["-subscriptions a", "-subscriptions a from /s"],
            ),
            (r#"{"types":["a"]}"#, r#"{"types":["a"],"corrections":["b"]}"#, &["+subscriptions b as corrections"]),
            (
                r#"{"types":["a","b"]}"#,
                r#"{"types":["a"],"corrections":["b"]}"#,
                &["-subscriptions b", "+subscriptions b as corrections"],
            ),
            (
                r#"{"types":["a"],"source":"/s/*"}"#,
                r#"{"types":["a"],"source":"/s/1"}"#,
                &["-subscriptions a from /s/*", "-subscriptions a from /s/1"],
            ),
        ] {
            let (mut found, mut expected) = (subscribed(before, after), expected.to_vec());
            found.sort();
            expected.sort_unstable();
            assert_eq!(found, expected, "{before} -> {after}");
        }
    }

    #[test]
    fn more_of_anything_grows_and_less_does_not() {
        let with = |extra: &str| format!(r#""subscriptions":[{{"types":["a"]}}]{extra}"#);
        let schedule =
            |cron: &str| with(&format!(r#","schedules":[{{"name":"s","cron":"{cron}","type":"t","key":"k"}}]"#));
        for (before, after, expected) in [
            (
                with(""),
                with(r#","capabilities":{"hosts":["https://a.example"],"secrets":["s"]}"#),
                &["+hosts https://a.example", "+secrets s"][..],
            ),
            (with(r#","capabilities":{"hosts":["https://a.example"]}"#), with(""), &["-hosts https://a.example"]),
            (
                with(r#","limits":{"cpu_ms":10,"log_lines":5}"#),
                with(r#","limits":{"cpu_ms":11,"log_lines":4}"#),
                &["+limits.cpu_ms 11", "-limits.log_lines 4"],
            ),
            (with(r#","concurrency":1"#), with(r#","concurrency":2"#), &["+concurrency 2"]),
            (with(r#","concurrency":2"#), with(r#","concurrency":1"#), &["-concurrency 1"]),
            (with(""), schedule("0 3 * * *"), &["+schedules s: 0 3 * * * as t of k"]),
            (schedule("0 3 * * *"), schedule("* * * * *"), &["+schedules s: * * * * * as t of k"]),
            (schedule("0 3 * * *"), with(""), &["-schedules s: 0 3 * * * as t of k"]),
            (with(r#","config":{"a":"1"}"#), with(r#","config":{"a":"2"}"#), &[]),
        ] {
            assert_eq!(changes(&before, &after), expected, "{before} -> {after}");
        }
    }

    #[test]
    fn a_new_import_of_the_contract_grows_whatever_its_version() {
        let manifest = manifest(r#""subscriptions":[{"types":["a"]}]"#);
        let of = |imports: &[&str]| imports.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        let before = of(&["weirgate:handler/state@0.1.0", "wasi:cli/stdout@0.2.0"]);
        let after = of(&["weirgate:handler/state@0.1.2", "weirgate:handler/http@0.1.0", "wasi:random/random@0.2.0"]);
        let [before, after] = [&before, &after].map(|imports| MayDo { manifest: &manifest, imports });
        assert_eq!(
            texts(&before.changes(&after)),
            ["-imports wasi:random/random", "+imports weirgate:handler/http", "-imports wasi:cli/stdout"]
        );
    }
}
