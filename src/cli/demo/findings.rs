//! Records of the feeds of analyses in, what an analyst would tell of them out, as lines of text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::view::{iso_day, month_name, wrapped};
use crate::feeds::Feed;

const COLUMNS: usize = 76;
/// Metrics that are shown of a change.
const METRICS: usize = 5;

/// The subject that is first in a month: owner, subject, persons, drop of buying again in percent.
#[derive(Debug)]
struct First {
    owner: String,
    subject: String,
    reach: i64,
    drop: f64,
}

/// What the analyses say so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By month; none whose interval holds zero.
    first: BTreeMap<String, First>,
    /// By month: what goes most with buying again, and Pearson's r.
    goes_with: BTreeMap<String, (String, f64)>,
    /// By what was done (day, spoke, what about) and metric: before, after, unit.
    moved: BTreeMap<(String, String, String), BTreeMap<String, (f64, f64, String)>>,
}

fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn number(value: &Value, field: &str) -> Option<f64> {
    value.get(field).and_then(Value::as_f64)
}

impl Findings {
    /// The feeds that it is made of.
    pub(super) const FEEDS: [Feed; 3] = [Feed::Priorities, Feed::Drivers, Feed::Changes];

    /// Takes a record; without a value it is gone.
    pub(super) fn take(&mut self, feed: Feed, key: &str, value: Option<&Value>) {
        match feed {
            Feed::Priorities => self.priorities(key, value),
            Feed::Drivers if key.ends_with("|outcome=bought_again") => self.drivers(key, value),
            Feed::Changes => self.change(key, value),
            _ => {}
        }
    }

    fn priorities(&mut self, key: &str, value: Option<&Value>) {
        let month = month_of(key);
        let first = value.and_then(|value| value.pointer("/priorities/0"));
        let certain = first.filter(|first| number(first, "outcome_drop_low").is_some_and(|low| low > 0.0));
        match certain {
            Some(first) => drop(self.first.insert(
                month,
                First {
                    owner: text(first, "/owner").to_owned(),
                    subject: text(first, "/subject").to_owned(),
                    reach: first.get("reach").and_then(Value::as_i64).unwrap_or_default(),
                    drop: 100.0 * number(first, "outcome_drop").unwrap_or_default(),
                },
            )),
            None => drop(self.first.remove(&month)),
        }
    }

    fn drivers(&mut self, key: &str, value: Option<&Value>) {
        let drivers = value.and_then(|value| value.get("drivers")).and_then(Value::as_array);
        let leaves_zero_out = |driver: &&Value| {
            let end = |field| number(driver, field).unwrap_or_default();
            end("interval_low") > 0.0 || end("interval_high") < 0.0
        };
        let found = drivers.into_iter().flatten().find(leaves_zero_out);
        match found {
            Some(driver) => {
                let r = number(driver, "correlation").unwrap_or_default();
                self.goes_with.insert(month_of(key), (text(driver, "/driver").to_owned(), r));
            }
            None => drop(self.goes_with.remove(&month_of(key))),
        }
    }

    fn change(&mut self, key: &str, value: Option<&Value>) {
        let Some((what, metric)) = key.rsplit_once("&metric=") else { return };
        let Some((day, what)) = what.trim_start_matches("change|day:").split_once("|by=") else { return };
        let Some((spoke, about)) = what.split_once('&') else { return }; // of the whole company
        let metrics = self.moved.entry((day.to_owned(), spoke.to_owned(), about.to_owned())).or_default();
        metrics.remove(metric);
        if let Some(value) = value
            && text(value, "/movement") != "unclear"
            && let (Some(before), Some(after)) = (number(value, "before"), number(value, "after"))
        {
            metrics.insert(metric.to_owned(), (before, after, text(value, "/unit").to_owned()));
        }
    }

