//! The server's settings: defaults, then a TOML file, then the environment (`WEIRGATE__SERVER__LISTEN`), then flags.
//! `docs/configuration.md` lists them.

mod file;
mod secrets;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use config::{Config, Environment, File};
use serde::Deserialize;
use weirgate_server::Access;
use weirgate_types::{BreakerPolicy, ImpliedKey, wording};

use crate::commands::serve::Serve;
pub use secrets::Secrets;

/// Threads that wait cost little, but each holds an instance and its memory.
const OUTBOUND_WORKERS_MAX: usize = 1_024;
/// Each is a thread.
const WORKERS_MAX: usize = 1_024;
const EVENTS_IN_FLIGHT_MAX: usize = 1_000_000;

/// At this minimum, the smallest shares still hold some of the largest request bodies, and one of the largest outbound
/// answers.
const BUDGET_BYTES_MIN: usize = 128 << 20;

/// Settings that are lists: in the environment their items are separated by commas.
const LISTS: [&str; 4] = ["live.origins", "outbound.allow_private", "server.hosts", "server.proxies"];

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    pub server: Server,
    pub data: Data,
    pub modules: Modules,
    pub engine: Engine,
    pub events: Events,
    pub outbound: Outbound,
    pub host_breaker: HostBreaker,
    pub live: Live,
    pub secrets: Secrets,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: String,
    /// Whether other machines may reach the listen address.
    pub open: bool,
    /// Names under which browsers reach this server.
    pub hosts: Vec<String>,
    /// Proxies whose `Forwarded` and `X-Forwarded-*` headers are believed: addresses or networks.
    pub proxies: Vec<String>,
    pub shop: Option<PathBuf>,
    /// Maximum number of connections of all kinds; less if the process may not open that many files.
    pub connections_max: usize,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub body_idle_timeout_ms: u64,
    pub upload_timeout_ms: u64,
    /// Maximum total size of bodies, uploads, subscriptions and outbound answers, in bytes.
    pub budget_bytes: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
    pub disk_free_bytes_min: u64,
    /// Size of the file that reserves disk space for a full disk; 0 for none.
    pub ballast_bytes: u64,
}

/// Uploaded modules that no handler was ever deployed with.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Modules {
    /// How long one is kept after its upload.
    pub unused_grace_ms: u64,
    /// Their maximum total size.
    pub unused_bytes_max: u64,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// Number of calls that compute at once; 0 for one per processor.
    pub workers: usize,
    /// Number of further calls in flight: they wait for the network, or for a processor.
    pub outbound_workers: usize,
    pub events_in_flight_max: usize,
    /// How long an accepted event's identity is remembered: up to a number of later positions in the log, and up to an age.
    pub identity_window_positions: u64,
    pub identity_window_hours: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Events {
    /// The key of events that have neither `partitionkey` nor `subject`.
    pub key_default: KeyDefault,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum KeyDefault {
    /// Such events are refused.
    #[default]
    Refuse,
    Source,
    Id,
}

impl TryFrom<String> for KeyDefault {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.as_str() {
            "refuse" => Ok(Self::Refuse),
            "source" => Ok(Self::Source),
            "id" => Ok(Self::Id),
            _ => Err(format!("there is no {text:?}; write refuse, source or id")),
        }
    }
}

impl KeyDefault {
    pub fn implied(self) -> Option<ImpliedKey> {
        match self {
            Self::Refuse => None,
            Self::Source => Some(ImpliedKey::Source),
            Self::Id => Some(ImpliedKey::Id),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// Allowed destinations that are not on the public internet: `name:port` or `address:port`.
    pub allow_private: Vec<String>,
}

/// When a called host's breaker opens; like a handler's `[breaker]`, with its own defaults.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostBreaker {
    pub window_ms: u64,
    pub attempts_min: u32,
    pub failure_ratio: f64,
    pub open_ms: u64,
    pub open_ms_max: u64,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    pub connections_max: usize,
    pub heartbeat_ms: u64,
    pub ping_ms: u64,
    pub pong_timeout_ms: u64,
    /// Origins elsewhere whose pages may publish events and follow statuses.
    pub origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let options = weirgate_server::Options::default();
        Self {
            listen: "127.0.0.1:8080".into(),
            open: false,
            hosts: Vec::new(),
            proxies: Vec::new(),
            shop: None,
            connections_max: options.connections_max,
            header_timeout_ms: millis(options.header_timeout),
            body_timeout_ms: millis(options.body_timeout),
            body_idle_timeout_ms: millis(options.body_idle_timeout),
            upload_timeout_ms: millis(options.upload_timeout),
            budget_bytes: weirgate_engine::BUDGET_BYTES,
        }
    }
}

