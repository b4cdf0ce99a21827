//! Failures that the guest does not cause: state that cannot be read, a panic inside the host, no room for another call.

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};

use support::{Memory, attempt, failure, host_with, hostile};
use weirgate_host::{CallError, ReadState, StateError};
use weirgate_types::FailureKind;

struct Unreadable;

impl ReadState for Unreadable {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
        Err(StateError::new("the disk is gone"))
    }

    fn list(&self, _: &str, _: usize) -> Result<Vec<String>, StateError> {
        panic!("the test's own panic")
    }
}

#[test]
fn state_that_cannot_be_read_is_not_the_guests_failure() {
    let report = attempt("plain").run_with(&hostile(), Box::new(Unreadable));
    assert_eq!(report.result, Err(CallError::State(StateError::new("the disk is gone"))));
}

#[test]
fn a_panic_in_the_host_ends_the_call_only() {
    let report = attempt("state_list").run_with(&hostile(), Box::new(Unreadable));
    let failure = failure(report);
    assert_eq!(failure.kind, FailureKind::Trap);
    assert!(failure.message.contains("the test's own panic"), "{}", failure.message);
    assert!(attempt("plain").run().result.is_ok(), "the host continues");
}

/// Reports each read, and answers when the test allows it.
struct Held(Sender<()>, Receiver<()>);

impl ReadState for Held {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
        self.0.send(()).map_err(StateError::new)?;
        self.1.recv().map_err(StateError::new)?;
        Ok(None)
    }

    fn list(&self, _: &str, _: usize) -> Result<Vec<String>, StateError> {
        Ok(Vec::new())
    }
}

#[test]
fn a_call_beyond_the_limit_is_busy() {
    let host = host_with(|options| options.instances_max = 1);
    let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
    let module = host.load(digest).expect("loads");
    let ((asked, was_asked), (answer, answered)) = (channel(), channel());
    let first = std::thread::spawn({
        let module = module.clone();
        move || attempt("plain").run_with(&module, Box::new(Held(asked, answered))).result
    });
    was_asked.recv().expect("the first call is under way");
    let second = attempt("plain").run_with(&module, Box::new(Memory::default())).result;
    assert_eq!(second, Err(CallError::Busy));
    answer.send(()).expect("the first call waits");
    assert!(first.join().expect("no panic").is_ok());
    assert!(attempt("plain").run_with(&module, Box::new(Memory::default())).result.is_ok(), "there is room again");
}

#[test]
fn the_largest_component_that_is_admitted_has_room() {
    let host = host_with(|options| options.instances_max = 1);
    let others = "(core module $t (table 100 funcref)) (core module $m (table 100 funcref) (memory 1))".to_owned()
        + &"(core instance (instantiate $t))".repeat(29)
        + &"(core instance (instantiate $m))".repeat(3);
    let others = others.replace("$m", "$other");
    let digest = host.put_module(&weirgate_guests::in_handler(&others, "")).expect("four memories, 32 tables").digest;
    let module = host.load(digest).expect("loads");
    for _ in 0..3 {
        let report = attempt("plain").run_with(&module, Box::new(Memory::default()));
        assert!(report.result.is_ok(), "{:?}", report.result);
    }
}

#[test]
fn a_module_outlives_its_host() {
    let host = host_with(|_| {});
    let digest = host.put_module(&weirgate_guests::build("hostile")).expect("a handler").digest;
    let module = host.load(digest).expect("loads");
    drop(host);
    assert!(attempt("plain").run_with(&module, Box::new(Memory::default())).result.is_ok());
    let mut endless = attempt("loops_forever");
    endless.limits.cpu_ms = 50;
    let report = endless.run_with(&module, Box::new(Memory::default()));
    assert_eq!(failure(report).kind, FailureKind::Timeout, "the clock still ticks");
}
