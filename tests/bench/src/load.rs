//! The loads, and how each is driven. Knows nothing of the measured system.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::{task::JoinSet, time::timeout};

use crate::{clock, events, http::Http, ledger::Ledger, watch::Watchers};

/// Number of events per request of a batch load.
const BATCH_EVENTS: usize = 16;
/// A load that takes longer than this is stuck.
const PATIENCE: Duration = Duration::from_mins(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// Keeps this many events in flight; the next is sent when one is done.
    Closed { in_flight: usize },
    /// The same, with several events per request.
    Batched { in_flight: usize },
    /// Sends this many per second, whatever their results.
    Open { per_s: u32 },
}

/// What drives a load.
pub struct Driver<'a> {
    pub http: &'a Http,
    pub ledger: &'a Ledger,
    pub watchers: &'a mut Watchers,
}

type Requests = JoinSet<Result<()>>;

struct Closed {
    in_flight: usize,
    /// Events per request.
    at_once: usize,
    count: usize,
}

struct Open {
    per_s: u32,
    count: usize,
}

impl Driver<'_> {
    /// Sends `count` events and waits until all are done.
    ///
    /// # Errors
    /// An event is refused, a connection ends, or it takes too long.
    pub async fn drive(&mut self, load: Load, count: usize) -> Result<()> {
        let Self { http, ledger, watchers } = self;
        let work = async {
            let mut requests = Requests::new();
            match load {
                Load::Closed { in_flight } => {
                    closed(http, ledger, &mut requests, Closed { in_flight, at_once: 1, count }).await?;
                }
                Load::Batched { in_flight } => {
                    closed(http, ledger, &mut requests, Closed { in_flight, at_once: BATCH_EVENTS, count }).await?;
                }
                Load::Open { per_s } => open(http, ledger, &mut requests, Open { per_s, count }).await?,
            }
            open_at_most(ledger, &mut requests, 0).await?;
            requests.join_all().await.into_iter().collect()
        };
        tokio::select! {
            done = timeout(PATIENCE, work) => done.with_context(|| format!("{load} did not end in {PATIENCE:?}"))?,
            reason = watchers.ended() => Err(reason),
        }
    }
}

async fn closed(http: &Http, ledger: &Ledger, requests: &mut Requests, load: Closed) -> Result<()> {
    let Closed { in_flight, at_once, count } = load;
    let mut left = count;
    while left > 0 {
        let batch = at_once.min(left);
        open_at_most(ledger, requests, in_flight.saturating_sub(batch)).await?;
        send(http, ledger, requests, batch, clock::now());
        left -= batch;
    }
    Ok(())
}

async fn open(http: &Http, ledger: &Ledger, requests: &mut Requests, load: Open) -> Result<()> {
    let Open { per_s, count } = load;
    let mut ticks = clock::ticks(count, Duration::from_secs(1) / per_s.max(1))?;
    while let Some(due) = ticks.recv().await {
        // Measured from the scheduled send time: a late driver or server does not get better figures.
        send(http, ledger, requests, 1, due);
        answered(requests)?;
    }
    Ok(())
}

/// Waits until at most `most` events are open. Fails as soon as a request fails.
async fn open_at_most(ledger: &Ledger, requests: &mut Requests, most: usize) -> Result<()> {
    answered(requests)?;
    loop {
        tokio::select! {
            () = ledger.open_at_most(most) => return Ok(()),
            Some(answer) = requests.join_next() => answer??,
        }
    }
}

fn answered(requests: &mut Requests) -> Result<()> {
    while let Some(answer) = requests.try_join_next() {
        answer??;
    }
    Ok(())
}

fn send(http: &Http, ledger: &Ledger, requests: &mut Requests, count: usize, at: Instant) {
    let mut written = Vec::with_capacity(count);
    for _ in 0..count {
        let (seq, key) = ledger.send(at);
        written.push(events::event(seq, key));
    }
    let (content_type, body) = match <[String; 1]>::try_from(written) {
        Ok([one]) => (events::ONE, one),
        Err(many) => (events::BATCH, events::batch(&many)),
    };
    let http = http.clone();
    requests.spawn(async move { http.post("/v1/events", content_type, Bytes::from(body)).await.map(drop) });
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed { in_flight } => write!(f, "closed-{in_flight}"),
            Self::Batched { in_flight } => write!(f, "batch-{in_flight}"),
            Self::Open { per_s } => write!(f, "open-{per_s}"),
        }
    }
}

impl FromStr for Load {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (kind, number) =
            text.split_once('-').with_context(|| format!("no load is called {text}; say closed-64"))?;
        let number: u32 = number.parse().with_context(|| format!("{text} ends in no number"))?;
        if number == 0 {
            bail!("{text} does nothing");
        }
        let in_flight = usize::try_from(number)?;
        match kind {
            "closed" => Ok(Self::Closed { in_flight }),
            "batch" => Ok(Self::Batched { in_flight }),
            "open" => Ok(Self::Open { per_s: number }),
            _ => bail!("no load is called {text}; say closed-64, batch-256 or open-200"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read_as_they_are_written() {
        for load in [Load::Closed { in_flight: 64 }, Load::Batched { in_flight: 256 }, Load::Open { per_s: 200 }] {
            assert_eq!(load.to_string().parse::<Load>().expect("a load"), load);
        }
        for wrong in ["closed", "closed-x", "open-0", "half-3"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }
}
