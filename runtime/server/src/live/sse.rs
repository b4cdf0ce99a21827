//! The same stream as server-sent events, for clients without WebSockets.

use std::{collections::BTreeSet, convert::Infallible, sync::Arc};

use axum::{
    http::{HeaderMap, StatusCode},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::Stream;
use weirgate_engine::{Grant, Watch};
use weirgate_types::Position;

use super::{
    SUBJECTS_MAX, check_subject,
    frames::{self, Wanted},
};
use crate::{Problem, admission::hold, app::App, slot::ConnectionSlot};

struct Events {
    app: App,
    watch: Watch,
    /// The subjects in the order of the query, which is the order of the versions in an event's id.
    subjects: Vec<String>,
    changed: BTreeSet<Arc<str>>,
    /// The budget's bytes for the subjects.
    held: Vec<Grant>,
    /// Messages to send, the first of them last.
    ready: Vec<Event>,
    _slot: ConnectionSlot,
}

/// Follows the subjects named in the query, starting at `Last-Event-ID`.
pub async fn stream(
    app: App,
    slot: ConnectionSlot,
    query: &str,
    headers: &HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Problem> {
    let subjects = wanted(query, headers.get("last-event-id").and_then(|id| id.to_str().ok()).unwrap_or_default());
    if subjects.is_empty() || subjects.len() > SUBJECTS_MAX {
        let detail = format!("name 1 to {SUBJECTS_MAX} subjects: ?subject=order/o-1");
        return Err(Problem::bad_request("bad-query", detail));
    }
    let keep_alive = KeepAlive::new().interval(app.options.heartbeat);
    let watch = Watch::new(Arc::clone(app.engine.hub()));
    let (subjects_followed, changed, held, ready) = (Vec::new(), BTreeSet::new(), Vec::new(), Vec::new());
    let mut events = Events { app, watch, subjects: subjects_followed, changed, held, ready, _slot: slot };
    for wanted in &subjects {
        events.follow(wanted).await?;
    }
    events.ready.reverse();
    let stream = futures_util::stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok(event), events))
    });
    Ok(Sse::new(stream).keep_alive(keep_alive))
}

/// The subjects of the query, each once. The last event's id has the versions in the same order; one of another list of
/// subjects says nothing.
fn wanted(query: &str, last_id: &str) -> Vec<Wanted> {
    let named = form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "subject");
    let named = named.map(|(_, subject)| Wanted { subject: subject.into_owned(), epoch: None, version: None });
    let mut subjects = frames::distinct(named.collect());
    let (epoch, versions) = last_id.split_once(':').unwrap_or_default();
    if versions.split(',').count() == subjects.len() {
        for (wanted, version) in subjects.iter_mut().zip(versions.split(',')) {
            (wanted.epoch, wanted.version) = (Some(epoch.to_owned()), version.parse().map(Position).ok());
        }
    }
    subjects
}

impl Events {
    async fn follow(&mut self, wanted: &Wanted) -> Result<(), Problem> {
        let epoch = self.app.engine.epoch();
        check_subject(&wanted.subject)?;
        let over_budget = || {
            let detail = "the budget for watched subjects is used up; try again later";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(5)
        };
        self.held.push(hold(&self.app.engine, &wanted.subject).ok_or_else(over_budget)?);
        let document = self.watch.add(&wanted.subject).await?;
        self.subjects.push(wanted.subject.clone());
        let answer = frames::answer(&wanted.subject, epoch, &document, wanted.seen(epoch));
        self.ready.push(self.event(&answer));
        Ok(())
    }

    /// The next message; `None` when the server stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop() {
                self.app.engine.metrics().live_messages.inc();
                return Some(event);
            }
            // One subject at a time, so that an id never covers changes that come after its event.
            while let Some(subject) = self.changed.pop_first() {
                let Some(shared) = self.watch.news(&subject) else { continue };
                self.app.engine.metrics().live_messages.inc();
                return Some(self.event(&frames::shared_delta(&subject, &shared)));
            }
            self.changed = tokio::select! {
                changed = self.watch.changed() => changed,
                () = self.app.stopped() => return None,
            };
        }
    }

    /// An event whose id contains the sent version of each subject.
    fn event(&self, data: &str) -> Event {
        let versions = self.subjects.iter().filter_map(|subject| self.watch.version(subject));
        let versions: Vec<_> = versions.map(|version| version.to_string()).collect();
        Event::default().id(format!("{}:{}", self.app.engine.epoch(), versions.join(","))).data(data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_counts_once_and_an_id_of_other_subjects_says_nothing() {
        let wanted = |query, id| {
            let subjects = wanted(query, id).into_iter();
            subjects.map(|one| (one.subject, one.epoch, one.version.map(|version| version.0))).collect::<Vec<_>>()
        };
        let seen = |subject: &str, version| (subject.to_owned(), Some("e".to_owned()), version);
        let unseen = |subject: &str| (subject.to_owned(), None, None);
        let twice = "subject=a&subject=b%2F1&other=x&subject=a";
        assert_eq!(wanted(twice, "e:3,5"), [seen("a", Some(3)), seen("b/1", Some(5))]);
        assert_eq!(wanted(twice, "e:3,x"), [seen("a", Some(3)), seen("b/1", None)]);
        for id in ["", "e", "e:", "e:3", "e:3,5,3", ":"] {
            assert_eq!(wanted(twice, id), [unseen("a"), unseen("b/1")], "{id}");
        }
        let many = vec!["subject=a"; 129].join("&");
        assert_eq!(wanted(&many, "e:7"), [seen("a", Some(7))]);
        assert!(wanted("", "e:7").is_empty());
    }
}
