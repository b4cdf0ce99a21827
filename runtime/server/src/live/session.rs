//! One WebSocket connection. It keeps no queue of messages: only which of its subjects have changed, and the version of each
//! that was sent last. It receives while it cannot write, so a close or a pong is never stuck behind a slow socket, and holds
//! at most one request that waits for the socket.

use std::{
    collections::{HashMap, VecDeque},
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use tokio::time::{Instant, Sleep, sleep_until};
use weirgate_engine::{ChangedSubject, Grant, PlanId, ReplayMark, SharedDelta, Watch};

use super::{
    SUBJECTS_MAX,
    bell::Bell,
    check_subject,
    close::Close,
    follows::Follows,
    frames::{self, Request, Wanted},
    timers::{Due, Intervals, Timers},
    websocket::{self, Ended, Received, SocketReader, SocketWriter},
};
use crate::{Problem, admission::hold, app::App, routes::ReplayItem, slot::ConnectionSlot};

/// Maximum number of pings that wait for the socket.
const PINGS_MAX: usize = 16;

pub struct Session {
    app: App,
    watch: Watch,
    /// The budget's bytes for the watched subjects, by subject.
    held: HashMap<String, Grant>,
    reader: SocketReader,
    writer: SocketWriter,
    timers: Timers,
    /// The subjects of a subscription that are not answered yet.
    wanted: VecDeque<Wanted>,
    /// A message that waits for the socket. Until it is handled no other is received.
    waiting: Option<String>,
    /// The payloads of the client's pings that are not answered yet: the newest ones.
    pings: VecDeque<Vec<u8>>,
    changed: VecDeque<ChangedSubject>,
    follows: Follows,
    /// Whether it may follow replays, as operators do.
    is_own_page: bool,
    slot: ConnectionSlot,
}

/// What a session waits for beside changes of its subjects, and its socket.
struct Rare<'a, S> {
    bell: Arc<Bell>,
    /// Whether the bell rings when there is something to do: the socket has been read, and so on, until they had nothing.
    is_armed: bool,
    /// May go off before anything is due: then it is set again. So what is due later after each message costs no change of the
    /// runtime's timers.
    alarm: Pin<&'a mut Sleep>,
    stopped: Pin<&'a mut S>,
}

impl<'a, S> Rare<'a, S> {
    fn new(alarm: Pin<&'a mut Sleep>, stopped: Pin<&'a mut S>) -> Self {
        Self { bell: Bell::new(Waker::noop()), is_armed: false, alarm, stopped }
    }

    /// Whether the task has to look at them. Called each time that the task waits.
    fn is_due(&mut self, task: &Waker) -> bool {
        if !self.bell.wakes(task) {
            (self.bell, self.is_armed) = (Bell::new(task), false);
        }
        self.bell.has_rung() || !self.is_armed
    }
}

/// The end of a session.
enum End {
    /// The client is gone.
    Gone,
    Close(Close),
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

impl Session {
    pub fn new(
        app: App,
        slot: ConnectionSlot,
        (reader, writer): (SocketReader, SocketWriter),
        is_own_page: bool,
    ) -> Self {
        let options = &app.options;
        let intervals =
            Intervals { heartbeat: options.heartbeat, ping: options.ping_interval, pong_timeout: options.pong_timeout };
        let timers = Timers::new(intervals, Instant::now());
        let watch = Watch::new(Arc::clone(app.engine.hub()));
        let (held, wanted, pings, changed) = (HashMap::new(), VecDeque::new(), VecDeque::new(), VecDeque::new());
        let (waiting, follows) = (None, Follows::default());
        Self { app, watch, held, reader, writer, timers, wanted, waiting, pings, changed, follows, is_own_page, slot }
    }

    pub async fn run(mut self) {
        let heartbeat = self.app.options.heartbeat;
        self.send(&frames::hello(self.app.engine.epoch(), heartbeat.as_millis(), SUBJECTS_MAX));
        let app = self.app.clone();
        let (alarm, stopped) = (pin!(sleep_until(Instant::now())), pin!(app.stopped()));
        let mut rare = Rare::new(alarm, stopped);
        let end = loop {
            if let Err(end) = self.step(&mut rare).await {
                break end;
            }
        };
        let End::Close(close) = end else { return };
        if let Some(word) = close.word {
            self.send(&frames::error(word, &close.reason));
        }
        let Self { reader, mut writer, watch, held, slot, .. } = self;
        writer.close(close.code, &close.reason);
        // The end may take a while; what the client watched and its place are free now.
        drop((watch, held, slot));
        websocket::close(reader, writer, close.is_answered).await;
    }

