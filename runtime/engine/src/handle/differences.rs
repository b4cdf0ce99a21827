//! What a what-if found, page by page: what differs, and the plan. What is long is made from it by those who show it, beside the async
//! threads; nothing is copied before that.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use weirgate_types::{Digest, HandlerName};

use super::{Handle, blocking};
use crate::{
    Refusal,
    replay::{Bound as Limit, Examined, KeyPlan, LaneId},
    what_ifs::{Computed, PlanId},
};

/// What differs for a key.
#[derive(Debug, Clone)]
pub struct KeyDifferences {
    pub lanes: Vec<KeyLane>,
    pub plan: ReadPlan,
}

/// What a handler comes to for a key.
#[derive(Debug, Clone)]
pub struct KeyLane {
    pub handler: HandlerName,
    pub examined: Arc<Examined>,
    /// The values of the state that differ, as the log has them.
    pub recorded: BTreeMap<String, Option<Vec<u8>>>,
}

/// A page of what differs.
#[derive(Debug, Clone)]
pub struct DifferencePage {
    pub differences: Vec<(LaneId, Arc<Examined>)>,
    /// Where the next page begins; `None` on the last page.
    pub next: Option<LaneId>,
    /// What was not examined, and what was not at the receivers of changed events.
    pub bound: Option<Limit>,
    pub receivers_bound: Option<Limit>,
}

/// A plan, to be read.
#[derive(Debug, Clone)]
pub struct ReadPlan {
    computed: Arc<Computed>,
    /// Whose plan it is, if not the handler's.
    receiver: Option<HandlerName>,
    /// Timers that are due by then are past.
    pub now_ms: u64,
}

impl ReadPlan {
    /// That of the whole plan.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.computed.digest
    }

    /// The receivers that have a plan of their own, in order.
    #[must_use]
    pub fn receivers(&self) -> Vec<HandlerName> {
        receivers_of(&self.computed)
    }

    #[must_use]
    pub fn of_key(&self, key: &str) -> Option<&KeyPlan> {
        match &self.receiver {
            None => self.computed.plans.get(key),
            Some(receiver) => self.computed.receivers.get(&(receiver.clone(), key.to_owned())),
        }
    }

    /// Those of the keys behind one, in order.
    pub fn behind(&self, after: Option<&str>) -> impl Iterator<Item = &KeyPlan> {
        let own = self.receiver.is_none().then(|| {
            let start = after.map_or(Bound::Unbounded, Bound::Excluded);
            self.computed.plans.range::<str, _>((start, Bound::Unbounded)).map(|(_, plan)| plan)
        });
        let of_receiver = self.receiver.as_ref().map(|receiver| {
            let lane = |key: &str| (receiver.clone(), key.to_owned());
            let start = after.map_or(Bound::Included(lane("")), |after| Bound::Excluded(lane(after)));
            let lanes = self.computed.receivers.range((start, Bound::Unbounded));
            lanes.take_while(move |((handler, _), _)| handler == receiver).map(|(_, plan)| plan)
        });
        own.into_iter().flatten().chain(of_receiver.into_iter().flatten())
    }
}

/// The receivers that have a plan, in order.
pub(super) fn receivers_of(computed: &Computed) -> Vec<HandlerName> {
    let mut receivers: Vec<&HandlerName> = computed.receivers.keys().map(|(handler, _)| handler).collect();
    receivers.dedup();
    receivers.into_iter().cloned().collect()
}

