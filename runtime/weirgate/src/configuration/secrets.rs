//! The secrets that handlers may put into their requests, by name. Read separately from the other settings, so that no error
//! there shows a value, and kept as written: `007` is not a number here.

use std::{collections::BTreeMap, fmt};

use anyhow::{Result, ensure};
use serde::Deserialize;

/// Prefix of the variables that are secrets: the rest of the name, in lower case, is the secret's name.
const PREFIX: &str = "weirgate__secrets";
const NAME_BYTES_MAX: usize = 64;

#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secrets(BTreeMap<String, String>);

impl Secrets {
    /// Takes the secrets out of the environment; the rest is for the other settings.
    pub fn take_from(variables: Vec<(String, String)>) -> Result<(Self, Vec<(String, String)>)> {
        let (mut secrets, mut others) = (BTreeMap::new(), Vec::new());
        for (variable, value) in variables {
            let lower = variable.to_ascii_lowercase();
            let Some(rest) = lower.strip_prefix(PREFIX) else {
                others.push((variable, value));
                continue;
            };
            let name = rest.strip_prefix("__").unwrap_or_default();
            ensure!(!name.is_empty(), "{variable} names no secret; write for instance WEIRGATE__SECRETS__API_KEY");
            secrets.insert(name.to_owned(), value);
        }
        Ok((Self(secrets), others))
    }

    /// If both have a name, the value of `later` is used.
    pub fn extend(&mut self, later: Self) {
        self.0.extend(later.0);
    }

    /// The same names that a manifest can use.
    pub fn check(&self) -> Result<()> {
        for name in self.0.keys() {
            let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
            ensure!(
                is_plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX,
                "`secrets.{name}`: a secret's name is 1 to {NAME_BYTES_MAX} of dead_letters, digits, `-` and `_`"
            );
        }
        Ok(())
    }

    pub fn to_map(&self) -> BTreeMap<String, String> {
        self.0.clone()
    }
}

/// Only the names.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
