//! `weirgate-sim`: runs many histories, or prints one. It ends with the first seed that violates a rule.

use std::{
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use clap::Parser;
use weirgate_sim::{Chance, Figures, Outcome, Plan, engine, limits};

/// Histories consist of small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "Runs seeded histories of the engine and the log, with faults, and checks the rules")]
struct Arguments {
    /// Number of histories
    #[arg(long, default_value_t = 100_000)]
    schedules: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    #[arg(long, default_value_t = 2)]
    threads: u64,
    /// Print the history of the first seed, record by record
    #[arg(long)]
    story: bool,
    /// Run histories at the limits: everything allowed, at its maximum size and rate
    #[arg(long, conflicts_with = "story")]
    limits: bool,
    /// Begin no more after this many minutes
    #[arg(long)]
    minutes: Option<u64>,
}

#[derive(Default)]
struct Total {
    figures: Figures,
    least_faults: u64,
    histories: u64,
}

/// What the program runs as a child process, when the engine's histories need a module.
const COMPILE: &str = "compile-module";

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|argument| argument == COMPILE) {
        return weirgate_host::compile_in_this_process();
    }
    let arguments = Arguments::parse();
    let stage = stage();
    if arguments.story {
        return story(engine::tell(&stage, arguments.from));
    }
    let run = |seed| match arguments.limits {
        true => limits::run(&stage, seed),
        false => engine::run(&stage, seed),
    };
    let started = now();
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.schedules);
    let (stop, total, failed) = (AtomicBool::new(false), Mutex::new(Total::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                let mut mine = Total { least_faults: u64::MAX, ..Total::default() };
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let is_late = arguments.minutes.is_some_and(|minutes| started.elapsed().as_secs() >= minutes * 60);
                    if seed >= end || is_late {
                        break;
                    }
                    let outcome = run(seed);
                    mine.add(&outcome.figures);
                    if let Some(violation) = outcome.violation {
                        stop.store(true, Ordering::Relaxed);
                        lock(&failed).push((seed, violation));
                    }
                }
                lock(&total).merge(&mine);
            });
        }
    });
    lock(&total).print(started);
    let mut failed = lock(&failed);
    // All seeds before the least of them have been run.
    failed.sort_by_key(|(seed, _)| *seed);
    for (seed, violation) in failed.iter() {
        println!("seed {seed} breaks {:?}: {}", violation.rule, violation.what);
        match arguments.limits {
            true => println!("{}", limits::Plan::draw(*seed, &mut Chance::seeded(*seed))),
            false => println!("{}", Plan::draw(*seed, &mut Chance::seeded(*seed))),
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// This program is its own compiler.
fn stage() -> engine::Stage {
    let program = std::env::current_exe().unwrap_or_else(|error| panic!("{error}"));
    engine::Stage::new(vec![program.into(), COMPILE.into()])
}

fn story((outcome, lines): (Outcome, Vec<String>)) -> ExitCode {
    for line in lines {
        println!("{line}");
    }
    println!("{:?}", outcome.violation);
    if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[expect(clippy::disallowed_methods, reason = "only to say how long it took")]
fn now() -> Instant {
    Instant::now()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Total {
    fn add(&mut self, one: &Figures) {
        self.histories += 1;
        self.least_faults = self.least_faults.min(one.faults);
        let all = &mut self.figures;
        all.records += one.records;
        all.attempts += one.attempts;
        all.crashes += one.crashes;
        all.crashes_in_sync += one.crashes_in_sync;
        all.faults += one.faults;
        all.repairs += one.repairs;
        all.folds += one.folds;
        all.gone_on += one.gone_on;
        all.trace ^= one.trace;
    }

    fn merge(&mut self, other: &Self) {
        if other.histories == 0 {
            return;
        }
        let least = if self.histories == 0 { u64::MAX } else { self.least_faults };
        self.least_faults = least.min(other.least_faults);
        let histories = self.histories + other.histories;
        self.add(&other.figures);
        self.least_faults = least.min(other.least_faults);
        self.histories = histories;
    }

    fn print(&self, started: Instant) {
        let seconds = started.elapsed().as_secs_f64();
        let Figures { records, attempts, crashes, crashes_in_sync, faults, repairs, folds, gone_on, trace } =
            self.figures;
        println!("{} histories in {seconds:.1} s", self.histories);
        println!("{records} records, {attempts} attempts that ended, {crashes} crashes ({crashes_in_sync} in a sync)");
        println!(
            "{repairs} repairs, {folds} of receivers; {gone_on} looks gone on with; {faults} faults, {} in a history at the least; trace {trace:016x}",
            self.least_faults
        );
    }
}
