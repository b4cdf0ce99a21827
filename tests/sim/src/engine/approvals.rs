//! What is repaired was approved.

use std::collections::BTreeMap;

use weirgate_engine::Choices;
use weirgate_types::{HandlerName, Position, Record};

use super::History;
use crate::{Checked, Rule, checks::check};

impl History<'_> {
    /// A repair is of the version that was in force when its plan was approved. An undo is one of all repairs that its replay has made.
    pub(super) fn check_approvals(&self) -> Checked {
        let mut approved: BTreeMap<Position, Position> = BTreeMap::new();
        let mut repaired: BTreeMap<Position, Position> = BTreeMap::new();
        let mut deployed: BTreeMap<&HandlerName, Position> = BTreeMap::new();
        let mut named: BTreeMap<Position, Choices> = BTreeMap::new();
        for (position, record) in &self.records {
            match record {
                Record::Deployed(one) => drop(deployed.insert(&one.handler, *position)),
                Record::ReplayApproved(one) => {
                    approved.insert(one.replay, *position);
                    named.insert(one.replay, serde_json::from_str(&one.choices).unwrap_or_default());
                    let is_whole = !one.undoes || repaired.get(&one.replay).is_none_or(|last| *last <= one.through);
                    check(Rule::Repairs, is_whole, || format!("{position} approves an undo that leaves repairs"))?;
                }
                Record::Repaired(one) => {
                    let is_approved = deployed.get(&one.handler) < approved.get(&one.replay);
                    let is_folded = self.is_of_another(one);
                    let is_named = named.get(&one.replay).is_some_and(|named| named.fold_again.contains(&one.handler));
                    check(Rule::Folds, !is_folded || is_named, || {
                        format!("{position} folds a receiver again that was not named")
                    })?;
                    check(Rule::Repairs, is_approved || is_folded || one.is_undo, || {
                        format!("{position} repairs a key under another version than the approved one")
                    })?;
                    if !one.is_undo {
                        repaired.insert(one.replay, *position);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
}
