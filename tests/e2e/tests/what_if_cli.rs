//! Questions and plans on the command line: what is not understood is refused, what differs is all named, and a plan is shown whole.
// JSON that lacks the requested member yields null, and the test reports it.
#![allow(clippy::indexing_slicing)]

use std::time::Duration;

use serde_json::{Value, json};
use weirgate_tests::{Cli, Setup, activation::fixed_too_late, event, manifest};

const PATIENCE: Duration = Duration::from_mins(3);

/// What a command that succeeds prints, whatever progress it tells.
fn printed(cli: &Cli, args: &[&str]) -> String {
    let output = cli.run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn printed_json(cli: &Cli, args: &[&str]) -> Value {
    serde_json::from_str(&printed(cli, &[args, &["--output", "json"]].concat())).expect("JSON")
}

fn last_line(text: &str) -> &str {
    text.lines().last().expect("a line")
}

/// A condition that is not understood selected nothing, and the answer was that nothing differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_condition_is_understood_or_refused() {
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    fixed_too_late(client, 4).await;
    for condition in [r#"/member = "early-1""#, r#"/member="early-1""#, r#"  "/member"  =  "early-1" "#] {
        let asked = client.what_if(&json!({ "handler": "activation", "selection": { "filter": [condition] } })).await;
        assert_eq!(client.planned_keys(asked["id"].as_str().expect("an id")).await, ["org/1"], "{condition}");
    }
    for condition in
        ["/member == \"early-1\"", "/member = early-1", "/member > NaN", "/first name = \"x\"", "/member = \"x"]
    {
        let refused = cli.fails(&["replays", "what-if", "activation", "--wait", "--filter", condition]);
        assert!(refused[0].contains(condition) && refused[0].contains("write for instance /"), "{refused:?}");
    }
    let inverted = ["--since", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"];
    let refused = cli.fails(&[&["replays", "what-if", "activation"], &inverted[..]].concat());
    assert!(refused[0].contains("`until` is not later than `since`"), "{refused:?}");
}

/// Events that only the new version takes are what it changes, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_only_the_new_version_takes_are_affected() {
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let wide = manifest("mender", &["mend.work"]);
    let mut narrow = wide.clone();
    narrow["subscriptions"][0]["source"] = json!("/tests");
    let digest = client.deploy(&narrow, weirgate_guests::build("mender")).await["digest"].clone();
    client.accept(event("mend.work", "taken", "1", &json!({ "n": 1 }))).await;
    let mut left = event("mend.work", "left", "2", &json!({ "n": 1 }));
    left["source"] = json!("/elsewhere");
    client.accept(left).await;
    client.drained(PATIENCE).await;
    client.redeploy(&wide, &digest).await.ok();
    let affected = ["handlers", "affected", "mender", "--between", "1", "2"];
    let text = printed(&cli, &affected);
    assert!(text.contains("left: left: none -> done") && !text.contains("taken"), "{text}");
    let asked = printed_json(&cli, &affected);
    let keys: Vec<_> = asked["differences"].as_array().expect("differences").iter().map(|one| &one["key"]).collect();
    assert_eq!((keys.as_slice(), &asked["found"]["keys"]), (&[&json!("left")][..], &json!(1)), "{asked:#}");
    // A later version has nothing to do with the events before it.
    assert!(printed(&cli, &["handlers", "affected", "mender", "--between", "2", "2"]).contains("nothing differs"));
}

/// A plan is approved as a whole, and so it is shown as a whole, its receivers' part too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_of_many_keys_is_shown_whole() {
    const KEYS: usize = 1_020;
    let server = Setup::new().start().await;
    let (client, cli) = (&server.client, Cli::of(&server));
    let digest = fixed_too_late(client, KEYS).await;
    let mut keyring = manifest("keyring", &["key.created"]);
    keyring["fold_again"] = json!(true);
    client.redeploy(&keyring, &digest).await.ok();
    let asked = printed(&cli, &["replays", "what-if", "activation", "--wait"]);
    let listed = cli.json(&["replays", "list"]);
    let (id, plan) = (&listed["replays"][0]["id"], &listed["replays"][0]["found"]["plan"]);
    let (id, plan) = (id.as_str().expect("an id"), plan.as_str().expect("a plan"));
    let more = format!("there are more: weirgate replays diff {id} --after ");
    assert!(last_line(&asked).starts_with(&more), "{asked}");

    let shown = cli.prints(&["replays", "plan", id]);
    assert_eq!(last_line(&shown), format!("plan {plan}"));
    let lines: Vec<_> = shown.lines().collect();
    let receiver = "keyring, only if that is approved (--fold-again keyring):";
    let (own, folded) = lines.split_at(lines.iter().position(|line| *line == receiver).expect("a receiver"));
    let keys = |lines: &[&str]| lines.iter().filter(|line| line.starts_with("org/")).count();
    assert_eq!((keys(own), keys(folded)), (KEYS, KEYS / 2), "keys of the handler and of the receiver");

    let page = cli.prints(&["replays", "plan", id, "--limit", "2"]);
    let page: Vec<_> = page.lines().collect();
    assert_eq!(keys(&page), 2, "{page:#?}");
    let expected = [
        "keyring has a plan of its own (--receiver keyring)",
        &format!("plan {plan}"),
        "there are more: --after org/1",
    ];
    assert!(page.ends_with(&expected), "{page:#?}");
    let folded = cli.prints(&["replays", "plan", id, "--receiver", "keyring", "--after", "org/999"]);
    assert_eq!((keys(&folded.lines().collect::<Vec<_>>()), last_line(&folded)), (0, format!("plan {plan}").as_str()));
    let refused = cli.fails(&["replays", "plan", id, "--receiver", "activation"]);
    assert!(refused[0].contains("(receiver-not-planned)"), "{refused:?}");
    let refused = cli.fails(&["replays", "approve", id, "--plan", &plan[..20]]);
    assert!(refused[0].contains("what is approved is named by its whole digest"), "{refused:?}");
}
