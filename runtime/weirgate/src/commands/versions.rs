//! `weirgate handlers versions`, `rollback` and `remove`.

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::value::to_raw_value;
use weirgate_types::json::{Node, SHOWN_DEPTH_MAX, compact};

use super::{
    bodies, bulk_jobs,
    consent::{Consent, counted},
    deploy,
    table::{self, Column},
};
use crate::{
    client::{Answer, Server, path, query},
    commands::arguments::{Audit, Output, Page, whole},
    failure::Failure,
    output::{self, printable},
};

#[derive(Debug, Args)]
pub struct Rollback {
    /// The handler's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The version to deploy again; by default the one before the version in force
    #[arg(long, value_name = "VERSION", value_parser = whole::<u32>)]
    pub to: Option<u32>,
    /// Run deliveries that wait for a retry at once, with all their attempts
    #[arg(long)]
    pub retry_waiting: bool,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub audit: Audit,
}

#[derive(Debug, Args)]
pub struct Remove {
    /// The handler's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Drain it, skip what is open and discard its dead letters
    #[arg(long)]
    pub skip_open: bool,
    #[command(flatten)]
    pub consent: Consent,
    #[command(flatten)]
    pub audit: Audit,
}

const COLUMNS: [Column; 13] = [
    Column::of("version"),
    Column::of("finishing").dropped(8),
    Column::digest("digest").dropped(3),
    Column::of("position").dropped(1),
    Column::of("until").dropped(0),
    Column::age("age", "deployed_at_ms").dropped(5),
    Column::of("completed"),
    Column::of("failed"),
    Column::of("dead_lettered").dropped(7),
    Column::duration("cpu", "cpu_ms").dropped(2),
    Column::named("copy_of", "copied_from").dropped(4),
    Column::of("actor").dropped(6),
    Column::of("reason").wrapped(),
];

/// The table, and below it what each version changed.
pub async fn list(server: &Server, output: Output, name: &str, page: Page) -> Result<()> {
    let query = query(&page.parameters());
    let answer = server.get(&format!("{}{query}", path(&["handlers", name, "versions"])?)).await?;
    table::print(output, &answer, "versions", &COLUMNS)?;
    if output == Output::Json {
        return Ok(());
    }
    let answer = answer.node()?;
    for version in answer.get("versions").map(Node::items).unwrap_or_default() {
        let number = version.get("version").map(Node::text).unwrap_or_default();
        for line in changes(version) {
            output::line(&format!("version {number}: {line}"))?;
        }
    }
    Ok(())
}

pub async fn roll_back(server: &Server, output: Output, rollback: &Rollback) -> Result<()> {
    let Rollback { name, to, retry_waiting, consent, audit } = rollback;
    consent.check()?;
    let endpoint = path(&["handlers", name, "rollback"])?;
    let mut body = bodies::body(audit)?;
    if let Some(to) = to {
        body.insert("to", to_raw_value(to)?);
    }
    body.insert("plan", to_raw_value(&true)?);
    let plan = server.post(&endpoint, &body).await?;
    let number = |name: &str| Ok::<_, anyhow::Error>(plan.node()?.get(name).and_then(Node::as_u64).unwrap_or(0));
    let what = format!("roll {name} back from version {} to version {}", number("from")?, number("to")?);
    if consent.plan {
        if output == Output::Json {
            return table::show(output, &plan);
        }
        changes(&plan.node()?).iter().try_for_each(|line| output::line(line))?;
        for one in deploy::capabilities(&plan.node()?)? {
            output::line(&deploy::described(&one))?;
        }
        return output::line(&format!("plan: {what}; nothing was done"));
    }
    let grown: Vec<_> = deploy::capabilities(&plan.node()?)?.into_iter().filter(|one| one.grows).collect();
    grown.iter().map(deploy::described).for_each(|line| output::note(&line));
    consent.ask(&what)?;
    if let Some(approve) = plan.node()?.get("approve") {
        body.insert("approve", bodies::raw(approve.text(), "approve")?);
    }
    // The version that was shown, whatever was deployed since.
    body.insert("to", to_raw_value(&number("to")?)?);
    body.insert("plan", to_raw_value(&false)?);
    body.insert("retry_waiting", to_raw_value(retry_waiting)?);
    let answer = server.post(&endpoint, &body).await?;
    let handler = Answer::of(answer.node()?.get("handler").context("the answer has no handler")?);
    match output {
        Output::Json => table::show(output, &answer)?,
        Output::Text => {
            let version = handler.node()?.get("version").map(|node| node.text().to_owned()).unwrap_or_default();
            output::line(&format!("{name} is version {version} now, a copy of version {}", number("to")?))?;
        }
    }
    end_retries(server, &Answer::listed("handlers", &[handler])).await
}

