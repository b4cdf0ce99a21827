//! A handler's context during one delivery: state, emitted events, status, timers, outbound calls, settings, log. Values are
//! typed here; the backend has bytes. Knows nothing of how effects are committed.
//!
//! Emissions, statuses and timers are kept until the handler returns and are passed on only if it succeeded, so they can
//! still be completed after the call that made them (`context.emit(&event).key("sku/a-7")`).

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Delivery, Due, EventType, Failure, HttpError, Level, Request, Response,
    backend::{Backend, RawEmission, RawStatus},
    timer::TimerCall,
};

/// A handler's access to the runtime during one delivery.
pub struct Context {
    backend: Box<dyn Backend>,
    delivery: Delivery,
    emissions: Vec<Emission>,
    statuses: Vec<Status>,
    timers: Vec<TimerCall>,
}

/// A handler's function that converts the state of the delivery's key from an earlier version to the present one.
pub type Migration = fn(from: u32, context: &Context) -> Result<(), Failure>;

impl Context {
    pub(crate) fn new(backend: Box<dyn Backend>, delivery: Delivery) -> Self {
        Self { backend, delivery, emissions: Vec::new(), statuses: Vec::new(), timers: Vec::new() }
    }

    /// The identity of this delivery.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Named values that persist after the call, scoped to this handler and the delivery's key.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        State { backend: &*self.backend }
    }

    /// Emits an event. Its subject and key are those of the event being handled, unless the returned [`Emission`] sets
    /// others. At most 64 per delivery.
    pub fn emit<E: EventType + Serialize>(&mut self, data: &E) -> &mut Emission {
        let data = serde_json::to_vec(data).map_err(|error| format!("the data of {} is no JSON: {error}", E::TYPE));
        self.push(Emission { r#type: E::TYPE.to_owned(), subject: None, key: None, data_content_type: None, data })
    }

    /// Emits an event about another subject, which is also its key.
    pub fn emit_to<E: EventType + Serialize>(&mut self, subject: impl Into<String>, data: &E) -> &mut Emission {
        self.emit(data).subject(subject)
    }

    /// Emits an event whose data is not JSON, or whose type is known only at run time (1 to 256 bytes).
    pub fn emit_raw(
        &mut self,
        r#type: impl Into<String>,
        content_type: impl Into<String>,
        data: Vec<u8>,
    ) -> &mut Emission {
        let data_content_type = Some(content_type.into());
        self.push(Emission { r#type: r#type.into(), subject: None, key: None, data_content_type, data: Ok(data) })
    }

    /// Sets this handler's part of the status of the delivery's key: a short word for programs (1 to 64 bytes) and a line
    /// for people (at most 1 KiB). The last call for a subject counts.
    pub fn set_status(&mut self, state: impl Into<String>, text: impl Into<String>) -> &mut Status {
        let status = Status { subject: None, state: state.into(), text: text.into(), data: Ok(None) };
        let last = self.statuses.len();
        self.statuses.push(status);
        #[allow(clippy::indexing_slicing, reason = "the element was pushed just above")]
        &mut self.statuses[last]
    }

    /// Calls another host, as the step `step` of this delivery: a name that is unique within it, such as `charge-card`. Once
    /// the step is finished its answer is recorded, and no later attempt sends it again; an answer with any status but 408,
    /// 425, 429 and 500 or above is finished. At most 32 calls per delivery, to hosts that the manifest lists in
    /// `capabilities.hosts`.
    ///
    /// ```
    /// # use weirgate_sdk::prelude::*;
    /// # #[derive(Deserialize)] struct Charge { id: String }
    /// # fn charge(context: &mut Context) -> Result<String, Failure> {
    /// let request = Request::post("https://api.psp.example/charges")
    ///     .header("Authorization", "Bearer {{secret:psp}}")
    ///     .json(&serde_json::json!({"amount": "12.50"}))?;
    /// let charge: Charge = context.fetch("charge-card", request)?.ok()?.json()?;
    /// # Ok(charge.id)
    /// # }
    /// ```
    ///
    /// # Errors
    /// There is no answer. With `?` that is a transient failure, or a permanent one if a retry cannot help.
    pub fn fetch(&mut self, step: impl AsRef<str>, request: Request) -> Result<Response, HttpError> {
        self.backend.fetch(step.as_ref(), request)
    }

    /// Starts a timer of this handler and the delivery's key: when it is due, this handler gets `event`, with the delivery's
    /// key, in order with the key's other events, regardless of its subscriptions. It fires once, never early. A timer with
    /// the same name is replaced. At most 64 timers per delivery, 3,650 days ahead.
    pub fn start_timer<E: EventType + Serialize>(&mut self, name: impl Into<String>, due: Due, event: &E) {
        self.timers.push(TimerCall::start(name.into(), due, event));
    }

    /// Cancels the timer with that name; without one nothing happens. The event of a timer that has fired already still
    /// arrives, so check in the state whether it still matters.
    pub fn cancel_timer(&mut self, name: impl Into<String>) {
        self.timers.push(TimerCall::cancel(name.into()));
    }

    /// The setting `name` of the manifest's `[config]`.
    #[must_use]
    pub fn config(&self, name: &str) -> Option<String> {
        self.backend.config(name)
    }

    /// Adds a line to the attempt's log; it is kept even if the attempt fails. At most 100 lines of 1 KiB per delivery.
    pub fn log(&self, level: Level, message: impl AsRef<str>) {
        self.backend.log(level, message.as_ref());
    }

    /// [`Context::log`] at [`Level::Debug`].
    pub fn debug(&self, message: impl AsRef<str>) {
        self.log(Level::Debug, message);
    }

    /// [`Context::log`] at [`Level::Info`].
    pub fn info(&self, message: impl AsRef<str>) {
        self.log(Level::Info, message);
    }

    /// [`Context::log`] at [`Level::Warn`].
    pub fn warn(&self, message: impl AsRef<str>) {
        self.log(Level::Warn, message);
    }

    /// [`Context::log`] at [`Level::Error`].
    pub fn error(&self, message: impl AsRef<str>) {
        self.log(Level::Error, message);
    }

    /// Passes on the emitted events, statuses and timers.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        let emissions = self.emissions.into_iter().map(Emission::into_raw).collect::<Result<Vec<_>, _>>()?;
        let statuses = self.statuses.into_iter().map(Status::into_raw).collect::<Result<Vec<_>, _>>()?;
        for emission in emissions {
            self.backend.emit(emission);
        }
        for status in statuses {
            self.backend.set_status(status);
        }
        self.timers.into_iter().try_for_each(|timer| timer.make(&*self.backend))
    }

    fn push(&mut self, emission: Emission) -> &mut Emission {
        let last = self.emissions.len();
        self.emissions.push(emission);
        #[allow(clippy::indexing_slicing, reason = "the element was pushed just above")]
        &mut self.emissions[last]
    }
}

/// The handler's state for the delivery's key. Names are 1 to 256 bytes, values at most 64 KiB.
#[derive(Clone, Copy)]
pub struct State<'a> {
    backend: &'a dyn Backend,
}

impl State<'_> {
    /// The value of `name`, or `None`.
    ///
    /// # Errors
    /// A permanent failure if the stored value does not fit `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.backend.state_get(name) else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Failure::permanent(format!("the state `{name}` does not fit what is read: {error}")))
    }

    /// Sets `name`.
    ///
    /// # Errors
    /// A permanent failure if the value cannot be written as JSON.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Failure::permanent(format!("the state `{name}` is no JSON: {error}")))?;
        self.backend.state_set(name, bytes);
        Ok(())
    }

    /// The bytes of `name`, or `None`.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.backend.state_get(name)
    }

    /// Sets `name` to bytes that need not be JSON.
    pub fn set_bytes(&self, name: &str, value: Vec<u8>) {
        self.backend.state_set(name, value);
    }

    /// Removes `name`; nothing happens if it does not exist.
    pub fn delete(&self, name: &str) {
        self.backend.state_delete(name);
    }

    /// The names that begin with `prefix`, sorted, at most 1,000.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.backend.state_list(prefix)
    }
}

