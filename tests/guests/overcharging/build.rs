//! Copies the payment handler's sources, and puts the bug of `docs/guides/fixing-a-bug.md` into them: so the guest differs from the handler
//! in that alone, whatever becomes of the handler.

use std::{env, fs, path::Path};

const SOURCES: &str = "../../../handlers/payment/src";
const BEFORE: &str = "    match gateway::charge(";
/// A fee of 2 % for cards whose number begins with a 5.
const BUG: &str = "    let total_cents = total_cents + if card.starts_with('5') { total_cents / 50 } else { 0 };\n";

fn main() {
    println!("cargo::rerun-if-changed={SOURCES}");
    let out = env::var("OUT_DIR").expect("a folder");
    copy(Path::new(SOURCES), Path::new(&out));
    let file = Path::new(&out).join("lib.rs");
    let text = fs::read_to_string(&file).expect("the handler");
    assert_eq!(text.matches(BEFORE).count(), 1, "the handler no longer has one line {BEFORE:?}");
    // Documentation of the file itself cannot be included.
    let text = text.replace(BEFORE, &format!("{BUG}{BEFORE}")).replace("//!", "//");
    fs::write(file, text).expect("written");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}
