//! The documents, literally: every code block is run, compiled or checked, or says why not. `blocks.rs` lists the marks.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

mod blocks;
mod matching;
mod page;
mod rust;
mod settings;

use blocks::{Block, Kind};
use page::Page;
use weirgate_tests::Setup;

/// Forms, not pages.
const ELSEWHERE: [&str; 1] = [".github/"];

/// All documents with code blocks.
fn pages() -> Vec<(String, Vec<Block>)> {
    let documents = weirgate_house::sources(&[".md"]).into_iter();
    let documents = documents.filter(|(path, _)| !ELSEWHERE.iter().any(|folder| path.starts_with(folder)));
    let pages: Vec<_> = documents.map(|(path, text)| (path, blocks::parse(&text))).collect();
    assert!(pages.iter().map(|(_, blocks)| blocks.len()).sum::<usize>() > 30, "blocks are not recognised");
    pages
}

#[test]
fn every_block_is_run_or_says_why_not() {
    let mut wrong = Vec::new();
    for (page, blocks) in pages() {
        for block in blocks {
            wrong.extend(block.kind().err().map(|reason| format!("{page}:{}: {reason}", block.line)));
        }
    }
    assert!(wrong.is_empty(), "tests/e2e/tests/guides/blocks.rs lists the marks:\n{}", wrong.join("\n"));
}

#[test]
fn blocks_of_rust_compile() {
    rust::compile(&pages());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_accepted() {
    let server = Setup::new().start().await;
    let uploaded = server.client.upload(weirgate_guests::build("ledger")).await.ok();
    for (page, blocks) in pages() {
        for block in blocks {
            settings::check(&server, &uploaded["digest"], &format!("{page}:{}", block.line), &block).await;
        }
    }
}

/// In a fresh folder with nothing but `weirgate`, from the first command to the status on the screen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_run_from_top_to_bottom() {
    let mut count = 0;
    // A writer of one runs it alone: WEIRGATE_PAGE=fixing-a-bug.
    let only = std::env::var("WEIRGATE_PAGE").unwrap_or_default();
    for (page, blocks) in pages().into_iter().filter(|(page, _)| page.contains(&only)) {
        let runs = |block: &Block| matches!(block.kind(), Ok(Kind::Run { .. } | Kind::Background { .. }));
        if blocks.iter().any(runs) {
            count += 1;
            Page::new(&page).run(&blocks).await;
        }
    }
    assert!(count >= if only.is_empty() { 2 } else { 1 }, "{count} pages have commands");
}
