//! When, where and how a table was measured.

use std::{fs, process::Command, thread};

use anyhow::{Context, Result};

use super::samples::Setting;
use crate::process;

/// The variables of `make bench` that say what is measured; the programs' paths do not matter.
const VARIABLES: [&str; 2] = ["EVENTS", "MINUTES"];

/// Now, here, with the variables of this process.
///
/// # Errors
/// This is not Linux.
pub fn now() -> Result<Setting> {
    let date = Command::new("date").args(["-u", "+%-d %B %Y, %H:%M"]).env("LC_ALL", "C").output()?;
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    Ok(Setting {
        date: String::from_utf8(date.stdout).context("a date is text")?.trim().to_owned(),
        command: command(|name| std::env::var(name).ok()),
        processors: thread::available_parallelism()?.get(),
        model: model.map_or("processor not named", |(_, model)| model).to_owned(),
        kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        loads: vec![process::load_average()?],
    })
}

/// The command, with those variables that are set.
fn command(variable: impl Fn(&str) -> Option<String>) -> String {
    let set = VARIABLES.iter().filter_map(|name| Some(format!("{name}={} ", variable(name)?)));
    set.collect::<String>() + "make bench"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_names_the_variables_that_are_set() {
        assert_eq!(command(|_| None), "make bench");
        assert_eq!(command(|name| (name == "EVENTS").then(|| "7".into())), "EVENTS=7 make bench");
    }

    #[test]
    fn a_setting_is_found() {
        let setting = now().expect("a setting");
        assert!(setting.date.contains(" 20") && setting.processors > 0 && !setting.kernel.is_empty(), "{setting:?}");
    }
}
