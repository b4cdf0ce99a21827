//! `weirgate replays plan`: what applying a replay appends, key by key. All of it, because that is what is approved; or a page, where one
//! is asked for.

use anyhow::Result;
use clap::Args;
use weirgate_types::json::Node;

use super::{progress, words};
use crate::{
    client::{Answer, Server, path, query},
    commands::{
        arguments::{LIMIT_MAX, Output, Page},
        members::{items, word},
        table,
    },
    failure::Failure,
    output,
};

#[derive(Debug, Args)]
pub struct Plan {
    /// The replay's id, as the list shows it; ID-undo for its undo
    #[arg(value_name = "ID")]
    pub id: String,
    /// Only the plan of this receiver, which is applied if it is folded again
    #[arg(long, value_name = "HANDLER")]
    pub receiver: Option<String>,
    #[command(flatten)]
    pub page: Page,
}

pub async fn run(server: &Server, output: Output, command: Plan) -> Result<()> {
    let Plan { id, receiver, page } = command;
    let left_out = progress::found(server, &id).await?;
    let plan = Pages { server, path: path(&["replays", &id, "plan"])?, is_undo: id.ends_with("-undo") };
    let is_whole = page.after.is_none() && page.limit.is_none();
    if output == Output::Text {
        for note in &left_out {
            output::note(note);
        }
    }
    match output {
        Output::Json => table::show(output, &plan.read(receiver, page).await?),
        Output::Text if is_whole => plan.print_all(receiver).await,
        Output::Text => plan.print_one(receiver, page).await,
    }
}

struct Pages<'a> {
    server: &'a Server,
    path: String,
    is_undo: bool,
}

impl Pages<'_> {
    async fn read(&self, receiver: Option<String>, page: Page) -> Result<Answer> {
        let query = query(&[vec![("receiver", receiver)], page.parameters().to_vec()].concat());
        self.server.get(&format!("{}{query}", self.path)).await
    }

    async fn print_one(&self, receiver: Option<String>, page: Page) -> Result<()> {
        let is_own = receiver.is_none();
        let answer = self.read(receiver, page).await?;
        let node = answer.node()?;
        print_keys(&node)?;
        for receiver in receivers(&node).into_iter().filter(|_| is_own) {
            output::line(&format!("{receiver} has a plan of its own (--receiver {receiver})"))?;
        }
        output::line(&format!("plan {}", word(&node, "plan")))?;
        table::print_next(&node)
    }

    /// The keys of the handler, those of its receivers, and the digest.
    async fn print_all(&self, receiver: Option<String>) -> Result<()> {
        let is_own = receiver.is_none();
        let (plan, receivers) = self.print_keys_of(receiver, None).await?;
        for receiver in receivers.into_iter().filter(|_| is_own) {
            output::line(&match self.is_undo {
                true => format!("{receiver}, which was folded again:"),
                false => format!("{receiver}, only if that is approved (--fold-again {receiver}):"),
            })?;
            self.print_keys_of(Some(receiver), Some(&plan)).await?;
        }
        output::line(&format!("plan {plan}"))
    }

    /// Prints the keys of a handler, page by page, all of one plan. Returns the plan's digest, and the receivers.
    async fn print_keys_of(&self, receiver: Option<String>, of: Option<&str>) -> Result<(String, Vec<String>)> {
        let (mut plan, mut after) = (of.map(str::to_owned), None);
        loop {
            let page = Page { after: after.take(), limit: Some(LIMIT_MAX) };
            let answer = self.read(receiver.clone(), page).await?;
            let node = answer.node()?;
            let digest = word(&node, "plan");
            if *plan.get_or_insert_with(|| digest.clone()) != digest {
                return Err(Failure::Refused("the plan changed while it was read; look at it again".into()).into());
            }
            print_keys(&node)?;
            match node.get("next").and_then(Node::as_str) {
                Some(next) => after = Some(next.into_owned()),
                None => return Ok((digest, receivers(&node))),
            }
        }
    }
}

/// The keys of a page, with what is done for each.
fn print_keys(page: &Node) -> Result<()> {
    for plan in items(page, "keys") {
        output::line(&word(plan, "key"))?;
        words::plan(plan).iter().try_for_each(|line| output::marked(line.mark, &line.text))?;
    }
    Ok(())
}

fn receivers(page: &Node) -> Vec<String> {
    items(page, "receivers").iter().filter_map(Node::as_str).map(Into::into).collect()
}
