//! A handler's manifest, as TOML from a file and as JSON from the API.

use weirgate_types::{Manifest, ManifestError};

use crate::mode;

pub const WORDS: &[&str] = &[
    "\nordering = \"handler\"\n",
    "\"ordering\":\"none\",\"emit_order\":\"input\"",
    "\n[[retry]]\nattempts = 10000\n",
    "\"retry\":[]",
    "\n[batch]\nevents_max = 256\n",
    "\"batch\":{\"events_max\":256}",
    "\n[limits]\nlog_lines = 10000\n",
    "\"limits\":{\"effects_bytes\":4194304}",
    "\n[resequence]\n",
    "\"resequence\":{}",
    "\n[breaker]\nfailure_ratio = nan\n",
    "\"breaker\":{}",
    "\n[[schedules]]\nname = \"s\"\ncron = \"*/5 * * * *\"\ntype = \"t\"\nkey = \"k\"\n",
    "-1",
    "1e308",
    "inf",
    "18446744073709551616",
    "\"*\"",
    "\"**********\"",
    "https://api.example.com",
    "\n[config]\na = \"b\"\n",
    "\"corrections\":[\"fix.*\"]",
];

pub fn run(bytes: &[u8]) {
    let Some((mode, text)) = mode(bytes, 2) else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match mode {
        0 => json(text),
        _ => toml(text),
    }
}

/// The command line's way of handling a file: parse it, then send it as JSON.
fn toml(text: &str) {
    if let Ok(manifest) = toml::from_str::<Manifest>(text) {
        json(&serde_json::to_string(&manifest).expect("a manifest can be written"));
    }
}

fn json(text: &str) {
    match Manifest::from_json(text) {
        Ok(manifest) => check(&manifest, text),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            check_answer(error);
        }
    }
}

/// The text for a client has a maximum length, whatever it sent.
#[cfg(feature = "server")]
fn check_answer(error: ManifestError) {
    crate::check_error(&weirgate_server::Problem::from(error).detail);
}

#[cfg(not(feature = "server"))]
fn check_answer(_: ManifestError) {}

/// An accepted manifest is the same when it is read back from the log, and its settings are within their ranges.
fn check(manifest: &Manifest, text: &str) {
    let written = serde_json::to_string(manifest).expect("a manifest can be written");
    assert_eq!(Manifest::from_json(&written).as_ref(), Ok(manifest), "{text}");
    assert_eq!(Manifest::from_record(&written).as_ref(), Ok(manifest), "{text}");
    assert!((1..=1_024).contains(&manifest.concurrency));
    assert!(manifest.retry.len() <= 8 && manifest.schedules.len() <= 32);
    assert!(manifest.batch.is_none_or(|batch| (1..=256).contains(&batch.events_max)));
    let limits = &manifest.limits;
    assert!(limits.effects_bytes <= 4 << 20 && limits.emitted_events <= 1_024 && limits.memory_bytes <= 256 << 20);
    assert!(u64::from(limits.log_lines) * u64::from(limits.log_line_bytes) <= 1 << 20);
    let long = "a".repeat(1_024);
    for one in &manifest.subscriptions {
        let _ = (one.matches(&long, "/shop"), one.corrects("order.placed", &long));
    }
}
