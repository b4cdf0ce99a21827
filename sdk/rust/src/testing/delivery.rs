//! A delivery as a test describes it, and the call of a handler with it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Emitted, Run, limits::catch_end, network::Answers, recorder::Recorder, run::End};
use crate::{Context, Event, EventData, EventType, Failure, HttpError, Migration, Repair, Response};

/// The extension attribute with an event's key if that is not its subject.
const PARTITION_KEY: &str = "partitionkey";

/// One event for one handler. Everything that a test does not set has a default.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub(super) event: Event<Vec<u8>>,
    pub(super) key: Option<String>,
    pub(super) position: Option<u64>,
    pub(super) state: BTreeMap<String, Vec<u8>>,
    pub(super) config: BTreeMap<String, String>,
    answers: Answers,
    pub(super) handler: String,
    /// Whether it comes from one of the handler's timers.
    pub(super) is_timer: bool,
    /// What a delivery of a repair is called with.
    pub(super) repair: Option<Box<Repair>>,
    attempt: u32,
    migration: Option<(u32, Migration)>,
}

impl Delivery {
    /// A delivery of an event with this data, as JSON.
    ///
    /// # Panics
    /// The data cannot be written as JSON.
    #[must_use]
    pub fn of<E: EventType + Serialize>(data: &E) -> Self {
        Self::raw(E::TYPE, json(data))
    }

