//! The hub's own health and figures in; how it does, for who runs it, out.

use axum::response::Response;

use super::{
    Asker, answered,
    blocks::{Block, Line, Page, Section, Table, badge, code, columns, line, link, soft, text},
    whole,
    words::{self, count, decimal, duration},
};
use crate::{
    feeds::Feed,
    serve::{access::Role, http::inside::Refused},
    telemetry::TaskState,
};
use axum::http::StatusCode;

/// Figures that say how it does, in words, by what they are called for Prometheus.
const FIGURES: [(&str, &str); 12] = [
    ("insight_hub_lag_records", "Records that are still to be taken in"),
    ("insight_hub_lag_seconds", "Seconds that the oldest of them has waited"),
    ("insight_hub_records_in_total", "Records taken in since the start"),
    ("insight_hub_records_out_total", "Records written since the start"),
    ("insight_hub_commits_total", "Commits since the start"),
    ("insight_hub_transactions_aborted_total", "Transactions that were aborted"),
    ("insight_hub_rejections_total", "Rejections since the start"),
    ("insight_hub_table_bytes", "Bytes of state in memory"),
    ("insight_hub_store_bytes", "Bytes of state on disk"),
    ("insight_hub_log_bytes", "Bytes of the embedded log"),
    ("insight_hub_erasures_pending", "Erasures under way"),
    ("insight_hub_api_requests_total", "Requests to the API and these pages"),
];

pub(super) async fn page(asker: Asker) -> Response {
    let page = made(&asker);
    answered(&asker, page)
}

fn made(asker: &Asker) -> Result<Page, Refused> {
    let roles = &asker.who.caller.roles;
    if !roles.contains(&Role::Operate) && !roles.contains(&Role::ReadMetrics) {
        return Err(Refused {
            status: StatusCode::FORBIDDEN,
            title: "The token does not have the role".to_owned(),
            detail: "this needs the role operate or read:metrics".to_owned(),
        });
    }
    let telemetry = asker.desk.telemetry();
    let report = telemetry.health().report();
    let progress = asker.desk.view().progress();
    let is_live = telemetry.health().live();
    let state = |is_good: bool, word: &str| badge(if is_good { "good" } else { "bad" }, word);
    let view = match progress.status() {
        "current" => vec![badge("good", "current")],
        "stalled" => vec![badge("bad", "stalled")],
        status => vec![badge("doubt", status), text(format!(" {} records to go", count(whole(progress.behind()))))],
    };
    let facts = Block::Facts {
        facts: vec![
            ("The hub", vec![state(report.ready, report.status)]),
            ("Its workers", vec![state(is_live, if is_live { "show a pulse" } else { "are stuck" })]),
            ("The copy of the feeds that is shown here", view),
        ],
    };
    let row = |task: &crate::telemetry::TaskHealth| -> Vec<Line> {
        let running = task.state == TaskState::Running;
        vec![
            line(format!("{}, {} {}", task.stage, task.topic, task.partition)),
            vec![badge(if running { "good" } else { "doubt" }, task.state.as_str())],
            line(count(whole(task.restore_remaining_records))),
        ]
    };
    let each = Table {
        caption: "Tasks: a stage and a partition".to_owned(),
        columns: columns(["Task", "State", "#Records to restore"]),
        rows: report.tasks.iter().map(row).collect(),
        empty: "No task is assigned to this instance.",
    };
    let mut stages: Vec<&str> = report.tasks.iter().map(|task| task.stage.as_str()).collect();
    stages.dedup();
    let of_stage = |stage: &&str| -> Vec<Line> {
        let all = report.tasks.iter().filter(|task| task.stage == **stage);
        let running = all.clone().filter(|task| task.state == TaskState::Running).count();
        let (n, remaining) = (all.clone().count(), all.map(|task| task.restore_remaining_records).sum());
        let kind = if running == n { "good" } else { "doubt" };
        vec![
            line(words::title(stage)),
            vec![badge(kind, format!("{running} of {n} running"))],
            line(count(whole(remaining))),
        ]
    };
    let tasks = Table {
        caption: "Tasks by stage".to_owned(),
        columns: columns(["Stage", "State", "#Records to restore"]),
        rows: stages.iter().map(of_stage).collect(),
        empty: "No task is assigned to this instance.",
    };
    let each = Block::Details { summary: "Each task".to_owned(), blocks: vec![each.into()] };
    let text_of_all = telemetry.render();
    let figures = FIGURES.iter().filter_map(|(name, words)| {
        Some(vec![line(*words), line(shown(name, sum(&text_of_all, name)?)), vec![code(*name)]])
    });
    let figures = Table {
        caption: "Figures of this instance".to_owned(),
        columns: columns(["Figure", "#Now", "For Prometheus"]),
        rows: figures.collect(),
        empty: "There are none yet.",
    };
    Ok(Page {
        title: "Operations".to_owned(),
        nav: "/operations",
        lead: line("How this instance of the hub does. Prometheus has all figures and their history."),
        sections: vec![
            Section::new("health", "Health", vec![facts, tasks.into(), each]),
            Section::new("figures", "Figures", vec![figures.into()]),
            Section::new(
                "more",
                "More",
                vec![Block::List {
                    lines: vec![
                        vec![link("/spokes", "What arrives from the departments, and what is rejected")],
                        vec![link("/api/v1", "The API, operation by operation")],
                        vec![soft(
                            "Dashboards for Grafana, alerts and a runbook are in the folder deploy of the source.",
                        )],
                    ],
                }],
            ),
        ],
        feeds: vec![Feed::Spokes],
        ..Page::default()
    })
}

/// The sum of a figure's samples; `None`: there is none.
fn sum(text: &str, name: &str) -> Option<f64> {
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '));
    let values: Vec<f64> = text.lines().filter(of).filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
    // Of how long something waits, the longest is what matters.
    let most = name.ends_with("_seconds");
    (!values.is_empty())
        .then(|| if most { values.iter().copied().fold(f64::MIN, f64::max) } else { values.iter().sum() })
}

fn shown(name: &str, value: f64) -> String {
    if name.ends_with("_bytes") {
        return bytes(value);
    }
    if name.ends_with("_seconds") { duration(value) } else { decimal(value, 0) }
}

fn bytes(value: f64) -> String {
    let (mut size, mut unit) = (value, "B");
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if size < 1_024.0 {
            break;
        }
        (size, unit) = (size / 1_024.0, next);
    }
    format!("{} {unit}", words::decimal(size, if unit == "B" { 0 } else { 1 }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_added_up_and_waits_are_not() {
        let text = "# HELP x\nx_total{a=\"1\"} 2\nx_total{a=\"2\"} 3\nx_total_more 9\nwait_seconds{a=\"1\"} 4\nwait_seconds{a=\"2\"} 70\n";
        assert_eq!(sum(text, "x_total").map(|it| shown("x_total", it)).as_deref(), Some("5"));
        assert_eq!(sum(text, "wait_seconds").map(|it| shown("wait_seconds", it)).as_deref(), Some("1 min"));
        assert_eq!(sum(text, "none"), None);
        assert_eq!((bytes(512.0), bytes(1_536.0)), ("512 B".to_owned(), "1.5 KiB".to_owned()));
    }
}
