//! The server's settings: defaults, then a TOML file, then the environment (`WEIRGATE__SERVER__LISTEN`), then flags.
//! `docs/configuration.md` lists them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use config::{Config, Environment, File};
use serde::Deserialize;

use crate::cli::Serve;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Configuration {
    pub server: Server,
    pub data: Data,
    pub engine: Engine,
    pub live: Live,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: String,
    pub shop: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Data {
    pub dir: PathBuf,
    pub disk_free_bytes_min: u64,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Engine {
    /// How many threads make calls; 0 for one a processor.
    pub workers: usize,
    pub events_in_flight_max: usize,
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Live {
    pub connections_max: usize,
    pub heartbeat_ms: u64,
    pub origins: Vec<String>,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8080".into(), shop: None }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self { dir: "data".into(), disk_free_bytes_min: 256 << 20 }
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self { workers: 0, events_in_flight_max: 8_192 }
    }
}

impl Default for Live {
    fn default() -> Self {
        Self { connections_max: 10_000, heartbeat_ms: 25_000, origins: Vec::new() }
    }
}

impl Configuration {
    pub fn load(flags: &Serve) -> Result<Self> {
        let mut layers = Config::builder();
        if let Some(file) = &flags.config {
            layers = layers.add_source(File::from(file.as_path()).format(config::FileFormat::Toml));
        }
        let environment = Environment::with_prefix("WEIRGATE").prefix_separator("__").separator("__").try_parsing(true);
        let environment = environment.list_separator(",").with_list_parse_key("live.origins");
        let layers = layers.add_source(environment).build().context("the configuration cannot be read")?;
        let mut settings: Self = layers.try_deserialize().context("the configuration is wrong")?;
        if let Some(listen) = &flags.listen {
            settings.server.listen.clone_from(listen);
        }
        if let Some(data) = &flags.data {
            settings.data.dir.clone_from(data);
        }
        settings.server.shop = flags.shop.clone().or(settings.server.shop);
        Ok(settings)
    }
}
