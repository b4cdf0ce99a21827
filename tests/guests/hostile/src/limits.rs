//! Exceeded limits: of time, of memory, of effects, of output.

use std::hint::black_box;

use crate::{
    Given, Outcome,
    weirgate::handler::{
        log,
        outbox::{self, Due, Emission, Timer},
        state,
    },
};

pub fn loops_forever(_: &Given) -> Outcome {
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

pub fn recurses_deeply(given: &Given) -> Outcome {
    fn deeper(n: u64) -> u64 {
        if black_box(n) == u64::MAX { 0 } else { deeper(n + 1).wrapping_mul(3).wrapping_add(n) }
    }
    state::set("depth", &deeper(given.delivery.position).to_le_bytes());
    Ok(())
}

pub fn hogs_memory(_: &Given) -> Outcome {
    let mut hog = Vec::new();
    loop {
        hog.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Being refused memory is not an error in itself.
pub fn copes_without_memory(_: &Given) -> Outcome {
    let mut much: Vec<u8> = Vec::new();
    // An allocation that nothing uses may be left out.
    assert!(black_box(&mut much).try_reserve_exact(1 << 30).is_err());
    Ok(())
}

pub fn panics(_: &Given) -> Outcome {
    state::set("name", b"value");
    panic!("the guest's own words");
}

pub fn traps_after_effects(_: &Given) -> Outcome {
    state::set("name", b"value");
    emit(b"{}");
    std::process::abort()
}

fn emit(data: &[u8]) {
    outbox::emit(&Emission {
        type_: "order.seen".into(),
        subject: None,
        key: None,
        data_content_type: None,
        data: data.to_vec(),
    });
}

pub fn emits_a_million(_: &Given) -> Outcome {
    for _ in 0..1_000_000 {
        emit(b"");
    }
    Ok(())
}

pub fn huge_emission(_: &Given) -> Outcome {
    emit(format!("\"{}\"", "x".repeat(300 * 1024)).as_bytes());
    Ok(())
}

pub fn huge_string(_: &Given) -> Outcome {
    log::write(log::Level::Info, &"x".repeat(20 << 20));
    Ok(())
}

/// A string whose length reaches far beyond the guest's memory.
pub fn forged_length(_: &Given) -> Outcome {
    // SAFETY: there is none; the host has to detect it.
    let forged =
        unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(black_box(16 as *const u8), 1 << 30)) };
    log::write(log::Level::Info, forged);
    Ok(())
}

pub fn huge_state_value(_: &Given) -> Outcome {
    state::set("name", &vec![0; 64 * 1024 + 1]);
    Ok(())
}

pub fn effects_add_up(_: &Given) -> Outcome {
    for n in 0..5 {
        state::set(&format!("value-{n}"), &vec![0; 60 * 1024]);
    }
    Ok(())
}

pub fn floods_host_calls(_: &Given) -> Outcome {
    for _ in 0..1_000_000 {
        state::get("name");
    }
    Ok(())
}

pub fn floods_log(_: &Given) -> Outcome {
    for n in 0..1_000 {
        log::write(log::Level::Info, &format!("\u{1b}[2J{n} {}", "x".repeat(2_000)));
    }
    Ok(())
}

/// Up to a gigabyte, or as much as there is time for.
pub fn floods_output(_: &Given) -> Outcome {
    let line = "x".repeat(64 * 1024 - 1);
    for _ in 0..16 * 1024 {
        println!("{line}");
    }
    Ok(())
}

pub fn many_timers(_: &Given) -> Outcome {
    for _ in 0..10_000 {
        std::thread::sleep(std::time::Duration::from_nanos(1));
    }
    Ok(())
}

pub fn many_random_bytes(_: &Given) -> Outcome {
    // The standard library requests a few at a time, so this calls the import directly.
    #[link(wasm_import_module = "wasi:random/random@0.2.0")]
    unsafe extern "C" {
        #[link_name = "get-random-bytes"]
        fn get_random_bytes(len: u64, list: *mut [usize; 2]);
    }
    let mut list = [0; 2];
    // SAFETY: the canonical ABI of `get-random-bytes: func(len: u64) -> list<u8>`.
    unsafe { get_random_bytes(black_box(1 << 40), &raw mut list) };
    state::set("bytes", &list[1].to_le_bytes());
    Ok(())
}

pub fn many_timer_writes(_: &Given) -> Outcome {
    for n in 0..65 {
        outbox::cancel_timer(&n.to_string());
    }
    Ok(())
}

pub fn huge_timer(_: &Given) -> Outcome {
    let data = format!("\"{}\"", "x".repeat(300 * 1024)).into_bytes();
    let timer = Timer { due: Due::After(1), type_: "order.overdue".into(), data_content_type: None, data };
    outbox::start_timer("name", &timer);
    Ok(())
}
