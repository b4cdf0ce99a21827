//! `kill -9` during what-ifs, approvals, applications and undos: each goes on after the start or is cleanly absent, and its effect is there
//! exactly once, beside live events of the same keys. `WEIRGATE_CRASH_ROUNDS` sets the number of rounds, `WEIRGATE_CRASH_SEED` repeats a run.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use weirgate_crash::Chance;
use weirgate_tests::{
    Answer, Client, Server, Setup,
    activation::{all_members, forgetful, keys, of_organisation, registered, version},
    eventually,
};

const ROUNDS: u64 = 12;
const PATIENCE: Duration = Duration::from_mins(1);
/// Organisations of a round; every second one is activated.
const ORGANISATIONS: usize = 16;

/// What a round interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    WhatIf,
    Approve,
    Apply,
    Undo,
    ApproveUndo,
    ApplyUndo,
}

const STEPS: [Step; 6] = [Step::WhatIf, Step::Approve, Step::Apply, Step::Undo, Step::ApproveUndo, Step::ApplyUndo];

/// When the server is killed.
enum Moment {
    /// This long after the request was sent.
    After(Duration),
    /// Once this many keys are repaired.
    Repaired(u64),
}

/// What was found of the interrupted step after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Absent,
    /// The server was killed before all keys were repaired.
    UnderWay,
    Done,
}

/// A round: its organisations, and the step that is interrupted.
struct Round<'a> {
    server: &'a mut Server,
    chance: &'a mut Chance,
    number: usize,
    interrupted: Step,
    /// How many keys were repaired when the server was killed.
    repaired: u64,
    found: Option<Found>,
}

