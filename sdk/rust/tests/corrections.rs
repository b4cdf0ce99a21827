//! A handler with a correction hook in the test kit: the hook's input, its result, and the corrected delivery.

#![allow(clippy::expect_used, reason = "a test may panic")]

use weirgate_sdk::{
    prelude::*,
    testing::{Delivery, World},
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, EventType)]
#[event("price.set")]
struct PriceSet {
    cents: i64,
}

#[derive(Serialize, Deserialize, EventType)]
#[event("price.removed")]
struct PriceRemoved {}

#[derive(Events)]
enum Incoming {
    Set(PriceSet),
    Removed(PriceRemoved),
}

#[handler(on_correctable = last_good_price)]
fn list_price(event: Event<Incoming>, context: &mut Context) -> Result<(), Failure> {
    match event.data {
        Incoming::Set(price) if price.cents <= 0 => {
            return Err(Failure::correctable("no price", format!("{} is not positive", price.cents)));
        }
        Incoming::Set(price) => context.state().set("cents", &price.cents)?,
        Incoming::Removed(_) => return Err(Failure::correctable("no", "prices cannot be removed")),
    }
    Ok(())
}

fn last_good_price(event: Event<PriceSet>, context: &Context, failure: &CorrectableFailure) -> Option<PriceSet> {
    assert!(failure.what_is_wrong.ends_with("is not positive"), "{failure:?}");
    if event.data.cents == -1 {
        context.state().set_bytes("", vec![]);
    }
    let mut price = event.data;
    price.cents = context.state().get("cents").ok()??;
    Some(price)
}

fn priced(cents: i64) -> Delivery {
    Delivery::of(&PriceSet { cents }).key("sku/a-7")
}

#[test]
fn the_hooks_data_is_delivered() {
    let delivery = priced(0).state("cents", &250).attempt(3);
    let run = delivery.clone().run(list_price);
    let corrected = delivery.correct(run.failure(), last_good_price).expect("it knows a price");
    assert_eq!(corrected.data::<PriceSet>(), PriceSet { cents: 250 });
    assert_eq!(corrected.run(list_price).state::<i64>("cents"), Some(250));
}

#[test]
fn the_hook_sees_the_state_of_completed_deliveries() {
    let mut world = World::new();
    let failure = world.run(priced(0), list_price).failure().clone();
    assert!(world.correct(&priced(0), &failure, last_good_price).is_none(), "there was no price yet");
    world.run(priced(90), list_price).completed();
    let corrected = world.correct(&priced(0), &failure, last_good_price).expect("it knows a price");
    world.run(priced(120), list_price).completed();
    assert_eq!(world.run(corrected, list_price).state::<i64>("cents"), Some(90));
}

#[test]
fn the_hook_is_called_for_its_own_event_type_only() {
    let delivery = Delivery::of(&PriceRemoved {});
    let run = delivery.clone().run(list_price);
    assert!(delivery.correct(run.failure(), last_good_price).is_none());
}

#[test]
fn bytes_can_be_corrected_too() {
    let failure = Failure::correctable("no", "upside down");
    let upside_up =
        |event: Event<Raw>, _: &Context, _: &CorrectableFailure| Some(Raw(event.data.0.into_iter().rev().collect()));
    let delivery = Delivery::raw("any", "cba").content_type("text/plain").correct(&failure, upside_up);
    let mut seen = (Vec::new(), None);
    delivery.expect("a correction").run(|event: Event<Raw>, _: &mut Context| {
        seen = (event.data.0, event.data_content_type);
        Ok(())
    });
    assert_eq!(seen, (b"abc".to_vec(), Some("text/plain".to_owned())));
}

#[test]
#[should_panic(expected = "the correction was ended: a state name is empty")]
fn exceeding_a_limit_ends_the_hook() {
    drop(priced(-1).correct(&Failure::correctable("no price", "-1 is not positive"), last_good_price));
}

#[test]
#[should_panic(expected = "the correction was ended: a correction: the event's data is not valid JSON")]
fn an_answer_that_is_not_json_ends_the_hook() {
    let odd = |_: Event<Raw>, _: &Context, _: &CorrectableFailure| Some(Raw(b"{".to_vec()));
    drop(Delivery::raw("any", "{}").correct(&Failure::correctable("no", "all"), odd));
}

#[test]
#[should_panic(expected = "only a correctable failure is corrected, not transient: later")]
fn other_failures_are_not_corrected() {
    drop(priced(0).correct(&Failure::transient("later"), last_good_price));
}
