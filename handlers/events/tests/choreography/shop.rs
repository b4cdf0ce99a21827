//! The shop under test: all handlers of the order domain, the log between them, and failed deliveries that are tried again.
//! Time advances when a test says so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use order_events::catalogue;
use serde_json::{Value, json};
use weirgate_sdk::{
    Failure,
    testing::{Delivery, Emitted, Run, World},
};
use weirgate_types::Manifest;

type Handle = fn(&mut World, Delivery) -> Run;

const HANDLERS: [(&str, Handle); 6] = [
    (include_str!("../../../order/handler.toml"), |world, delivery| world.run(delivery, order_handler::handle)),
    (include_str!("../../../inventory/handler.toml"), |world, delivery| world.run(delivery, inventory_handler::handle)),
    (include_str!("../../../payment/handler.toml"), |world, delivery| world.run(delivery, payment_handler::handle)),
    (include_str!("../../../invoice/handler.toml"), |world, delivery| world.run(delivery, invoice_handler::handle)),
    (include_str!("../../../delivery/handler.toml"), |world, delivery| world.run(delivery, delivery_handler::handle)),
    (include_str!("../../../notification/handler.toml"), |world, delivery| {
        world.run(delivery, notification_handler::handle)
    }),
];

/// An event in the log.
#[derive(Clone)]
pub struct Stored {
    pub source: String,
    pub event: Emitted,
    pub position: u64,
}

pub struct Deployed {
    pub manifest: Manifest,
    pub world: World,
    handle: Handle,
    /// By key: a failed delivery, and those that are blocked behind it.
    open: BTreeMap<String, VecDeque<Stored>>,
    /// Keys whose first open delivery awaits correction.
    waiting: BTreeSet<String>,
}

impl Deployed {
    /// Delivers, unless an earlier delivery of the key is open.
    fn take(&mut self, stored: Stored) -> Vec<Emitted> {
        let lane = self.open.entry(stored.event.key.clone()).or_default();
        lane.push_back(stored);
        if lane.len() == 1 { self.go_on().0 } else { Vec::new() }
    }

    /// Delivers open deliveries until one fails. Returns the emissions and the failures.
    fn go_on(&mut self) -> (Vec<Emitted>, Vec<Failure>) {
        let (mut emitted, mut failures) = (Vec::new(), Vec::new());
        for (key, lane) in &mut self.open {
            while let Some(Stored { source, event, position }) = lane.front() {
                let delivery = Delivery::of_emitted(event).source(source).position(*position);
                let run = (self.handle)(&mut self.world, delivery);
                if let Err(failure) = run.result() {
                    if failure.is_correctable() {
                        self.waiting.insert(key.clone());
                    }
                    failures.push(failure.clone());
                    break;
                }
                emitted.extend(run.emissions().iter().cloned());
                lane.pop_front();
            }
        }
        (emitted, failures)
    }
}

/// All handlers, and the undelivered events in the order of the log.
pub struct Shop {
    handlers: Vec<Deployed>,
    log: VecDeque<Stored>,
    position: u64,
    pub types_seen: Vec<String>,
}

impl Shop {
    pub fn open() -> Self {
        let handlers = HANDLERS.map(|(toml, handle)| {
            let manifest = Manifest::from_toml(toml).expect("a manifest");
            let manifest = manifest.checked().expect("a good manifest");
            let mut world = World::new().handler(manifest.name.as_str());
            manifest.config.iter().for_each(|(name, value)| world.configure(name, value));
            Deployed { manifest, world, handle, open: BTreeMap::new(), waiting: BTreeSet::new() }
        });
        Self { handlers: handlers.into(), log: VecDeque::new(), position: 0, types_seen: Vec::new() }
    }

    pub fn handler(&mut self, name: &str) -> &mut Deployed {
        self.handlers.iter_mut().find(|deployed| deployed.manifest.name.as_str() == name).expect(name)
    }

    /// Appends an order, and delivers until nothing more can be delivered.
    pub fn place(&mut self, order: &str, card: &str, lines: &[(&str, u32)]) {
        self.publish("order.placed", order, placed(order, card, lines));
    }