impl Handle {
    /// What differs on handlers and keys behind `after`, the receivers of changed events included; at most `limit`. `subject`: only
    /// where this subject's status differs.
    ///
    /// # Errors
    /// There is no such replay, or it is not computed yet.
    pub async fn differences(
        &self,
        id: PlanId,
        after: Option<LaneId>,
        subject: Option<&str>,
        limit: usize,
    ) -> Result<DifferencePage, Refusal> {
        let computed = self.computed(id).await?;
        let (cascade, index) = (&computed.examination.cascade, &computed.examination.index);
        let of_subject = subject.map(|subject| index.of_subject(subject, after.as_ref()));
        let start = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let of_all = subject.is_none().then(|| cascade.range((start, Bound::Unbounded)));
        let of_subject = of_subject.into_iter().flatten().filter_map(|lane| cascade.get_key_value(lane));
        let mut found = of_subject.chain(of_all.into_iter().flatten());
        let differences: Vec<_> =
            found.by_ref().take(limit).map(|(lane, one)| (lane.clone(), Arc::clone(one))).collect();
        let next = found.next().and_then(|_| differences.last().map(|(lane, _)| lane.clone()));
        let (bound, receivers_bound) = (computed.examination.bound, computed.examination.cascade_bound);
        Ok(DifferencePage { differences, next, bound, receivers_bound })
    }

    /// What differs for a key at all handlers, and the plan for it. At most `values_max` values of the state are read for each.
    ///
    /// # Errors
    /// There is no such replay, or it is not computed yet.
    pub async fn differences_of_key(
        &self,
        id: PlanId,
        key: &str,
        values_max: usize,
    ) -> Result<KeyDifferences, Refusal> {
        let plan = self.plan(id, None).await?;
        let through = self.what_if(id).await?.request.through;
        let (look, key, scan) = (self.history().look(), key.to_owned(), self.0.queries.scan().await?);
        blocking(move || {
            let _scan = scan;
            let examination = &plan.computed.examination;
            let of_key = examination.index.handlers().filter_map(|handler| {
                let lane = (handler.clone(), key.clone());
                Some((handler, examination.cascade.get(&lane)?))
            });
            let lanes = of_key.map(|(handler, examined)| {
                let names = examined.lane.state().keys().take(values_max);
                let value = |name: &String| Ok((name.clone(), look.value_before(handler, &key, name, through.next())?));
                let recorded = names.map(value).collect::<Result<_, Refusal>>()?;
                Ok(KeyLane { handler: handler.clone(), examined: Arc::clone(examined), recorded })
            });
            let lanes = lanes.collect::<Result<Vec<_>, Refusal>>()?;
            Ok(KeyDifferences { lanes, plan })
        })
        .await?
    }

    /// The plan. `receiver`: that of a receiver, if it is folded again.
    ///
    /// # Errors
    /// There is no such replay, or it is not computed yet.
    pub async fn plan(&self, id: PlanId, receiver: Option<HandlerName>) -> Result<ReadPlan, Refusal> {
        Ok(ReadPlan { computed: self.computed(id).await?, receiver, now_ms: self.0.clock.now_ms() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_behind_a_key() {
        let name = |name: &str| name.parse::<HandlerName>().expect("a name");
        let plan = |key: &str| KeyPlan { key: key.into(), ..KeyPlan::default() };
        let mut computed = Computed::nothing(0);
        computed.plans = ["a", "b", "c"].map(|key| (key.to_owned(), plan(key))).into();
        let receivers = [("r", ""), ("r", "a"), ("r", "z"), ("s", "b")];
        computed.receivers = receivers.map(|(handler, key)| ((name(handler), key.to_owned()), plan(key))).into();
        let computed = Arc::new(computed);
        let read = |receiver: Option<&str>| ReadPlan {
            computed: Arc::clone(&computed),
            receiver: receiver.map(name),
            now_ms: 0,
        };
        let behind = |receiver, after: Option<&str>| {
            read(receiver).behind(after).map(|plan| plan.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            (behind(None, None), behind(None, Some("a"))),
            (vec!["a".into(), "b".into(), "c".into()], vec!["b".into(), "c".into()])
        );
        assert_eq!(behind(None, Some("c")), Vec::<String>::new());
        assert_eq!(
            (behind(Some("r"), None), behind(Some("r"), Some(""))),
            (vec![String::new(), "a".into(), "z".into()], vec!["a".into(), "z".into()])
        );
        assert_eq!((behind(Some("s"), Some("a")), behind(Some("t"), None)), (vec!["b".into()], Vec::new()));
        assert_eq!(read(None).receivers(), [name("r"), name("s")]);
        assert!(read(None).of_key("b").is_some() && read(Some("r")).of_key("b").is_none());
    }
}
