//! The lock file of a new project: the packages of ours that it needs, in the versions that the SDK is tested with.

use std::collections::BTreeSet;

/// A package of a lock file.
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    /// `name`, or `name version` where there are several.
    dependencies: Vec<&'a str>,
    text: &'a str,
}

impl<'a> Package<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""))?;
            line.strip_suffix('"')
        };
        let items = text.lines().filter_map(|line| line.strip_prefix(" \"")?.strip_suffix("\","));
        Some(Self { name: value("name")?, version: value("version")?, dependencies: items.collect(), text })
    }

    fn is(&self, dependency: &str) -> bool {
        let mut words = dependency.split(' ');
        words.next() == Some(self.name) && words.next().is_none_or(|version| version == self.version)
    }
}

/// The part of a lock file that these packages need. Cargo removes what is too much, and adds the project itself.
pub fn of(lock: &str, roots: &[&str]) -> String {
    let (head, packages) = lock.split_once("[[package]]\n").unwrap_or((lock, ""));
    let packages: Vec<_> = packages.split("[[package]]\n").filter_map(Package::parse).collect();
    let (mut needed, mut wanted) = (BTreeSet::new(), roots.to_vec());
    while let Some(dependency) = wanted.pop() {
        let found = packages.iter().enumerate().filter(|(_, package)| package.is(dependency));
        for (index, package) in found {
            if needed.insert(index) {
                wanted.extend(&package.dependencies);
            }
        }
    }
    let kept = packages.iter().enumerate().filter(|(index, _)| needed.contains(index));
    let kept: Vec<_> = kept.map(|(_, package)| format!("[[package]]\n{}\n", package.text.trim_end())).collect();
    format!("{head}{}", kept.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "# Cargo's\nversion = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\ndependencies = [\n \"b 2.0.0\",\n \"c\",\n]\n\n\
                        [[package]]\nname = \"b\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"2.0.0\"\n\n\
                        [[package]]\nname = \"c\"\nversion = \"3.0.0\"\ndependencies = [\n \"a\",\n]\n\n[[package]]\nname = \"d\"\nversion = \"1.0.0\"\n";

    #[test]
    fn only_what_is_needed_is_kept() {
        let kept = of(LOCK, &["a"]);
        assert_eq!(kept.matches("[[package]]").count(), 3, "{kept}");
        assert!(kept.starts_with("# Cargo's\nversion = 4\n\n[[package]]\nname = \"a\""), "{kept}");
        assert!(!kept.contains("name = \"b\"\nversion = \"1.0.0\"") && !kept.contains("name = \"d\""), "{kept}");
        assert_eq!(of(LOCK, &["d"]).matches("[[package]]").count(), 1);
        assert_eq!(of("version = 4\n", &["a"]), "version = 4\n");
    }
}
