//! Measures the real binary from outside, as a producer and a browser see it: the orders workload with or without a peer
//! in the same run, and status push. `docs/performance.md` has the method and the figures.

mod budget;
mod clock;
mod compare;
mod disk;
mod events;
mod fairness;
mod figures;
mod floor;
mod healing;
mod http;
mod ledger;
mod listener;
mod load;
mod orders;
mod plot;
mod process;
mod push;
mod replay;
mod report;
mod restate;
mod scale;
mod scrape;
mod server;
mod table;
mod watch;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::{
    budget::Budget,
    compare::Comparison,
    floor::Deltas,
    push::Pushes,
    replay::Replay,
    scale::{Draw, Scale},
    server::Place,
    table::Table,
};

#[derive(Debug, Parser)]
#[command(name = "weirgate-bench", version, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// 1,000 keys, one state value, one status: events/s, latency to the pushed status, CPU per event
    Orders(Comparison),
    /// CPU an event, memory and disk space as the log grows, and how long it takes to open the log
    Scale(Scale),
    /// Measures everything that there is a goal for, and writes one table of it into a document
    Table(Table),
    /// Draws what `scale` has measured
    Draw(Draw),
    /// Instructions an event against a checked-in budget (needs valgrind)
    Budget(Budget),
    /// Whether failing deliveries slow down healthy ones: first beside many that wait for an hour, then beside keys that
    /// fail repeatedly
    Healing {
        /// Number of waiting deliveries; 0 skips this part
        #[arg(long, default_value_t = 1_000_000)]
        waiting: usize,
        /// Number of healthy keys beside them
        #[arg(long, default_value_t = 100_000)]
        keys: usize,
        /// Number of failing keys; 0 skips this part
        #[arg(long, default_value_t = 1_000)]
        poisoned: usize,
        /// Number of healthy events per measurement
        #[arg(long, default_value_t = 100_000)]
        events: usize,
    },
    /// How long a lightly loaded handler waits: alone, and beside one that computes without end
    Fairness {
        /// Number of events of the light handler per measurement
        #[arg(long, default_value_t = 4_000)]
        events: usize,
    },
    /// CPU of a what-if over a million events against live's, and what it does to live traffic beside it
    Replay(Replay),
    /// The cost of a pushed message and of an idle connection, each beside the least that tokio-tungstenite takes for it
    Push(Pushes),
    #[command(hide = true)]
    ServeFloor { live: u16, publish: u16, deltas: Deltas },
}

// One thread: the driver uses as little of the machine as possible.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    process::raise_open_files()?;
    let Cli { place, command } = Cli::parse();
    match command {
        Command::Orders(comparison) => comparison.run(&place).await.map(drop),
        Command::Budget(budget) => budget.run(&place).await,
        Command::Scale(scale) => scale.run(&place).await.map(drop),
        Command::Table(table) => table.run(&place).await,
        Command::Draw(draw) => draw.run(),
        Command::Healing { waiting, keys, poisoned, events } => {
            if waiting > 0 {
                healing::beside_waiting(&place, keys, waiting, events).await?;
            }
            if poisoned > 0 {
                healing::beside_poison(&place, keys, poisoned, events).await?;
            }
            Ok(())
        }
        Command::Replay(replay) => replay.run(&place).await,
        Command::Fairness { events } => fairness::measure(&place, events).await,
        Command::Push(pushes) => pushes.run(&place).await.map(drop),
        Command::ServeFloor { live, publish, deltas } => floor::serve(live, publish, deltas).await,
    }
}