impl Round<'_> {
    fn client(&self) -> Client {
        self.server.client.clone()
    }

    fn organisations(&self) -> std::ops::Range<usize> {
        self.number * ORGANISATIONS..(self.number + 1) * ORGANISATIONS
    }

    /// Those that were activated.
    fn activated(&self) -> impl Iterator<Item = usize> {
        self.organisations().filter(|n| n % 2 == 1)
    }

    /// Makes a step's request. If it is the round's, the server is killed meanwhile and started again; `None` if there was no answer.
    async fn request(&mut self, step: Step, path: &str, body: &Value) -> Option<Answer> {
        let client = self.client();
        if step != self.interrupted || self.found.is_some() {
            return Some(client.ask(path, body).await);
        }
        let request = client.request("POST".parse().expect("a method"), path);
        let request = request.header("content-type", "application/json").body(body.to_string());
        let (sender, mut sent) = (client.clone(), JoinSet::new());
        sent.spawn(async move { sender.attempt(request).await });
        match self.moment(step) {
            Moment::After(time) => sleep(time).await,
            Moment::Repaired(keys) => self.repaired = repaired(&client, path, keys).await,
        }
        self.server.kill9();
        let answer = sent.join_next().await.expect("a request").expect("no panic");
        self.server.start().await;
        answer
    }

    /// Requests are answered at once; what an application begins goes on key by key.
    fn moment(&mut self, step: Step) -> Moment {
        let is_application = matches!(step, Step::Apply | Step::ApplyUndo);
        if is_application && !self.chance.one_in(3) {
            return Moment::Repaired(self.chance.between(0, ORGANISATIONS as u64 - 1));
        }
        let most = if step == Step::WhatIf && self.chance.one_in(2) { 60 } else { 5 };
        Moment::After(self.chance.millis(0, most))
    }

    /// Notes whether the interrupted step is there. What was acknowledged is.
    fn note(&mut self, step: Step, answer: Option<&Answer>, is_there: bool) {
        if step == self.interrupted && self.found.is_none() {
            let is_acknowledged = answer.is_some_and(|answer| (200..300).contains(&answer.status));
            assert!(is_there || !is_acknowledged, "round {}: {step:?} was acknowledged and is absent", self.number);
            let is_application = matches!(step, Step::Apply | Step::ApplyUndo);
            self.found = Some(match is_there {
                false => Found::Absent,
                true if is_application && self.repaired < ORGANISATIONS as u64 => Found::UnderWay,
                true => Found::Done,
            });
        }
    }

    /// The defect has left its traces in the round's organisations, and is fixed. Returns the position after which their events are.
    async fn prepare(&self, digest: &Value) -> Value {
        let client = self.client();
        let head = client.get("/v1/events?limit=1").await.ok()["head"].clone();
        client.redeploy(&patient(true), digest).await.ok();
        let events: Vec<_> = self.organisations().flat_map(story).collect();
        client.publish(&events).await.ok();
        client.drained(PATIENCE).await;
        client.redeploy(&patient(false), digest).await.ok();
        head
    }

    /// Asks, and returns the computed replay.
    async fn ask(&mut self, after: &Value) -> Value {
        let keys: Vec<_> = self.organisations().map(|n| format!("org/{n}")).collect();
        let request = json!({ "handler": "activation", "selection": { "keys": keys, "after": after } });
        let before = newest(&self.client()).await;
        let answer = self.request(Step::WhatIf, "/v1/replays", &request).await;
        let newest = newest(&self.client()).await;
        self.note(Step::WhatIf, answer.as_ref(), newest != before);
        let id = match newest == before {
            true => self.client().ask("/v1/replays", &request).await.ok()["id"].clone(),
            false => newest,
        };
        self.client().computed(id.as_str().expect("an id")).await
    }

    /// Approves the plan; it has the same digest after a start.
    async fn approve(&mut self, step: Step, id: &str, plan: &Value) {
        let (path, body) =
            (format!("/v1/replays/{id}/approve"), json!({ "plan": plan, "actor": "ada", "reason": "they wait" }));
        let answer = self.request(step, &path, &body).await;
        let replay = self.client().computed(id).await;
        assert_eq!(replay["found"]["plan"], *plan, "it is computed again, and comes to the same: {replay:#}");
        let is_there = replay["state"] == "approved";
        self.note(step, answer.as_ref(), is_there);
        if !is_there {
            self.client().ask(&path, &body).await.ok();
        }
    }

    /// Applies it. Once that is durable it goes on after a start by itself; before that it is absent, and can be asked for again.
    async fn apply(&mut self, step: Step, id: &str, ends: &str) -> Value {
        let path = format!("/v1/replays/{id}/apply");
        let is_interrupted = step == self.interrupted;
        let answer = self.request(step, &path, &json!({})).await;
        let is_there = !is_interrupted || self.client().replay(id).await["state"] != "approved";
        self.note(step, answer.as_ref(), is_there);
        if !is_there {
            self.client().computed(id).await;
            self.client().ask(&path, &json!({})).await.ok();
        }
        let ended = self.client().replay_is(id, ends).await;
        self.client().drained(PATIENCE).await;
        ended
    }

    async fn undo(&mut self, id: &str) -> Value {
        let (path, body) = (format!("/v1/replays/{id}/undo"), json!({ "actor": "eva", "reason": "it was ours" }));
        let answer = self.request(Step::Undo, &path, &body).await;
        let found = self.client().get(&format!("/v1/replays/{id}-undo")).await;
        let is_there = found.status == 200;
        self.note(Step::Undo, answer.as_ref(), is_there);
        if !is_there {
            found.is_problem(409, "undo-not-requested");
            self.client().ask(&path, &body).await;
        }
        let undo = self.client().computed(&format!("{id}-undo")).await;
        assert_eq!((&undo["actor"], &undo["reason"]), (&body["actor"], &body["reason"]), "{undo:#}");
        undo
    }

    /// A member registers while the server may be down.
    async fn register(&self, organisation: usize, member: &str) {
        let event = registered(organisation, member);
        let client = self.client();
        eventually("a member to be registered", PATIENCE, async || {
            match client.try_publish(std::slice::from_ref(&event)).await {
                Some(answer) if answer.status == 202 => Ok(()),
                answer => Err(answer.map(|answer| answer.text)),
            }
        })
        .await;
    }

    /// The members of the round, and the state that each early one's status has.
    async fn is(&self, state: &str, members: &[String]) {
        let client = self.client();
        let mut found: Vec<_> = keys(&client).await.into_iter().filter(|member| self.has(member)).collect();
        found.sort();
        assert_eq!(
            found, members,
            "round {}, {:?} interrupted: each member has one key",
            self.number, self.interrupted
        );
        for n in self.activated() {
            let part = client.status(&format!("member/early-{n}")).await["parts"]["activation"].clone();
            assert_eq!(part["state"], state, "round {}: early-{n}: {part}", self.number);
        }
    }

    /// Whether a member is of an organisation of the round.
    fn has(&self, member: &str) -> bool {
        let number = member.rsplit('-').next().and_then(|number| number.parse().ok());
        number.is_some_and(|number: usize| self.organisations().contains(&number))
    }

    async fn run(&mut self, digest: &Value) {
        let after = self.prepare(digest).await;
        let asked = self.ask(&after).await;
        let (id, planned) = (asked["id"].as_str().expect("an id").to_owned(), asked["found"]["planned_keys"].clone());
        assert_eq!(planned, ORGANISATIONS, "{asked:#}");
        self.approve(Step::Approve, &id, &asked["found"]["plan"]).await;
        let first = self.activated().next().expect("one");
        self.register(first, &format!("during-{first}")).await;
        let applied = self.apply(Step::Apply, &id, "applied").await;
        assert_eq!(applied["repaired"], ORGANISATIONS, "{applied:#}");
        let of_round = |member: &String| self.has(member);
        let mut members: Vec<_> = all_members(self.organisations().end).into_iter().filter(of_round).collect();
        members.push(format!("during-{first}"));
        members.sort();
        self.is("active", &members).await;
        let again = self.client().ask(&format!("/v1/replays/{id}/apply"), &json!({})).await;
        assert_eq!((again.status, &again.json["state"]), (202, &json!("applied")), "twice is once: {}", again.text);

        let undo = self.undo(&id).await;
        let undo_id = undo["id"].as_str().expect("an id").to_owned();
        assert_eq!(undo["found"]["planned_keys"], ORGANISATIONS, "{undo:#}");
        self.approve(Step::ApproveUndo, &undo_id, &undo["found"]["plan"]).await;
        let undone = self.apply(Step::ApplyUndo, &undo_id, "undone").await;
        assert_eq!(undone["repaired"], ORGANISATIONS, "{undone:#}");
        self.is("registered", &members).await;
    }
}

