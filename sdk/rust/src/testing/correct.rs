//! Corrections in tests: a handler's `on_correctable` is called for a delivery, and its result can be delivered.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Delivery, World,
    delivery::json,
    limits::{catch_end, check_event},
    typed::typed,
};
use crate::{
    Context, CorrectableFailure, EventType, Failure,
    correction::{self, CorrectableData, Corrected},
};

impl Delivery {
    /// The same delivery with the data that `hook` returns for `failure`, as a first attempt; `None` if it returns none or
    /// takes no events of this type.
    ///
    /// # Panics
    /// The failure is not a correctable one, or a limit of the contract ended the hook.
    #[track_caller]
    #[must_use]
    pub fn correct<T: CorrectableData>(
        &self,
        failure: &Failure,
        hook: impl FnOnce(crate::Event<T>, &Context, &CorrectableFailure) -> Option<T>,
    ) -> Option<Self> {
        let Failure::Correctable { message, what_is_wrong } = failure else {
            panic!("only a correctable failure is corrected, not {failure}")
        };
        let failure = CorrectableFailure { message: message.clone(), what_is_wrong: what_is_wrong.clone() };
        let (event, delivery) = self.clone().parts();
        let context = Context::new(Box::new(self.recorder()), delivery);
        let ask = || {
            self.migrate(&context).ok()?;
            let r#type = event.r#type.clone();
            let corrected = correction::correct(event, &context, &failure, hook)?;
            check_event("a correction", &r#type, corrected.data_content_type.as_deref(), &corrected.data);
            Some(corrected)
        };
        match catch_end(ask) {
            Ok(corrected) => Some(self.clone().corrected(corrected?)),
            Err(reason) => panic!("the correction was ended: {reason}"),
        }
    }

    /// The same delivery with other data, as JSON.
    ///
    /// # Panics
    /// The data cannot be written as JSON.
    #[must_use]
    pub fn with_data<E: EventType + Serialize>(mut self, data: &E) -> Self {
        self.event.data = json(data);
        self
    }

    /// The data as it will be delivered.
    ///
    /// # Panics
    /// It is not an `E`.
    #[track_caller]
    #[must_use]
    pub fn data<E: EventType + DeserializeOwned>(&self) -> E {
        typed(&self.event.data, E::TYPE)
    }

    fn corrected(mut self, corrected: Corrected) -> Self {
        self.event.data = corrected.data;
        self.event.data_content_type = corrected.data_content_type;
        self.attempt(1)
    }
}

impl World {
    /// [`Delivery::correct`], with the state that the completed deliveries have left.
    ///
    /// # Panics
    /// As for [`Delivery::correct`].
    #[track_caller]
    #[must_use]
    pub fn correct<T: CorrectableData>(
        &self,
        delivery: &Delivery,
        failure: &Failure,
        hook: impl FnOnce(crate::Event<T>, &Context, &CorrectableFailure) -> Option<T>,
    ) -> Option<Delivery> {
        let mut corrected = self.surround(delivery.clone()).correct(failure, hook)?;
        // When it is delivered, it gets the world's state at that time.
        corrected.state.clone_from(&delivery.state);
        corrected.config.clone_from(&delivery.config);
        Some(corrected)
    }
}