    async fn step(&mut self, rare: &mut Rare<'_, impl Future<Output = ()>>) -> Result<(), End> {
        self.fill().await?;
        if !self.writer.is_idle() {
            let has_written = self.writer.write_now().await.map_err(|_| End::Gone)?;
            if self.writer.is_idle() {
                return Ok(());
            }
            if has_written {
                self.timers.wrote(Instant::now());
            }
        }
        poll_fn(|context| self.poll_next(context, rare)).await
    }

    /// Waits for something to do. While all that happens are changes, and the socket takes them, nothing else is looked at.
    fn poll_next(
        &mut self,
        context: &Context<'_>,
        rare: &mut Rare<'_, impl Future<Output = ()>>,
    ) -> Poll<Result<(), End>> {
        let has_changed = self.changed.is_empty() && self.watch.poll_changed(context, &mut self.changed).is_ready();
        // Always asked, since the bell forgets.
        let is_due = rare.is_due(context.waker());
        let is_idle = self.writer.is_idle();
        if is_due || !is_idle {
            let done = self.poll_rare(is_idle, rare);
            rare.is_armed = is_idle && done.is_pending();
            if done.is_ready() {
                return done;
            }
        }
        if has_changed { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    /// What is ready all the time, a socket that can be read, comes last.
    fn poll_rare(&mut self, is_idle: bool, rare: &mut Rare<'_, impl Future<Output = ()>>) -> Poll<Result<(), End>> {
        let waker = Waker::from(Arc::clone(&rare.bell));
        let context = &mut Context::from_waker(&waker);
        if rare.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Close::going_away().into()));
        }
        let now = Instant::now();
        let due = self.due_at(is_idle, now);
        // An alarm for what is due already would be set again each time that it rings.
        if due <= now {
            return Poll::Ready(self.send_due(is_idle, now));
        }
        if rare.alarm.is_elapsed() || rare.alarm.deadline() > due {
            rare.alarm.as_mut().reset(due);
        }
        if rare.alarm.as_mut().poll(context).is_ready() {
            return Poll::Ready(self.send_due(is_idle, Instant::now()));
        }
        if !is_idle && let Poll::Ready(written) = self.writer.poll_write(context) {
            self.timers.wrote(Instant::now());
            return Poll::Ready(written.map_err(|_| End::Gone));
        }
        if self.waiting.is_none()
            && let Poll::Ready(received) = self.reader.poll_next(context)
        {
            return Poll::Ready(self.receive(received));
        }
        Poll::Pending
    }

    /// When something is due next.
    fn due_at(&self, is_idle: bool, now: Instant) -> Instant {
        let due = self.timers.next(is_idle);
        if self.follows.is_waiting() { due.min(self.follows.next(now)) } else { due }
    }

    fn receive(&mut self, received: Result<Received, Ended>) -> Result<(), End> {
        match received {
            Ok(Received::Text(text)) => self.waiting = Some(text),
            Ok(Received::Ping(payload)) => self.keep(payload),
            Ok(Received::Pong(payload)) => self.timers.answered(&payload, Instant::now()),
            Ok(Received::Close(code)) => return Err(Close::answer(code).into()),
            Err(Ended::Gone) => return Err(End::Gone),
            Err(Ended::Violated(violation)) => return Err(Close::violated(violation).into()),
        }
        Ok(())
    }

    /// Older pings need no answer (RFC 6455, section 5.5.3), so a client that reads no answers costs no memory.
    fn keep(&mut self, ping: Vec<u8>) {
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back(ping);
    }

    fn send_due(&mut self, is_idle: bool, now: Instant) -> Result<(), End> {
        if self.follows.is_waiting() && now >= self.follows.next(now) {
            self.follows.look(now);
        }
        match self.timers.due(is_idle, now)? {
            Some(Due::Heartbeat) => self.send(&frames::heartbeat()),
            Some(Due::Ping(payload)) => {
                self.timers.wrote(now);
                self.writer.ping(&payload);
            }
            None => {}
        }
        Ok(())
    }

    /// Adds the next message when the socket has accepted the previous one: a change that comes meanwhile is in it.
    async fn fill(&mut self) -> Result<(), Close> {
        if self.writer.is_idle() && !self.pings.is_empty() {
            self.timers.wrote(Instant::now());
            self.pings.drain(..).for_each(|payload| self.writer.pong(&payload));
        }
        while self.writer.is_idle() {
            if let Some(wanted) = self.wanted.pop_front() {
                self.answer(&wanted).await?;
            } else if let Some(text) = self.waiting.take() {
                self.handle(&text)?;
            } else if let Some(changed) = self.changed.pop_front() {
                if let Some((subject, shared)) = self.watch.news_of(changed) {
                    self.send_shared(&subject, &shared);
                }
            } else if let Some((id, is_new)) = self.follows.pop() {
                // Boxed, because few connections follow a replay, and each would have room for it.
                Box::pin(self.look_at(id, is_new)).await;
            } else {
                break;
            }
        }
        Ok(())
    }

