//! What a handler may reach outside, and its schedules.

use serde::{Deserialize, Serialize};

use super::{ManifestError, plain, within};
use crate::json::{DEPTH_MAX, JsonText, check};

/// What a handler requests beyond the contract. Denied unless listed here.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capabilities {
    /// The hosts that it may call, each `scheme://name` or `scheme://name:port`, for instance `https://api.example.com`.
    /// No patterns.
    pub hosts: Vec<String>,
    /// The names of the secrets that it may put into its requests.
    pub secrets: Vec<String>,
}

/// An event that the handler gets at set times, independent of producers.
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Unique within the manifest.
    pub name: String,
    /// Five fields as in crontab(5), in UTC: `0 3 * * *`. `docs/guides/when-deliveries-fail.md` describes their values.
    pub cron: String,
    /// The event's type, key and data.
    pub r#type: String,
    pub key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<JsonText>,
}

const LISTED_MAX: usize = 32;
const TEXT_BYTES_MAX: usize = 256;

impl Capabilities {
    /// Whether a host may be called: its name, with its port unless that is the scheme's default.
    #[must_use]
    pub fn names_host(&self, host: &str) -> bool {
        self.hosts.iter().any(|listed| {
            let plain = match listed.split_once("://") {
                Some(("https", rest)) => rest.strip_suffix(":443").unwrap_or(rest),
                Some((_, rest)) => rest.strip_suffix(":80").unwrap_or(rest),
                None => listed,
            };
            plain == host
        })
    }

    /// # Errors
    /// The number of entries, or the form of one of them.
    pub fn check(&self) -> Result<(), ManifestError> {
        within("the number of capabilities.hosts", self.hosts.len(), 0, LISTED_MAX)?;
        within("the number of capabilities.secrets", self.secrets.len(), 0, LISTED_MAX)?;
        self.hosts.iter().try_for_each(|host| check_host(host))?;
        let is_name = |name: &String| {
            !name.is_empty()
                && name.len() <= 64
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        match self.secrets.iter().find(|name| !is_name(name)) {
            Some(name) => Err(ManifestError::Secret(name.clone())),
            None => Ok(()),
        }
    }
}

fn check_host(host: &str) -> Result<(), ManifestError> {
    let wrong = || ManifestError::Host(host.chars().take(TEXT_BYTES_MAX).collect());
    let rest = host.strip_prefix("https://").or_else(|| host.strip_prefix("http://")).ok_or_else(wrong)?;
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-:[]_".contains(c);
    if rest.is_empty() || rest.len() > TEXT_BYTES_MAX || !rest.chars().all(is_plain) {
        return Err(wrong());
    }
    Ok(())
}

impl Schedule {
    pub(super) fn check(&self) -> Result<(), ManifestError> {
        for (setting, text) in [
            ("schedules.name", &self.name),
            ("schedules.cron", &self.cron),
            ("schedules.type", &self.r#type),
            ("schedules.key", &self.key),
        ] {
            within(setting, text.len(), 1, TEXT_BYTES_MAX)?;
            plain(setting, text)?;
        }
        if self.r#type.starts_with(super::RUNTIME_TYPES) {
            return Err(ManifestError::Conflict(
                "the `type` of a schedule begins with `weirgate.`, which is reserved for the runtime",
            ));
        }
        let data = self.data.as_ref().map(|data| check(data.get().as_bytes(), DEPTH_MAX)).transpose();
        let name = self.name.clone();
        data.map(drop).map_err(|error| ManifestError::ScheduleData { name, reason: error.to_string() })
    }
}
