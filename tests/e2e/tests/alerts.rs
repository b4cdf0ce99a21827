//! The alert rules of `docs/guides/monitoring.md`: valid, and silent or loud as the guide says.

use std::{fs, path::Path, process::Command};

/// The rules, as the guide prints them.
fn rules() -> String {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guides/monitoring.md");
    let guide = fs::read_to_string(guide).expect("the guide");
    let (_, block) = guide.split_once("```yaml").expect("a block of rules");
    let (_, block) = block.split_once('\n').expect("its lines");
    block.split_once("\n```").expect("its end").0.to_owned()
}

fn promtool(dir: &Path, args: &[&str]) -> String {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/unpacked/usr/bin");
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:{}", unpacked.display());
    let output = Command::new("promtool").args(args).current_dir(dir).env("PATH", path).output();
    let output = output.expect("promtool, from Debian's package prometheus: `make test` unpacks it");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

/// One poisoned key: no lag. A slow handler: no stuck delivery.
const SERIES: &str = r#"
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'weirgate_handler_lag_events{handler="poisoned"}'
        values: "0x60"
      - series: 'weirgate_handler_oldest_open_delivery_age_seconds{handler="poisoned"}'
        values: "0+60x60"
      - series: 'weirgate_handler_lag_events{handler="slow"}'
        values: "5000x60"
      - series: 'weirgate_handler_oldest_open_delivery_age_seconds{handler="slow"}'
        values: "3x60"
      - series: 'weirgate_deliveries_total{handler="poisoned",outcome="dead-lettered"}'
        values: "0x30 1x30"
      - series: 'weirgate_log_damaged_segments{instance="shop"}'
        values: "0x30 1x30"
    alert_rule_test:
      - eval_time: 30m
        alertname: WeirgateHandlerLags
        exp_alerts:
          - exp_labels: { severity: warning, handler: slow }
            exp_annotations:
              summary: "slow has not looked at 5000 events"
              description: "Is it paused or draining, or too slow? `weirgate handlers list` shows its state and the reason."
      - eval_time: 30m
        alertname: WeirgateDeliveryStuck
        exp_alerts:
          - exp_labels: { severity: warning, handler: poisoned }
            exp_annotations:
              summary: "poisoned has had a delivery open for 30m 0s"
              description: "`weirgate deliveries list --handler poisoned` shows which, and why it waits."
      - eval_time: 10m
        alertname: WeirgateDeliveryStuck
        exp_alerts: []
      - eval_time: 20m
        alertname: WeirgateLogDamaged
        exp_alerts: []
      - eval_time: 40m
        alertname: WeirgateLogDamaged
        exp_alerts:
          - exp_labels: { severity: critical, instance: shop }
            exp_annotations:
              summary: "the log of shop is damaged"
              description: "Its own log names the file and the position. Copy the data directory before a restart: the next start refuses the log."
      - eval_time: 20m
        alertname: WeirgateDeadLetters
        exp_alerts: []
      - eval_time: 35m
        alertname: WeirgateDeadLetters
        exp_alerts:
          - exp_labels: { severity: warning, handler: poisoned, outcome: dead-lettered }
            exp_annotations:
              summary: "poisoned has new dead letters"
              description: "`weirgate dead-letters list --handler poisoned` shows them."
"#;

#[test]
fn the_rules_of_the_guide_are_valid_and_tell_lag_from_stuck() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("rules.yml"), rules()).expect("written");
    fs::write(dir.path().join("series.yml"), SERIES).expect("written");
    let checked = promtool(dir.path(), &["check", "rules", "rules.yml"]);
    assert!(checked.contains("8 rules found"), "{checked}");
    promtool(dir.path(), &["test", "rules", "series.yml"]);
}