impl Default for Modules {
    fn default() -> Self {
        Self { unused_grace_ms: 3_600_000, unused_bytes_max: 2 << 30 }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: "data".into(), disk_free_bytes_min: 256 << 20, ballast_bytes: 32 << 20 }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self {
            workers: 0,
            outbound_workers: 128,
            events_in_flight_max: 8_192,
            identity_window_positions: 100_000_000,
            identity_window_hours: 30 * 24,
        }
    }
}

impl Default for HostBreaker {
    fn default() -> Self {
        let BreakerPolicy { window_ms, attempts_min, failure_ratio, open_ms, open_ms_max } =
            weirgate_engine::Limits::default().host_breaker;
        Self { window_ms, attempts_min, failure_ratio, open_ms, open_ms_max }
    }
}

impl HostBreaker {
    pub fn policy(&self) -> BreakerPolicy {
        let Self { window_ms, attempts_min, failure_ratio, open_ms, open_ms_max } = *self;
        BreakerPolicy { window_ms, attempts_min, failure_ratio, open_ms, open_ms_max }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            heartbeat_ms: 25_000,
            ping_ms: 25_000,
            pong_timeout_ms: 20_000,
            origins: Vec::new(),
        }
    }
}

impl Configuration {
    pub fn load(flags: &Serve) -> Result<Self> {
        let variables = std::env::vars_os();
        let variables =
            variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::layered(flags, variables.collect())
    }

    fn layered(flags: &Serve, variables: Vec<(String, String)>) -> Result<Self> {
        let (secrets, variables) = Secrets::take_from(variables)?;
        let mut layers = Config::builder();
        if let Some(file) = &flags.config {
            layers = layers.add_source(File::from_str(&file::read(file)?, config::FileFormat::Toml));
        }
        let (lists, variables): (Vec<_>, Vec<_>) = variables.into_iter().partition(|(name, _)| list(name).is_some());
        // Values stay texts until a setting says what it is: as a number, `1.10` would become `1.1`.
        let environment = Environment::with_prefix("WEIRGATE").prefix_separator("__").separator("__");
        layers = layers.add_source(environment.source(Some(variables.into_iter().collect())));
        for (name, value) in lists {
            let items: Vec<_> = value.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
            layers = layers.set_override(list(&name).unwrap_or_default(), items)?;
        }
        let layers = layers.build().context("the configuration cannot be read")?;
        let mut settings: Self = layers.try_deserialize().map_err(|error| invalid(&error.to_string()))?;
        settings.secrets.extend(secrets);
        if let Some(listen) = &flags.listen {
            settings.server.listen.clone_from(listen);
        }
        if let Some(data) = &flags.data {
            settings.data.dir.clone_from(data);
        }
        settings.server.shop = flags.shop.clone().or(settings.server.shop);
        settings.check().context("the configuration is invalid")?;
        Ok(settings)
    }

    fn check(&self) -> Result<()> {
        let Engine { workers, outbound_workers, events_in_flight_max, .. } = self.engine;
        for (setting, is, least, most) in [
            ("workers", workers, 0, WORKERS_MAX),
            ("outbound_workers", outbound_workers, 1, OUTBOUND_WORKERS_MAX),
            ("events_in_flight_max", events_in_flight_max, 1, EVENTS_IN_FLIGHT_MAX),
        ] {
            ensure!((least..=most).contains(&is), "`engine.{setting}` is {is}; allowed are {least} to {most}");
        }
        let Server { connections_max, budget_bytes, .. } = self.server;
        ensure!(connections_max > 0, "`server.connections_max` is 0; allowed are 1 or more");
        ensure!(
            budget_bytes >= BUDGET_BYTES_MIN,
            "`server.budget_bytes` is {budget_bytes}; allowed are {BUDGET_BYTES_MIN} or more"
        );
        for host in &self.outbound.allow_private {
            ensure!(
                is_host_and_port(host),
                "`outbound.allow_private` names {host:?}; write name:port or address:port, for instance 127.0.0.1:9000"
            );
        }
        self.host_breaker
            .policy()
            .check()
            .context("`host_breaker`, whose settings are those of a handler's `breaker`")?;
        self.access()?;
        self.secrets.bound().map(drop)
    }

