//! The state of a call in its instance's store. The host functions work on it, one item at a time; only a batch has several
//! items.

use std::{collections::BTreeMap, mem, sync::Arc, time::Duration};

use weirgate_types::{CallLimits, DeliveryId, Event, FailureKind, StepAnswer};

use crate::{
    Processor, ReadState,
    clock::Reading,
    effects::{EffectBuffer, added_to_each},
    failure::{Stop, contract, effect_limit},
    lines::Log,
    memory::MemoryLimit,
    outbound::{FetchError, Request, Steps},
    together::Together,
    wasi::Given,
};

/// Maximum total size of the answers of one call, in bytes; they stay in memory until it ends.
const ANSWERS_BYTES_MAX: usize = 16 << 20;

pub(crate) struct Attempt {
    /// The selected item.
    pub(crate) item: Item,
    /// All items in order. The slot of the selected one is empty.
    items: Vec<Option<Item>>,
    selected: usize,
    together: Together,
    pub(crate) memory: MemoryLimit,
    pub(crate) wasi: Given,
    budget: Budget,
    /// Whether its result depends on this machine.
    of_machine: bool,
}

/// The input and the effects of one delivery.
pub(crate) struct Item {
    pub(crate) key: String,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    pub(crate) state: Box<dyn ReadState>,
    /// `None` if no outbound calls are allowed.
    pub(crate) steps: Option<Steps>,
    pub(crate) effects: EffectBuffer,
    pub(crate) log: Log,
    /// The time from which timers that it starts are counted.
    pub(crate) wall_ms: u64,
    host_calls: u32,
    host_calls_max: u32,
}

/// The input of a delivery.
pub(crate) struct Setup<'a> {
    pub(crate) limits: &'a CallLimits,
    pub(crate) key: &'a str,
    pub(crate) config: Arc<BTreeMap<String, String>>,
    /// `None` if a component is only started.
    pub(crate) delivery: Option<&'a DeliveryId>,
    pub(crate) event: Option<&'a Event>,
    pub(crate) at_ms: u64,
    pub(crate) wall_ms: u64,
    pub(crate) processor: Arc<dyn Processor>,
}

/// The remaining time.
#[derive(Debug)]
struct Budget {
    started: Reading,
    cpu_max: Duration,
    wall_max: Duration,
    /// CPU time of outbound calls, most of it for encryption: it counts for the host, not for the guest.
    cpu_of_host: Duration,
    /// How long the call waited for a processor.
    waited: Duration,
    processor: Arc<dyn Processor>,
}

impl Budget {
    fn wall(&self) -> Duration {
        self.started.wall_since().saturating_sub(self.waited)
    }

    /// A wait for a processor.
    fn wait(&mut self, wait: impl FnOnce(&dyn Processor)) {
        let begun = Reading::now();
        wait(&*self.processor);
        self.waited += begun.wall_since();
    }
}

impl Attempt {
    pub(crate) fn new(setup: Setup<'_>, state: Box<dyn ReadState>, steps: Option<Steps>, started: Reading) -> Self {
        let (limits, together) = (setup.limits, Together::default());
        Self {
            memory: MemoryLimit::new(limits.memory_bytes),
            wasi: Given::new(setup.delivery.cloned(), setup.at_ms),
            budget: Budget {
                started,
                cpu_max: Duration::from_millis(limits.cpu_ms),
                wall_max: Duration::from_millis(limits.wall_ms),
                cpu_of_host: Duration::ZERO,
                waited: Duration::ZERO,
                processor: Arc::clone(&setup.processor),
            },
            item: Item::new(setup, state, steps, together.clone()),
            items: vec![None],
            selected: 0,
            together,
            of_machine: false,
        }
    }

    /// Its result depends on this machine's speed, memory or state.
    pub(crate) fn depends_on_machine(&mut self) {
        self.of_machine = true;
    }

    /// Whether the same inputs give the same result.
    pub(crate) fn is_reproducible(&self) -> bool {
        !self.of_machine && !self.memory.is_starved()
    }

    /// The remaining wall-clock time of the call.
    pub(crate) fn wall_left(&self) -> Duration {
        self.budget.wall_max.saturating_sub(self.budget.started.wall_since())
    }

    /// Adds another delivery of the same call.
    pub(crate) fn add(&mut self, setup: Setup<'_>, state: Box<dyn ReadState>, steps: Option<Steps>) {
        self.items.push(Some(Item::new(setup, state, steps, self.together.clone())));
    }

    /// Selects the item at this index.
    pub(crate) fn select_item(&mut self, index: u32) -> Result<(), Stop> {
        let items = self.items.len();
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        if index == self.selected {
            return Ok(());
        }
        let next = self.items.get_mut(index).and_then(Option::take);
        let next = next.ok_or_else(|| contract(format!("item {index} is selected, of a batch of {items}")))?;
        self.put_back(next);
        self.selected = index;
        Ok(())
    }