    /// A delivery of any event; the bytes are JSON unless [`Delivery::content_type`] is called.
    pub fn raw(r#type: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        let event = Event {
            id: "event-1".to_owned(),
            source: "/test".to_owned(),
            r#type: r#type.into(),
            subject: None,
            time: None,
            data_content_type: None,
            extensions: Vec::new(),
            data: data.into(),
        };
        Self {
            event,
            key: None,
            position: None,
            state: BTreeMap::new(),
            config: BTreeMap::new(),
            answers: Answers::new(),
            handler: "handler".to_owned(),
            is_timer: false,
            repair: None,
            attempt: 1,
            migration: None,
        }
    }

    /// A delivery of another run's emission, with its subject and key.
    #[must_use]
    pub fn of_emitted(emitted: &Emitted) -> Self {
        let mut delivery = Self::raw(emitted.r#type.clone(), emitted.data.clone()).key(&emitted.key);
        delivery.event.subject = Some(emitted.subject.clone());
        delivery.event.data_content_type.clone_from(&emitted.data_content_type);
        delivery
    }

    /// The key, and the event's subject unless that is set too. `test/1` by default. If the two differ, the event has the
    /// extension attribute `partitionkey`.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The event's subject; also the key unless that is set too.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.event.subject = Some(subject.into());
        self
    }

    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.event.id = id.into();
        self
    }

    #[must_use]
    pub fn source(mut self, source: impl Into<String>) -> Self {
        self.event.source = source.into();
        self
    }

    #[must_use]
    pub fn time(mut self, time: impl Into<String>) -> Self {
        self.event.time = Some(time.into());
        self
    }

    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.event.data_content_type = Some(content_type.into());
        self
    }

    /// An extension attribute.
    #[must_use]
    pub fn extension(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.event.extensions.push((name.into(), value.into()));
        self.event.extensions.sort();
        self
    }

    /// The handler's deployed name; it begins the delivery's id. `handler` by default.
    #[must_use]
    pub fn handler(mut self, name: impl Into<String>) -> Self {
        self.handler = name.into();
        self
    }

    /// The number of the attempt; 1 by default.
    #[must_use]
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The event's position; 1 by default, or the world's next one.
    #[must_use]
    pub fn position(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// A state value that earlier deliveries of the key have written.
    ///
    /// # Panics
    /// The value cannot be written as JSON.
    #[must_use]
    pub fn state<T: Serialize + ?Sized>(mut self, name: impl Into<String>, value: &T) -> Self {
        self.state.insert(name.into(), json(value));
        self
    }

    /// A setting of the manifest.
    #[must_use]
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }

    /// The answer to the step with that name, from the other host or from an earlier attempt.
    #[must_use]
    pub fn answer(mut self, step: impl Into<String>, answer: Response) -> Self {
        self.answers.insert(step.into(), Ok(answer));
        self
    }

    /// The step with that name gets no answer.
    #[must_use]
    pub fn answer_error(mut self, step: impl Into<String>, error: HttpError) -> Self {
        self.answers.insert(step.into(), Err(error));
        self
    }

    /// The key's state is of this earlier version, and is migrated before the handler is called.
    #[must_use]
    pub fn migrating(mut self, from: u32, migration: Migration) -> Self {
        self.migration = Some((from, migration));
        self
    }

    /// Calls the handler.
    ///
    /// # Panics
    /// With the handler's own panic, which in a component would be a trap; or when it makes a call for which the test has no
    /// answer.
    pub fn run<T: EventData>(self, handler: impl FnOnce(Event<T>, &mut Context) -> Result<(), Failure>) -> Run {
        let (recorder, migration) = (self.recorder(), self.migration);
        let (event, delivery) = self.parts();
        let subject = event.subject.clone().unwrap_or_default();
        let mut context = Context::new(Box::new(recorder.clone()), delivery);
        let call = || {
            migrate(migration, &context)?;
            handler(event.read()?, &mut context)?;
            context.finish()
        };
        let end = match catch_end(call) {
            Ok(Ok(())) => End::Completed,
            Ok(Err(failure)) => End::Failed(failure),
            Err(reason) => End::Ended(reason),
        };
        let left = Recorder::finish(vec![recorder]).pop();
        Run::new(end, left.unwrap_or_default(), &subject)
    }

    /// Migrates the state on which the handler will be called with this context.
    pub(super) fn migrate(&self, context: &Context) -> Result<(), Failure> {
        migrate(self.migration, context)
    }

    /// The key that the delivery will have.
    pub(super) fn effective_key(&self) -> String {
        let partition_key =
            self.event.extensions.iter().find(|(name, _)| name == PARTITION_KEY).map(|(_, value)| value);
        let key = self.key.as_ref().or(partition_key).or(self.event.subject.as_ref());
        key.map_or("test/1", String::as_str).to_owned()
    }

    /// The backend of the handler's context.
    pub(super) fn recorder(&self) -> Recorder {
        Recorder::new(self.effective_key(), self.state.clone(), self.config.clone(), self.answers.clone())
    }

    /// The event and the delivery's identity, as the handler gets them.
    pub(super) fn parts(self) -> (Event<Vec<u8>>, crate::Delivery) {
        let delivery = self.identity();
        let mut event = with_key(self.event, &delivery.key);
        if self.is_timer {
            event.source = format!("/weirgate/timers/{}", self.handler);
        }
        (event, delivery)
    }

    fn identity(&self) -> crate::Delivery {
        let position = self.position.unwrap_or(1);
        crate::Delivery {
            id: format!("{}@{position}", self.handler),
            handler: self.handler.clone(),
            position,
            key: self.effective_key(),
            attempt: self.attempt,
        }
    }
}

/// The failure is the one that the runtime records.
fn migrate(migration: Option<(u32, Migration)>, context: &Context) -> Result<(), Failure> {
    let Some((from, migration)) = migration else { return Ok(()) };
    let failed = |failure: Failure| format!("the state of version {from} is not migrated: {}", failure.message());
    migration(from, context).map_err(|failure| Failure::transient(failed(failure)))
}

/// An event's key is its `partitionkey`, else its subject.
fn with_key(mut event: Event<Vec<u8>>, key: &str) -> Event<Vec<u8>> {
    let subject = event.subject.get_or_insert_with(|| key.to_owned());
    if subject != key && !event.extensions.iter().any(|(name, _)| name == PARTITION_KEY) {
        event.extensions.push((PARTITION_KEY.to_owned(), key.to_owned()));
        event.extensions.sort();
    }
    event
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    match serde_json::to_vec(value) {
        Ok(bytes) => bytes,
        Err(error) => panic!("the test's {} cannot be written as JSON: {error}", std::any::type_name::<T>()),
    }
}
