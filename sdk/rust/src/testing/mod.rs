//! The native test kit: call a handler as the runtime would, and look at its effects. No WebAssembly is involved.
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
//! ```

mod delivery;
mod limits;
mod recorder;
mod run;
mod world;

pub use delivery::Delivery;
pub use run::{Emitted, Run, Status};
pub use world::World;
