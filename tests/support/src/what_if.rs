//! What-ifs and repairs by the API: asks, and waits for what comes of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{Answer, Client, eventually};

/// What-ifs have a low priority: on a busy machine they wait.
const PATIENCE: Duration = Duration::from_mins(5);

impl Client {
    /// A replay, by its id.
    pub async fn replay(&self, id: &str) -> Value {
        self.get(&format!("/v1/replays/{id}")).await.ok()
    }

    /// Asks for a what-if, and waits until it is computed.
    pub async fn what_if(&self, request: &Value) -> Value {
        let asked = self.ask("/v1/replays", request).await.ok();
        self.computed(asked["id"].as_str().expect("an id")).await
    }

    /// Waits until a replay is computed.
    pub async fn computed(&self, id: &str) -> Value {
        eventually(&format!("replay {id} to be computed"), PATIENCE, async || {
            let replay = self.replay(id).await;
            if replay["found"].is_object() { Ok(replay) } else { Err(replay) }
        })
        .await
    }

    /// Waits until a replay is in this state.
    pub async fn replay_is(&self, id: &str, state: &str) -> Value {
        eventually(&format!("replay {id} to be {state}"), PATIENCE, async || {
            let replay = self.replay(id).await;
            if replay["state"] == state { Ok(replay) } else { Err(replay) }
        })
        .await
    }

    /// A command about a replay.
    pub async fn about_replay(&self, id: &str, command: &str, body: &Value) -> Answer {
        self.ask(&format!("/v1/replays/{id}/{command}"), body).await
    }

    /// Approves the plan of a computed replay, applies it, and waits until it is in this state and nothing is left to do.
    pub async fn apply_replay(&self, replay: &Value, state: &str) -> Value {
        let id = replay["id"].as_str().expect("an id");
        let approval = json!({ "plan": replay["found"]["plan"], "actor": "ada", "reason": "they wait" });
        self.about_replay(id, "approve", &approval).await.ok();
        self.about_replay(id, "apply", &json!({})).await.ok();
        let ended = self.replay_is(id, state).await;
        self.drained(PATIENCE).await;
        ended
    }

    /// Asks for the undo of a replay, and waits until it is computed.
    pub async fn undo_replay(&self, id: &str) -> Value {
        let undo = self.about_replay(id, "undo", &json!({})).await.ok();
        self.computed(undo["id"].as_str().expect("an id")).await
    }

    /// The keys of a replay's plan.
    pub async fn planned_keys(&self, id: &str) -> Vec<String> {
        let plan = self.get(&format!("/v1/replays/{id}/plan?limit=1000")).await.ok();
        let keys = plan["keys"].as_array().expect("keys").iter();
        keys.map(|key| key["key"].as_str().expect("a key").to_owned()).collect()
    }
}
