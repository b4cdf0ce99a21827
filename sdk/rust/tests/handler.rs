//! A handler in the test kit: its effects, its failures, and every limit of the contract with the runtime's messages.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::{fmt::Write as _, time::Duration};

use weirgate_sdk::{
    Level,
    prelude::*,
    testing::{Delivery, World},
};

#[derive(Clone, Serialize, Deserialize, EventType)]
#[event("parcel.weighed")]
struct Weighed {
    grams: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("parcel.heavy")]
struct Heavy {
    grams: u64,
}

#[derive(Serialize)]
struct Page {
    grams: u64,
}

#[handler]
fn weigh(event: Event<Weighed>, context: &mut Context) -> Result<(), Failure> {
    let grams = context.state().get("grams")?.unwrap_or(0) + event.data.grams;
    context.state().set("grams", &grams)?;
    context.info(format!("attempt {} of {}", context.delivery().attempt, context.delivery().id));
    let most: u64 = context.config("most").unwrap_or_else(|| "1000".into()).parse()?;
    if grams > most {
        return Err(Failure::transient("the scales are full").retry_after_ms(5_000));
    }
    context.set_status("weighed", format!("{grams} g")).data(&Page { grams });
    if event.data.grams > 500 {
        context.set_status("alarm", "heavy").on("warehouse/1");
        context.emit(&Heavy { grams });
        context.emit_to("lift/1", &Heavy { grams });
        context.emit(&Heavy { grams }).subject("lift/2").key("lifts");
        context.emit_raw("parcel.photo", "image/png", vec![0, 255]).key("photos");
    }
    Ok(())
}

fn weighed(grams: u64) -> Delivery {
    Delivery::of(&Weighed { grams }).key("parcel/p-1")
}

#[test]
fn effects_are_visible_after_a_completed_run() {
    let run = weighed(600).state("grams", &100).attempt(3).position(42).handler("scales").run(weigh);
    run.completed();
    assert_eq!((run.status().state.as_str(), run.status().text.as_str()), ("weighed", "700 g"));
    assert_eq!(run.status().data["grams"], 700);
    assert_eq!(run.status_on("warehouse/1").expect("an alarm").state, "alarm");
    assert_eq!(run.state::<u64>("grams"), Some(700));
    assert_eq!(run.emitted::<Heavy>(), [Heavy { grams: 700 }, Heavy { grams: 700 }, Heavy { grams: 700 }]);
    assert_eq!(run.log(), [(Level::Info, "attempt 3 of scales@42".to_owned())]);
}

#[test]
fn an_emitted_subject_is_also_the_key_unless_there_is_one() {
    let run = weighed(600).subject("parcel/p-1/a").run(weigh);
    let places: Vec<_> = run.emissions().iter().map(|event| (event.subject.as_str(), event.key.as_str())).collect();
    assert_eq!(
        places,
        [("parcel/p-1/a", "parcel/p-1"), ("lift/1", "lift/1"), ("lift/2", "lifts"), ("parcel/p-1/a", "photos")]
    );
    assert_eq!(run.emissions()[3].data_content_type.as_deref(), Some("image/png"));
}

#[test]
fn a_world_keeps_the_effects_of_completed_deliveries() {
    let mut world = World::new().handler("scales");
    world.run(weighed(400), weigh).completed();
    world.run(weighed(400).key("parcel/p-2"), weigh).completed();
    let run = world.run(weighed(700), weigh);
    assert_eq!(*run.failure(), Failure::transient("the scales are full").retry_after_ms(5_000));
    assert_eq!(world.state::<u64>("parcel/p-1", "grams"), Some(400));
    world.configure("most", "2000");
    assert_eq!(world.run(weighed(700), weigh).log()[0].1, "attempt 1 of scales@4");
    assert_eq!(world.state::<u64>("parcel/p-1", "grams"), Some(1100));
    assert_eq!(world.status("parcel/p-1").expect("a status").text, "1100 g");
}

