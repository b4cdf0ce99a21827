//! The text formats of metrics: OpenMetrics, and Prometheus' own, which older readers and `curl` get.

/// The media type that a client asks OpenMetrics with.
pub const OPEN_METRICS: &str = "application/openmetrics-text";
pub const OPEN_METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
pub const PROMETHEUS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Rewrites OpenMetrics into Prometheus' text format 0.0.4, in which a counter's name includes `_total`, and which has
/// neither units nor an end mark.
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/>)
#[must_use]
pub fn prometheus(open_metrics: &str) -> String {
    let counters: Vec<&str> =
        open_metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.strip_suffix(" counter")).collect();
    let mut text = String::with_capacity(open_metrics.len());
    for line in open_metrics.lines().filter(|line| *line != "# EOF" && !line.starts_with("# UNIT ")) {
        match described(line).filter(|(_, name, _)| counters.contains(name)) {
            Some((start, name, rest)) => text.extend([start, name, "_total ", rest]),
            None => text.push_str(line),
        }
        text.push('\n');
    }
    text
}

/// The name in a `HELP` or `TYPE` line, with what stands before and after it.
fn described(line: &str) -> Option<(&str, &str, &str)> {
    let start = ["# HELP ", "# TYPE "].into_iter().find(|start| line.starts_with(start))?;
    let (name, rest) = line.strip_prefix(start)?.split_once(' ')?;
    Some((start, name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_with_their_suffix_and_the_rest_stays() {
        let open_metrics = "# HELP a Counted.\n# TYPE a counter\na_total{x=\"# TYPE a counter\"} 1\n\
                            # HELP ab Now.\n# TYPE ab gauge\n# UNIT ab seconds\nab 2\n# EOF\n";
        let expected = "# HELP a_total Counted.\n# TYPE a_total counter\na_total{x=\"# TYPE a counter\"} 1\n\
                        # HELP ab Now.\n# TYPE ab gauge\nab 2\n";
        assert_eq!(prometheus(open_metrics), expected);
    }
}
