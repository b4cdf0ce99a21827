//! The behaviours of a batch handler, good and bad. An item's data selects its variant.

use std::{hint::black_box, time::SystemTime};

use crate::{
    BatchItem, Failure, Outcomes, correctable, transient,
    weirgate::handler::{
        batch, config, http, log,
        outbox::{self, Due, Emission, Status, Timer},
        state,
    },
};

fn all_well(items: &[BatchItem]) -> Outcomes {
    items.iter().map(|_| Ok(())).collect()
}

/// Does this for each item.
fn for_each(items: &[BatchItem], mut work: impl FnMut(&BatchItem)) -> Outcomes {
    for (index, item) in (0..).zip(items) {
        batch::select(index);
        work(item);
    }
    all_well(items)
}

fn count() -> u8 {
    state::get("count").map_or(0, |value| value[0])
}

/// Every kind of effect, each for its item.
pub fn counts(items: &[BatchItem]) -> Outcomes {
    for_each(items, |item| {
        let count = count() + 1;
        state::set("count", &[count]);
        let text = format!("{count} of {} in {}", item.delivery.key, config::get("region").unwrap());
        outbox::set_status(None, &Status { state: "counted".into(), text, data: None });
        outbox::emit(&Emission {
            type_: "order.counted".into(),
            subject: None,
            key: None,
            data_content_type: None,
            data: item.event.data.clone(),
        });
        let timer = Timer { due: Due::After(7), type_: "t".into(), data_content_type: None, data: vec![] };
        outbox::start_timer("again", &timer);
    })
}

pub fn does_not_select(items: &[BatchItem]) -> Outcomes {
    state::set("whose", b"the first's");
    all_well(items)
}

pub fn selects_back_and_forth(items: &[BatchItem]) -> Outcomes {
    for index in [2, 0, 2, 2, 1, 0] {
        batch::select(index);
        let order = [state::get("order").unwrap_or_default(), vec![index as u8]].concat();
        state::set("order", &order);
    }
    all_well(items)
}

/// The items are of the keys a, b, a, a.
pub fn reads_of_its_key(items: &[BatchItem]) -> Outcomes {
    batch::select(3);
    state::set("of", b"the last");
    batch::select(0);
    assert_eq!(state::get("of").unwrap(), b"committed");
    state::set("of", b"the first");
    batch::select(1);
    assert_eq!(state::get("of").unwrap(), b"committed", "another key's");
    batch::select(2);
    assert_eq!(state::get("of").unwrap(), b"the first", "not what a later item wrote");
    state::delete("of");
    batch::select(3);
    assert_eq!(state::get("of").unwrap(), b"the last");
    state::delete("of");
    batch::select(0);
    assert_eq!(state::get("of").unwrap(), b"the first");
    all_well(items)
}

/// The items are of one key; committed are `n/1` and `n/2`.
pub fn lists_of_its_key(items: &[BatchItem]) -> Outcomes {
    state::delete("n/1");
    state::set("n/3", b"");
    batch::select(1);
    assert_eq!(state::list("n/"), ["n/2", "n/3"]);
    state::set("n/1", b"");
    state::delete("n/3");
    assert_eq!(state::list("n/"), ["n/1", "n/2"]);
    batch::select(2);
    assert_eq!(state::list("n/"), ["n/1", "n/2"]);
    all_well(items)
}

/// Each item writes; its data determines its result.
pub fn some_fail(items: &[BatchItem]) -> Outcomes {
    for_each(items, |_| state::set("count", &[count() + 1]));
    let outcome = |item: &BatchItem| match item.event.data.as_slice() {
        b"\"transient\"" => Err(transient("not now")),
        b"\"correctable\"" => Err(correctable("bad order")),
        b"\"permanent\"" => Err(Failure::Permanent("never".into())),
        _ => Ok(()),
    };
    items.iter().map(outcome).collect()
}

pub fn says_what(items: &[BatchItem]) -> Outcomes {
    log::write(log::Level::Info, "before");
    for_each(items, |item| {
        log::write(log::Level::Debug, &item.delivery.id);
        println!("printed by {}", item.delivery.id);
    })
}

/// The clock does not advance, and is the first item's.
pub fn given_of_the_first(items: &[BatchItem]) -> Outcomes {
    for_each(items, |_| {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        state::set("wall-ms", wall.as_millis().to_string().as_bytes());
        let timer = Timer { due: Due::After(0), type_: "t".into(), data_content_type: None, data: vec![] };
        outbox::start_timer("now", &timer);
    })
}

/// The maximum of one delivery, for each.
pub fn each_its_limits(items: &[BatchItem]) -> Outcomes {
    for_each(items, |_| {
        for _ in 0..64 {
            let (subject, key, data_content_type) = (None, None, None);
            outbox::emit(&Emission { type_: "t".into(), subject, key, data_content_type, data: vec![] });
        }
        for name in ["a", "b", "c"] {
            state::set(name, &vec![0; 64 * 1024]);
        }
        for _ in 0..256 - 64 - 3 {
            config::get("region");
        }
    })
}

/// Each item's data holds the URLs that it calls, one per line, as the steps `1`, `2`, ... The answers are written to the
/// state under the same name.
pub fn fetches(items: &[BatchItem]) -> Outcomes {
    for_each(items, |item| {
        let urls = String::from_utf8(item.event.data.clone()).unwrap();
        for (step, url) in (1..).map(|n: u32| n.to_string()).zip(urls.lines()) {
            let (method, url, headers) = ("GET".into(), url.into(), vec![]);
            let request = http::Request { method, url, headers, body: None, timeout_ms: None };
            let answer = match http::fetch(&step, &request) {
                Ok(answer) => answer.status.to_string(),
                Err(error) => format!("{error:?}"),
            };
            state::set(&step, answer.as_bytes());
        }
    })
}

/// One call for all of them, and all depend on it.
pub fn all_fail_after_fetches(items: &[BatchItem]) -> Outcomes {
    fetches(items);
    items.iter().map(|_| Err(transient("not without it"))).collect()
}

pub fn selects_no_item(items: &[BatchItem]) -> Outcomes {
    batch::select(items.len() as u32);
    all_well(items)
}

pub fn answers_too_few(items: &[BatchItem]) -> Outcomes {
    state::set("count", &[1]);
    all_well(&items[1..])
}

pub fn answers_too_many(items: &[BatchItem]) -> Outcomes {
    [all_well(items), all_well(items)].concat()
}

pub fn traps_in_the_second(items: &[BatchItem]) -> Outcomes {
    for_each(items, |item| {
        state::set("count", &[1]);
        assert!(item.delivery.id == items[0].delivery.id, "the guest's own words");
    })
}

pub fn floods_in_the_second(items: &[BatchItem]) -> Outcomes {
    batch::select(1);
    (0..1_000).for_each(|_| drop(config::get("region")));
    all_well(items)
}

pub fn loops_forever(_: &[BatchItem]) -> Outcomes {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}
