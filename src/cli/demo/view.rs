//! Records of the feeds in; what an analyst wants to see first, as lines of text, out. No terminal and no clock here.

use std::{
    collections::{BTreeMap, HashSet},
    hash::{BuildHasher as _, RandomState},
};

use serde_json::Value;

use super::findings::Findings;
use crate::{
    company::{Chapter, Effect},
    engine::log::outside::CommittedRecord,
    feeds::Feed,
    model::Day,
};

/// What is shown, in this order: the metric, and how it is called.
const ROWS: [(&str, &str); 10] = [
    ("orders", "orders"),
    ("revenue", "revenue, thousand"),
    ("new_customers", "new customers"),
    ("reach", "customers reached"),
    ("on_time", "on time, %"),
    ("contact_rate", "cases per customer"),
    ("first_response_time", "first response"),
    ("return_rate", "returned, %"),
    ("csat", "satisfied, %"),
    ("nps", "NPS"),
];
const DAY_MS: i64 = 86_400_000;
/// Months on the screen: as many as fit into 80 columns.
const MONTHS: usize = 9;
const LABEL_COLUMNS: usize = 19;
const CELL_COLUMNS: usize = 6;
/// The journey's last steps that are shown of the customer.
const STEPS: usize = 3;

/// What is known of the company so far.
pub(super) struct View {
    chapters: Vec<Chapter>,
    fed: BTreeMap<&'static str, u64>,
    today: Option<Day>,
    /// By month (`2026-02`) and metric: the newest value of the whole company, and whether it is provisional.
    months: BTreeMap<String, BTreeMap<&'static str, (f64, bool)>>,
    hashes: RandomState,
    /// Hashes of the keys that have a value.
    values: HashSet<u64>,
    customers: HashSet<u64>,
    /// The customer with the longest history so far: key and record.
    example: Option<(String, Value)>,
    rejections: BTreeMap<String, u64>,
    findings: Findings,
}

impl View {
    pub(super) fn new(chapters: Vec<Chapter>) -> View {
        View {
            chapters,
            fed: BTreeMap::new(),
            today: None,
            months: BTreeMap::new(),
            hashes: RandomState::new(),
            values: HashSet::new(),
            customers: HashSet::new(),
            example: None,
            rejections: BTreeMap::new(),
            findings: Findings::default(),
        }
    }

    /// What the departments have sent, and when the last of it arrived.
    pub(super) fn note_fed(&mut self, fed: &BTreeMap<&'static str, u64>, today_ms: Option<i64>) {
        self.fed.clone_from(fed);
        self.today = today_ms.map(|at_ms| Day(at_ms.div_euclid(DAY_MS) as i32)).max(self.today);
    }

    /// The day of the company's calendar.
    pub(super) fn today(&self) -> Option<Day> {
        self.today
    }

    /// A record of `insight.metrics`.
    pub(super) fn metric(&mut self, key: &str, value: Option<Value>) {
        let hash = self.hashes.hash_one(key);
        let Some(value) = value else {
            self.values.remove(&hash);
            return;
        };
        self.values.insert(hash);
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if text("/window/kind") != "month" || text("/dimension") != "company" {
            return;
        }
        // One currency is enough for a first look; the feed has them all.
        if !matches!(text("/currency"), "" | "EUR") {
            return;
        }
        let Some((metric, _)) = ROWS.iter().find(|(metric, _)| *metric == text("/metric")) else { return };
        let month: String = text("/window/start").chars().take(7).collect();
        let Some(shown) = shown_value(&value) else { return };
        self.months.entry(month).or_default().insert(metric, (shown, text("/status") == "provisional"));
    }

    /// A record of `insight.customers`.
    pub(super) fn customer(&mut self, key: &str, value: Option<Value>) {
        let hash = self.hashes.hash_one(key);
        let Some(value) = value else {
            self.customers.remove(&hash);
            return;
        };
        self.customers.insert(hash);
        let weight = |value: &Value| {
            let count = |field: &str| value.get(field).and_then(Value::as_u64).unwrap_or_default();
            // Somebody who bought, and whom every department knows.
            let departments = value.get("touchpoints_by_spoke").and_then(Value::as_object).map_or(0, |it| it.len());
            (departments, count("orders").min(5), count("touchpoints").min(40))
        };
        let is_example = match &self.example {
            Some((known, example)) => known == key || weight(&value) > weight(example),
            None => true,
        };
        if is_example {
            self.example = Some((key.to_owned(), value));
        }
    }

    /// What the analyses say.
    pub(super) fn findings(&self) -> Vec<String> {
        self.findings.lines()
    }

    /// A record of a feed of analyses.
    pub(super) fn analysis(&mut self, feed: Feed, key: &str, value: Option<&Value>) {
        self.findings.take(feed, key, value);
    }

