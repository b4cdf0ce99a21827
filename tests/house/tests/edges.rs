//! The dependencies between the crates: a new one is a change of the architecture, and has to be added here on purpose.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Which crates of the workspace each crate of the runtime and the SDK may depend on.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("weirgate-types", &[]),
    ("weirgate-core", &["weirgate-types"]),
    ("weirgate-log", &["weirgate-types"]),
    ("weirgate-history", &["weirgate-types", "weirgate-log"]),
    ("weirgate-views", &["weirgate-types"]),
    ("weirgate-host", &["weirgate-types"]),
    (
        "weirgate-engine",
        &["weirgate-types", "weirgate-core", "weirgate-log", "weirgate-history", "weirgate-views", "weirgate-host"],
    ),
    ("weirgate-server", &["weirgate-types", "weirgate-engine"]),
    ("weirgate", &["weirgate-types", "weirgate-engine", "weirgate-host", "weirgate-server"]),
    ("weirgate-sdk", &["weirgate-sdk-macros"]),
    ("weirgate-sdk-macros", &[]),
    ("order-events", &["weirgate-sdk"]),
];

/// Dependencies that would make a crate impure, or that belong to another crate.
const MAY_NOT_USE: [(&str, &[&str]); 8] = [
    ("weirgate-types", &["tokio", "wasmtime", "sled", "tracing", "axum"]),
    ("weirgate-core", &["tokio", "wasmtime", "sled", "tracing", "axum", "rand", "rustix"]),
    ("weirgate-log", &["tokio", "wasmtime", "sled", "axum"]),
    ("weirgate-history", &["tokio", "wasmtime", "sled", "axum", "rustix"]),
    ("weirgate-views", &["tokio", "wasmtime", "axum"]),
    ("weirgate-host", &["tokio", "sled", "axum"]),
    ("weirgate-engine", &["wasmtime", "sled", "axum"]),
    ("weirgate-server", &["wasmtime", "sled"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new().no_deps().exec().expect("cargo metadata")
}

fn dependencies(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let normal = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), normal(package))).collect()
}

#[test]
fn dependencies_between_crates_run_one_way() {
    let dependencies = dependencies(&metadata());
    let own: BTreeSet<_> = dependencies.keys().cloned().collect();
    for (name, may_use) in MAY_USE {
        let used = dependencies.get(name).unwrap_or_else(|| panic!("there is no crate {name}"));
        for used in used.intersection(&own) {
            assert!(may_use.contains(&used.as_str()), "{name} -> {used} is a new edge");
        }
    }
}

#[test]
fn every_crate_of_the_runtime_is_listed() {
    let metadata = metadata();
    for package in &metadata.packages {
        let path = package.manifest_path.strip_prefix(&metadata.workspace_root).expect("in the workspace");
        if path.starts_with("runtime") {
            assert!(MAY_USE.iter().any(|(name, _)| *name == package.name.as_str()), "list {} in MAY_USE", package.name);
        }
    }
}

/// Features that exist for tests: disks in memory, and entry points for simulation and fuzzing.
const FOR_TESTS: [(&str, &str); 3] =
    [("weirgate-engine", "sim"), ("weirgate-views", "sim"), ("weirgate-server", "fuzz")];
/// The crates that may turn them on.
const TEST_CRATES: [&str; 2] = ["weirgate-sim", "weirgate-fuzz"];

#[test]
fn test_features_are_off_in_products() {
    for package in metadata().packages.iter().filter(|package| !TEST_CRATES.contains(&package.name.as_str())) {
        for (name, feature) in FOR_TESTS {
            let of = package.dependencies.iter().find(|dependency| dependency.name == name);
            let is_on = of.is_some_and(|dependency| dependency.features.iter().any(|on| on == feature));
            // A crate that is for tests only may turn on features of another.
            let of_product = package.features.iter().filter(|(own, _)| !FOR_TESTS.contains(&(&package.name, own)));
            let passes_on = of_product.flat_map(|(_, on)| on).any(|on| *on == format!("{name}/{feature}"));
            assert!(!is_on && !passes_on, "{} turns on {feature} of {name}", package.name);
        }
        let is_default = package
            .features
            .get("default")
            .is_some_and(|on| FOR_TESTS.iter().any(|(_, feature)| on.contains(&(*feature).to_owned())));
        assert!(!is_default, "{} has it on by default", package.name);
    }
}

#[test]
fn crates_use_no_forbidden_dependencies() {
    let dependencies = dependencies(&metadata());
    for (name, may_not_use) in MAY_NOT_USE {
        for forbidden in may_not_use {
            assert!(!dependencies[name].contains(*forbidden), "{name} may not know {forbidden}");
        }
    }
}

/// The fuzz programs are no members of the workspace: a new dependency of a crate has to come into their lock file, too.
#[test]
fn the_lock_file_of_the_fuzz_programs_has_the_dependencies_of_the_crates() {
    let lock = std::fs::read_to_string(weirgate_house::root().join("fuzz/Cargo.lock")).expect("a lock file");
    let locked =
        |name: &str| lock.split("[[package]]\n").find(|entry| entry.starts_with(&format!("name = \"{name}\"")));
    let mut seen = 0;
    for package in metadata().packages {
        let Some(entry) = locked(&package.name) else { continue };
        seen += 1;
        let normal = package.dependencies.iter().filter(|one| one.kind == DependencyKind::Normal && !one.optional);
        for dependency in normal.map(|one| one.name.as_str()) {
            // Where several versions are there, the version follows.
            let is_there =
                [format!("\"{dependency}\""), format!("\"{dependency} ")].iter().any(|one| entry.contains(one));
            assert!(
                is_there,
                "fuzz/Cargo.lock lacks {dependency} of {}: `cargo fetch --manifest-path fuzz/Cargo.toml`",
                package.name
            );
        }
    }
    assert!(seen > 5, "{seen} crates");
}
