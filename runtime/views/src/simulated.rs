//! Views for simulations: over a store in memory, without a thread. The store gets what was written at each call of
//! [`Views::flush`].

use weirgate_types::{Epochs, Position};

use crate::{
    about::{About, Found, Origin},
    error::ViewError,
    flusher::Flusher,
    free_space::FreeSpace,
    memory::MemoryStore,
    options::ViewOptions,
    table::Tables,
    views::Views,
};

impl Views {
    /// Open views over a store in memory. What was written and not flushed is gone when they are dropped, as if the process
    /// had been killed.
    ///
    /// # Errors
    /// The entries are of another log, or of a longer one.
    pub fn simulated(
        store: MemoryStore,
        tables: Tables,
        (epochs, head): (&Epochs, Position),
        options: ViewOptions,
    ) -> Result<Self, ViewError> {
        let origin = Origin::of(epochs);
        let applied = match store.found() {
            Found::Views(about) if about.origin == origin && about.applied <= head => about.applied,
            Found::Views(about) if about.origin.log == origin.log && about.origin.epoch != origin.epoch => {
                store.clear();
                Position::ZERO
            }
            Found::Nothing => Position::ZERO,
            other => return Err(ViewError::Failed(format!("the entries are of another log: {other:?}"))),
        };
        let free_space = FreeSpace::new(Box::new(|| None));
        let about = About { origin, applied, sum: 0 };
        let flusher = Flusher::new((Box::new(store), tables), None, free_space, about, options);
        Ok(Self::without_thread(flusher))
    }

    /// Let the store have what was written.
    ///
    /// # Errors
    /// As for reads.
    pub fn flush(&self) -> Result<(), ViewError> {
        self.flusher().flush()
    }
}