    /// Sends what is new of a replay. The first look begins to compute it; the others take it as it is, if it has changed.
    async fn look_at(&mut self, id: PlanId, is_new: bool) {
        let (frame, mark) = match self.frame_of(id, is_new).await {
            Ok(Some(read)) => read,
            Ok(None) => return,
            Err(problem) if problem.retryable => return,
            Err(problem) => {
                let frame = frames::no_replay(id, &problem);
                self.follows.forget(id);
                return self.send(&frame);
            }
        };
        if self.follows.is_news(id, &frame, mark) {
            self.send(&frame);
        }
    }

    /// The frame of a replay, made beside the async threads, and its mark from before it was read; `None` if it has not changed.
    async fn frame_of(&mut self, id: PlanId, is_new: bool) -> Result<Option<(String, Option<ReplayMark>)>, Problem> {
        let engine = &self.app.engine;
        let (item, mark) = if is_new {
            (engine.what_if(id).await?, None)
        } else {
            let mark = engine.replay_mark(id).await?;
            if !self.follows.has_changed(id, &mark) {
                return Ok(None);
            }
            (engine.what_if_as_it_is(id).await?, Some(mark))
        };
        let made = tokio::task::spawn_blocking(move || frames::replay(&ReplayItem::of(item))).await;
        let frame = made.map_err(|error| Problem::internal("internal", &error))?;
        Ok(Some((frame, mark)))
    }

    fn handle(&mut self, text: &str) -> Result<(), Close> {
        match Request::parse(text).map_err(Close::bad_message)? {
            Request::Subscribe { subjects } => self.subscribe(frames::distinct(subjects)),
            Request::Unsubscribe { subjects } => {
                for subject in subjects {
                    self.watch.remove(&subject);
                    self.held.remove(&subject);
                }
                Ok(())
            }
            Request::Follow { .. } if !self.is_own_page => Err(Close::not_own_page()),
            Request::Follow { replays } => self.follows.add(&replays),
            Request::Unfollow { replays } => {
                self.follows.remove(&replays);
                Ok(())
            }
        }
    }

    fn subscribe(&mut self, subjects: Vec<Wanted>) -> Result<(), Close> {
        let is_new = |wanted: &&Wanted| self.watch.version(&wanted.subject).is_none();
        if self.watch.subjects() + subjects.iter().filter(is_new).count() > SUBJECTS_MAX {
            return Err(Close::too_many_subjects());
        }
        for wanted in &subjects {
            check_subject(&wanted.subject).map_err(|problem| Close::bad_subject(problem.detail))?;
        }
        self.wanted = subjects.into();
        Ok(())
    }

    /// Begins to watch a subject, and sends what the client does not have of it.
    async fn answer(&mut self, wanted: &Wanted) -> Result<(), Close> {
        if !self.held.contains_key(&wanted.subject) {
            let held = hold(&self.app.engine, &wanted.subject).ok_or_else(Close::over_budget)?;
            self.held.insert(wanted.subject.clone(), held);
        }
        let epoch = self.app.engine.epoch();
        let document = self.watch.add(&wanted.subject).await.map_err(|_| Close::internal())?;
        self.send(&frames::answer(&wanted.subject, epoch, &document, wanted.seen(epoch)));
        Ok(())
    }

    fn send(&mut self, text: &str) {
        self.sends();
        self.writer.text(text);
    }

    /// Sends a delta that other connections send as well: one of them encodes it.
    fn send_shared(&mut self, subject: &str, shared: &SharedDelta) {
        self.sends();
        let frame = shared.framed.get_or_init(|| websocket::text_frame(&frames::delta(subject, &shared.delta)));
        self.writer.shared(Arc::clone(frame));
    }

    fn sends(&mut self) {
        let now = Instant::now();
        if self.writer.is_idle() {
            self.timers.wrote(now);
        }
        self.timers.texted(now);
        self.app.engine.metrics().live_messages.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn future_size<F: Future>(_: impl FnOnce(Session) -> F) -> usize {
        size_of::<F>()
    }

    /// An idle connection costs what its task holds, whatever that does at the time: so what is rare is boxed.
    #[test]
    fn the_task_of_a_connection_is_small() {
        let size = future_size(Session::run);
        assert!(size <= 2_600, "{size} bytes");
    }
}
