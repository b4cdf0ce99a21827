//! The handler, run natively: without WebAssembly and without a server.

use weirgate_sdk::testing::{Delivery, World};
use {{crate}}::{LorryFull, LorryUnloaded, ParcelArrived, load};

const LORRY: &str = "lorry/7";

fn parcel(grams: u64) -> Delivery {
    Delivery::of(&ParcelArrived { grams }).key(LORRY)
}

#[test]
fn a_parcel_that_does_not_fit_waits_until_the_lorry_is_unloaded() {
    let mut world = World::new().config("most", "100");
    world.run(parcel(60), load).completed();
    let run = world.run(parcel(50), load);
    assert_eq!(run.status().text, "60 of 100 g, waiting: 1");
    assert_eq!(run.emitted::<LorryFull>(), [LorryFull { grams: 60 }]);
    let run = world.run(Delivery::of(&LorryUnloaded {}).key(LORRY), load);
    assert_eq!(run.status().text, "50 of 100 g, waiting: 0");
}

#[test]
fn a_parcel_that_no_lorry_carries_waits_for_a_correction() {
    let mut world = World::new().config("most", "100");
    let run = world.run(parcel(101), load);
    assert!(run.failure().is_correctable());
    world.run(parcel(99), load).completed();
}
