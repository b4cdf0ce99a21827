//! `weirgate handlers deploy`: uploads, checks and deploys; asks before a handler may do more than before.

use std::{
    io::IsTerminal,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use clap::Args;
use reqwest::Method;
use serde_json::value::to_raw_value;
use weirgate_types::{Manifest, json::Node};

use super::{bodies, consent, files, replayed, table, versions};
use crate::{
    client::{Answer, Body, CapabilityChange, Refused, Server, path, query},
    commands::arguments::{Audit, Output, whole},
    failure::usage,
    output,
};

#[derive(Debug, Args)]
pub struct Deploy {
    /// Manifests (handler.toml)
    #[arg(required = true, value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,
    /// The directory of the components; by default that of the manifest
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    /// Only check it: show what it would change, and which recorded attempts would end in another way
    #[arg(long)]
    pub plan: bool,
    /// With --plan: how many of the last recorded attempts are executed again, without effects
    #[arg(long, value_name = "NUMBER", value_parser = whole::<u32>, default_value_t = 100, requires = "plan")]
    pub sample: u32,
    /// Approve what the handler may do beyond the version in force, without asking
    #[arg(long, short, conflicts_with = "plan")]
    pub yes: bool,
    /// Run deliveries that wait for a retry at once, under the new version, with all their attempts
    #[arg(long, conflicts_with = "plan")]
    pub retry_waiting: bool,
    #[command(flatten)]
    pub audit: Audit,
}

pub async fn all(server: &Server, deploy: &Deploy) -> Result<Answer> {
    let mut handlers = Vec::new();
    for path in &deploy.manifests {
        let deployed = one(server, path, deploy).await;
        handlers.push(deployed.with_context(|| format!("{} was not deployed", path.display()))?);
    }
    Ok(Answer::listed("handlers", &handlers))
}

async fn one(server: &Server, manifest_path: &Path, deploy: &Deploy) -> Result<Answer> {
    let manifest = read_manifest(manifest_path)?;
    let module = module_path(&manifest, manifest_path, deploy.modules.as_deref())?;
    let mut body = bodies::body(&deploy.audit)?;
    body.insert("retry_waiting", to_raw_value(&deploy.retry_waiting)?);
    let ready = Ready::upload(server, &manifest, files::read("the module", &module)?, body).await?;
    if deploy.plan {
        return ready.plan(deploy.sample).await;
    }
    ready.deploy(|growth| may_grow(growth, manifest.name.as_str(), deploy.yes)).await
}

/// Uploads a module, and deploys it with its manifest, whatever it may do.
pub async fn approved(server: &Server, manifest: &Manifest, bytes: Vec<u8>) -> Result<Answer> {
    let ready = Ready::upload(server, manifest, bytes, Body::new()).await?;
    ready
        .deploy(|growth| {
            growth.iter().map(described).for_each(|line| output::note(&format!("approved: {line}")));
            Ok(())
        })
        .await
}

/// Asks whether a handler may do more.
fn may_grow(growth: &[CapabilityChange], name: &str, yes: bool) -> Result<()> {
    growth.iter().map(described).for_each(|line| output::note(&line));
    if !yes && !std::io::stdin().is_terminal() {
        return Err(usage(format!(
            "{name} may do more than the version in force, and standard input is not a terminal to ask at; add --yes to approve it, or --plan to see all of it"
        )));
    }
    consent::ask_unless(yes, &format!("let {name} do that"))
}

/// Uploads a module, and returns its digest.
pub async fn upload_module(server: &Server, bytes: Vec<u8>) -> Result<String> {
    let uploaded = server.send(Method::PUT, "/v1/modules", "application/wasm", bytes).await?;
    let uploaded = uploaded.node()?;
    let digest = uploaded.get("digest").and_then(Node::as_str).context("the answer has no digest")?;
    Ok(digest.into_owned())
}

/// A version whose module is uploaded.
struct Ready<'a> {
    server: &'a Server,
    endpoint: String,
    body: String,
}

