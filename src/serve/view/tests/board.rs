//! Records of `insight.metrics` in a view; the figures of the company's newest values.

use std::sync::Arc;

use super::*;
use crate::{
    serve::board::{Board, Shown},
    telemetry::Telemetry,
};

const SHOWN: [Shown; 2] = [
    Shown { metric: "nps", unit: "points", is_money: false },
    Shown { metric: "revenue", unit: "minor_units", is_money: true },
];

/// (metric, window, start, currency, value, status): a record, or `None` as value: it is gone.
type Told<'a> = (&'a str, &'a str, &'a str, &'a str, Option<f64>, &'a str);

fn told(view: &View, offset: i64, told: &[Told<'_>]) {
    let records = told.iter().zip(offset..).map(|(&(metric, window, start, currency, value, status), offset)| {
        let record_of = |value: f64| {
            json!({"metric": metric, "window": {"kind": window, "start": start}, "dimension": "company",
                "dimension_value": "", "currency": (!currency.is_empty()).then_some(currency), "value": value, "n": 9,
                "standard_error": (metric == "nps").then_some(10.0), "interval_low": null, "interval_high": null,
                "status": status})
        };
        record(offset, &format!("{metric}|{window}:{start}|currency={currency}"), value.map(record_of))
    });
    apply(view, Feed::Metrics, records.collect());
}

/// What a board that has seen nothing before shows now, each as `metric window which value`, and the same of one that has.
fn shown(board: &Board, view: &Arc<View>) -> Vec<String> {
    let lines = |board: &Board| {
        let telemetry = Telemetry::new();
        board.forget_when_it_looked();
        board.show(&telemetry);
        let rendered = telemetry.render();
        let values = rendered.lines().filter_map(|line| line.strip_prefix("insight_hub_company_value{"));
        let word = |line: &str, label: &str| {
            let found =
                line.split(',').find_map(|part| part.trim_end_matches('}').strip_prefix(label)).unwrap_or_default();
            found.trim_matches(['=', '"']).to_owned()
        };
        let mut found: Vec<String> = values
            .filter_map(|line| line.split_once("} "))
            .map(|(labels, value)| {
                let [metric, window, which] = ["metric", "window", "which"].map(|label| word(labels, label));
                format!("{metric} {window} {which} {value}")
            })
            .collect();
        found.sort();
        found
    };
    let remembered = lines(board);
    assert_eq!(
        remembered,
        lines(&Board::new(Arc::clone(view), SHOWN.to_vec(), "EUR".to_owned())),
        "as if it had seen nothing before"
    );
    remembered
}

#[test]
fn a_board_has_the_newest_window_and_the_newest_settled_one_whatever_comes_and_goes() {
    let folder = tempfile::tempdir().expect("a directory");
    let view = Arc::new(open(folder.path(), 0));
    let board = Board::new(Arc::clone(&view), SHOWN.to_vec(), "EUR".to_owned());
    told(
        &view,
        0,
        &[
            ("nps", "month", "2026-01-01", "", Some(1.0), "final"),
            ("nps", "month", "2026-02-01", "", Some(2.0), "revised"),
            ("nps", "month", "2026-03-01", "", Some(3.0), "provisional"),
            ("nps", "day", "2026-03-02", "", Some(4.0), "provisional"),
            ("revenue", "week", "2026-02-23", "EUR", Some(500.0), "final"),
            ("revenue", "week", "2026-02-23", "USD", Some(700.0), "final"),
            ("csat", "month", "2026-02-01", "", Some(80.0), "final"),
        ],
    );
    assert_eq!(shown(&board, &view), [""; 0], "it is not filled yet");
    view.note_whole(1_000);
    let others = ["nps day newest 4", "revenue week newest 500", "revenue week settled 500"];
    assert_eq!(shown(&board, &view)[1..3], ["nps month newest 3", "nps month settled 2"]);
    assert!(others.iter().all(|line| shown(&board, &view).iter().any(|found| found == line)));
    assert_eq!(shown(&board, &view).len(), 5, "no other currency, and no metric that is not asked for");

    // It moves on; what was settled is opened again, so that an older window is the newest settled one; and all is gone.
    told(
        &view,
        10,
        &[
            ("nps", "month", "2026-03-01", "", Some(3.5), "final"),
            ("nps", "month", "2026-04-01", "", Some(5.0), "provisional"),
        ],
    );
    assert_eq!(shown(&board, &view)[1..3], ["nps month newest 5", "nps month settled 3.5"]);
    told(
        &view,
        20,
        &[("nps", "month", "2026-03-01", "", None, ""), ("nps", "month", "2026-02-01", "", Some(2.5), "provisional")],
    );
    assert_eq!(shown(&board, &view)[1..3], ["nps month newest 5", "nps month settled 1"]);
    told(&view, 30, &["2026-01-01", "2026-02-01", "2026-04-01"].map(|start| ("nps", "month", start, "", None, "")));
    assert_eq!(shown(&board, &view), others);
    let telemetry = Telemetry::new();
    board.forget_when_it_looked();
    board.show(&telemetry);
    let interval: Vec<String> = telemetry
        .render()
        .lines()
        .filter(|line| line.starts_with("insight_hub_company_interval{"))
        .map(str::to_owned)
        .collect();
    assert_eq!(interval.len(), 2, "of what is an estimate: {interval:?}");
    assert!(interval.iter().any(|line| line.contains("low") && line.contains("} -15.5996")), "{interval:?}");
}