/// An event to be emitted.
#[derive(Debug)]
pub struct Emission {
    r#type: String,
    subject: Option<String>,
    key: Option<String>,
    data_content_type: Option<String>,
    data: Result<Vec<u8>, String>,
}

impl Emission {
    /// The event's subject. Unless a key is given too, it is also the key.
    pub fn subject(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = Some(subject.into());
        self
    }

    /// The event's key.
    pub fn key(&mut self, key: impl Into<String>) -> &mut Self {
        self.key = Some(key.into());
        self
    }

    fn into_raw(self) -> Result<RawEmission, Failure> {
        let Self { r#type, subject, key, data_content_type, data } = self;
        Ok(RawEmission { r#type, subject, key, data_content_type, data: data.map_err(Failure::permanent)? })
    }
}

/// A status to be set.
#[derive(Debug)]
pub struct Status {
    subject: Option<String>,
    state: String,
    text: String,
    data: Result<Option<String>, String>,
}

impl Status {
    /// A JSON document for the page, at most 16 KiB.
    pub fn data<T: Serialize + ?Sized>(&mut self, data: &T) -> &mut Self {
        let json = serde_json::to_string(data);
        self.data = json.map(Some).map_err(|error| format!("the data of status `{}` is no JSON: {error}", self.state));
        self
    }

    /// Sets the status of another subject than the delivery's key.
    pub fn on(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = Some(subject.into());
        self
    }

    fn into_raw(self) -> Result<RawStatus, Failure> {
        let Self { subject, state, text, data } = self;
        Ok(RawStatus { subject, state, text, data: data.map_err(Failure::permanent)? })
    }
}
