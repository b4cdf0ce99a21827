//! A guest that fails in every way that can heal: its events say how. It makes outbound calls in two steps, starts timers,
//! and emits its work, so that a test sees each effect from outside.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weirgate_sdk::{Due, Request, prelude::*};

/// The work for a key.
#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("mend.work")]
pub struct Work {
    pub n: u64,
    /// `transient`, `correctable`, `permanent` or `trap`.
    #[serde(default)]
    pub fail: Option<String>,
}

/// Two outbound calls: `charge`, then `confirm`.
#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("mend.charge")]
pub struct Charge {
    pub amount: u64,
}

/// Starts a timer.
#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("mend.wait")]
pub struct Wait {
    pub ms: u64,
}

/// Cancels the timer.
#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("mend.cancel")]
pub struct Cancel {}

#[derive(Debug, Clone, Serialize, Deserialize, EventType)]
#[event("mend.overdue")]
pub struct Overdue {}

/// Emitted for all completed work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("mend.done")]
pub struct Done {
    pub n: u64,
}

/// Emitted for work that a repair has found undone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, EventType)]
#[event("mend.undone")]
pub struct Undone {
    pub n: u64,
}

#[derive(Debug, Events)]
pub enum Incoming {
    Work(Work),
    Charge(Charge),
    Wait(Wait),
    Cancel(Cancel),
    Overdue(Overdue),
}

/// # Errors
/// As the event requests; or an outbound call fails.
///
/// # Panics
/// If the event requests a trap.
#[handler(on_corrected = compensate)]
pub fn handle(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Work(work) => worked(&work, context),
        Incoming::Charge(charge) => charged(&charge, context),
        Incoming::Wait(wait) => {
            context.start_timer("overdue", Due::after(Duration::from_millis(wait.ms)), &Overdue {});
            context.set_status("waiting", "Until it is due");
            Ok(())
        }
        Incoming::Cancel(Cancel {}) => {
            context.cancel_timer("overdue");
            context.set_status("cancelled", "It will not be due");
            Ok(())
        }
        Incoming::Overdue(Overdue {}) => {
            context.emit(&Done { n: 0 });
            context.set_status("overdue", "It was due");
            Ok(())
        }
    }
}

fn worked(work: &Work, context: &mut Context) -> Result<(), Failure> {
    fail(work.fail.as_deref().unwrap_or_default())?;
    let done: u64 = context.state().get("done")?.unwrap_or_default();
    context.state().set("done", &(done + 1))?;
    context.emit(&Done { n: work.n });
    context.set_status("done", format!("{} so far", done + 1)).data(&work.n);
    Ok(())
}

fn fail(how: &str) -> Result<(), Failure> {
    match how {
        "transient" => Err(Failure::transient("not now")),
        "correctable" => Err(Failure::correctable("it cannot be done like this", "`fail` should be null")),
        "permanent" => Err(Failure::permanent("it will never work")),
        "trap" => panic!("a poison event"),
        _ => Ok(()),
    }
}

/// Says for each event that the work is undone, and takes each call back with another one.
///
/// # Errors
/// As the repair's reason requests; or an outbound call fails.
///
/// # Panics
/// If the reason requests a trap.
pub fn compensate(repair: &Repair, context: &mut Context) -> Result<(), Failure> {
    fail(&repair.reason)?;
    for Done { n } in repair.before()? {
        context.emit(&Undone { n });
    }
    let url = context.config("gateway_url").unwrap_or_default();
    for call in &repair.calls_before {
        let request = Request::post(format!("{url}/undo/{}", call.step)).json(&call.status)?;
        context.fetch(format!("undo-{}-{}", call.by, call.step), request)?.ok()?;
    }
    let repairs: u64 = context.state().get("repairs")?.unwrap_or_default();
    context.state().set("repairs", &(repairs + 1))?;
    for before in &repair.state_before {
        context.info(format!("{} was {:?}", before.name, before.value.as_deref().map(String::from_utf8_lossy)));
    }
    let [undone, now] = [&repair.emitted_before, &repair.emitted_now].map(Vec::len);
    let whole = if repair.truncated { ", and more" } else { "" };
    if context.config("quiet").is_none() {
        context.set_status("repaired", format!("by {}: {undone} undone, {now} done{whole}", repair.replay));
    }
    Ok(())
}

fn charged(charge: &Charge, context: &mut Context) -> Result<(), Failure> {
    let url = context.config("gateway_url").unwrap_or_default();
    for step in ["charge", "confirm"] {
        let request = Request::post(format!("{url}/{step}")).header("Authorization", "Bearer {{secret:gateway}}");
        context.fetch(step, request.json(charge)?)?.ok()?;
    }
    // Further steps, as the configuration names them: `GET rate, POST receipt`.
    let also = context.config("also").unwrap_or_default();
    for (method, step) in also.split(',').filter_map(|call| call.trim().split_once(' ')) {
        let to = format!("{url}/{step}");
        let request = if method == "GET" { Request::get(to) } else { Request::post(to).json(charge)? };
        context.fetch(step, request)?.ok()?;
    }
    context.emit(&Done { n: charge.amount });
    let with = if also.is_empty() { also } else { format!(" with {also}") };
    context.set_status("charged", format!("{}{with}", charge.amount));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::{Delivery, World};

    #[test]
    fn work_fails_as_its_data_says() {
        let fails =
            |fail: Option<&str>| Delivery::of(&Work { n: 1, fail: fail.map(str::to_owned) }).key("k").run(handle);
        assert_eq!(fails(None).emitted::<Done>(), [Done { n: 1 }]);
        assert!(fails(Some("transient")).failure().is_transient());
        assert!(fails(Some("correctable")).failure().is_correctable());
        assert!(fails(Some("permanent")).failure().is_permanent());
    }

    #[test]
    fn a_repair_is_compensated() {
        let done = |n| Delivery::of(&Work { n, fail: None }).key("k");
        let mut world = World::new();
        let (before, now) = (done(7).run(handle), world.run(done(8), handle));
        let delivery = Delivery::of_repair(&Repair::between(&before, &now)).key("k");
        let run = world.run_repair(delivery, compensate);
        assert_eq!(run.emitted::<Undone>(), [Undone { n: 7 }]);
        assert_eq!(run.status().text, "by 1: 1 undone, 1 done");
        assert_eq!(world.state::<u64>("k", "repairs"), Some(1));
    }
}
