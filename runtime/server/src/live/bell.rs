//! Tells a task that waits for several things which of them woke it, so that it looks at the frequent one without looking at the others:
//! those are woken by a bell, which remembers that it rang.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
};

/// See the module documentation.
pub struct Bell {
    has_rung: AtomicBool,
    task: Waker,
}

impl Bell {
    pub fn new(task: &Waker) -> Arc<Self> {
        Arc::new(Self { has_rung: AtomicBool::new(false), task: task.clone() })
    }

    /// Whether it wakes this task.
    pub fn wakes(&self, task: &Waker) -> bool {
        self.task.will_wake(task)
    }

    /// Whether it has rung since this was asked last.
    pub fn has_rung(&self) -> bool {
        self.has_rung.load(Ordering::Relaxed) && self.has_rung.swap(false, Ordering::Acquire)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.has_rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_wakes_its_task_and_says_once_that_it_rang() {
        let (outer, other) = (Bell::new(Waker::noop()), Waker::from(Bell::new(Waker::noop())));
        let task = Waker::from(Arc::clone(&outer));
        let bell = Bell::new(&task);
        assert!(bell.wakes(&task) && !bell.wakes(&other));
        assert!(!bell.has_rung());
        Waker::from(Arc::clone(&bell)).wake_by_ref();
        Waker::from(Arc::clone(&bell)).wake();
        assert!(bell.has_rung() && outer.has_rung());
        assert!(!bell.has_rung() && !outer.has_rung());
    }
}
