//! Blocks that are checked by themselves: manifests, configurations, JSON, and files that another program checks.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use weirgate_tests::{Server, binary};

use crate::{
    blocks::{Block, Kind},
    page::{is_there, path},
};

/// Checks a block; `place` names it in errors.
pub async fn check(server: &Server, digest: &Value, place: &str, block: &Block) {
    match block.kind() {
        Ok(Kind::Json) => {
            let parsed = serde_json::from_str::<Value>(&block.text);
            assert!(parsed.is_ok(), "{place} is no JSON: {parsed:?}");
        }
        Ok(Kind::Manifest) => deploy(server, digest, place, block).await,
        Ok(Kind::Config) => {
            let dir = tempfile::tempdir().expect("a directory");
            let file = write(dir.path(), block);
            let program = binary().to_str().expect("UTF-8");
            run(place, &format!("'{program}' serve --check --config '{file}'"));
        }
        Ok(Kind::Check(command)) => {
            let program = command.split_whitespace().next().unwrap_or_default();
            if !is_there(block.mark("needs").unwrap_or(program)) {
                eprintln!("{place}: not checked, since `{program}` is not installed");
                return;
            }
            let dir = tempfile::tempdir().expect("a directory");
            run(place, &command.replace("{}", &write(dir.path(), block)));
        }
        _ => {}
    }
}

/// Deploys a manifest, or the part of one that the block shows.
async fn deploy(server: &Server, digest: &Value, place: &str, block: &Block) {
    let mut manifest: Value = toml::from_str(&block.text).unwrap_or_else(|error| panic!("{place} is no TOML: {error}"));
    let fields = manifest.as_object_mut().expect("a table");
    fields.remove("module");
    fields.entry("name").or_insert_with(|| json!("documents"));
    fields.entry("subscriptions").or_insert_with(|| json!([{ "types": ["document.read"] }]));
    let answer = server.client.redeploy(&manifest, digest).await;
    assert!((200..300).contains(&answer.status), "{place}: {}", answer.text);
}

fn write(dir: &Path, block: &Block) -> String {
    let path = dir.join(format!("block.{}", block.language));
    fs::write(&path, &block.text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

fn run(place: &str, command: &str) {
    let checked = Command::new("bash").args(["-c", command]).env("PATH", path()).output().expect("bash");
    let printed = String::from_utf8_lossy(&checked.stderr).into_owned() + &String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{place}: {command}\n{printed}");
}
