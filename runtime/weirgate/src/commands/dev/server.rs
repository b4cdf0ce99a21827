//! The server of `weirgate dev`: a child process on the project's own data, started if no server answers.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, Command},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use url::{Host, Url};

use super::{Dev, show};
use crate::client::{NotAnswered, Server};

/// How long the server may take to recover its log and to answer.
const START_PATIENCE: Duration = Duration::from_mins(5);
const START_LOOK: Duration = Duration::from_millis(50);
/// It stops within ten seconds; then it is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(12);

/// See the module documentation. Dropping it lets the process stop, since its standard input ends.
pub struct OwnServer {
    child: Child,
    /// The process stops when this is closed. Not kept in `child`, which closes it in order to wait.
    stdin: Option<ChildStdin>,
    log: PathBuf,
    /// Reads what it prints, until it ends.
    _lines: JoinSet<()>,
}

impl OwnServer {
    /// Starts a server on the data in the project, unless one answers already.
    pub async fn start_if_needed(server: &Server, url: &str, dir: &Path, dev: &Dev) -> Result<Option<Self>> {
        let Err(error) = server.get("/v1/events?limit=1").await else {
            show::line("server", &format!("using the one on {url}"));
            return Ok(None);
        };
        if !error.is::<NotAnswered>() {
            return Err(error);
        }
        let Some(listen) = listen_address(url) else {
            return Err(error.context("a server is started here on a loopback address only"));
        };
        let mut own = Self::spawn(&listen, dir, dev)?;
        own.wait_until_ready(server).await?;
        show::line("server", &format!("started on {url}; its log is {}", own.log.display()));
        Ok(Some(own))
    }

    fn spawn(listen: &str, dir: &Path, dev: &Dev) -> Result<Self> {
        let own = dir.join(".weirgate");
        fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
        fs::write(own.join(".gitignore"), "*\n")?;
        let log = own.join("server.log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("cannot locate this program")?);
        command.args(["serve", "--stop-with-stdin", "--listen", listen, "--data"]);
        command.arg(dev.data.clone().unwrap_or_else(|| own.join("data")));
        if let Some(config) = &dev.config {
            command.arg("--config").arg(config);
        }
        // In a group of its own: Ctrl-C is for this program, which then stops it.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().context("the server cannot be started")?;
        let mut lines = JoinSet::new();
        if let Some(printed) = child.stderr.take() {
            lines.spawn(follow(printed, file));
        }
        Ok(Self { stdin: child.stdin.take(), child, log, _lines: lines })
    }

    async fn wait_until_ready(&mut self, server: &Server) -> Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while server.text("/readyz").await.is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("the server ended at once ({status}); its log is {}", self.log.display());
            }
            if Instant::now() > deadline {
                bail!("the server is not ready after {START_PATIENCE:?}; its log is {}", self.log.display());
            }
            sleep(START_LOOK).await;
        }
        Ok(())
    }

    /// Resolves when the process has ended on its own, which is an error.
    pub async fn ended(&mut self) -> anyhow::Error {
        let status = self.child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
        anyhow::anyhow!("the server ended ({status}); its log is {}", self.log.display())
    }

    /// Requests a stop, and waits for it.
    pub async fn stop(mut self) {
        drop(self.stdin.take());
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            // It may have ended meanwhile.
            let _ = self.child.kill().await;
        }
    }
}

/// Copies the server's lines to a file, and shows those that an operator should see.
async fn follow(lines: ChildStderr, mut file: File) {
    let mut lines = BufReader::new(lines).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // A full disk is reported by the server itself.
        let _ = writeln!(file, "{line}");
        let is_for_people = ["error: ", "hint: "].iter().any(|start| line.starts_with(start));
        let level = line.split_whitespace().nth(1).unwrap_or_default();
        let is_shown = ["WARN", "ERROR"].contains(&level) && !is_told_by_attempt(&line);
        if is_for_people || is_shown {
            show::line("server", &line);
        }
    }
}

/// Whether a line is about a delivery: `dev` shows its attempts anyway.
fn is_told_by_attempt(line: &str) -> bool {
    line.contains(" weirgate::operations: ") && line.contains(" delivery=")
}

/// Where a server has to listen so that it answers on this URL; none if that is not on this machine.
fn listen_address(url: &str) -> Option<String> {
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http" && url.path() == "/")?;
    let port = url.port_or_known_default()?;
    match url.host()? {
        Host::Domain("localhost") => Some(format!("127.0.0.1:{port}")),
        Host::Ipv4(address) if address.is_loopback() => Some(format!("{address}:{port}")),
        Host::Ipv6(address) if address.is_loopback() => Some(format!("[{address}]:{port}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_started_on_loopback_addresses_only() {
        for (url, expected) in [
            ("http://127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("http://127.0.0.1:8080/", Some("127.0.0.1:8080")),
            ("http://localhost", Some("127.0.0.1:80")),
            ("http://[::1]:9", Some("[::1]:9")),
            ("https://127.0.0.1:8080", None),
            ("http://127.0.0.1:8080/behind/a/proxy", None),
            ("http://10.0.0.1:8080", None),
            ("http://example.com", None),
            ("127.0.0.1:8080", None),
        ] {
            assert_eq!(listen_address(url).as_deref(), expected, "{url}");
        }
    }
}
