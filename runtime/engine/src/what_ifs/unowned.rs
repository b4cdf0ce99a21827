//! Parts of statuses in which a key differs, and which another key owns on both sides: what is shown is the same, and no repair changes it. So
//! they are no difference of the key, though its parts are still asked about when others are repaired. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use weirgate_types::HandlerName;

use crate::replay::{Examination, Examined, Index, KeyPlan, LaneId, Runs, WhatIf};

/// The subjects of those parts, by handler and key.
#[derive(Debug, Default)]
pub struct Unowned(BTreeMap<LaneId, Vec<String>>);

impl Unowned {
    pub fn add(&mut self, (handler, key): (&HandlerName, &str), examined: &Examined, plan: &KeyPlan) {
        if plan.refused.is_some() || examined.lane.status().is_empty() {
            return;
        }
        let set = plan.status.iter().map(|write| &write.subject);
        let written: BTreeSet<&String> = plan.unset.iter().chain(set).collect();
        let subjects = examined.lane.status().keys().filter(|subject| !written.contains(subject));
        let subjects: Vec<String> = subjects.cloned().collect();
        if !subjects.is_empty() {
            self.0.insert((handler.clone(), key.to_owned()), subjects);
        }
    }

    /// Takes them out of what is shown. Returns on how many keys of the handler nothing else differs.
    pub fn take_out_of(self, examination: &mut Examination, request: &WhatIf) -> u64 {
        let mut same = 0;
        let is_any = !self.0.is_empty();
        for (lane, subjects) in self.0 {
            if lane.0 != request.handler {
                let Some(shown) = examination.cascade.remove(&lane) else { continue };
                let left = without(&shown, &shown, &subjects);
                if !left.comes_to_the_same() {
                    examination.cascade.insert(lane.clone(), Arc::new(left));
                }
                // Others are folded again beside it.
                if matches!(request.runs, Runs::Candidate(_)) {
                    examination.moved.insert(lane, shown);
                }
                continue;
            }
            let Some(alone) = examination.alone.get(&lane.1).cloned() else { continue };
            let shown = examination.cascade.remove(&lane);
            // Most are the same without the receivers, and are copied once.
            let without_receivers = without(&alone, &alone, &subjects);
            same += u64::from(without_receivers.comes_to_the_same());
            let left = match shown {
                Some(shown) if Arc::ptr_eq(&shown, &alone) || shown == alone => without_receivers,
                Some(shown) => without(&shown, &alone, &subjects),
                None => continue,
            };
            if !left.comes_to_the_same() {
                examination.cascade.insert(lane, Arc::new(left));
            }
        }
        if is_any {
            examination.index = Index::of(examination.cascade.iter().map(|(lane, examined)| (lane, &**examined)));
        }
        same
    }
}

/// What is left where these parts differ as they do without the receivers.
fn without(shown: &Examined, alone: &Examined, subjects: &[String]) -> Examined {
    let mut left = shown.clone();
    let [of_shown, of_alone] = [shown, alone].map(|one| one.lane.status());
    for subject in subjects.iter().filter(|subject| of_shown.get(*subject) == of_alone.get(*subject)) {
        left.lane.forget_status(subject);
    }
    left
}

#[cfg(test)]
mod tests {
    use weirgate_types::{Digest, Effects, Position, StatusWrite};

    use super::*;
    use crate::replay::{Both, Bounds, Candidate, Lane, MissingAnswers, Selection, Stood};

    /// A key whose status of these subjects is another one in the fork.
    fn differing(subjects: &[&str]) -> Arc<Examined> {
        let effects = |state: &str| Effects {
            status: subjects
                .iter()
                .map(|subject| StatusWrite {
                    subject: (*subject).into(),
                    state: state.into(),
                    text: String::new(),
                    data: None,
                })
                .collect(),
            ..Effects::default()
        };
        let (mut lane, [recorded, fork]) = (Lane::default(), ["a", "b"].map(effects));
        let both = Both {
            event: Position(1),
            at: Position(2),
            depth: 1,
            recorded: &recorded,
            first_emitted: Position(3),
            fork: &fork,
        };
        lane.fold::<()>(both, |_| Ok(None), |_| Ok(None), |_| Ok(Stood::default())).expect("no error");
        Arc::new(Examined { lane, ..Examined::default() })
    }

    #[test]
    fn a_part_of_another_key_is_no_difference() {
        let handler: HandlerName = "a".parse().expect("a name");
        let lane = |key: &str| -> LaneId { (handler.clone(), key.to_owned()) };
        let alone = BTreeMap::from(["k", "l", "m"].map(|key| (key.to_owned(), differing(&["own", "shared"]))));
        let cascade = alone.iter().map(|(key, examined)| (lane(key), Arc::clone(examined))).collect();
        let mut found = Examination { alone, cascade, ..Examination::default() };
        let receiver: HandlerName = "r".parse().expect("a name");
        let of_receiver = (receiver.clone(), "k".to_owned());
        found.cascade.insert(of_receiver.clone(), differing(&["shared"]));
        let candidate = Candidate { module: Digest([1; 32]), manifest: String::new(), version: None };
        let request = WhatIf {
            handler: handler.clone(),
            runs: Runs::Candidate(candidate),
            selection: Selection::default(),
            missing_answers: MissingAnswers::Fail,
            bounds: Bounds::default(),
            through: Position(9),
            asked_at_ms: 0,
        };
        let mut unowned = Unowned::default();
        let own = StatusWrite { subject: "own".into(), state: "b".into(), text: String::new(), data: None };
        let plans = [
            ("k", KeyPlan { status: vec![own], others: vec!["shared".into()], ..KeyPlan::default() }),
            ("l", KeyPlan { others: vec!["own".into(), "shared".into()], ..KeyPlan::default() }),
            ("m", KeyPlan { refused: Some("it fails".into()), ..KeyPlan::default() }),
        ];
        for (key, plan) in &plans {
            unowned.add((&handler, key), &found.alone[*key], plan);
        }
        unowned.add((&receiver, "k"), &found.cascade[&of_receiver].clone(), &KeyPlan::default());
        assert_eq!(unowned.take_out_of(&mut found, &request), 1);
        assert!(!found.cascade.contains_key(&of_receiver) && found.moved.contains_key(&of_receiver));
        let shown = |key: &str| found.cascade.get(&lane(key)).map(|one| one.lane.status().keys().cloned().collect());
        assert_eq!(shown("k"), Some(vec!["own".to_owned()]));
        assert_eq!(shown("l"), None);
        assert_eq!(shown("m"), Some(vec!["own".to_owned(), "shared".to_owned()]), "it has no plan");
        assert_eq!(found.alone.len(), 3, "they count where others are repaired");
    }
}
