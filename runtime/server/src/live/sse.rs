//! The same stream as server-sent events, for clients without WebSockets. A connection holds one message: the next one is looked up
//! when the socket has taken the last, so a client that does not read costs the memory of one, however many subjects it follows.

use std::{collections::VecDeque, convert::Infallible, sync::Arc};

use axum::{
    http::{HeaderMap, StatusCode},
    response::sse::{Event, KeepAlive, Sse},
};
use futures_util::Stream;
use weirgate_engine::{ChangedSubject, Grant, Watch};
use weirgate_types::{Epoch, Position};

use super::{
    SUBJECTS_MAX, check_subject,
    frames::{self, Wanted},
};
use crate::{Problem, admission::hold, app::App, slot::ConnectionSlot};

struct Events {
    app: App,
    watch: Watch,
    /// The subjects in the order of the query, which is the order of the versions in an event's id.
    subjects: Vec<Wanted>,
    /// The subjects that are not answered yet.
    unanswered: VecDeque<Wanted>,
    changed: VecDeque<ChangedSubject>,
    /// The budget's bytes for the subjects.
    _held: Vec<Grant>,
    /// The first message, which waits for the stream to begin.
    first: Option<Event>,
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
    let held = subjects.iter().map(|wanted| take(&app, wanted)).collect::<Result<Vec<_>, _>>()?;
    let keep_alive = KeepAlive::new().interval(app.options.heartbeat);
    let watch = Watch::new(Arc::clone(app.engine.hub()));
    let (unanswered, changed) = (subjects.iter().cloned().collect(), VecDeque::new());
    let mut events = Events { app, watch, subjects, unanswered, changed, _held: held, first: None, _slot: slot };
    // While no byte is sent, a view that cannot be read is still told by a status.
    events.first = events.answer().await?;
    let stream = futures_util::stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok(event), events))
    });
    Ok(Sse::new(stream).keep_alive(keep_alive))
}

/// The budget's bytes for a subject.
fn take(app: &App, wanted: &Wanted) -> Result<Grant, Problem> {
    check_subject(&wanted.subject)?;
    hold(&app.engine, &wanted.subject).ok_or_else(|| {
        let detail = "the budget for watched subjects is used up; try again later";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "over-budget", detail).retry_after(5)
    })
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
    /// Begins to watch the next subject, and says what the client does not have of it; `None` if all are answered.
    async fn answer(&mut self) -> Result<Option<Event>, Problem> {
        let Some(wanted) = self.unanswered.pop_front() else { return Ok(None) };
        let epoch = self.app.engine.epoch();
        let document = self.watch.add(&wanted.subject).await?;
        Ok(Some(self.event(&frames::answer(&wanted.subject, epoch, &document, wanted.seen(epoch)))))
    }

    /// The next message; `None` when the stream ends: the server stops, or a view cannot be read. The client comes back with the id of
    /// the last one.
    async fn next(&mut self) -> Option<Event> {
        let event = match self.first.take() {
            Some(first) => first,
            None => match self.answer().await.ok()? {
                Some(answer) => answer,
                None => self.news().await?,
            },
        };
        self.app.engine.metrics().live_messages.inc();
        Some(event)
    }

    /// The next change; `None` when the server stops.
    async fn news(&mut self) -> Option<Event> {
        loop {
            // One subject at a time, so that an id never covers changes that come after its event.
            while let Some(changed) = self.changed.pop_front() {
                if let Some((subject, shared)) = self.watch.news_of(changed) {
                    return Some(self.event(&frames::shared_delta(&subject, &shared)));
                }
            }
            self.changed = tokio::select! {
                changed = self.watch.changed() => changed,
                () = self.app.stopped() => return None,
            };
        }
    }

    /// An event whose id contains the version of each subject that the client has.
    fn event(&self, data: &str) -> Event {
        let epoch = self.app.engine.epoch();
        Event::default().id(id(epoch, &self.subjects, &self.watch)).data(data)
    }
}

/// The versions that were sent. Of a subject that is not answered yet, the one that the client had; empty if it had none.
fn id(epoch: Epoch, subjects: &[Wanted], watch: &Watch) -> String {
    let version = |wanted: &Wanted| watch.version(&wanted.subject).or_else(|| wanted.seen(epoch));
    let versions =
        subjects.iter().map(|wanted| version(wanted).map_or_else(String::new, |version| version.to_string()));
    format!("{epoch}:{}", versions.collect::<Vec<_>>().join(","))
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
        for unknown in ["e:3,x", "e:3,"] {
            assert_eq!(wanted(twice, unknown), [seen("a", Some(3)), seen("b/1", None)], "{unknown}");
        }
        for id in ["", "e", "e:", "e:3", "e:3,5,3", ":"] {
            assert_eq!(wanted(twice, id), [unseen("a"), unseen("b/1")], "{id}");
        }
        let many = vec!["subject=a"; 129].join("&");
        assert_eq!(wanted(&many, "e:7"), [seen("a", Some(7))]);
        assert!(wanted("", "e:7").is_empty());
    }
}