impl<'a> Ready<'a> {
    /// `body` has the other fields of the deployment.
    async fn upload(server: &'a Server, manifest: &Manifest, bytes: Vec<u8>, mut body: Body) -> Result<Self> {
        body.insert("digest", to_raw_value(&upload_module(server, bytes).await?)?);
        body.insert("manifest", to_raw_value(manifest)?);
        let endpoint = path(&["handlers", manifest.name.as_str()])?;
        Ok(Self { server, endpoint, body: serde_json::to_string(&body)? })
    }

    async fn put(&self, parameters: &[(&str, Option<String>)]) -> Result<Answer> {
        let endpoint = format!("{}{}", self.endpoint, query(parameters));
        self.server.send(Method::PUT, &endpoint, "application/json", self.body.clone()).await
    }

    async fn plan(&self, sample: u32) -> Result<Answer> {
        self.put(&[("plan", Some("true".to_owned())), ("sample", Some(sample.to_string()))]).await
    }

    /// `approve` is asked where the version may do more.
    async fn deploy(&self, approve: impl FnOnce(&[CapabilityChange]) -> Result<()>) -> Result<Answer> {
        let error = match self.put(&[]).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let Some(growth) = error.downcast_ref::<Refused>().and_then(|refused| refused.growth.as_ref()) else {
            return Err(error);
        };
        approve(&growth.capabilities)?;
        let digest = growth.approve.clone();
        self.put(&[("approve", Some(digest))]).await
    }
}

/// For instance `may do more: hosts https://api.example.com`.
pub fn described(one: &CapabilityChange) -> String {
    let may = if one.grows { "may do more" } else { "may do less or the same" };
    match (&one.before, &one.after) {
        (Some(before), Some(after)) => format!("{may}: {} {before} -> {after}", one.capability),
        (None, Some(after)) => format!("{may}: {} {after}", one.capability),
        (Some(before), None) => format!("{may}: {} without {before}", one.capability),
        (None, None) => format!("{may}: {}", one.capability),
    }
}

/// Prints plans: for people, what changes and what recorded attempts would come to.
pub fn print_plans(output: Output, answer: &Answer) -> Result<()> {
    if output == Output::Json {
        return table::print_json(&answer.node()?);
    }
    for plan in answer.node()?.get("handlers").map(Node::items).unwrap_or_default() {
        let name = plan.get("name").and_then(Node::as_str).unwrap_or_default();
        let replaces = plan.get("replaces").map(|number| format!(", which replaces version {}", number.text()));
        output::line(&format!("plan: deploy {name}{}", replaces.unwrap_or_default()))?;
        versions::changes(plan).iter().try_for_each(|line| output::line(&format!("  {line}")))?;
        for one in capabilities(plan)? {
            output::line(&format!("  {}", described(&one)))?;
        }
        if let Some(check) = plan.get("check") {
            replayed::check_lines(check).iter().try_for_each(|line| output::line(&format!("  {line}")))?;
        }
    }
    output::line("nothing was deployed")
}

/// What a plan says of capabilities.
pub fn capabilities(plan: &Node<'_>) -> Result<Vec<CapabilityChange>> {
    let list = plan.get("capabilities").map_or("[]", Node::text);
    serde_json::from_str(list).context("the answer's capabilities cannot be read")
}

/// The manifest in a file.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = files::utf8("the manifest", files::read("the manifest", path)?)?;
    Manifest::from_toml(&text).map_err(|error| usage(error.to_string()))
}

/// Where the manifest's module is.
pub fn module_path(manifest: &Manifest, path: &Path, modules: Option<&Path>) -> Result<PathBuf> {
    let Some(module) = &manifest.module else {
        let text = format!("the manifest has no module; add for instance module = \"{}.wasm\"", manifest.name);
        return Err(usage(text));
    };
    let dir = modules.or_else(|| path.parent()).unwrap_or_else(|| Path::new("."));
    Ok(dir.join(module))
}