    /// What they say.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some((month, first)) = self.first.last_key_value() {
            let months: Vec<&str> = self
                .first
                .iter()
                .filter(|(_, it)| (&it.owner, &it.subject) == (&first.owner, &first.subject))
                .map(|(month, _)| month_name(month))
                .collect();
            found.push(format!(
                "fix first: {} ({}), in {}; of the {} customers who asked in {}, {:.0} in a hundred fewer than of others \
                 bought in the month after",
                first.subject,
                first.owner,
                months.join(", "),
                first.reach,
                month_name(month),
                first.drop
            ));
        }
        let mut with: BTreeMap<(&str, bool), Vec<&str>> = BTreeMap::new();
        for (month, (driver, r)) in &self.goes_with {
            with.entry((driver, *r > 0.0)).or_default().push(month_name(month));
        }
        let with: Vec<String> = with
            .into_iter()
            .map(|((driver, more), months)| {
                let how = if more { "the more" } else { "the less" };
                format!("{how} {driver} ({})", months.join(", "))
            })
            .collect();
        if !with.is_empty() {
            found.push(format!("buying again goes with: {}", with.join("; ")));
        }
        for ((date, spoke, about), metrics) in self.moved.iter().filter(|(_, metrics)| !metrics.is_empty()) {
            let day = iso_day(date);
            let metrics: Vec<String> = metrics
                .iter()
                .take(METRICS)
                .map(|(metric, (before, after, unit))| format!("{metric} {before:.1} to {after:.1} {unit}"))
                .collect();
            found.push(format!("since {spoke} did something about {about} on {day}: {}", metrics.join(", ")));
        }
        let mut lines: Vec<String> = Vec::new();
        for (index, text) in found.iter().flat_map(|text| wrapped(text, COLUMNS).into_iter().enumerate()) {
            lines.push(if index == 0 { text } else { format!("  {text}") });
        }
        if !lines.is_empty() {
            lines.insert(0, "what the hub finds".to_owned());
        }
        lines
    }
}

/// The month of a key of an analysis: `2026-05`.
fn month_of(key: &str) -> String {
    key.split('|').nth(1).and_then(|window| window.strip_prefix("month:")).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_certain_is_told_and_what_is_gone_is_not() {
        let mut findings = Findings::default();
        assert_eq!(findings.lines(), Vec::<String>::new());
        let first = |low: f64| {
            json!({"priorities": [{"owner": "support", "subject": "delivery", "reach": 99, "outcome_drop": 0.158,
                "outcome_drop_low": low}]})
        };
        findings.take(Feed::Priorities, "priorities|month:2026-05|of=persons", Some(&first(0.06)));
        findings.take(Feed::Priorities, "priorities|month:2026-06|of=persons", Some(&first(0.09)));
        findings.take(Feed::Priorities, "priorities|month:2026-08|of=persons", Some(&first(-0.01)));
        let driver = |low: f64| json!({"drivers": [{"driver": "on_time", "correlation": 0.1, "interval_low": low, "interval_high": 0.2}]});
        findings.take(Feed::Drivers, "drivers|month:2026-06|outcome=bought_again", Some(&driver(0.05)));
        findings.take(Feed::Drivers, "drivers|month:2026-06|outcome=churned", Some(&driver(0.05)));
        findings.take(Feed::Drivers, "drivers|month:2026-08|outcome=bought_again", Some(&driver(-0.05)));
        let key = "change|day:2026-07-16|by=operations&region=south&metric=on_time";
        let change = json!({"movement": "up", "before": 51.26, "after": 93.5, "unit": "percent"});
        findings.take(Feed::Changes, key, Some(&change));
        let told = |findings: &Findings| findings.lines().join(" ").replace("   ", " ");
        let text = told(&findings);
        for part in ["delivery (support), in May, Jun; of the 99", "16 in a hundred", "the more on_time (Jun)"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.contains("operations did something about region=south on 16 Jul: on_time 51.3 to 93.5"), "{text}");
        assert!(findings.lines().iter().all(|line| line.chars().count() <= 80), "{text}");
        findings.take(Feed::Changes, key, None);
        findings.take(Feed::Priorities, "priorities|month:2026-06|of=persons", None);
        let text = told(&findings);
        assert!(text.contains("in May;") && !text.contains("operations"), "{text}");
    }
}
