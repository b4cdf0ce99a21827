//! `weirgate dev`: builds the handler in a folder, deploys it whenever its files change, and shows what happens to events, in
//! one terminal. Starts a server if none answers, and stops what it started.

mod build;
mod files;
mod server;
mod show;
mod tail;

use std::{
    path::{Path, PathBuf},
    pin::{Pin, pin},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{MissedTickBehavior, interval},
};

use super::toolchain;
use crate::{client::Server, failure, output};
use build::{Builder, Built};
use files::Snapshot;
use server::OwnServer;
use tail::Tail;

/// Interval between two looks at the files and at the log. Files that changed are built once a look finds no further change.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// A build in progress; it gives the builder back.
type Building<'a> = Pin<Box<dyn Future<Output = (Builder<'a>, Result<Built>)> + 'a>>;

#[derive(Debug, Args)]
pub struct Dev {
    /// The handler's manifest
    #[arg(long, value_name = "FILE", default_value = "handler.toml")]
    pub manifest: PathBuf,
    /// The command that builds the module, run by sh in the manifest's folder; by default cargo build --release --target
    /// wasm32-wasip2. Changes that are saved while it runs are built with the next one
    #[arg(long, value_name = "COMMAND")]
    pub build: Option<String>,
    /// Data directory of the server that is started if none answers; by default .weirgate/data beside the manifest
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Configuration file of that server
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

pub async fn run(server: &Server, url: &str, dev: Dev) -> Result<()> {
    let mut stop = pin!(asked_to_stop()?);
    let dir = project(&dev.manifest)?;
    if let Some(hint) = toolchain::missing().filter(|_| dev.build.is_none()) {
        bail!("{hint}");
    }
    let mut own = tokio::select! {
        own = OwnServer::start_if_needed(server, url, &dir, &dev) => own?,
        () = &mut stop => return Ok(()),
    };
    let ended = async {
        match &mut own {
            Some(own) => own.ended().await,
            None => std::future::pending().await,
        }
    };
    let outcome = tokio::select! {
        outcome = work(server, &dir, &dev) => outcome,
        error = ended => Err(error),
        () = &mut stop => Ok(()),
    };
    if let Some(own) = own {
        show::line("server", "stopping");
        own.stop().await;
    }
    outcome
}

/// The manifest's folder.
fn project(manifest: &Path) -> Result<PathBuf> {
    let found = manifest.canonicalize().map_err(|error| {
        let hint = "`weirgate new NAME` writes a project, --manifest names another file";
        failure::usage(format!("there is no {}: {}; {hint}", manifest.display(), failure::system(&error)))
    })?;
    Ok(found.parent().unwrap_or(Path::new("/")).to_owned())
}

fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            // What happens has no reader any more.
            _ = output::reader_gone() => {}
        }
    })
}

/// Builds, deploys and shows, until the server does not answer any more.
async fn work(server: &Server, dir: &Path, dev: &Dev) -> Result<()> {
    let mut tail = Tail::from_now(server).await?;
    let mut builder = Some(Builder::new(server, dir, dev));
    let mut building: Option<Building<'_>> = None;
    let (mut seen, mut is_due) = (Snapshot::take(dir), true);
    let mut looks = interval(LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            (idle, built) = finished(&mut building) => {
                let found = Snapshot::take(dir);
                match dev.build {
                    // Such a command may write its results among the sources.
                    Some(_) => seen = found,
                    None => seen.take_over(&found, &dir.join("Cargo.lock")),
                }
                report(&built, idle.has_deployed());
                (building, builder) = (None, Some(idle));
            }
            _ = looks.tick() => {
                tail.show(server).await.context("the server does not answer any more")?;
                let found = Snapshot::take(dir);
                let is_changing = found != seen;
                (seen, is_due) = (found, is_due || is_changing);
                if is_due && !is_changing && let Some(mut idle) = builder.take() {
                    is_due = false;
                    building = Some(Box::pin(async move {
                        let built = idle.run().await;
                        (idle, built)
                    }));
                }
            }
        }
    }
}

/// The result of the build, if there is one.
async fn finished<'a>(building: &mut Option<Building<'a>>) -> (Builder<'a>, Result<Built>) {
    match building {
        Some(building) => building.await,
        None => std::future::pending().await,
    }
}

fn report(built: &Result<Built>, has_deployed: bool) {
    let keeps = if has_deployed { "; the deployed version keeps running" } else { "" };
    match built {
        Ok(Built::Deployed { handler, digest }) => show::line("deployed", &format!("{handler}, {digest}")),
        Ok(Built::Unchanged) => show::line("deployed", "nothing changed"),
        Ok(Built::Failed(command)) => show::line("build", &format!("failed: {command}{keeps}")),
        Err(error) => {
            show::line("error", &format!("{}{keeps}", failure::chain(error)));
            if let Some(hint) = failure::hint(error) {
                show::line("hint", &hint);
            }
        }
    }
}