    /// A record of `insight.rejected`.
    pub(super) fn rejected(&mut self, record: &CommittedRecord) {
        let reason = record.headers.iter().find(|(name, _)| name.ends_with("errors.reason"));
        let reason = reason.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        *self.rejections.entry(reason).or_default() += 1;
    }

    /// Chapters that have begun by today, the last one first.
    pub(super) fn begun(&self) -> Vec<&Chapter> {
        let today = self.today;
        self.chapters.iter().rev().filter(|chapter| today.is_some_and(|today| chapter.days.first <= today)).collect()
    }

    /// What came in and what is known of it.
    pub(super) fn flow(&self) -> Vec<String> {
        let fed: Vec<String> = self.fed.iter().map(|(spoke, count)| format!("{spoke} {}", grouped(*count))).collect();
        let rejected: u64 = self.rejections.values().sum();
        let mut reasons: Vec<(&String, &u64)> = self.rejections.iter().collect();
        reasons.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let reasons: Vec<String> = reasons.iter().take(3).map(|(reason, count)| format!("{reason} {count}")).collect();
        let mut lines = vec![
            format!("in   {}", fed.join(" · ")),
            format!(
                "out  {} customers · {} metric values · {} rejected{}",
                grouped(self.customers.len() as u64),
                grouped(self.values.len() as u64),
                grouped(rejected),
                if rejected > 0 { " because:" } else { "" },
            ),
        ];
        if !reasons.is_empty() {
            lines.push(format!("     {} …", reasons.join(", ")));
        }
        lines
    }

    /// The metrics by month.
    pub(super) fn table(&self) -> Vec<String> {
        let months: Vec<&String> =
            self.months.keys().rev().take(MONTHS).collect::<Vec<_>>().into_iter().rev().collect();
        if months.is_empty() {
            return vec!["(the first values are on their way)".to_owned()];
        }
        let mut lines = Vec::new();
        let mut head = format!("{:LABEL_COLUMNS$}", "the whole company");
        for month in &months {
            let mark = if self.is_provisional(month) { "*" } else { "" };
            head.push_str(&format!("{:>CELL_COLUMNS$}", format!("{}{mark}", month_name(month))));
        }
        lines.push(head);
        for (metric, label) in ROWS {
            let mut line = format!("{label:LABEL_COLUMNS$}");
            for month in &months {
                let value = self.months.get(*month).and_then(|values| values.get(metric));
                line.push_str(&format!(
                    "{:>CELL_COLUMNS$}",
                    value.map_or("-".to_owned(), |(value, _)| cell(metric, *value))
                ));
            }
            lines.push(line);
        }
        if months.iter().any(|month| self.is_provisional(month)) {
            lines.push("* provisional: late touchpoints may still come, and will count".to_owned());
        }
        lines
    }

    fn is_provisional(&self, month: &str) -> bool {
        self.months.get(month).is_some_and(|values| values.values().any(|(_, is_provisional)| *is_provisional))
    }

    /// A chapter, and where to look for what it does.
    pub(super) fn story_of(&self, chapter: &Chapter) -> Vec<String> {
        let mut lines = vec![format!("{}, {} to {}", chapter.name, day(chapter.days.first), day(chapter.days.last))];
        lines.extend(wrapped(chapter.description, 76).into_iter().map(|line| format!("  {line}")));
        let effects: Vec<String> =
            chapter.effects.iter().filter(|effect| self.is_seen(effect)).map(effect_in_words).collect();
        if !effects.is_empty() {
            lines.extend(
                wrapped(&format!("look at: {}", effects.join(", ")), 76).into_iter().map(|line| format!("  {line}")),
            );
        }
        lines
    }

    fn is_seen(&self, effect: &Effect) -> bool {
        effect.region.is_none() && self.today.is_some_and(|today| effect.seen.first <= today)
    }

    /// One customer, as every department now can see them.
    pub(super) fn example(&self) -> Vec<String> {
        let Some((key, record)) = &self.example else { return Vec::new() };
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or("-").to_owned();
        let count = |field: &str| record.get(field).and_then(Value::as_u64).unwrap_or_default();
        let spokes: Vec<String> = record
            .get("touchpoints_by_spoke")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(spoke, count)| format!("{spoke} {count}"))
            .collect();
        let revenue: Vec<String> = record
            .get("revenue")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .filter_map(|(currency, minor)| Some(format!("{:.2} {currency}", minor.as_f64()? / 100.0)))
            .collect();
        let steps = record.get("journey").and_then(Value::as_array).into_iter().flatten();
        let steps: Vec<String> = steps
            .filter_map(|step| step.get("kind").and_then(Value::as_str))
            .map(|kind| kind.replace('_', " "))
            .collect();
        let late = &steps[steps.len().saturating_sub(STEPS)..];
        let mut lines = vec![
            format!("one customer: {}…, {} touchpoints", &key[..key.len().min(12)], count("touchpoints")),
            format!("  {}", spokes.join(" · ")),
            format!(
                "  {} in {}; orders {}{}; cases open {}; on time {}, late {}",
                text("phase"),
                text("region"),
                count("orders"),
                if revenue.is_empty() { String::new() } else { format!(", {}", revenue.join(" and ")) },
                count("open_cases"),
                count("deliveries_on_time"),
                count("deliveries_late"),
            ),
        ];
        if !late.is_empty() {
            lines.push(format!("  last: {}", late.join(" → ")));
        }
        lines
    }

    /// An identifier of the customer, to try commands with.
    pub(super) fn example_identifier(&self) -> Option<String> {
        let (_, record) = self.example.as_ref()?;
        let identifiers = record.get("identifiers")?.as_object()?;
        let number = identifiers.get("customer_id").or_else(|| identifiers.values().next())?;
        let kind = if identifiers.contains_key("customer_id") { "customer_id" } else { identifiers.keys().next()? };
        Some(format!("{kind}:{}", number.as_array()?.first()?.as_str()?))
    }
}