    /// Which hosts and origins the server answers.
    pub fn access(&self) -> Result<Access> {
        let Server { listen, hosts, proxies, .. } = &self.server;
        Ok(Access::new(listen, hosts, proxies, &self.live.origins)?)
    }
}

/// The error for a setting of another form, which the library puts before `for key ...` and where the value is from.
fn invalid(said: &str) -> anyhow::Error {
    let told = said.rsplit_once(" for key `").and_then(|(said, place)| {
        let (key, origin) = place.split_once('`')?;
        Some(wording::at(key, said) + origin)
    });
    anyhow::anyhow!("the configuration is invalid: {}", told.unwrap_or_else(|| wording::plain(said)))
}

/// The setting of a variable, if it is a list.
fn list(variable: &str) -> Option<&'static str> {
    let is = |setting: &&str| variable.eq_ignore_ascii_case(&format!("WEIRGATE__{}", setting.replace('.', "__")));
    LISTS.into_iter().find(is)
}

/// An address or a name, with its port.
fn is_host_and_port(text: &str) -> bool {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b));
    let is_named = || text.rsplit_once(':').is_some_and(|(name, port)| is_name(name) && port.parse::<u16>().is_ok());
    text.parse::<SocketAddr>().is_ok() || is_named()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(file: impl AsRef<[u8]>, variables: &[(&str, &str)]) -> Result<Configuration> {
        let dir = std::env::temp_dir().join(format!("weirgate-{}", uuid::Uuid::new_v4()));
        std::fs::write(&dir, file).expect("a file");
        let flags = Serve {
            config: Some(dir.clone()),
            listen: None,
            data: None,
            shop: None,
            accept_loss: false,
            check: false,
            stop_with_stdin: false,
        };
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let loaded = Configuration::layered(&flags, variables.collect());
        std::fs::remove_file(dir).expect("removed");
        loaded
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let file =
            "[engine]\noutbound_workers = 8\n[outbound]\nallow_private = [\"a:1\"]\n[host_breaker]\nopen_ms = 7\n";
        let loaded = load(
            file,
            &[
                ("WEIRGATE__ENGINE__OUTBOUND_WORKERS", "9"),
                ("WEIRGATE__OUTBOUND__ALLOW_PRIVATE", "127.0.0.1:9000,payments.internal:8443"),
                ("WEIRGATE__HOST_BREAKER__FAILURE_RATIO", "0.25"),
                ("WEIRGATE__EVENTS__KEY_DEFAULT", "source"),
                ("HOME", "/root"),
            ],
        );
        let loaded = loaded.expect("good settings");
        assert_eq!(loaded.engine.outbound_workers, 9);
        assert_eq!(loaded.outbound.allow_private, ["127.0.0.1:9000", "payments.internal:8443"]);
        assert_eq!(loaded.events.key_default, KeyDefault::Source);
        let policy = loaded.host_breaker.policy();
        assert_eq!((policy.open_ms, policy.failure_ratio, policy.attempts_min), (7, 0.25, 10));
    }

    #[test]
    fn secrets_keep_their_spelling_and_are_never_shown() {
        let file = "[secrets]\nApi-Key = \"from-file\"\npin = \"from-file\"\n";
        let loaded = load(file, &[("WEIRGATE__SECRETS__PIN", "00700700"), ("WEIRGATE__SECRETS__LIST", "a,true,1.10")]);
        let loaded = loaded.expect("good settings");
        let secrets = loaded.secrets.bound().expect("good secrets");
        let expected = [("Api-Key", "from-file"), ("list", "a,true,1.10"), ("pin", "00700700")];
        let secrets: Vec<_> =
            secrets.iter().map(|(name, secret)| (&**name, secret.value.as_deref().unwrap_or_default())).collect();
        assert_eq!(secrets, expected);
        let shown = format!("{loaded:?}");
        assert!(shown.contains("Api-Key") && !shown.contains("from-file") && !shown.contains("00700700"), "{shown}");
    }

    #[test]
    fn texts_stay_as_they_are_written() {
        for text in ["1.10", "007", "true", "off", "2026-07-01", "1e3", "1_000", "0x10", "null", " padded ", "1.0.0"] {
            let variables =
                [("WEIRGATE__DATA__DIR", text), ("WEIRGATE__SERVER__LISTEN", text), ("WEIRGATE__SERVER__HOSTS", text)];
            let loaded = load("", &variables).expect(text);
            assert_eq!((loaded.data.dir.to_str(), loaded.server.listen.as_str()), (Some(text), text));
            assert_eq!(loaded.server.hosts, [text.trim()]);
        }
        for text in ["1.10", "true", "2026-07-01", "1e3", "1_000"] {
            let file = format!("[data]\ndir = {text}\n[server]\nhosts = [{text}]\n");
            let loaded = load(&file, &[]).expect(&file);
            assert_eq!(
                (loaded.data.dir.to_str(), loaded.server.hosts.as_slice()),
                (Some(text), &[text.to_owned()][..])
            );
        }
        for text in ["1.10000000", "2026-07-01", "1_000_000", "0x10101010", "100000e3"] {
            let bare =
                load(format!("[secrets]\na = {text}\nb = {{ value = {text} }}\n"), &[("WEIRGATE__SECRETS__C", text)]);
            let secrets = bare.expect(text).secrets.bound().expect("good secrets");
            assert!(secrets.values().all(|secret| secret.value.as_deref() == Some(text)), "{text}: {}", secrets.len());
        }
    }

    #[test]
    fn a_file_that_is_not_utf8_is_refused() {
        for (file, at) in [(b"[server]\nlisten = \"\xe4\"\n".as_slice(), 19), (b"\xff\xfe[\0s\0", 0)] {
            let error = format!("{:#}", load(file, &[]).expect_err("an error"));
            assert!(error.contains("is not UTF-8 at byte") && error.contains(&format!("byte {at};")), "{error}");
        }
        let with_mark = load("\u{feff}[server]\nconnections_max = 7\n", &[]).expect("good settings");
        assert_eq!(with_mark.server.connections_max, 7);
        let error = format!("{:#}", load("[server]\nlisten = \n", &[]).expect_err("an error"));
        assert!(error.contains("line 2: ") && !error.contains('\n'), "{error}");
    }

    #[test]
    fn wrong_settings_are_reported_without_secrets() {
        for (file, variables, says) in [
            ("[engine]\noutbound_workers = 0", [("A", "")], "`engine.outbound_workers` is 0"),
            ("[engine]\nworkers = 1025", [("A", "")], "`engine.workers` is 1025; allowed are 0 to 1024"),
            ("[engine]\nevents_in_flight_max = 0", [("A", "")], "is 0; allowed are 1 to 1000000"),
            ("[engine]\nevents_in_flight_max = 9223372036854775807", [("A", "")], "allowed are 1 to 1000000"),
            ("[outbound]\nallow_private = [\"127.0.0.1\"]", [("A", "")], "names \"127.0.0.1\"; write name:port"),
            ("[outbound]\nallow_private = [\"http://a:80\"]", [("A", "")], "write name:port"),
            ("[host_breaker]\nfailure_ratio = 2.0", [("A", "")], "`breaker.failure_ratio` is 2"),
            ("[host_breaker]\ncolour = 1", [("A", "")], "colour"),
            ("[events]\nkey_default = \"subject\"", [("A", "")], "there is no \"subject\"; write refuse, source or id"),
            ("[server]\ncolour = 1", [("A", "")], "`server`: there is no `colour`; there are `listen`"),
            (
                "[server]\nconnections_max = \"x\"",
                [("A", "")],
                "`server.connections_max`: it is the text \"x\"; write a",
            ),
            ("[server]\nconnections_max = -1", [("A", "")], "`server.connections_max`: it is the number -1; write a"),
            ("server = 1", [("A", "")], "`server`: it is the number 1; write an object"),
            (
                "",
                [("WEIRGATE__SERVER__OPEN", "maybe")],
                "`server.open`: it is the text \"maybe\"; write true or false in the environment",
            ),
            ("[server]\nhosts = [\"a/b\"]", [("A", "")], "`server.hosts` names \"a/b\""),
            ("", [("WEIRGATE__SERVER__PROXIES", "10.0.0.0/8,proxy")], "`server.proxies` names \"proxy\""),
            ("[live]\norigins = [\"null\"]", [("A", "")], "`live.origins` names \"null\""),
            ("[secrets]\n\"a b\" = \"hunter2\"", [("A", "")], "`secrets.a b`"),
            ("", [("WEIRGATE__SECRETS", "hunter2")], "WEIRGATE__SECRETS names no secret"),
        ] {
            let error = format!("{:#}", load(file, &variables).expect_err(file));
            assert!(error.contains(says) && !error.contains("hunter2"), "{error}");
        }
    }
}
