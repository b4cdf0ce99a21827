//! Repairs in tests: what a repair changes, from two runs of a delivery, and the call of a handler's `on_corrected` with it.

use super::{Asked, Delivery, Emitted, Run, World};
use crate::{CallBefore, Context, Event, Failure, LoggedEvent, Raw, Repair, ValueBefore};

/// The type of the event that reports a repair.
const KEY_REPAIRED: &str = "weirgate.key.repaired";

impl Repair {
    /// What a repair changes where an old version handled a delivery as `before` and the new one handles it as `now`. Positions
    /// are 0; values and bodies are complete, whatever their size.
    ///
    /// # Panics
    /// One of the runs did not complete.
    #[track_caller]
    #[must_use]
    pub fn between(before: &Run, now: &Run) -> Self {
        let (emitted_before, emitted_now) = (before.emissions(), now.emissions());
        let logged = |these: &[Emitted], others: &[Emitted]| {
            these.iter().filter(|one| !others.contains(one)).map(logged).collect()
        };
        let calls = before.asked().iter().filter(|asked| !now.asked().contains(asked));
        let (old, new) = (before.all_state(), now.all_state());
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let replaced = names.filter(|name| old.get(*name) != new.get(*name));
        Self {
            replay: "1".to_owned(),
            reason: "a test".to_owned(),
            emitted_before: logged(emitted_before, emitted_now),
            emitted_now: logged(emitted_now, emitted_before),
            calls_before: calls.map(call_before).collect(),
            state_before: replaced
                .map(|name| ValueBefore { name: name.clone(), value: old.get(name).cloned() })
                .collect(),
            truncated: false,
        }
    }
}

fn logged(emitted: &Emitted) -> LoggedEvent {
    let Emitted { r#type, subject, key, data_content_type, data } = emitted.clone();
    let event = Event {
        id: String::new(),
        source: "/handlers/handler".to_owned(),
        r#type,
        subject: Some(subject),
        time: None,
        data_content_type,
        extensions: Vec::new(),
        data,
    };
    LoggedEvent { position: 0, by: 0, key, event }
}

fn call_before(Asked { step, request, answer }: &Asked) -> CallBefore {
    let (step, method, url) = (step.clone(), request.method.clone(), request.url.clone());
    let (status, body) = answer.as_ref().map(|answer| (answer.status, answer.body.clone())).unzip();
    CallBefore { by: 0, step, method, url, status, body }
}

impl Delivery {
    /// The delivery of a repair of the key; run it with [`Delivery::run_repair`] or [`World::run_repair`].
    #[must_use]
    pub fn of_repair(repair: &Repair) -> Self {
        let mut delivery = Self::raw(KEY_REPAIRED, repair.replay.clone()).content_type("text/plain");
        delivery.repair = Some(Box::new(repair.clone()));
        delivery
    }

    /// Calls the handler's `on_corrected`.
    ///
    /// # Panics
    /// As [`Delivery::run`]; or it is no delivery of a repair.
    #[track_caller]
    pub fn run_repair(mut self, on_corrected: impl FnOnce(&Repair, &mut Context) -> Result<(), Failure>) -> Run {
        let Some(repair) = self.repair.take() else {
            panic!("{} is not the event of a repair; make the delivery with Delivery::of_repair", self.event.r#type)
        };
        self.run(|_: Event<Raw>, context| on_corrected(&repair, context))
    }
}

impl World {
    /// [`Delivery::run_repair`], with the state that the completed deliveries have left. The effects stay in the world if the
    /// call completes.
    ///
    /// # Panics
    /// As [`World::run`] and [`Delivery::run_repair`].
    #[track_caller]
    pub fn run_repair(
        &mut self,
        delivery: Delivery,
        on_corrected: impl FnOnce(&Repair, &mut Context) -> Result<(), Failure>,
    ) -> Run {
        self.deliver(delivery, |delivery| delivery.run_repair(on_corrected))
    }
}
