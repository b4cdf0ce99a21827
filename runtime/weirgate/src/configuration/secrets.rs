//! The secrets that handlers may put into their requests, and where the operator binds them: to handlers, to hosts and to a
//! header. Read separately from the other settings, so that no error there shows a value, and kept as written: `007` is not a
//! number here.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;
use weirgate_host::{BoundSecret, SECRET_BYTES_MIN};
use weirgate_types::{Capabilities, HandlerName};

/// Prefix of the variables that are secrets: the rest of the name, in lower case, names the secret.
const PREFIX: &str = "weirgate__secrets";
const NAME_BYTES_MAX: usize = 64;
const HEADER: &str = "authorization";

#[derive(Clone, Default, Deserialize)]
#[serde(from = "BTreeMap<String, Value>")]
pub struct Secrets {
    /// As in the file: the value alone, or a table.
    written: BTreeMap<String, Value>,
    /// From the environment, by their names without the prefix.
    variables: Vec<(String, String)>,
}

impl From<BTreeMap<String, Value>> for Secrets {
    fn from(written: BTreeMap<String, Value>) -> Self {
        Self { written, variables: Vec::new() }
    }
}

impl Secrets {
    /// Takes the secrets out of the environment; the rest is for the other settings.
    pub fn take_from(variables: Vec<(String, String)>) -> Result<(Self, Vec<(String, String)>)> {
        let (mut secrets, mut others) = (Vec::new(), Vec::new());
        for (variable, value) in variables {
            let lower = variable.to_ascii_lowercase();
            let Some(rest) = lower.strip_prefix(PREFIX) else {
                others.push((variable, value));
                continue;
            };
            let name = rest.strip_prefix("__").unwrap_or_default();
            ensure!(!name.is_empty(), "{variable} names no secret; write for instance WEIRGATE__SECRETS__API_KEY");
            secrets.push((name.to_owned(), value));
        }
        Ok((Self { written: BTreeMap::new(), variables: secrets }, others))
    }

    /// The settings of `later` override these.
    pub fn extend(&mut self, later: Self) {
        self.written.extend(later.written);
        self.variables.extend(later.variables);
    }

    /// The secrets by name, each checked.
    pub fn bound(&self) -> Result<BTreeMap<String, BoundSecret>> {
        let mut secrets = BTreeMap::new();
        for (name, written) in &self.written {
            let read = read(written).with_context(|| format!("`secrets.{name}`"))?;
            secrets.insert(name.clone(), read);
        }
        for (variable, value) in &self.variables {
            let (name, part) = parts(variable);
            let name = self.written_name(name)?;
            let secret = secrets.entry(name.clone()).or_insert_with(unbound);
            set(secret, part, value).with_context(|| format!("`secrets.{name}`"))?;
        }
        for (name, secret) in &secrets {
            check(name, secret).with_context(|| format!("`secrets.{name}`"))?;
        }
        Ok(secrets)
    }

    /// The file's spelling of a name from the environment, where only `_` and lower case are usual.
    fn written_name(&self, name: &str) -> Result<String> {
        let is_same = |written: &&String| written.to_ascii_lowercase().replace('-', "_") == name.replace('-', "_");
        let mut same = self.written.keys().filter(is_same);
        match (same.next(), same.next()) {
            (Some(one), Some(other)) => bail!("`secrets.{one}` and `secrets.{other}` are one name in the environment"),
            (one, _) => Ok(one.cloned().unwrap_or_else(|| name.to_owned())),
        }
    }
}

fn unbound() -> BoundSecret {
    BoundSecret { value: None, handlers: Vec::new(), hosts: Vec::new(), header: HEADER.to_owned() }
}

/// A variable's secret, and which part of it the variable sets.
fn parts(variable: &str) -> (&str, &str) {
    let part = ["value", "handlers", "hosts", "header"].into_iter().find_map(|part| {
        Some((variable.strip_suffix(part)?.strip_suffix("__").filter(|name| !name.is_empty())?, part))
    });
    part.unwrap_or((variable, "value"))
}

fn set(secret: &mut BoundSecret, part: &str, text: &str) -> Result<()> {
    let list = || text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect();
    match part {
        "value" => secret.value = Some(text.to_owned()),
        "handlers" => secret.handlers = list(),
        "hosts" => secret.hosts = list(),
        "header" => secret.header = text.trim().to_ascii_lowercase(),
        other => bail!("there is no setting `{other}`; a secret has value, handlers, hosts and header"),
    }
    Ok(())
}

/// No error quotes what was written: it may be the value.
fn read(written: &Value) -> Result<BoundSecret> {
    let mut secret = unbound();
    let table = match written {
        Value::String(value) => {
            secret.value = Some(value.clone());
            return Ok(secret);
        }
        Value::Object(table) => table,
        _ => bail!("write the value in quotes, or a table with value, handlers, hosts and header"),
    };
    for (part, value) in table {
        let is_list = matches!(part.as_str(), "handlers" | "hosts");
        match value {
            Value::String(text) if !is_list => set(&mut secret, part, text)?,
            Value::Array(items) if is_list => {
                let items: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
                let items = items.with_context(|| format!("`{part}` is a list of texts in quotes"))?;
                set(&mut secret, part, &items.join(","))?;
            }
            _ if is_list => bail!("`{part}` is a list: {part} = [\"...\"]"),
            _ => bail!("`{part}` is a text in quotes"),
        }
    }
    Ok(secret)
}

