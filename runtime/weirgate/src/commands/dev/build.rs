//! One build and, if its result is new, one deployment.

use std::{
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use weirgate_types::Manifest;

use super::{Dev, show};
use crate::{
    client::Server,
    commands::{deploy, files, toolchain::TARGET},
};

/// How a build ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Built {
    Deployed {
        handler: String,
        digest: String,
    },
    /// Module and manifest are those that are deployed.
    Unchanged,
    /// The compiler has said why.
    Failed(String),
}

/// Builds and deploys the project, again and again.
pub struct Builder<'a> {
    server: &'a Server,
    dir: &'a Path,
    dev: &'a Dev,
    /// What was deployed last: the manifest and the module.
    deployed: Option<(String, Vec<u8>)>,
}

impl<'a> Builder<'a> {
    pub fn new(server: &'a Server, dir: &'a Path, dev: &'a Dev) -> Self {
        Self { server, dir, dev, deployed: None }
    }

    pub fn has_deployed(&self) -> bool {
        self.deployed.is_some()
    }

    pub async fn run(&mut self) -> Result<Built> {
        let manifest = deploy::read_manifest(&self.dev.manifest)?;
        let (command, mut program) = self.command();
        show::line("build", &command);
        let (status, modules) = build(&mut program).await.with_context(|| format!("cannot run {command}"))?;
        if !status.success() {
            return Ok(Built::Failed(command));
        }
        let path = match built_module(&manifest, &modules) {
            Some(path) => path,
            None => deploy::module_path(&manifest, &self.dev.manifest, None)?,
        };
        let bytes = files::read("the module", &path)?;
        let found = (serde_json::to_string(&manifest)?, bytes);
        if self.deployed.as_ref() == Some(&found) {
            return Ok(Built::Unchanged);
        }
        let answer = deploy::approved(self.server, &manifest, found.1.clone()).await?;
        let answer = answer.node()?;
        let digest = answer.get("digest").and_then(|digest| digest.as_str().map(std::borrow::Cow::into_owned));
        self.deployed = Some(found);
        Ok(Built::Deployed { handler: manifest.name.to_string(), digest: digest.unwrap_or_default() })
    }

    /// The command, as it is shown and as it is run.
    fn command(&self) -> (String, Command) {
        if let Some(shell) = &self.dev.build {
            let mut command = Command::new("sh");
            command.args(["-c", shell]).current_dir(self.dir).stdin(Stdio::null()).process_group(0);
            return (shell.clone(), command);
        }
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // With messages for programs, which name the files that were built, wherever the target directory is.
        command.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
        command.current_dir(self.dir).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        (format!("cargo build --release --target {TARGET}"), command)
    }
}

/// Runs a build to its end. Returns the modules that it names.
async fn build(command: &mut Command) -> Result<(ExitStatus, Vec<PathBuf>)> {
    let mut running = Running(command.spawn()?);
    let mut modules = Vec::new();
    if let Some(stdout) = running.0.stdout.take() {
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            modules.extend(modules_in(&line));
        }
    }
    Ok((running.0.wait().await?, modules))
}

/// A build. Dropping it ends it with all processes that it started.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let pid = self.0.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        if let Some(pid) = pid {
            // It may have ended meanwhile.
            let _ = kill_process_group(pid, Signal::TERM);
        }
    }
}

/// The modules in a message of cargo.
fn modules_in(line: &str) -> Vec<PathBuf> {
    let message: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
    let is_artifact = message.get("reason").is_some_and(|reason| reason == "compiler-artifact");
    let files = message.get("filenames").filter(|_| is_artifact).and_then(serde_json::Value::as_array);
    let files = files.into_iter().flatten().filter_map(serde_json::Value::as_str).map(PathBuf::from);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "wasm")).collect()
}

/// The built module that the manifest means: the one with its file name, else the only one.
fn built_module(manifest: &Manifest, modules: &[PathBuf]) -> Option<PathBuf> {
    let name = manifest.module.as_deref().map(Path::new).and_then(Path::file_name);
    let named = modules.iter().find(|path| name.is_some() && path.file_name() == name);
    match (named, modules) {
        (Some(path), _) => Some(path.clone()),
        (None, [only]) => Some(only.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_is_the_one_that_the_manifest_names() {
        let manifest = |module: &str| {
            let text = format!("name = \"a\"\n{module}\n[[subscriptions]]\ntypes = [\"t\"]\n");
            Manifest::from_toml(&text).expect("a manifest")
        };
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        for (module, modules, found) in [
            ("module = \"target/x/a.wasm\"", &["/t/b.wasm", "/t/a.wasm"][..], Some("/t/a.wasm")),
            ("module = \"elsewhere.wasm\"", &["/t/b.wasm"], Some("/t/b.wasm")),
            ("module = \"elsewhere.wasm\"", &["/t/b.wasm", "/t/a.wasm"], None),
            ("", &["/t/b.wasm"], Some("/t/b.wasm")),
            ("", &[], None),
        ] {
            assert_eq!(
                built_module(&manifest(module), &paths(modules)),
                found.map(PathBuf::from),
                "{module} {modules:?}"
            );
        }
    }

    #[test]
    fn cargo_names_the_modules() {
        let artifact = r#"{"reason":"compiler-artifact","filenames":["/t/a.wasm","/t/liba.rlib"]}"#;
        assert_eq!(modules_in(artifact), [PathBuf::from("/t/a.wasm")]);
        for other in ["", "no JSON", r#"{"reason":"build-finished","success":true}"#, r#"{"filenames":["/t/a.wasm"]}"#]
        {
            assert!(modules_in(other).is_empty(), "{other}");
        }
    }
}
