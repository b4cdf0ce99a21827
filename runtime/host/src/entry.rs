//! The entry of a component: which functions it exports, how they are called, and how their failures are named here.
//!
//! Knows no limit and no creation of stores.

use wasmtime::{
    Engine, Store,
    component::{Instance, InstancePre},
};
use weirgate_types::{AttemptFailure, Correction, FailureClass, FailureKind, KEY_REPAIRED};

use crate::{
    Call, CallError,
    attempt::Attempt,
    contract::{
        bindings::{
            HandlerIndices, batching::BatchHandlerIndices, compensating::CompensatingHandlerIndices,
            correcting::CorrectingHandlerIndices, migrating::MigrationIndices, weirgate::handler::types,
        },
        event::{checked_correction, lowered},
        repair::{permanent, repair},
    },
    failure::{RETRY_AFTER_MS_MAX, Stop, contract},
    lines,
};

/// The functions that a component exports.
pub(crate) struct Entry {
    pub(crate) pre: InstancePre<Attempt>,
    pub(crate) handling: Handling,
    pub(crate) compensating: Option<CompensatingHandlerIndices>,
    pub(crate) migration: Option<MigrationIndices>,
}

/// Those that take deliveries.
pub(crate) enum Handling {
    One { handler: HandlerIndices, correcting: Option<CorrectingHandlerIndices> },
    Batch(BatchHandlerIndices),
}

/// The guest's result for each delivery of the call.
pub(crate) type Answers = Vec<Result<(), CallError>>;

impl Entry {
    pub(crate) fn engine(&self) -> &Engine {
        self.pre.component().engine()
    }

    pub(crate) fn is_batch(&self) -> bool {
        matches!(self.handling, Handling::Batch(_))
    }

    /// Whether the component exports a correction hook.
    pub(crate) fn corrects(&self) -> bool {
        matches!(self.handling, Handling::One { correcting: Some(_), .. })
    }

    /// Whether the component takes events of repairs.
    pub(crate) fn compensates(&self) -> bool {
        self.compensating.is_some()
    }

    pub(crate) fn migrates(&self) -> bool {
        self.migration.is_some()
    }

    /// Creates an instance and calls nothing.
    pub(crate) fn start(&self, store: &mut Store<Attempt>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
    }

