//! The secrets of all handlers, as the operator bound them. A manifest may name only what is bound to its handler.

use std::collections::BTreeMap;

use weirgate_host::BoundSecret;
use weirgate_types::{HandlerName, Manifest};

use crate::Refusal;

/// See the module documentation.
#[derive(Debug, Default)]
pub struct Secrets(BTreeMap<String, BoundSecret>);

impl Secrets {
    pub fn new(by_name: BTreeMap<String, BoundSecret>) -> Self {
        Self(by_name)
    }

    /// The secret, if it is bound to the handler.
    pub fn of(&self, handler: &HandlerName, name: &str) -> Option<&BoundSecret> {
        self.0.get(name).filter(|secret| secret.is_for(handler))
    }

    /// Whether the manifest may name its secrets.
    ///
    /// # Errors
    /// One of them is not bound to the handler, or to none of the hosts that the manifest names. An unknown one is refused
    /// in the same words.
    pub fn check(&self, manifest: &Manifest) -> Result<(), Refusal> {
        for name in &manifest.capabilities.secrets {
            let not_bound = || Refusal::SecretNotBound { secret: name.clone(), handler: manifest.name.clone() };
            let secret = self.of(&manifest.name, name).ok_or_else(not_bound)?;
            if !manifest.capabilities.hosts.iter().any(|host| secret.is_for_host(host)) {
                return Err(Refusal::SecretElsewhere { secret: name.clone(), hosts: secret.hosts.join(", ") });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_what_is_bound_to_its_handler() {
        let secret = BoundSecret {
            value: None,
            handlers: vec!["payment".into(), "refund".into()],
            hosts: vec!["https://psp.example".into()],
            header: "authorization".into(),
        };
        let secrets = Secrets::new(BTreeMap::from([("psp".to_owned(), secret)]));
        for (handler, hosts, secret, says) in [
            ("payment", r#"["https://psp.example:443"]"#, "psp", ""),
            ("refund", r#"["https://other.example","https://psp.example"]"#, "psp", ""),
            ("invoice", r#"["https://psp.example"]"#, "psp", "`psp` is not bound to the handler invoice"),
            ("payment", r#"["https://psp.example"]"#, "other", "`other` is not bound to the handler payment"),
            ("payment", r#"["http://psp.example"]"#, "psp", "`psp` is bound to https://psp.example"),
            ("payment", "[]", "psp", "`psp` is bound to https://psp.example"),
        ] {
            let json = format!(
                r#"{{"name":"{handler}","subscriptions":[{{"types":["a"]}}],"capabilities":{{"hosts":{hosts},"secrets":["{secret}"]}}}}"#
            );
            let manifest = serde_json::from_str(&json).expect("a manifest");
            let told = secrets.check(&manifest).err().map(|refusal| refusal.to_string()).unwrap_or_default();
            assert!(if says.is_empty() { told.is_empty() } else { told.contains(says) }, "{handler}: {told:?}");
        }
    }
}
