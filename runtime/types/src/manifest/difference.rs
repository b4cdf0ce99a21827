//! What a manifest changes against another, setting by setting.

use std::collections::BTreeMap;

use super::Manifest;
use crate::json::{Node, SHOWN_DEPTH_MAX};

/// A setting that differs between two manifests. The values are JSON; `None` where the setting is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChange {
    /// For instance `limits.cpu_ms`.
    pub setting: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Manifest {
    /// The settings that differ in `after`, in order of their names. Lists are compared as a whole.
    #[must_use]
    pub fn changes(&self, after: &Self) -> Vec<SettingChange> {
        let [before, mut after] = [self, after].map(Self::settings);
        let mut changes = Vec::new();
        for (setting, value) in before {
            let now = after.remove(&setting);
            if now.as_ref() != Some(&value) {
                changes.push(SettingChange { setting, before: Some(value), after: now });
            }
        }
        changes.extend(after.into_iter().map(|(setting, value)| SettingChange {
            setting,
            before: None,
            after: Some(value),
        }));
        changes.sort_by(|one, other| one.setting.cmp(&other.setting));
        changes
    }

    fn settings(&self) -> BTreeMap<String, String> {
        let mut settings = BTreeMap::new();
        let json = serde_json::to_string(self).unwrap_or_default();
        if let Ok(node) = Node::parse(&json, SHOWN_DEPTH_MAX) {
            collect("", &node, &mut settings);
        }
        settings
    }
}

fn collect(name: &str, node: &Node<'_>, settings: &mut BTreeMap<String, String>) {
    match node.members() {
        Some(members) if !members.is_empty() => {
            for member in members {
                let dot = if name.is_empty() { "" } else { "." };
                collect(&format!("{name}{dot}{}", member.name), &member.value, settings);
            }
        }
        Some(_) if name == "config" => {}
        _ => drop(settings.insert(name.to_owned(), node.text().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(extra: &str) -> Manifest {
        Manifest::from_json(&format!(r#"{{"name":"a","subscriptions":[{{"types":["order.*"]}}]{extra}}}"#))
            .expect(extra)
    }

    #[test]
    fn changed_settings_are_named_with_both_values() {
        let before = manifest(r#","limits":{"cpu_ms":20},"config":{"a":"1","b":"2"},"breaker":{"open_ms":1000}"#);
        let after = manifest(r#","limits":{"cpu_ms":30},"config":{"b":"3","c.d":"4"},"concurrency":2"#);
        assert_eq!(before.changes(&before), []);
        let changes = before.changes(&after);
        let named: Vec<_> = changes
            .iter()
            .filter(|change| !change.setting.starts_with("breaker."))
            .map(|one| (one.setting.as_str(), one.before.as_deref(), one.after.as_deref()))
            .collect();
        assert_eq!(
            named,
            [
                ("concurrency", Some("64"), Some("2")),
                ("config.a", Some("\"1\""), None),
                ("config.b", Some("\"2\""), Some("\"3\"")),
                ("config.c.d", None, Some("\"4\"")),
                ("limits.cpu_ms", Some("20"), Some("30")),
            ]
        );
        let of_breaker = changes.iter().filter(|change| change.setting.starts_with("breaker."));
        assert!(of_breaker.clone().count() > 1 && of_breaker.into_iter().all(|change| change.after.is_none()));
    }
}
