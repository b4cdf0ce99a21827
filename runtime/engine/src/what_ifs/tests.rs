//! What the threads of what-ifs do with their tasks, each in turn.

use weirgate_types::Digest;

use super::*;
use crate::{
    Audit,
    handle::Choices,
    replay::{Bounds, MissingAnswers, Runs, Selection},
};

pub fn id(replay: u64) -> PlanId {
    PlanId { replay: Position(replay), is_undo: false }
}

pub fn request() -> WhatIf {
    WhatIf {
        handler: "invoice".parse().expect("a name"),
        runs: Runs::Without(Position(1)),
        selection: Selection::default(),
        missing_answers: MissingAnswers::Fail,
        bounds: Bounds::default(),
        through: Position(9),
        asked_at_ms: 0,
    }
}

/// Takes a replay without starting the thread.
fn take(what_ifs: &WhatIfs, replay: u64) {
    let mut inner = what_ifs.inner();
    (inner.is_computing, inner.is_applying) = (true, true);
    inner.replays.begin(id(replay), request());
}

fn apply(what_ifs: &WhatIfs, replay: u64) {
    let audit = Audit { actor: "ada".into(), reason: String::new() };
    let apply = Apply { choices: Choices::default(), plan: Digest([0; 32]), approved: Position(2), audit };
    what_ifs.inner().replays.apply(id(replay), apply).expect("it is queued");
}

#[test]
fn a_panic_fails_its_replay_and_the_next_is_computed() {
    let what_ifs = WhatIfs::default();
    (1..=3).for_each(|replay| take(&what_ifs, replay));
    assert!(what_ifs.step(Worker::Computes, |_, _, _| panic!("index {} is wrong", 7)));
    assert!(what_ifs.step(Worker::Computes, |_, _, _| std::panic::panic_any(7_u8)));
    assert!(what_ifs.step(Worker::Computes, |_, _, _| Ok(Done::Computed(Box::new(Computed::nothing(0))))));
    let error = |replay| what_ifs.peek(id(replay)).expect("it is known").result.expect("it ended").err();
    assert_eq!(error(1).as_deref(), Some("it ended by a defect of this program: index 7 is wrong"));
    assert_eq!(error(2).as_deref(), Some("it ended by a defect of this program: a panic without a message"));
    assert_eq!(error(3), None);
    assert!(!what_ifs.step(Worker::Computes, |_, _, _| unreachable!()), "nothing is left");
    assert!(!what_ifs.inner().is_computing, "so that the next one starts a thread");
}

#[test]
fn a_panic_ends_an_application_which_may_be_begun_again() {
    let what_ifs = WhatIfs::default();
    take(&what_ifs, 1);
    assert!(what_ifs.step(Worker::Computes, |_, _, _| Ok(Done::Computed(Box::new(Computed::nothing(0))))));
    apply(&what_ifs, 1);
    assert!(what_ifs.step(Worker::Applies, |_, _, _| panic!("no key")));
    let applied = || what_ifs.peek(id(1)).and_then(|known| known.applied).expect("it was applied");
    assert!(!applied().is_running && applied().error.is_some_and(|error| error.ends_with("no key")));
    apply(&what_ifs, 1);
    assert!(what_ifs.step(Worker::Applies, |_, task, _| match task {
        Task::Apply(_) => Ok(Done::Applied),
        Task::Compute => unreachable!("it is computed"),
    }));
    assert_eq!(applied().error, None);
}

#[test]
fn a_mark_changes_with_what_is_shown_of_a_replay() {
    let what_ifs = WhatIfs::default();
    let mut last = what_ifs.mark(id(1));
    assert_eq!(last, None);
    let mut changes = |does: &dyn Fn(&WhatIfs)| {
        does(&what_ifs);
        let mark = what_ifs.mark(id(1));
        let changed = mark != last;
        last = mark;
        changed
    };
    assert!(changes(&|what_ifs| take(what_ifs, 1)));
    assert!(!changes(&|what_ifs| drop(what_ifs.get(id(1)))), "it was only read");
    let passed = |what_ifs: &WhatIfs| {
        let watch = what_ifs.peek(id(1)).expect("it is known").watch;
        watch.passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    assert!(changes(&passed));
    assert!(changes(&|what_ifs| assert!(
        what_ifs.step(Worker::Computes, |_, _, _| Ok(Done::Computed(Box::new(Computed::nothing(0)))))
    )));
    assert!(!changes(&passed), "it is computed, and other work uses its watch");
    assert!(changes(&|what_ifs| apply(what_ifs, 1)));
    let refuse = |applied: &mut Applied| applied.refused.add("k".into(), "no");
    let refuses = |what_ifs: &WhatIfs| what_ifs.change(id(1), |known| known.applied.iter_mut().for_each(refuse));
    assert!(changes(&refuses));
    assert!(!changes(&|_| ()));
    assert!(changes(&|what_ifs| assert!(what_ifs.step(Worker::Applies, |_, _, _| Ok(Done::Applied)))));
}
