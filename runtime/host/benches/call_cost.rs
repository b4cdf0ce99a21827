//! The cost of a call: CPU time of a fresh instance and one call of the guest `hostile`'s `plain`, which parses a small JSON
//! event, reads and writes one state value and sets one status. On one thread and on two, a line of text and one of JSON for each.
//!
//! `cargo bench --workspace --bench call_cost -- [calls] [times] [component.wasm event-type]`

use std::{
    collections::BTreeMap,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use weirgate_host::{
    Call, Host, HostOptions, Module, NoOutbound, OwnProcessor, Processor, ReadState, StateError,
    compile_in_this_process,
};
use weirgate_types::{CallLimits, Capabilities, DeliveryId, Event, Position};

/// The server's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct OneValue;

impl ReadState for OneValue {
    fn get(&self, _: &str) -> Result<Option<Vec<u8>>, StateError> {
        Ok(Some(7_u64.to_le_bytes().to_vec()))
    }

    fn list(&self, _: &str, _: usize) -> Result<Vec<String>, StateError> {
        Ok(Vec::new())
    }
}

fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if arguments.first().is_some_and(|first| first == "compile") {
        return Ok(compile_in_this_process());
    }
    let calls = arguments.first().map_or(Ok(20_000), |calls| calls.parse())?;
    let times = arguments.get(1).map_or(Ok(1), |times| times.parse())?;
    let bytes = arguments.get(2).map_or_else(|| Ok(weirgate_guests::build("hostile")), std::fs::read)?;
    let event_type = arguments.get(3).map_or("hostile.plain", String::as_str).to_owned();
    let dir = tempfile::tempdir()?;
    let compiler = vec![std::env::current_exe()?.into(), "compile".into()];
    let host = Host::new(HostOptions::new(dir.path().to_owned(), compiler))?;
    let module = host.load(host.put_module(&bytes)?.digest)?;
    for threads in [1, 2].repeat(times) {
        measure(&module, &event_type, threads, calls);
    }
    Ok(std::process::ExitCode::SUCCESS)
}

#[allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn measure(module: &Module, event_type: &str, threads: u32, calls: u32) {
    let begun = Instant::now();
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let (module, event_type) = (module.clone(), event_type.to_owned());
            thread::spawn(move || run(&module, &event_type, calls))
        })
        .collect();
    let cpu: Vec<Vec<Duration>> = running.into_iter().filter_map(|thread| thread.join().ok()).collect();
    let mut cpu = cpu.concat();
    let wall = begun.elapsed();
    cpu.sort_unstable();
    let at = |share: usize| cpu.get(cpu.len() * share / 100).copied().unwrap_or_default();
    println!(
        "{threads} thread(s): mean {:.1?}, median {:.1?}, p99 {:.1?} of CPU a call; {:.0} calls/s",
        cpu.iter().sum::<Duration>() / calls / threads,
        at(50),
        at(99),
        f64::from(calls * threads) / wall.as_secs_f64(),
    );
    let median_us = at(50).as_secs_f64() * 1e6;
    println!("{}", serde_json::json!({ "threads": threads, "count": calls, "median_us": median_us }));
}

/// The CPU time of each call, after a warm-up.
fn run(module: &Module, event_type: &str, calls: u32) -> Vec<Duration> {
    let event = event(event_type);
    let delivery = DeliveryId { handler: "cost".parse().expect("a name"), position: Position(42) };
    let (config, limits) = (Arc::new(BTreeMap::new()), CallLimits::default());
    let capabilities = Capabilities::default();
    let processor: Arc<dyn Processor> = Arc::new(OwnProcessor);
    let call = Call {
        event: &event,
        delivery: &delivery,
        key: "order/o-1",
        attempt: 1,
        at_ms: 1_735_689_600_123,
        wall_ms: 1_735_689_600_123,
        config: &config,
        limits: &limits,
        migrate_from: None,
        capabilities: &capabilities,
        processor: &processor,
    };
    let once = || module.call(&call, Box::new(OneValue), Box::new(NoOutbound));
    let first = once();
    if let Err(error) = first.result {
        println!("every call fails, which is measured just as well: {error}");
    }
    for _ in 0..calls / 10 {
        once();
    }
    (0..calls).map(|_| once().cpu).collect()
}

fn event(event_type: &str) -> Event {
    Event {
        id: "e-1".into(),
        source: "/shop".into(),
        r#type: event_type.into(),
        subject: Some("order/o-1".into()),
        time: Some("2025-01-01T00:00:00Z".into()),
        data_content_type: Some("application/json".into()),
        data_schema: None,
        extensions: BTreeMap::new(),
        implied_key: None,
        data: br#"{"order":"o-1","customer":"c-17","quantity":3,"lines":[{"sku":"apple","price":120},{"sku":"bread","price":340}],"note":"leave it at the endpoint, please","address":{"street":"Long Lane 12","city":"Utrecht"},"express":false}"#.to_vec(),
    }
}
