//! `weirgate handlers affected`: what one version would have done with the deliveries that another one handled, and with the events that
//! it did not take.

use anyhow::Result;
use clap::Args;
use serde_json::value::to_raw_value;

use super::ask::{self, Run, Selection};
use crate::{
    client::{Body, Server},
    commands::arguments::{Audit, Output, whole},
};

#[derive(Debug, Args)]
pub struct Affected {
    /// The handler's name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The version that handled the deliveries, and the one that is tried on them
    #[arg(long, required = true, num_args = 2, value_names = ["HANDLED", "TRIED"], value_parser = whole::<u32>)]
    pub between: Vec<u32>,
    #[command(flatten)]
    pub audit: Audit,
}

pub async fn run(server: &Server, output: Output, command: Affected) -> Result<()> {
    let Affected { name, between, audit } = command;
    let [handled_by, tried] = [between.first(), between.last()].map(Option::<&u32>::copied);
    let mut candidate = Body::new();
    candidate.insert("version", to_raw_value(&tried)?);
    let selection = Selection { handled_by, ..Selection::default() };
    let run = Run { wait: true, ..Run::default() };
    ask::begin(server, output, (&name, candidate), &selection, &run, &audit).await
}