    /// Creates an instance and calls it with the deliveries. Only a component that takes batches gets several. The event of a
    /// repair is a call of its own, of another function. An error is how the call ended.
    pub(crate) fn handle(&self, store: &mut Store<Attempt>, calls: &[Call<'_>]) -> wasmtime::Result<Answers> {
        let instance = self.start(store)?;
        if let Some((failed, failure)) = self.migrate(store, instance, calls)? {
            let answer = |index| if index == failed { CallError::Failed(failure.clone()) } else { CallError::Blocked };
            return Ok((0..calls.len()).map(|index| Err(answer(index))).collect());
        }
        let answers = self.call(store, instance, calls)?;
        Ok(answers.into_iter().map(|answer| answer.map_err(CallError::Failed)).collect())
    }

    fn call(
        &self,
        store: &mut Store<Attempt>,
        instance: Instance,
        calls: &[Call<'_>],
    ) -> wasmtime::Result<Vec<Result<(), AttemptFailure>>> {
        match (&self.handling, calls) {
            (_, [call]) if is_repair(call) => Ok(vec![self.compensate(store, instance, call)?]),
            (_, calls) if calls.iter().any(is_repair) => {
                Err(contract(format!("a delivery of {KEY_REPAIRED} shares no call")).into())
            }
            (Handling::One { handler, .. }, [call]) => {
                let handler = handler.load(&mut *store, &instance)?;
                let answer = handler.call_handle(store, &lowered(call.event), &delivery(call))?;
                Ok(vec![answer.map_err(named)])
            }
            (Handling::One { .. }, _) => {
                Err(contract("the component exports `handle`, so it takes one delivery at a time").into())
            }
            (Handling::Batch(handler), _) => {
                let items =
                    calls.iter().map(|call| types::BatchItem { event: lowered(call.event), delivery: delivery(call) });
                let items: Vec<_> = items.collect();
                let answers = handler.load(&mut *store, &instance)?.call_handle_batch(store, &items)?;
                if answers.len() != items.len() {
                    let (found, wanted) = (answers.len(), items.len());
                    return Err(contract(format!("`handle-batch` answered {found} results to {wanted} items")).into());
                }
                Ok(answers.into_iter().map(|answer| answer.map_err(named)).collect())
            }
        }
    }

    fn compensate(
        &self,
        store: &mut Store<Attempt>,
        instance: Instance,
        call: &Call<'_>,
    ) -> wasmtime::Result<Result<(), AttemptFailure>> {
        let Some(handler) = &self.compensating else {
            let message = format!("this version does not export `on-corrected`, so it takes no {KEY_REPAIRED}");
            return Ok(Err(permanent(&message)));
        };
        let repair = match repair(call.event, call.delivery.position) {
            Ok(repair) => repair,
            Err(failure) => return Ok(Err(failure)),
        };
        let handler = handler.load(&mut *store, &instance)?;
        Ok(handler.call_on_corrected(store, &repair, &delivery(call))?.map_err(named))
    }

    /// Creates an instance and calls its correction hook, if it has one. The event of a repair has none: `handle` did not get it.
    pub(crate) fn correct(
        &self,
        store: &mut Store<Attempt>,
        call: &Call<'_>,
        failure: &AttemptFailure,
    ) -> wasmtime::Result<Option<Correction>> {
        let Handling::One { correcting: Some(handler), .. } = &self.handling else { return Ok(None) };
        if is_repair(call) {
            return Ok(None);
        }
        let failure = types::CorrectableFailure {
            message: failure.message.clone(),
            what_is_wrong: failure.what_is_wrong.clone().unwrap_or_default(),
        };
        let instance = self.start(store)?;
        if let Some((_, failure)) = self.migrate(store, instance, std::slice::from_ref(call))? {
            return Err(Stop::Guest(failure.kind, failure.message).into());
        }
        let handler = handler.load(&mut *store, &instance)?;
        let answer = handler.call_on_correctable(store, &lowered(call.event), &delivery(call), &failure)?;
        Ok(answer.map(checked_correction).transpose()?)
    }

    /// Migrates the state of each key whose call says so. Returns the first failure, and the index of its call.
    fn migrate(
        &self,
        store: &mut Store<Attempt>,
        instance: Instance,
        calls: &[Call<'_>],
    ) -> wasmtime::Result<Option<(usize, AttemptFailure)>> {
        for (index, call) in calls.iter().enumerate() {
            let Some(from) = call.migrate_from else { continue };
            let Some(migration) = &self.migration else {
                let missing =
                    format!("the key's state has version {from}, and the component exports no `migrate-state`");
                return Ok(Some((index, AttemptFailure::found(FailureKind::Migration, missing))));
            };
            store.data_mut().select_item(u32::try_from(index).unwrap_or(u32::MAX))?;
            let migration = migration.load(&mut *store, &instance)?;
            if let Err(message) = migration.call_migrate_state(&mut *store, &delivery(call), from)? {
                let message = lines::message(&format!("the state of version {from} is not migrated: {message}"));
                return Ok(Some((index, AttemptFailure::found(FailureKind::Migration, message))));
            }
        }
        store.data_mut().select_item(0)?;
        Ok(None)
    }
}

fn is_repair(call: &Call<'_>) -> bool {
    call.event.r#type == KEY_REPAIRED
}

fn delivery(call: &Call<'_>) -> types::Delivery {
    let delivery = call.delivery;
    types::Delivery {
        id: delivery.to_string(),
        handler: delivery.handler.to_string(),
        position: delivery.position.0,
        key: call.key.to_owned(),
        attempt: call.attempt,
    }
}

/// The failure that the guest returned.
fn named(failure: types::Failure) -> AttemptFailure {
    let (class, message) = match &failure {
        types::Failure::Transient(transient) => (FailureClass::Transient, &transient.message),
        types::Failure::Correctable(correctable) => (FailureClass::Correctable, &correctable.message),
        types::Failure::Permanent(message) => (FailureClass::Permanent, message),
    };
    let mut named = AttemptFailure { class, ..AttemptFailure::found(FailureKind::Handler, lines::message(message)) };
    match failure {
        types::Failure::Transient(transient) => {
            named.retry_after_ms = transient.retry_after_ms.map(|wait| wait.min(RETRY_AFTER_MS_MAX));
        }
        types::Failure::Correctable(correctable) => {
            named.what_is_wrong = Some(lines::message(&correctable.what_is_wrong));
        }
        types::Failure::Permanent(_) => {}
    }
    named
}