    /// The items after the call, in order.
    pub(crate) fn into_items(mut self) -> impl Iterator<Item = Item> {
        if let Some(slot) = self.items.get_mut(self.selected) {
            *slot = Some(self.item);
        }
        self.items.into_iter().flatten()
    }

    /// This call's write to `name`: by the item itself, else by the nearest earlier item of its key.
    pub(crate) fn written(&self, name: &str) -> Option<&Option<Vec<u8>>> {
        let own = self.item.effects.state(name);
        own.or_else(|| self.earlier().rev().find_map(|item| item.effects.state(name)))
    }

    /// The names with this `prefix` that the call has written, and whether they exist afterwards.
    pub(crate) fn written_names<'a>(&'a self, prefix: &'a str) -> BTreeMap<&'a str, bool> {
        let items = self.earlier().chain([&self.item]);
        items.flat_map(|item| item.effects.state_names(prefix)).collect()
    }

    /// Counts a call of the contract's functions (all but `log` and `batch`).
    pub(crate) fn host_call(&mut self) -> Result<(), Stop> {
        let item = &mut self.item;
        if item.host_calls >= item.host_calls_max {
            return Err(effect_limit("too many host calls", item.host_calls_max, "limits.host_calls"));
        }
        item.host_calls += 1;
        Ok(())
    }

    /// An outbound call. It uses wall-clock time, and none of the guest's CPU time.
    pub(crate) fn fetch(&mut self, step: &str, request: Request) -> Result<Result<StepAnswer, FetchError>, Stop> {
        self.check_needed()?;
        let Some(steps) = &mut self.item.steps else { return Ok(Err(FetchError::nowhere())) };
        let budget = &mut self.budget;
        let begun = Reading::now();
        // Other calls compute while this one waits for the network.
        budget.processor.release();
        let answer = steps.fetch(step, request, budget.wall_max.saturating_sub(budget.wall()));
        budget.cpu_of_host += begun.cpu_since();
        budget.wait(|processor| processor.acquire());
        let answer = answer?;
        // A final answer is recorded by now.
        self.check_needed()?;
        let items = self.items.iter().flatten().chain([&self.item]);
        let answers_bytes: usize = items.flat_map(|item| &item.steps).map(Steps::answers_bytes).sum();
        if answers_bytes > ANSWERS_BYTES_MAX {
            return Err(effect_limit("too many bytes of answers to outbound calls", ANSWERS_BYTES_MAX, "fixed"));
        }
        Ok(answer)
    }

    /// Whether the call may continue. Checked at every tick of the epoch; it may yield its processor meanwhile.
    pub(crate) fn check_time(&mut self) -> Result<(), Stop> {
        self.budget.wait(|processor| processor.tick());
        self.check_needed()?;
        let Budget { started, cpu_max, wall_max, cpu_of_host, .. } = &self.budget;
        let (what, max, limit) = if started.cpu_since().saturating_sub(*cpu_of_host) > *cpu_max {
            ("CPU time", cpu_max, "limits.cpu_ms")
        } else if self.budget.wall() > *wall_max {
            ("wall time", wall_max, "limits.wall_ms")
        } else {
            return Ok(());
        };
        let message = format!("more than {} ms of {what} ({limit})", max.as_millis());
        self.depends_on_machine();
        Err(Stop::Guest(FailureKind::Timeout, message))
    }

    fn check_needed(&self) -> Result<(), Stop> {
        if self.budget.processor.is_discarded() { Err(Stop::Discarded) } else { Ok(()) }
    }

    /// Earlier items with the selected one's key, in order.
    fn earlier(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter().take(self.selected).flatten().filter(|item| item.key == self.item.key)
    }

    /// Puts the selected item back into its slot, and selects `next`.
    fn put_back(&mut self, next: Item) {
        let previous = mem::replace(&mut self.item, next);
        if let Some(slot) = self.items.get_mut(self.selected) {
            *slot = Some(previous);
        }
    }
}

impl Item {
    fn new(setup: Setup<'_>, state: Box<dyn ReadState>, steps: Option<Steps>, together: Together) -> Self {
        let Setup { limits, key, config, delivery: _, event, at_ms: _, wall_ms, processor: _ } = setup;
        Self {
            key: key.to_owned(),
            config,
            state,
            steps,
            effects: EffectBuffer::new(limits, together.clone(), event.map_or(0, added_to_each)),
            log: Log::new(limits, together),
            wall_ms,
            host_calls: 0,
            host_calls_max: limits.host_calls,
        }
    }
}