/// The value in the unit of the table.
fn shown_value(value: &Value) -> Option<f64> {
    let number = value.get("value").and_then(Value::as_f64)?;
    Some(match value.get("unit").and_then(Value::as_str) {
        Some("minor_units") => number / 100.0,
        _ => number,
    })
}

fn cell(metric: &str, value: f64) -> String {
    match metric {
        "revenue" => format!("{:.1}", value / 1_000.0),
        "contact_rate" => format!("{value:.2}"),
        "first_response_time" => duration(value),
        "on_time" | "return_rate" | "csat" | "nps" => format!("{value:.0}"),
        _ => grouped(value.max(0.0) as u64),
    }
}

fn duration(seconds: f64) -> String {
    let minutes = seconds / 60.0;
    if minutes < 90.0 {
        format!("{minutes:.0}m")
    } else if minutes < 36.0 * 60.0 {
        format!("{:.1}h", minutes / 60.0)
    } else {
        format!("{:.1}d", minutes / 1_440.0)
    }
}

/// 12345 as 12,345.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

pub(super) fn month_name(month: &str) -> &str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let number: Option<usize> = month.get(5..7).and_then(|number| number.parse().ok());
    number.and_then(|number| NAMES.get(number.wrapping_sub(1))).copied().unwrap_or(month)
}

/// A day for people: `10 Feb`.
fn day(day: Day) -> String {
    iso_day(&day.to_string())
}

/// The same of one in ISO 8601.
pub(super) fn iso_day(iso: &str) -> String {
    format!("{} {}", iso.get(8..).unwrap_or_default().trim_start_matches('0'), month_name(iso))
}

fn effect_in_words(effect: &Effect) -> String {
    format!("{} {}", effect.metric, effect.direction)
}

/// Lines of at most `columns` characters, broken between words.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= columns {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn metric(metric: &str, month: &str, value: f64, unit: &str) -> Value {
        json!({"metric": metric, "dimension": "company", "currency": null, "unit": unit, "value": value, "status": "final",
            "window": {"kind": "month", "start": format!("{month}-01")}})
    }

    #[test]
    fn the_table_fits_eighty_columns_and_shows_each_value_in_its_unit() {
        let mut view = View::new(Vec::new());
        for month in 1..=9 {
            let month = format!("2026-{month:02}");
            for (name, value, unit) in [
                ("revenue", 123_456_700.0, "minor_units"),
                ("first_response_time", 5_400.0 * 1.5, "seconds"),
                ("on_time", 94.6, "percent"),
                ("nps", -12.0, "points"),
                ("orders", 12_345.0, "orders"),
            ] {
                view.metric(&format!("{name}|month:{month}|"), Some(metric(name, &month, value, unit)));
            }
        }
        let table = view.table();
        assert!(table.iter().all(|line| line.chars().count() <= 80), "{table:#?}");
        let text = table.join("\n");
        for shown in ["1234.6", "2.2h", " 95", "-12", "12,345", "Jan", "Sep", " -"] {
            assert!(text.contains(shown), "{shown} in {text}");
        }
    }

    #[test]
    fn what_is_gone_is_not_counted() {
        let mut view = View::new(Vec::new());
        view.customer("a", Some(json!({"touchpoints": 3})));
        view.customer("b", Some(json!({"touchpoints": 1})));
        view.customer("a", None);
        view.metric("x", Some(json!({})));
        view.metric("x", None);
        let flow = view.flow().join("\n");
        assert!(flow.contains("1 customers") && flow.contains("0 metric values"), "{flow}");
    }

    #[test]
    fn numbers_and_lines_are_for_people() {
        assert_eq!((grouped(7), grouped(1_234), grouped(1_234_567)), ("7".into(), "1,234".into(), "1,234,567".into()));
        assert_eq!(
            (duration(600.0), duration(9_000.0), duration(200_000.0)),
            ("10m".into(), "2.5h".into(), "2.3d".into())
        );
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    }
}