/// A version that tries again: a kill may interrupt its attempts.
fn patient(forgets: bool) -> Value {
    let mut manifest = version(forgets);
    manifest["retry"] = json!([{ "attempts": 5, "first_delay_ms": 10 }]);
    manifest
}

/// An early member, the activation of every second organisation, a late member.
fn story(n: usize) -> Vec<Value> {
    let activated = of_organisation("organisation.activated", n, &format!("activated-{n}"), &json!({}));
    let activated = (n % 2 == 1).then_some(activated);
    let [early, late] = ["early", "late"].map(|name| registered(n, &format!("{name}-{n}")));
    [Some(early), activated, Some(late)].into_iter().flatten().collect()
}

/// Waits until an application has repaired this number of keys, or has ended. Returns their number.
async fn repaired(client: &Client, path: &str, keys: u64) -> u64 {
    let path = path.strip_suffix("/apply").expect("an application");
    let since = Instant::now();
    loop {
        let replay = client.get(path).await.ok();
        let repaired = replay["repaired"].as_u64().expect("a number");
        let is_over = replay["state"] == "applied" || replay["state"] == "undone";
        if repaired >= keys && replay["state"] != "approved" || is_over {
            return repaired;
        }
        assert!(since.elapsed() < PATIENCE, "{replay:#}");
        sleep(Duration::from_millis(1)).await;
    }
}

/// The id of the newest replay.
async fn newest(client: &Client) -> Value {
    client.get("/v1/replays?limit=1").await.ok()["replays"][0]["id"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_kill_9_interrupts_goes_on_or_is_absent() {
    let rounds = std::env::var("WEIRGATE_CRASH_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().expect("a number"));
    let (mut chance, _) = Chance::announced("replays");
    let mut server = Setup::new().start().await;
    let digest = forgetful(&server.client, 0).await;
    let mut all = STEPS.map(|step| (step, [0; 3]));
    for number in 0..usize::try_from(rounds).expect("a number") {
        let (step, counts) = &mut all[number % STEPS.len()];
        let interrupted = *step;
        let mut round =
            Round { server: &mut server, chance: &mut chance, number, interrupted, repaired: 0, found: None };
        round.run(&digest).await;
        counts[round.found.expect("it was interrupted") as usize] += 1;
    }
    let counts = all.map(|(step, [absent, under_way, done])| {
        format!("{step:?} {absent} absent, {under_way} under way, {done} done")
    });
    eprintln!("replays: {rounds} interrupted by kill -9: {}", counts.join("; "));
}
