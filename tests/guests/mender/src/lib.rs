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
#[handler]
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
    match work.fail.as_deref() {
        Some("transient") => return Err(Failure::transient("not now")),
        Some("correctable") => {
            return Err(Failure::correctable("it cannot be done like this", "`fail` should be null"));
        }
        Some("permanent") => return Err(Failure::permanent("it will never work")),
        Some("trap") => panic!("a poison event"),
        _ => {}
    }
    let done: u64 = context.state().get("done")?.unwrap_or_default();
    context.state().set("done", &(done + 1))?;
    context.emit(&Done { n: work.n });
    context.set_status("done", format!("{} so far", done + 1)).data(&work.n);
    Ok(())
}

fn charged(charge: &Charge, context: &mut Context) -> Result<(), Failure> {
    let url = context.config("gateway_url").unwrap_or_default();
    for step in ["charge", "confirm"] {
        let request = Request::post(format!("{url}/{step}")).header("Authorization", "Bearer {{secret:gateway}}");
        context.fetch(step, request.json(charge)?)?.ok()?;
    }
    context.emit(&Done { n: charge.amount });
    context.set_status("charged", format!("{}", charge.amount));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use weirgate_sdk::testing::Delivery;

    #[test]
    fn work_fails_as_its_data_says() {
        let fails =
            |fail: Option<&str>| Delivery::of(&Work { n: 1, fail: fail.map(str::to_owned) }).key("k").run(handle);
        assert_eq!(fails(None).emitted::<Done>(), [Done { n: 1 }]);
        assert!(fails(Some("transient")).failure().is_transient());
        assert!(fails(Some("correctable")).failure().is_correctable());
        assert!(fails(Some("permanent")).failure().is_permanent());
    }
}