#[test]
fn ordinary_errors_are_transient_and_misfits_permanent() {
    let run = weighed(1).config("most", "lots").run(weigh);
    assert_eq!(*run.failure(), Failure::transient("invalid digit found in string"));
    assert!(weighed(1).state("grams", "heavy").run(weigh).failure().is_permanent());
    let misfit = Delivery::raw("parcel.weighed", r#"{"grams":"many"}"#).run(weigh);
    assert!(misfit.failure().message().contains("parcel.weighed does not fit Weighed: grams:"), "{}", misfit.failure());
    assert!(Delivery::raw("parcel.lost", "{}").run(weigh).failure().is_permanent());
}

/// Calls a closure that exceeds a limit, and returns the message.
fn ended(work: impl Fn(&mut Context)) -> String {
    let run = Delivery::raw("any", "").run(|_: Event<Raw>, context| {
        work(context);
        Ok(())
    });
    run.ended().to_owned()
}

/// A call that exceeds a limit, and the beginning of its message.
type Case = (fn(&mut Context), &'static str);

fn check_ended(cases: &[Case]) {
    for (work, says) in cases {
        let said = ended(work);
        assert!(said.starts_with(says), "{said:?} should begin with {says:?}");
    }
}

fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[test]
fn limits_on_state_end_the_call_by_name() {
    check_ended(&[
        (|context| drop(context.state().get_bytes("")), "a state name is empty"),
        (
            |context| context.state().set_bytes(&long(257), vec![]),
            "a state name is 257 bytes long; at most 256 are allowed",
        ),
        (
            |context| context.state().set_bytes("a", vec![0; 65_537]),
            "too many bytes in a state value: at most 65536 (fixed)",
        ),
        (
            |context| "abcde".chars().for_each(|name| context.state().set_bytes(&name.to_string(), vec![0; 65_000])),
            "too many bytes of effects: at most 262144 (limits.effects_bytes)",
        ),
        (
            |context| (0..257).for_each(|_| drop(context.config("a"))),
            "too many host calls: at most 256 (limits.host_calls)",
        ),
    ]);
}

#[test]
fn limits_on_emitted_events_end_the_call_by_name() {
    check_ended(&[
        (
            |context| {
                for grams in 0..65 {
                    context.emit(&Heavy { grams });
                }
            },
            "too many emitted events: at most 64 (limits.emitted_events)",
        ),
        (
            |context| {
                context.emit_raw("", "text/plain", vec![]);
            },
            "an emitted event's type is empty",
        ),
        (
            |context| {
                context.emit(&Opened {});
            },
            "an emitted event's type begins with `weirgate.`",
        ),
        (
            |context| {
                context.emit_raw("a", "application/json", b"{".into());
            },
            "an emitted event: the event's data is not valid JSON",
        ),
        (
            |context| {
                context.emit_raw("a", "application/json", b"\"\\ud800\"".into());
            },
            "an emitted event: the event's data is not valid JSON, which its content type says it is: a string holds half of a surrogate pair at byte 1",
        ),
        (
            |context| {
                context.emit_raw("a", "application/json", b"\"\xff\"".into());
            },
            "an emitted event: the event's data is not valid JSON, which its content type says it is: it is not UTF-8 at byte 1",
        ),
        (
            |context| {
                context.emit_raw("a", "application/json", [b"[".repeat(65), b"]".repeat(65)].concat());
            },
            "an emitted event: the event's data is nested more than 64 levels deep",
        ),
        (
            |context| {
                context.emit(&Heavy { grams: 1 }).key(long(1_025));
            },
            "an emitted event's key is 1025 bytes long; at most 1024 are allowed",
        ),
        (
            |context| {
                context.emit(&Heavy { grams: 1 }).key("");
            },
            "an emitted event's key is empty",
        ),
        (
            |context| {
                context.emit(&Heavy { grams: 1 }).subject("");
            },
            "an emitted event's subject is empty",
        ),
    ]);
}

fn start(name: &str, due: Due) -> impl Fn(&mut Context) {
    move |context| context.start_timer(name, due, &Heavy { grams: 1 })
}

#[test]
fn limits_on_timers_end_the_call_by_name() {
    let after = Due::after(Duration::from_secs(1));
    assert_eq!(ended(start("", after)), "a timer's name is empty");
    assert_eq!(ended(start("a\n", after)), "a timer's name holds a control character");
    let ten_years_ms = 3_650 * 86_400_000;
    assert_eq!(ended(start("a", Due::AfterMs(ten_years_ms + 1))), "a timer is due in more than 3650 days");
    let many = |context: &mut Context| (0..65).for_each(|n| context.cancel_timer(n.to_string()));
    assert_eq!(ended(many), "too many timers: at most 64 (fixed)");
    let reserved = |context: &mut Context| context.start_timer("a", after, &Opened {});
    assert_eq!(ended(reserved), "a timer's event's type begins with `weirgate.`, which only the runtime's own do");
}

/// One of the runtime's own events, which handlers may take but not emit.
#[derive(Serialize, Deserialize, EventType)]
#[event("weirgate.breaker.opened")]
struct Opened {}

#[test]
fn limits_on_statuses_end_the_call_by_name() {
    check_ended(&[
        (
            |context| {
                context.set_status(long(65), "");
            },
            "a status's state is 65 bytes long; at most 64 are allowed",
        ),
        (
            |context| {
                context.set_status("a", long(1_025));
            },
            "a status's text is 1025 bytes long; at most 1024 are allowed",
        ),
        (
            |context| {
                context.set_status("a", "").data(&long(16_384));
            },
            "too many bytes in a status's data: at most 16384 (fixed)",
        ),
        (
            |context| {
                context.set_status("a", "").on("a\n");
            },
            "a status subject holds a control character",
        ),
        (
            |context| {
                context.set_status("a\u{1b}", "");
            },
            "a status's state holds a control character",
        ),
    ]);
}

#[test]
fn a_call_within_the_limits_completes() {
    let run = Delivery::raw("any", "").state("b", &1).state("a/2", &1).run(|_: Event<Raw>, context: &mut Context| {
        for value in 0_u8..100 {
            context.state().set_bytes("again", vec![value; 65_536]);
        }
        context.state().set("a/1", &1)?;
        assert_eq!(context.state().list("a/"), ["a/1", "a/2"]);
        context.state().delete("b");
        for line in 0..101 {
            context.debug(format!("{line} {}", "ä".repeat(600)));
        }
        Ok(())
    });
    run.did_nothing();
    assert_eq!((run.state::<u8>("b"), run.state::<u8>("a/2")), (None, Some(1)));
    assert_eq!((run.log().len(), run.log_lines_dropped()), (100, 1));
    let line = &run.log()[0].1;
    assert!(line.len() <= 1024 && line.starts_with("0 ää") && line.ends_with("ä…"), "{line}");
}

#[test]
fn a_status_of_the_key_counts_once_however_it_is_named() {
    let run = Delivery::raw("any", "").key("parcel/p-1").run(|_: Event<Raw>, context: &mut Context| {
        for _ in 0..50 {
            context.set_status("a", "two\nlines").data(&"x".repeat(15_000));
            context.set_status("a", "two\nlines").on("parcel/p-1").data(&"x".repeat(15_000));
        }
        Ok(())
    });
    assert_eq!(run.status().text, "two lines");
}

#[test]
fn a_key_that_is_not_the_subject_is_an_extension_attribute() {
    let seen = |delivery: Delivery| {
        let mut seen = (None, String::new());
        delivery.run(|event: Event<Raw>, context: &mut Context| {
            let key = event.extensions.iter().find(|(name, _)| name == "partitionkey");
            seen = (key.map(|(_, value)| value.clone()), context.delivery().key.clone());
            Ok(())
        });
        seen
    };
    let (key, subject) = ("tank/a".to_owned(), "parcel/p-1");
    let any = || Delivery::raw("any", "").subject(subject);
    assert_eq!(seen(any().key(&key)), (Some(key.clone()), key.clone()));
    assert_eq!(seen(any().extension("partitionkey", &key)), (Some(key.clone()), key));
    assert_eq!(seen(any().key(subject)), (None, subject.to_owned()));
}

#[test]
fn a_value_that_is_not_json_is_a_permanent_failure() {
    let run = Delivery::raw("any", "").run(|_: Event<Raw>, context: &mut Context| {
        let odd = std::collections::BTreeMap::from([((1, 2), 3)]);
        context.set_status("odd", "").data(&odd);
        Ok(())
    });
    assert!(run.failure().message().starts_with("the data of status `odd` is no JSON"), "{}", run.failure());
}

#[test]
fn a_wrong_expectation_prints_the_whole_run() {
    let run = weighed(600).run(weigh);
    let panic = std::panic::catch_unwind(|| run.failure().clone()).expect_err("it did not fail");
    let said = panic.downcast::<String>().expect("a message");
    let mut expected = "the delivery should have failed, but completed".to_owned();
    for key in ["parcel/p-1", "lift/1", "lifts"] {
        write!(expected, "\n  emitted parcel.heavy to {key}: {{\"grams\":600}}").expect("a string");
    }
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.contains("status of warehouse/1: alarm"), "{said}");
}