/// Its name, as a manifest can use it, its value and its binding.
fn check(name: &str, secret: &BoundSecret) -> Result<()> {
    let BoundSecret { value, handlers, hosts, header } = secret;
    let is_plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    ensure!(
        is_plain && !name.is_empty() && name.len() <= NAME_BYTES_MAX,
        "a secret's name is 1 to {NAME_BYTES_MAX} of letters, digits, `-` and `_`"
    );
    if let Some(value) = value {
        let bytes = value.len();
        ensure!(
            bytes >= SECRET_BYTES_MIN,
            "the value is {bytes} bytes long; at least {SECRET_BYTES_MIN}, because a handler could find out a shorter one by trying"
        );
        ensure!(
            value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "the value holds a character that no header can have, perhaps a line break at its end"
        );
    }
    ensure!(
        handlers.is_empty() == hosts.is_empty(),
        "a secret is bound to handlers and to hosts; one of the two is missing"
    );
    for handler in handlers {
        handler.parse::<HandlerName>().context("`handlers`")?;
    }
    let listed = Capabilities { hosts: hosts.clone(), secrets: Vec::new() };
    listed.check().map_err(|error| anyhow::anyhow!("`hosts`: {error}"))?;
    let is_token = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    ensure!(!header.is_empty() && header.bytes().all(is_token), "`header` is the name of one header");
    Ok(())
}

/// Only the names.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.written.keys().chain(self.variables.iter().map(|(name, _)| name));
        f.debug_set().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(file: Value, variables: &[(&str, &str)]) -> Result<BTreeMap<String, BoundSecret>> {
        let mut secrets: Secrets = serde_json::from_value(file)?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        secrets.extend(Secrets::take_from(variables)?.0);
        secrets.bound()
    }

    #[test]
    fn bindings_come_from_the_file_and_from_the_environment() {
        let file = serde_json::json!({
            "Psp-Key": {"handlers": ["payment"], "hosts": ["https://psp.example"], "header": "X-Api-Key"},
            "old": "from-file",
        });
        let variables = [
            ("WEIRGATE__SECRETS__PSP_KEY", "1.10,true,0"),
            ("WEIRGATE__SECRETS__MAIL__VALUE", "12345678"),
            ("WEIRGATE__SECRETS__MAIL__HOSTS", "https://mail.example, http://127.0.0.1:25"),
            ("WEIRGATE__SECRETS__MAIL__HANDLERS", "notification"),
        ];
        let secrets = bound(file, &variables).expect("good secrets");
        let secret = |value: &str, handlers: &[&str], hosts: &[&str], header: &str| BoundSecret {
            value: Some(value.to_owned()),
            handlers: handlers.iter().map(ToString::to_string).collect(),
            hosts: hosts.iter().map(ToString::to_string).collect(),
            header: header.to_owned(),
        };
        let mail = ["https://mail.example", "http://127.0.0.1:25"];
        let expected = [
            ("Psp-Key", secret("1.10,true,0", &["payment"], &["https://psp.example"], "x-api-key")),
            ("mail", secret("12345678", &["notification"], &mail, "authorization")),
            ("old", secret("from-file", &[], &[], "authorization")),
        ];
        let secrets: Vec<_> = secrets.iter().map(|(name, secret)| (name.as_str(), secret.clone())).collect();
        assert_eq!(secrets, expected);
    }

    #[test]
    fn wrong_secrets_are_refused_without_their_values() {
        for (file, says) in [
            (r#"{"pin":"hunter2"}"#, "`secrets.pin`: the value is 7 bytes long; at least 8"),
            (r#"{"pin":{"value":""}}"#, "the value is 0 bytes long"),
            (r#"{"pin":"hunter2hunter2\n"}"#, "perhaps a line break"),
            (r#"{"pin":42424242}"#, "write the value in quotes"),
            (r#"{"pin":{"value":42424242}}"#, "`value` is a text in quotes"),
            (r#"{"pin":{"hosts":"https://a.example"}}"#, "`hosts` is a list"),
            (r#"{"pin":{"hosts":["https://a.example"]}}"#, "one of the two is missing"),
            (r#"{"pin":{"handlers":["a"]}}"#, "one of the two is missing"),
            (r#"{"pin":{"handlers":["A"],"hosts":["https://a.example"]}}"#, "a handler's name is"),
            (r#"{"pin":{"handlers":["a"],"hosts":["a.example"]}}"#, "write scheme://name"),
            (r#"{"pin":{"handlers":["a"],"hosts":["https://*.example"]}}"#, "write scheme://name"),
            (r#"{"pin":{"header":"a b"}}"#, "`header` is the name of one header"),
            (r#"{"pin":{"hunter2":"hunter2"}}"#, "a secret has value, handlers, hosts and header"),
            (r#"{"a b":"hunter2hunter2"}"#, "a secret's name is"),
        ] {
            let error = format!("{:#}", bound(serde_json::from_str(file).expect("JSON"), &[]).expect_err(file));
            assert!(error.contains(says) && !error.contains("hunter2h") && !error.contains("4242"), "{file}: {error}");
        }
        let twice = serde_json::json!({"a-b": "12345678", "A_B": "12345678"});
        let error = bound(twice, &[("WEIRGATE__SECRETS__A_B", "x")]).expect_err("which of them?").to_string();
        assert!(error.contains("are one name in the environment"), "{error}");
    }
}
