//! The event's path in ARCHITECTURE.md names existing files and functions.

use std::fs;

use weirgate_house::root;

/// The hops of the section: each file, and its named functions.
fn hops(text: &str) -> Vec<(&str, Vec<&str>)> {
    let (_, section) = text.split_once("## Path of an event\n").expect("the section");
    let (section, _) = section.split_once("\n## ").expect("a section behind it");
    let mut hops = Vec::<(&str, Vec<&str>)>::new();
    // The text between backticks is at the odd indices.
    for name in section.split('`').skip(1).step_by(2) {
        match (name.strip_suffix(".rs").is_some(), hops.last_mut()) {
            (true, _) => hops.push((name, Vec::new())),
            (false, Some((_, functions))) if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') => {
                functions.push(name);
            }
            _ => {}
        }
    }
    hops.retain(|(_, functions)| !functions.is_empty());
    hops
}

#[test]
fn each_hop_is_a_function_in_its_file() {
    let root = root();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let hops = hops(&text);
    assert!(hops.len() >= 16, "{} hops: from the socket to the socket there are more", hops.len());
    for (file, functions) in hops {
        let code = fs::read_to_string(root.join(file)).unwrap_or_else(|_| panic!("{file} is not there"));
        for function in functions {
            let is_there = ["(", "<"].iter().any(|next| code.contains(&format!("fn {function}{next}")));
            assert!(is_there, "{file} has no function `{function}`");
        }
    }
}