    /// The same with any event of the shop.
    pub fn publish(&mut self, r#type: &str, order: &str, data: Vec<u8>) {
        let key = format!("order/{order}");
        let event = Emitted { r#type: r#type.into(), subject: key.clone(), key, data_content_type: None, data };
        self.append("/shop", vec![event]);
        self.settle();
    }

    /// Retries failed deliveries. Returns the failures that remain.
    pub fn retry(&mut self, handler: &str) -> Vec<Failure> {
        let (emitted, failures) = self.handler(handler).go_on();
        self.append(&format!("/handlers/{handler}"), emitted);
        self.settle();
        failures
    }

    /// Fires the timer of a handler.
    pub fn fire(&mut self, handler: &str, order: &str, timer: &str) {
        let key = format!("order/{order}");
        let deployed = self.handler(handler);
        let timer = deployed.world.timer(&key, timer).expect("a running timer").clone();
        let event = Emitted {
            r#type: timer.r#type,
            subject: key.clone(),
            key,
            data_content_type: timer.data_content_type,
            data: timer.data,
        };
        self.position += 1;
        self.types_seen.push(event.r#type.clone());
        let source = format!("/weirgate/timers/{handler}");
        let stored = Stored { source, event, position: self.position };
        let emitted = self.handler(handler).take(stored);
        self.append(&format!("/handlers/{handler}"), emitted);
        self.settle();
    }

    fn append(&mut self, source: &str, events: Vec<Emitted>) {
        for event in events {
            self.position += 1;
            self.types_seen.push(event.r#type.clone());
            self.log.push_back(Stored { source: source.into(), event, position: self.position });
        }
    }

    fn settle(&mut self) {
        while let Some(stored) = self.log.pop_front() {
            for n in 0..self.handlers.len() {
                let emitted = deliver(&mut self.handlers[n], &stored);
                let source = format!("/handlers/{}", self.handlers[n].manifest.name);
                self.append(&source, emitted);
            }
        }
    }

    /// An order's status document, as the page gets it: by handler, state and data.
    pub fn status(&self, order: &str) -> BTreeMap<String, (String, Value)> {
        let parts = self.handlers.iter().filter_map(|deployed| {
            let status = deployed.world.status(&format!("order/{order}"))?;
            Some((deployed.manifest.name.to_string(), (status.state.clone(), status.data.clone())))
        });
        parts.collect()
    }

    pub fn states(&self, order: &str) -> Vec<String> {
        self.status(order).into_iter().map(|(handler, (state, _))| format!("{handler}: {state}")).collect()
    }
}

/// Passes the event to the handler, if it subscribes to it, as an event or as a correction.
fn deliver(deployed: &mut Deployed, stored: &Stored) -> Vec<Emitted> {
    let (r#type, source) = (&stored.event.r#type, &stored.source);
    let subscriptions = &deployed.manifest.subscriptions;
    let corrects = subscriptions.iter().any(|subscription| subscription.corrects(r#type, source));
    let matches = subscriptions.iter().any(|subscription| subscription.matches(r#type, source));
    let mut emitted = if matches { deployed.take(stored.clone()) } else { Vec::new() };
    if corrects && deployed.waiting.remove(&stored.event.key) {
        let waiting = deployed.open.get_mut(&stored.event.key).and_then(VecDeque::front_mut).expect("one that waits");
        let mut data: serde_json::Map<_, _> = serde_json::from_slice(&waiting.event.data).expect("an object");
        data.extend(serde_json::from_slice::<serde_json::Map<_, _>>(&stored.event.data).expect("an object"));
        waiting.event.data = serde_json::to_vec(&data).expect("JSON");
        emitted.extend(deployed.go_on().0);
    }
    emitted
}

fn placed(order: &str, card: &str, lines: &[(&str, u32)]) -> Vec<u8> {
    let lines = lines.iter().map(|(sku, quantity)| {
        let entry = catalogue::find(sku).expect("an article");
        json!({"sku": sku, "name": entry.name, "quantity": quantity, "unit_price_cents": entry.price_cents,
            "substitutes_ok": true})
    });
    let customer = json!({"name": "Ada", "email": "ada@example.org", "address": "London"});
    let lines: Vec<_> = lines.collect();
    let placed = json!({"order": order, "customer": customer, "lines": lines, "card": card});
    serde_json::to_vec(&placed).expect("JSON")
}
