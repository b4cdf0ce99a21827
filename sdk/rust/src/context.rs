//! What a handler works with during one delivery: state, emitted events, status, timers, outbound calls, settings, log.
//! Values are typed here and bytes below. Knows nothing of how effects are committed.
//!
//! Emissions, statuses and timers are kept until the handler returns and leave only if it succeeded, so they can still be
//! completed after the call that made them (`context.emit(&event).key("sku/a-7")`).

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Delivery, Due, EventType, Failure, HttpError, Level, Request, Response,
    backend::{Backend, RawEmission, RawStatus},
    timer::TimerCall,
};

/// A handler's hands during one delivery.
pub struct Context {
    backend: Box<dyn Backend>,
    delivery: Delivery,
    emissions: Vec<Emission>,
    statuses: Vec<Status>,
    timers: Vec<TimerCall>,
}

impl Context {
    pub(crate) fn new(backend: Box<dyn Backend>, delivery: Delivery) -> Self {
        Self { backend, delivery, emissions: Vec::new(), statuses: Vec::new(), timers: Vec::new() }
    }

    /// Which delivery this is.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Named values that outlive the call, scoped to this handler and the delivery's key.
    #[must_use]
    pub fn state(&self) -> State<'_> {
        State { backend: &*self.backend }
    }

    /// Emit an event. Its subject and key are those of the event being handled, unless the returned [`Emission`] is
    /// given others. At most 64 a delivery.
    pub fn emit<E: EventType + Serialize>(&mut self, data: &E) -> &mut Emission {
        let data = serde_json::to_vec(data).map_err(|error| format!("the data of {} is no JSON: {error}", E::TYPE));
        self.push(Emission { r#type: E::TYPE.to_owned(), subject: None, key: None, data_content_type: None, data })
    }

    /// Emit an event about another subject, which is also its key.
    pub fn emit_to<E: EventType + Serialize>(&mut self, subject: impl Into<String>, data: &E) -> &mut Emission {
        self.emit(data).subject(subject)
    }

    /// Emit an event whose data is not JSON, or whose type is known only now (1 to 256 bytes).
    pub fn emit_raw(
        &mut self,
        r#type: impl Into<String>,
        content_type: impl Into<String>,
        data: Vec<u8>,
    ) -> &mut Emission {
        let data_content_type = Some(content_type.into());
        self.push(Emission { r#type: r#type.into(), subject: None, key: None, data_content_type, data: Ok(data) })
    }

    /// Set this handler's part of the status of the delivery's key: a short word for programs (1 to 64 bytes) and a line
    /// for people (at most 1 KiB). The latest call for a subject counts.
    pub fn set_status(&mut self, state: impl Into<String>, text: impl Into<String>) -> &mut Status {
        let status = Status { subject: None, state: state.into(), text: text.into(), data: Ok(None) };
        let last = self.statuses.len();
        self.statuses.push(status);
        #[allow(clippy::indexing_slicing, reason = "the element was pushed just above")]
        &mut self.statuses[last]
    }

    /// Call another host, as the step `step` of this delivery: a name that is unique within it, such as `charge-card`.
    /// Once the step is finished its answer is kept, and no later attempt sends it again; finished is what was answered
    /// with any status but 408, 425, 429 and 500 or above. At most 32 calls a delivery, to hosts that the manifest names
    /// in `capabilities.hosts`.
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
    /// There is no answer. With `?` that is a transient failure, or a permanent one where nothing else will come of it.
    pub fn fetch(&mut self, step: impl AsRef<str>, request: Request) -> Result<Response, HttpError> {
        self.backend.fetch(step.as_ref(), request)
    }

    /// Start a timer of this handler and the delivery's key: when it is due, this handler gets `event`, with the delivery's
    /// key, in order with the key's other events, and whatever it subscribes to. It fires once, never before its time. A
    /// timer of the same name is replaced. At most 64 timers a delivery, 3,650 days ahead.
    pub fn start_timer<E: EventType + Serialize>(&mut self, name: impl Into<String>, due: Due, event: &E) {
        self.timers.push(TimerCall::start(name.into(), due, event));
    }

    /// Cancel the timer of that name; nothing happens where there is none. One that has fired already still arrives, so ask
    /// the state whether it still matters.
    pub fn cancel_timer(&mut self, name: impl Into<String>) {
        self.timers.push(TimerCall::cancel(name.into()));
    }

    /// The setting `name` of the manifest's `[config]`.
    #[must_use]
    pub fn config(&self, name: &str) -> Option<String> {
        self.backend.config(name)
    }

    /// Keep a line with the attempt; it survives a failure. At most 100 lines of 1 KiB a delivery.
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

    /// Hand over what was emitted and set.
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
    /// The value of `name`, or none.
    ///
    /// # Errors
    /// A permanent failure where the stored value does not fit `T`.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, Failure> {
        let Some(bytes) = self.backend.state_get(name) else { return Ok(None) };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| Failure::permanent(format!("the state `{name}` does not fit what is read: {error}")))
    }

    /// Set `name`.
    ///
    /// # Errors
    /// A permanent failure where the value cannot be written as JSON.
    pub fn set<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| Failure::permanent(format!("the state `{name}` is no JSON: {error}")))?;
        self.backend.state_set(name, bytes);
        Ok(())
    }

    /// The bytes of `name`, or none.
    #[must_use]
    pub fn get_bytes(&self, name: &str) -> Option<Vec<u8>> {
        self.backend.state_get(name)
    }

    /// Set `name` to bytes that need not be JSON.
    pub fn set_bytes(&self, name: &str, value: Vec<u8>) {
        self.backend.state_set(name, value);
    }

    /// Remove `name`; nothing happens where it does not exist.
    pub fn delete(&self, name: &str) {
        self.backend.state_delete(name);
    }

    /// The names that begin with `prefix`, sorted, at most 1,000.
    #[must_use]
    pub fn list(&self, prefix: &str) -> Vec<String> {
        self.backend.state_list(prefix)
    }
}

/// An event on its way out.
#[derive(Debug)]
pub struct Emission {
    r#type: String,
    subject: Option<String>,
    key: Option<String>,
    data_content_type: Option<String>,
    data: Result<Vec<u8>, String>,
}

impl Emission {
    /// What the event is about. Unless a key is given too, it is also the key.
    pub fn subject(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = Some(subject.into());
        self
    }

    /// What order is kept for.
    pub fn key(&mut self, key: impl Into<String>) -> &mut Self {
        self.key = Some(key.into());
        self
    }

    fn into_raw(self) -> Result<RawEmission, Failure> {
        let Self { r#type, subject, key, data_content_type, data } = self;
        Ok(RawEmission { r#type, subject, key, data_content_type, data: data.map_err(Failure::permanent)? })
    }
}

/// A status on its way out.
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

    /// Set the status of another subject than the delivery's key.
    pub fn on(&mut self, subject: impl Into<String>) -> &mut Self {
        self.subject = Some(subject.into());
        self
    }

    fn into_raw(self) -> Result<RawStatus, Failure> {
        let Self { subject, state, text, data } = self;
        Ok(RawStatus { subject, state, text, data: data.map_err(Failure::permanent)? })
    }
}