pub async fn remove(server: &Server, output: Output, remove: &Remove) -> Result<()> {
    let Remove { name, skip_open, consent, audit } = remove;
    consent.check()?;
    let send = async |plan: bool| {
        let flag = |is: bool| is.then(|| "true".to_owned());
        let parameters = [
            ("plan", flag(plan)),
            ("skip_open", flag(*skip_open)),
            ("actor", audit.actor.clone()),
            ("reason", audit.reason.clone()),
        ];
        let endpoint = format!("{}{}", path(&["handlers", name])?, query(&parameters));
        server.send(Method::DELETE, &endpoint, "application/json", "").await
    };
    let plan = send(true).await?;
    let number = |name: &str| {
        Ok::<_, anyhow::Error>(usize::try_from(plan.node()?.get(name).and_then(Node::as_u64).unwrap_or(0))?)
    };
    let (open, dead) = (number("open")?, number("dead_letters")?);
    let [open_text, dead_text] =
        [counted(open, ("open delivery", "open deliveries")), counted(dead, ("dead letter", "dead letters"))];
    let what = format!("remove {name}, with {open_text} and {dead_text}");
    if consent.plan {
        return match output {
            Output::Json => table::show(output, &plan),
            Output::Text => output::line(&format!("plan: {what}; nothing was done")),
        };
    }
    if open + dead > 0 && !skip_open {
        let text = format!("{name} has {open_text} and {dead_text}; decide them, or add --skip-open");
        return Err(Failure::Refused(text).into());
    }
    consent.ask(&what)?;
    let answer = send(false).await?;
    let job = answer.node()?.get("bulk_job").map(Answer::of);
    match job {
        Some(job) => bulk_jobs::print_ended(output, bulk_jobs::end(server, job).await?),
        None if output == Output::Json => table::show(output, &answer),
        None => output::line(&format!("{name} was removed")),
    }
}

/// Waits for the bulk jobs that deployments began, and says how they ended.
pub async fn end_retries(server: &Server, handlers: &Answer) -> Result<()> {
    for handler in handlers.node()?.get("handlers").map(Node::items).unwrap_or_default() {
        let Some(id) = handler.get("bulk_job").and_then(Node::as_u64) else { continue };
        let job = server.get(&path(&["bulk-jobs", &id.to_string()])?).await?;
        let ended = bulk_jobs::end(server, job).await?;
        let job = ended.node()?;
        let number = |name: &str| job.get(name).map(|node| node.text().to_owned()).unwrap_or_default();
        output::note(&format!(
            "retry of waiting deliveries: {} done, {} of them refused",
            number("done"),
            number("refused")
        ));
        if let Some(error) = job.get("error").and_then(Node::as_str) {
            return Err(Failure::Refused(format!("bulk job {id} failed: {error}")).into());
        }
    }
    Ok(())
}

/// What a version changes, one line each.
pub fn changes(version: &Node<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if version.get("module_changed").is_some_and(|changed| changed.text() == "true") {
        lines.push("another module".to_owned());
    }
    let value = |change: &Node<'_>, name: &str| {
        let value = change.get(name).map(|value| compact(value.text(), SHOWN_DEPTH_MAX).unwrap_or_default());
        value.map_or_else(|| "absent".to_owned(), |value| printable(&value).into_owned())
    };
    for change in version.get("changes").map(Node::items).unwrap_or_default() {
        let setting = change.get("setting").and_then(Node::as_str).unwrap_or_default();
        let setting = printable(&setting).into_owned();
        lines.push(format!("{setting}: {} -> {}", value(change, "before"), value(change, "after")));
    }
    lines
}
