//! The entry of a component: which functions it exports, how they are called, and how their failures are named here.
//!
//! Knows no limit and no creation of stores.

use wasmtime::{
    Engine, Store,
    component::{Instance, InstancePre},
};
use weirgate_types::{AttemptFailure, Correction, FailureClass, FailureKind};

use crate::{
    Call,
    attempt::Attempt,
    contract::{
        bindings::{HandlerPre, batching::BatchHandlerPre, correcting::CorrectingHandlerPre, weirgate::handler::types},
        event::checked_correction,
    },
    failure::{RETRY_AFTER_MS_MAX, contract},
    lines,
};

/// The functions that a component exports.
pub(crate) enum Entry {
    One { handler: HandlerPre<Attempt>, correcting: Option<CorrectingHandlerPre<Attempt>> },
    Batch(BatchHandlerPre<Attempt>),
}

/// The guest's result for each delivery of the call, or how the call ended.
pub(crate) type Answers = wasmtime::Result<Vec<Result<(), AttemptFailure>>>;

impl Entry {
    pub(crate) fn engine(&self) -> &Engine {
        self.pre().engine()
    }

    pub(crate) fn is_batch(&self) -> bool {
        matches!(self, Self::Batch(_))
    }

    /// Whether the component exports a correction hook.
    pub(crate) fn corrects(&self) -> bool {
        matches!(self, Self::One { correcting: Some(_), .. })
    }

    /// Creates an instance and calls nothing.
    pub(crate) fn start(&self, store: &mut Store<Attempt>) -> wasmtime::Result<Instance> {
        self.pre().instantiate(store)
    }

    /// Creates an instance and calls it with the deliveries. Only a component that takes batches gets several.
    pub(crate) fn handle(&self, store: &mut Store<Attempt>, calls: &[Call<'_>]) -> Answers {
        match (self, calls) {
            (Self::One { handler, .. }, [call]) => {
                let answer = handler.instantiate(&mut *store)?.call_handle(store, &event(call), &delivery(call))?;
                Ok(vec![answer.map_err(named)])
            }
            (Self::One { .. }, _) => {
                Err(contract("the component exports `handle`, so it takes one delivery at a time").into())
            }
            (Self::Batch(handler), _) => {
                let items = calls.iter().map(|call| types::BatchItem { event: event(call), delivery: delivery(call) });
                let items: Vec<_> = items.collect();
                let answers = handler.instantiate(&mut *store)?.call_handle_batch(store, &items)?;
                if answers.len() != items.len() {
                    let (found, wanted) = (answers.len(), items.len());
                    return Err(contract(format!("`handle-batch` answered {found} results to {wanted} items")).into());
                }
                Ok(answers.into_iter().map(|answer| answer.map_err(named)).collect())
            }
        }
    }

    /// Creates an instance and calls its correction hook, if it has one.
    pub(crate) fn correct(
        &self,
        store: &mut Store<Attempt>,
        call: &Call<'_>,
        failure: &AttemptFailure,
    ) -> wasmtime::Result<Option<Correction>> {
        let Self::One { correcting: Some(handler), .. } = self else { return Ok(None) };
        let failure = types::CorrectableFailure {
            message: failure.message.clone(),
            what_is_wrong: failure.what_is_wrong.clone().unwrap_or_default(),
        };
        let handler = handler.instantiate(&mut *store)?;
        let answer = handler.call_on_correctable(store, &event(call), &delivery(call), &failure)?;
        Ok(answer.map(checked_correction).transpose()?)
    }

    fn pre(&self) -> &InstancePre<Attempt> {
        match self {
            Self::One { handler, .. } => handler.instance_pre(),
            Self::Batch(handler) => handler.instance_pre(),
        }
    }
}

fn event(call: &Call<'_>) -> types::Event {
    let event = call.event;
    types::Event {
        id: event.id.clone(),
        source: event.source.clone(),
        type_: event.r#type.clone(),
        subject: event.subject.clone(),
        time: event.time.clone(),
        data_content_type: event.data_content_type.clone(),
        extensions: event.extensions.iter().map(|(name, value)| (name.clone(), value.to_string())).collect(),
        data: event.data.clone(),
    }
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
