//! `weirgate replays verify`, `bundle`, `export` and `run`: execute attempts of a log again.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weirgate_engine::{
    replay::{self, Bundle, Differs, Mask, Ran},
    storage::{self, Epochs, LogReader},
};
use weirgate_host::{Host, HostOptions};
use weirgate_types::DeliveryId;

use crate::{
    commands::{
        arguments::Output,
        log::DataDir,
        verify::{self, Verify},
    },
    failure::{Failure, system, usage},
    output, private,
};

#[derive(Debug, Subcommand)]
pub enum Recorded {
    /// Execute recorded attempts again, and print each that comes to another result
    ///
    /// No host is called and nothing is changed. Attempts that were ended by time, by a stop of the server or by a lack of memory
    /// are not executed: their result depends on more than the log holds.
    Verify(Verify),
    /// Write all attempts at deliveries into one file, with everything that they need
    ///
    /// The file holds modules, manifests, events, state and the answers of called hosts; secrets are not in the log.
    Bundle(BundleArgs),
    /// Write attempts at deliveries as fixtures for tests of the handler
    ///
    /// The Rust SDK runs them natively: `weirgate_sdk::testing::Recorded`. Attempts of a batch, and those that a trap or a limit ended,
    /// are left out.
    Export(Export),
    /// Execute the attempts of a bundle again, and print each that comes to another result
    Run(Run),
}

/// What is taken out of a log.
#[derive(Debug, Args)]
pub struct Selection {
    /// Deliveries, as `deliveries list` and `attempts list` show them
    #[arg(required = true, value_name = "HANDLER@POSITION")]
    pub deliveries: Vec<DeliveryId>,
    #[command(flatten)]
    pub dir: DataDir,
    /// A member of JSON values to replace, in events, state and answers: `/customer/name`, `/items/*/price`. Keys and subjects stay
    #[arg(long, value_name = "POINTER")]
    pub mask: Vec<Mask>,
}

impl Selection {
    fn collect(&self) -> Result<Bundle> {
        let (log, host) = open(&self.dir.data)?;
        let deliveries: BTreeSet<DeliveryId> = self.deliveries.iter().cloned().collect();
        Ok(replay::collect(log, &host, &deliveries, &self.mask)?)
    }
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    #[command(flatten)]
    pub selection: Selection,
    /// The file to write; it must not exist
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    pub selection: Selection,
    /// The directory for the fixtures; it is created
    #[arg(long, value_name = "DIR")]
    pub as_tests: PathBuf,
}

#[derive(Debug, Args)]
pub struct Run {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub bundle: PathBuf,
    /// Execute this component instead of the bundled ones
    #[arg(long, value_name = "WASM")]
    pub candidate: Option<PathBuf>,
}

/// An attempt differs.
pub const DIFFERENT: u8 = 1;
/// Maximum size of a bundle that is read, in bytes.
const BUNDLE_BYTES_MAX: u64 = 1 << 30;

/// Talks to no server; `verify` without a data directory is for [`super::verify::online`].
pub fn run(command: &Recorded, output: Output) -> Result<ExitCode> {
    private::close_new_files();
    match command {
        Recorded::Verify(flags) => {
            verify::offline(flags, flags.data.as_deref().unwrap_or_else(|| Path::new("data")), output)
        }
        Recorded::Bundle(flags) => bundle(flags, output),
        Recorded::Export(flags) => export(flags, output),
        Recorded::Run(flags) => run_bundle(flags, output),
    }
}

