//! What a connection does by the clock: heartbeats, pings, and giving up a peer that reads nothing or does not answer.
//! Decides only; the time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use super::close::Close;

/// A client that accepts no bytes for this long is disconnected, with a close code that tells it to reconnect.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A late answer may have arrived while a busy server did not look, or did not receive because it could not write. It gets
/// this long to be seen.
const LATE_TIMEOUT: Duration = Duration::from_secs(1);

/// The intervals of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Intervals {
    /// The longest time without a text for the client.
    pub heartbeat: Duration,
    /// From the answer to a ping to the next ping.
    pub ping: Duration,
    /// From a ping to its answer.
    pub pong_timeout: Duration,
}

#[derive(Debug)]
pub struct Timers {
    intervals: Intervals,
    heartbeat_at: Instant,
    /// When the next ping is due, or when the answer to the last one is.
    ping_at: Instant,
    answer: Answer,
    /// Number of pings, which is also the payload of the last one.
    pings: u64,
    written_at: Instant,
}

/// The answer to the last ping.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Received,
    Awaited,
    Late,
}

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub enum Due {
    Heartbeat,
    Ping([u8; 8]),
}

impl Timers {
    pub fn new(intervals: Intervals, now: Instant) -> Self {
        let (heartbeat_at, ping_at) = (now + intervals.heartbeat, now + intervals.ping);
        Self { intervals, heartbeat_at, ping_at, answer: Answer::Received, pings: 0, written_at: now }
    }

    /// When `due` is to be asked next. While the writer is busy nothing is sent, and while no message is received no answer
    /// can arrive; the first always ends the second.
    pub fn next(&self, is_idle: bool) -> Instant {
        if is_idle { self.heartbeat_at.min(self.ping_at) } else { self.written_at + WRITE_TIMEOUT }
    }

    /// What is due now.
    pub fn due(&mut self, is_idle: bool, now: Instant) -> Result<Option<Due>, Close> {
        if !is_idle {
            return if now >= self.written_at + WRITE_TIMEOUT { Err(Close::slow()) } else { Ok(None) };
        }
        if now >= self.ping_at {
            match self.answer {
                Answer::Received => {
                    self.pings += 1;
                    (self.answer, self.ping_at) = (Answer::Awaited, now + self.intervals.pong_timeout);
                    return Ok(Some(Due::Ping(self.pings.to_be_bytes())));
                }
                Answer::Awaited => (self.answer, self.ping_at) = (Answer::Late, now + LATE_TIMEOUT),
                Answer::Late => return Err(Close::silent()),
            }
        }
        Ok((now >= self.heartbeat_at).then_some(Due::Heartbeat))
    }

    /// A text was queued for the client.
    pub fn texted(&mut self, now: Instant) {
        self.heartbeat_at = now + self.intervals.heartbeat;
    }

    /// The socket accepted bytes, or got the first ones after a pause.
    pub fn wrote(&mut self, now: Instant) {
        self.written_at = now;
    }

    /// A pong arrived. One that answers no ping of ours says nothing.
    pub fn answered(&mut self, payload: &[u8], now: Instant) {
        if self.answer != Answer::Received && payload == self.pings.to_be_bytes() {
            (self.answer, self.ping_at) = (Answer::Received, now + self.intervals.ping);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVALS: Intervals = Intervals { heartbeat: ms(40), ping: ms(100), pong_timeout: ms(30) };

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn timers() -> (Timers, Instant) {
        let now = Instant::now();
        (Timers::new(INTERVALS, now), now)
    }

    #[test]
    fn a_heartbeat_is_due_after_silence_only() {
        let (mut timers, start) = timers();
        timers.texted(start + ms(30));
        assert_eq!(timers.next(true), start + ms(70));
        assert_eq!(timers.due(true, start + ms(69)), Ok(None));
        assert_eq!(timers.due(true, start + ms(70)), Ok(Some(Due::Heartbeat)));
    }

    #[test]
    fn a_peer_that_answers_each_ping_stays_and_another_does_not() {
        let (mut timers, start) = timers();
        let mut now = start;
        for ping in 1..=3_u64 {
            now += ms(100);
            timers.texted(now);
            assert_eq!(timers.due(true, now), Ok(Some(Due::Ping(ping.to_be_bytes()))));
            if ping == 2 {
                now += ms(30);
                assert_eq!(timers.due(true, now), Ok(None), "a late answer counts");
            }
            timers.answered(&ping.to_be_bytes(), now);
        }
        now += ms(100);
        timers.texted(now + ms(2_000));
        assert!(matches!(timers.due(true, now), Ok(Some(Due::Ping(_)))));
        // Neither an old answer nor an unsolicited one counts.
        timers.answered(&3_u64.to_be_bytes(), now);
        timers.answered(b"", now);
        assert_eq!(timers.due(true, now + ms(29)), Ok(None));
        assert_eq!(timers.due(true, now + ms(30)), Ok(None), "it may have arrived");
        assert_eq!(timers.due(true, now + ms(30) + LATE_TIMEOUT), Err(Close::silent()));
    }

    #[test]
    fn a_peer_that_reads_nothing_is_slow_and_one_that_reads_a_little_is_not() {
        let (mut timers, start) = timers();
        assert_eq!(timers.next(false), start + WRITE_TIMEOUT);
        timers.wrote(start + ms(9_000));
        assert_eq!(timers.due(false, start + ms(18_999)), Ok(None));
        assert_eq!(timers.due(false, start + ms(19_000)), Err(Close::slow()));
    }
}
