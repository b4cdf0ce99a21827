//! A program's environment: time, randomness, files. None of it may differ between two runs.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    hint::black_box,
    io::Write,
    time::{Duration, Instant, SystemTime},
};

use crate::{Given, Outcome, weirgate::handler::state};

/// Writes everything that the environment returns into the state, for the test to compare.
pub fn ambient(_: &Given) -> Outcome {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    state::set("wall-ms", wall.as_millis().to_string().as_bytes());
    let begun = Instant::now();
    let passed: u32 = (0..10_000).map(|n| black_box(n) & 1).sum();
    assert_eq!(passed, 5_000);
    state::set("passed-ns", begun.elapsed().as_nanos().to_string().as_bytes());
    state::set("random", &RandomState::new().hash_one(1).to_le_bytes());
    Ok(())
}

pub fn sleeps(_: &Given) -> Outcome {
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(3_600));
    assert_eq!(begun.elapsed(), Duration::from_secs(3_600));
    Ok(())
}

pub fn sleeps_forever(_: &Given) -> Outcome {
    loop {
        std::thread::sleep(Duration::MAX);
    }
}

pub fn no_files(_: &Given) -> Outcome {
    assert!(std::fs::File::open("/etc/passwd").is_err());
    assert!(std::fs::write("here.txt", "x").is_err());
    assert!(std::fs::read_dir("/").is_err());
    assert_eq!(std::io::read_to_string(std::io::stdin()).unwrap(), "");
    Ok(())
}

pub fn no_environment(_: &Given) -> Outcome {
    assert_eq!((std::env::vars().count(), std::env::args().count()), (0, 0));
    Ok(())
}

/// Two NaNs with other bits than the canonical ones, after arithmetic.
pub fn nan_bits(_: &Given) -> Outcome {
    let odd = f64::from_bits(black_box(0xfff8_0000_dead_beef));
    state::set("double", &(odd + black_box(1.0)).to_bits().to_le_bytes());
    let odd = f32::from_bits(black_box(0xffc0_1234));
    state::set("single", &(odd * black_box(2.0)).to_bits().to_le_bytes());
    Ok(())
}

pub fn prints(_: &Given) -> Outcome {
    println!("to stdout");
    eprintln!("\u{1b}[1mto stderr");
    print!("no end");
    std::io::stdout().flush().unwrap();
    Ok(())
}