fn bundle(flags: &BundleArgs, output: Output) -> Result<ExitCode> {
    let bundle = flags.selection.collect()?;
    let (attempts, left_out) = (bundle.attempts(), bundle.not_reproducible);
    if attempts == 0 {
        let reason = format!("no reproducible attempt at these deliveries ended; not reproducible: {left_out}");
        return Err(Failure::NotFound(reason).into());
    }
    let path = flags.file.display();
    let mut file = File::create_new(&flags.file).with_context(|| format!("{path} cannot be created"))?;
    file.write_all(&bundle.encode()?).with_context(|| format!("{path} cannot be written"))?;
    match output {
        Output::Json => output::json(&format!("{:#}", json!({ "attempts": attempts, "not_reproducible": left_out })))?,
        Output::Text => {
            output::line(&format!("attempts in {path}: {attempts}; not reproducible, left out: {left_out}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn export(flags: &Export, output: Output) -> Result<ExitCode> {
    let bundle = flags.selection.collect()?;
    let fixtures = bundle.fixtures()?;
    if fixtures.is_empty() {
        return Err(Failure::NotFound(
            "no attempt at these deliveries can be a fixture (docs/formats/fixture.md)".into(),
        )
        .into());
    }
    let dir = &flags.as_tests;
    std::fs::create_dir_all(dir).with_context(|| format!("{} cannot be created", dir.display()))?;
    for fixture in &fixtures {
        let path = dir.join(&fixture.name);
        std::fs::write(&path, format!("{:#}\n", fixture.content))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let (written, all) = (fixtures.len(), bundle.attempts() as u64 + bundle.not_reproducible);
    match output {
        Output::Json => output::json(&format!("{:#}", json!({ "fixtures": written, "attempts": all })))?,
        Output::Text => output::line(&format!("fixtures in {}: {written} of {all} attempts", dir.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn run_bundle(flags: &Run, output: Output) -> Result<ExitCode> {
    let path = flags.bundle.display();
    let unusable = || format!("{path} cannot be executed");
    let bundle = read(&flags.bundle, BUNDLE_BYTES_MAX)?;
    let bundle = Bundle::decode(&bundle).map_err(|error| usage(format!("{}: {error}", unusable())))?;
    let module_bytes_max = u64::try_from(HostOptions::new(PathBuf::new(), Vec::new()).module_bytes_max)?;
    let candidate = flags.candidate.as_deref().map(|path| read(path, module_bytes_max)).transpose()?;
    let modules = tempfile::tempdir().context("no temporary directory for modules")?;
    let ran = bundle.run(&host(modules.path())?, candidate.as_deref()).with_context(unusable)?;
    let different = ran.iter().filter(|ran| !ran.parts.is_empty()).count();
    match output {
        Output::Json => {
            let attempts: Vec<_> = ran.iter().map(ran_to_json).collect();
            output::json(&format!("{:#}", json!({ "attempts": attempts, "different": different })))?;
        }
        Output::Text => {
            ran.iter().flat_map(ran_text).try_for_each(|line| output::line(&line))?;
            output::line(&format!("attempts executed again: {}; different: {different}", ran.len()))?;
        }
    }
    Ok(if different == 0 { ExitCode::SUCCESS } else { ExitCode::from(DIFFERENT) })
}

/// The bytes of a file that a user names.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut bytes));
    read.map_err(|error| usage(format!("cannot read {}: {}", path.display(), system(&error))))?;
    if bytes.len() as u64 > bytes_max {
        return Err(usage(format!("{} is larger than {bytes_max} bytes", path.display())));
    }
    Ok(bytes)
}

/// The log and the modules of a data directory that no server uses.
pub fn open(data: &Path) -> Result<((LogReader, Epochs), Arc<Host>)> {
    let reader = storage::reader(data).with_context(|| format!("the log in {} cannot be read", data.display()))?;
    let no_log = || Failure::NotFound(format!("there is no log in {}", data.display()));
    Ok((reader.ok_or_else(no_log)?, Arc::new(host(&data.join("modules"))?)))
}

pub fn host(modules: &Path) -> Result<Host> {
    let program: OsString = std::env::current_exe().context("cannot locate this program")?.into();
    Ok(Host::new(HostOptions::new(modules.to_owned(), vec![program, "compile-module".into()]))?)
}

fn ran_text(ran: &Ran) -> Vec<String> {
    let Ran { delivery, attempt, parts } = ran;
    let result = if parts.is_empty() { "the same result" } else { "another result:" };
    [format!("{delivery}, attempt {attempt}: {result}")]
        .into_iter()
        .chain(parts.iter().flat_map(lines_of_part))
        .collect()
}

fn ran_to_json(ran: &Ran) -> Value {
    let parts: Vec<_> = ran.parts.iter().map(part_to_json).collect();
    json!({ "delivery": ran.delivery.to_string(), "attempt": ran.attempt, "parts": parts })
}

fn lines_of_part(part: &Differs) -> [String; 2] {
    let name = part.part.as_str();
    [format!("  {name} recorded: {}", part.recorded), format!("  {name} now:      {}", part.now)]
}

fn part_to_json(part: &Differs) -> Value {
    json!({ "part": part.part.as_str(), "recorded": part.recorded, "now": part.now })
}
