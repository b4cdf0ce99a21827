//! The native test kit: calls a handler as the runtime would, and inspects its effects. No WebAssembly is involved.
//!
//! ```
//! # use weirgate_sdk::prelude::*;
//! use weirgate_sdk::testing::{Delivery, World};
//! # #[derive(Serialize, Deserialize, EventType)]
//! # #[event("paint.mixed")]
//! # struct Mixed { litres: u64 }
//! # #[handler]
//! # fn sum(event: Event<Mixed>, context: &mut Context) -> Result<(), Failure> {
//! #     let litres = context.state().get("litres")?.unwrap_or(0) + event.data.litres;
//! #     if litres > 100 { return Err(Failure::permanent("the tank is full")); }
//! #     context.state().set("litres", &litres)
//! # }
//!
//! // One delivery, with everything about it as the test wants it:
//! let run = Delivery::of(&Mixed { litres: 2 }).key("tank/a").state("litres", &98).attempt(2).run(sum);
//! assert_eq!(run.completed().state::<u64>("litres"), Some(100));
//!
//! // Several, with the state that the earlier ones left:
//! let mut world = World::new();
//! world.run(Delivery::of(&Mixed { litres: 60 }).key("tank/a"), sum).completed();
//! world.run(Delivery::of(&Mixed { litres: 60 }).key("tank/b"), sum).completed();
//! let run = world.run(Delivery::of(&Mixed { litres: 60 }).key("tank/a"), sum);
//! assert!(run.failure().is_permanent());
//! assert_eq!(world.state::<u64>("tank/a", "litres"), Some(60), "a failed attempt leaves nothing");
//!
//! // Calls to the outside are answered by the test, step by step:
//! # #[handler]
//! # fn order(event: Event<Mixed>, context: &mut Context) -> Result<(), Failure> {
//! #     let body = Request::post("https://paint.example/orders").json(&event.data.litres)?;
//! #     let number: u64 = context.fetch("order", body)?.ok()?.json()?;
//! #     context.state().set("order", &number)
//! # }
//! use weirgate_sdk::{HttpError, Response};
//! let run = Delivery::of(&Mixed { litres: 2 }).answer("order", Response::new(201).with_json(&7)).run(order);
//! assert_eq!(run.state::<u64>("order"), Some(7));
//! assert_eq!(run.asked()[0].json::<u64>(), 2);
//! let run = Delivery::of(&Mixed { litres: 2 }).answer_error("order", HttpError::TimedOut).run(order);
//! assert!(run.failure().is_transient());
//! ```

mod batch;
#[allow(dead_code, reason = "the runtime's file, of which the kit needs a part")]
mod characters;
mod correct;
mod delivery;
#[allow(dead_code, reason = "the runtime's file, of which the kit needs a part")]
mod json;
mod lanes;
mod limits;
#[allow(dead_code, reason = "the runtime's file, of which the kit needs a part")]
mod media_type;
mod network;
mod recorded;
mod recorder;
mod repair;
mod run;
mod timers;
mod typed;
mod world;

pub use delivery::Delivery;
pub use network::Asked;
pub use recorded::Recorded;
pub use run::{Emitted, Run, Status};
pub use timers::Timer;
pub use world::World;
