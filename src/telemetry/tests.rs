//! Every promised figure exists and moves when its event is emitted or its handle is used.

use std::{collections::BTreeSet, time::Duration};

use super::*;

const CUSTOMERS: TaskName<'_> = TaskName { stage: "customers", topic: "hub-customers-repartition", partition: 0 };

/// What makes each figure move. A new figure without a line here fails the test below.
const MOVES: &[(&str, fn(&Telemetry))] = &[
    ("insight_hub_records_in_total", |t| t.records_in("sales.orders").inc_by(2)),
    ("insight_hub_records_out_total", |t| t.records_out("insight.metrics").inc()),
    ("insight_hub_lag_records", |t| t.partition("sales.orders", 1).lag_records.set(7)),
    ("insight_hub_lag_seconds", |t| t.partition("sales.orders", 1).lag_seconds.set(1.5)),
    ("insight_hub_unstable_records", |t| t.partition("hub-customers-repartition", 0).unstable_records.set(3)),
    ("insight_hub_end_to_end_seconds", |t| t.end_to_end_seconds("insight.metrics").observe(0.2)),
    ("insight_hub_outcomes_total", |t| t.outcomes("sales", "accepted").inc()),
    ("insight_hub_rejections_total", |t| {
        t.emit(Event::TouchpointRejected {
            spoke: "sales",
            reason: "bad_timestamp",
            field: "$.at",
            partition: 0,
            offset: 9,
        });
    }),
    ("insight_hub_unmapped_kinds_total", |t| t.emit(Event::KindsUnmapped { spoke: "sales", count: 1 })),
    ("insight_hub_spoke_records_total", |t| t.spoke_records("sales").inc_by(3)),
    ("insight_hub_alerts_held_partitions", |t| t.alerts_held_partitions("sales").inc()),
    ("insight_hub_spoke_newest_record_seconds", |t| t.spoke_newest_record("sales", 1.5)),
    ("insight_hub_links_total", |t| t.emit(Event::LinksChanged { linked: 1, unlinked: 0, homes_moved: 0 })),
    ("insight_hub_links_refused_total", |t| t.emit(Event::LinksRefused { rule: "oversize", count: 1 })),
    ("insight_hub_homes_moved_total", |t| t.emit(Event::LinksChanged { linked: 0, unlinked: 0, homes_moved: 1 })),
    ("insight_hub_person_identifiers_max", |t| t.emit(Event::PersonGrew { identifiers: 3 })),
    ("insight_hub_touchpoints_sent_total", |t| t.emit(Event::TouchpointsSent { moved: 1, forwarded: 0 })),
    ("insight_hub_alerts_total", |t| t.emit(Event::AlertsChanged { cause: "promise_overdue", opened: 1, closed: 0 })),
    ("insight_hub_touchpoints_erased_total", |t| t.emit(Event::TouchpointsErased { spoke: "sales", count: 1 })),
    ("insight_hub_erasures_pending", |t| t.emit(Event::ErasuresPending { pending: true })),
    ("insight_hub_erasures_due_timestamp_seconds", |t| t.emit(Event::ErasuresDue { by_ms: 7_000 })),
    ("insight_hub_capped_total", |t| t.emit(Event::Capped { cap: "order_things" })),
    ("insight_hub_registry_requests_total", |t| {
        t.emit(Event::SchemaAnswered { id: 17, outcome: "unknown", message: "there is none" });
    }),
    ("insight_hub_registry_available", |t| t.emit(Event::RegistryAvailable)),
    ("insight_hub_reloads_total", |t| {
        t.emit(Event::Reloaded { outcome: ReloadOutcome::Applied, changed: "sales", needs_restart: "", problem: "" });
    }),
    ("insight_hub_mappings_loaded_timestamp_seconds", |t| t.emit(Event::MappingsLoaded { hash: 5, at_ms: 6_000 })),
    ("insight_hub_mappings_hash", |t| t.emit(Event::MappingsLoaded { hash: 5, at_ms: 6_000 })),
    ("insight_hub_log_paused", |t| {
        t.emit(Event::LogPaused { paused: true, available_bytes: 1, needed_bytes: 2 });
    }),
    ("insight_hub_log_sync_seconds", |t| t.emit(Event::LogSynced { elapsed: Duration::from_millis(5) })),
    ("insight_hub_log_append_seconds", |t| t.emit(Event::LogAppended { longest: Duration::from_millis(5) })),
    ("insight_hub_log_bytes", |t| t.emit(Event::LogMeasured { bytes: 7 })),
    ("insight_hub_log_freed_bytes_total", |t| {
        t.emit(Event::LogCleaned {
            segments_removed: 1,
            segments_rewritten: 0,
            bytes_freed: 9,
            elapsed: Duration::from_millis(5),
        });
    }),
    ("insight_hub_api_requests_total", answered),
    ("insight_hub_api_seconds", answered),
    ("insight_hub_logins_total", |t| t.emit(Event::LoggedIn { accepted: false })),
    ("insight_hub_api_items_total", |t| t.emit(Event::ApiItems { spoke: "sales", accepted: 499, refused: 1 })),
    ("insight_hub_api_stored_seconds", |t| t.emit(Event::ApiStored { elapsed: Duration::from_millis(3) })),
    ("insight_hub_view_behind_records", view_looked),
    ("insight_hub_view_stalled", view_looked),
    ("insight_hub_company_value", company_valued),
    ("insight_hub_company_observations", company_valued),
    ("insight_hub_company_interval", company_valued),
    ("insight_hub_company_window_start_timestamp_seconds", company_valued),
    ("insight_hub_api_certificate_expiry_timestamp_seconds", |t| t.emit(Event::CertificateTaken { ends_s: 5 })),
    ("insight_hub_commits_total", committed),
    ("insight_hub_commit_seconds", committed),
    ("insight_hub_publish_seconds", |t| t.publish_seconds("analyses").observe(0.01)),
    ("insight_hub_publish_cpu_seconds", |t| t.publish_cpu_seconds("all").observe(0.01)),
    ("insight_hub_transaction_records", committed),
    ("insight_hub_transaction_bytes", committed),
    ("insight_hub_transactions_aborted_total", |t| {
        t.emit(Event::TransactionAborted {
            worker: 0,
            reason: AbortReason::Ambiguous,
            in_a_row: 1,
            message: "timed out",
        });
    }),
    ("insight_hub_restore_remaining_records", restore_progressed),
    ("insight_hub_restore_records_total", restore_progressed),
    ("insight_hub_restore_records_per_second", restore_progressed),
    ("insight_hub_table_bytes", |t| t.task(CUSTOMERS).table_bytes.set(1)),
    ("insight_hub_unflushed_bytes", |t| t.task(CUSTOMERS).unflushed_bytes.set(1)),
    ("insight_hub_store_bytes", |t| t.task(CUSTOMERS).store_bytes.set(1)),
    ("insight_hub_watermark_delay_seconds", |t| t.task_times(CUSTOMERS, times(None, Some(1.0)))),
    ("insight_hub_as_of_seconds", |t| t.task_times(CUSTOMERS, times(Some(1.0), Some(1.0)))),
    ("insight_hub_flushes_total", flushed),
    ("insight_hub_flush_seconds", flushed),
    ("insight_hub_tasks", |t| task_is(t, TaskState::Running)),
    ("insight_hub_rebalances_total", |t| {
        t.emit(Event::Rebalanced { worker: 0, change: Rebalance::Lost, partitions: 2 });
    }),
    ("insight_hub_spokes_paused", |t| {
        t.emit(Event::SpokesPaused { worker: 0, paused: true, lag_records: 1_000 });
    }),
];

/// Figures that are true from the start and never move.
const CONSTANT: &[&str] = &["insight_hub_process_start_time_seconds", "insight_hub_build_info"];

fn times(as_of_seconds: Option<f64>, watermark_delay_seconds: Option<f64>) -> TaskTimes {
    TaskTimes { as_of_seconds, watermark_delay_seconds }
}

fn committed(telemetry: &Telemetry) {
    telemetry.emit(Event::Committed { worker: 0, records: 10, bytes: 2_000, elapsed: Duration::from_millis(12) });
}

fn answered(telemetry: &Telemetry) {
    telemetry.emit(Event::ApiAnswered { outcome: "answered", elapsed: Duration::from_millis(3) });
    telemetry.emit(Event::ApiCutOff);
}

fn view_looked(telemetry: &Telemetry) {
    telemetry.emit(Event::ViewLooked { behind_records: 5, is_stalled: true });
}

const CSAT: CompanyValue<'_> = CompanyValue {
    metric: "csat",
    unit: "percent",
    window: "month",
    which: "settled",
    currency: "",
    value: Some(81.5),
    observations: 200.0,
    interval: Some((75.5, 86.25)),
    window_start_seconds: 1_767_225_600.0,
};

fn company_valued(telemetry: &Telemetry) {
    telemetry.company_values(&[CSAT]);
}

fn flushed(telemetry: &Telemetry) {
    telemetry.emit(Event::Flushed { task: CUSTOMERS, entries: 5, bytes: 500, elapsed: Duration::from_millis(3) });
}

fn task_is(telemetry: &Telemetry, state: TaskState) {
    telemetry.emit(Event::TaskChanged { task: CUSTOMERS, state });
}

fn restore_progressed(telemetry: &Telemetry) {
    telemetry.emit(Event::RestoreProgressed {
        task: CUSTOMERS,
        restored_records: 500,
        remaining_records: 700,
        elapsed: Duration::from_millis(100),
    });
}

/// The lines of one figure, help and type left out.
fn lines_of(telemetry: &Telemetry, name: &str) -> Vec<String> {
    let is_of = |line: &&str| {
        line.strip_prefix(name).is_some_and(|rest| {
            let rest =
                ["_bucket", "_sum", "_count"].iter().find_map(|suffix| rest.strip_prefix(suffix)).unwrap_or(rest);
            rest.starts_with(['{', ' '])
        })
    };
    telemetry.render().lines().filter(is_of).map(str::to_owned).collect()
}

#[test]
fn every_promised_figure_exists_and_moves() {
    let promised: BTreeSet<&str> = Telemetry::new().figure_names().iter().copied().collect();
    let tested: BTreeSet<&str> = MOVES.iter().map(|(name, _)| *name).chain(CONSTANT.iter().copied()).collect();
    assert_eq!(promised, tested, "each figure has a line in MOVES or CONSTANT");
    for (name, act) in MOVES {
        let telemetry = Telemetry::new();
        let before = lines_of(&telemetry, name);
        act(&telemetry);
        let after = lines_of(&telemetry, name);
        assert!(!after.is_empty(), "{name} is not rendered");
        assert_ne!(before, after, "{name} did not move");
    }
    for name in CONSTANT {
        assert_eq!(lines_of(&Telemetry::new(), name).len(), 1, "{name}");
    }
}

#[test]
fn figures_have_units_and_help_texts() {
    let telemetry = Telemetry::new();
    for (_, act) in MOVES {
        act(&telemetry);
    }
    let text = telemetry.render();
    for name in telemetry.figure_names() {
        assert!(name.starts_with("insight_hub_"), "{name}");
        assert!(text.contains(&format!("# HELP {name} ")), "{name} has no help text");
    }
}

#[test]
fn a_closed_task_leaves_no_gauge_behind() {
    let telemetry = Telemetry::new();
    task_is(&telemetry, TaskState::Restoring);
    restore_progressed(&telemetry);
    telemetry.task(CUSTOMERS).table_bytes.set(5);
    assert_eq!(telemetry.health().report().tasks[0].restore_remaining_records, 700);
    assert_eq!(
        lines_of(&telemetry, "insight_hub_tasks").iter().find(|line| line.contains("restoring")).map(String::as_str),
        Some("insight_hub_tasks{stage=\"customers\",state=\"restoring\"} 1")
    );
    task_is(&telemetry, TaskState::Closed);
    assert!(lines_of(&telemetry, "insight_hub_table_bytes").is_empty());
    assert!(lines_of(&telemetry, "insight_hub_restore_remaining_records").is_empty());
    assert!(!lines_of(&telemetry, "insight_hub_restore_records_total").is_empty());
    assert!(lines_of(&telemetry, "insight_hub_tasks").iter().all(|line| line.ends_with(" 0")));
    telemetry.partition("sales.orders", 1).lag_records.set(3);
    telemetry.forget_partition("sales.orders", 1);
    assert!(lines_of(&telemetry, "insight_hub_lag_records").is_empty());
}

#[test]
fn lag_names_the_department_and_freshness_goes_with_its_account() {
    let telemetry = Telemetry::new();
    telemetry.name_spoke("sales.orders", "sales");
    telemetry.partition("sales.orders", 1).lag_records.set(3);
    telemetry.partition("hub-customers-repartition", 0).lag_records.set(4);
    assert_eq!(
        lines_of(&telemetry, "insight_hub_lag_records"),
        [
            r#"insight_hub_lag_records{partition="0",spoke="",topic="hub-customers-repartition"} 4"#,
            r#"insight_hub_lag_records{partition="1",spoke="sales",topic="sales.orders"} 3"#,
        ]
    );
    telemetry.forget_partition("sales.orders", 1);
    assert_eq!(lines_of(&telemetry, "insight_hub_lag_records").len(), 1);
    telemetry.spoke_newest_record("sales", 1_769_850_000.0);
    assert!(lines_of(&telemetry, "insight_hub_spoke_newest_record_seconds")[0].ends_with(" 1769850000"));
    // A record of the year 2200.
    telemetry.spoke_newest_record("sales", 7_258_118_400.0);
    let shown = lines_of(&telemetry, "insight_hub_spoke_newest_record_seconds");
    let seconds: f64 = shown[0].rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a figure");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    assert!((now - 60.0..=now).contains(&seconds), "{seconds} at {now}");
    telemetry.forget_spoke("sales");
    assert!(lines_of(&telemetry, "insight_hub_spoke_newest_record_seconds").is_empty());
}

#[test]
fn the_companys_values_are_shown_with_what_is_known_of_them_and_gone_when_they_are() {
    let telemetry = Telemetry::new();
    let values = |name| lines_of(&telemetry, &format!("insight_hub_company_{name}"));
    let nothing = CompanyValue { metric: "nps", value: None, interval: None, observations: 0.0, ..CSAT };
    telemetry.company_values(&[CSAT, nothing]);
    let labels = r#"currency="",metric="csat",unit="percent",which="settled",window="month""#;
    assert_eq!(values("value"), [format!("insight_hub_company_value{{{labels}}} 81.5")]);
    assert_eq!(values("observations").len(), 2);
    assert_eq!(
        values("interval"),
        [("high", 86.25), ("low", 75.5)]
            .map(|(bound, end)| format!("insight_hub_company_interval{{bound=\"{bound}\",{labels}}} {end}"))
    );
    assert!(values("window_start_timestamp_seconds").iter().all(|line| line.ends_with(" 1767225600")));
    // The same window with nothing to divide by any more, and another that is gone.
    telemetry.company_values(&[CompanyValue { value: None, interval: None, ..CSAT }]);
    assert_eq!((values("value").len(), values("interval").len(), values("observations").len()), (0, 0, 1));
    telemetry.company_values(&[]);
    assert_eq!(values("observations").len() + values("window_start_timestamp_seconds").len(), 0);
}

#[test]
fn a_task_without_a_watermark_shows_none() {
    let telemetry = Telemetry::new();
    let shown = |name| lines_of(&telemetry, name).len();
    telemetry.task(CUSTOMERS).table_bytes.set(5);
    telemetry.task_times(CUSTOMERS, TaskTimes::default());
    assert_eq!(shown("insight_hub_watermark_delay_seconds") + shown("insight_hub_as_of_seconds"), 0);
    telemetry.task_times(CUSTOMERS, times(Some(7.0), Some(2.0)));
    assert_eq!((shown("insight_hub_watermark_delay_seconds"), shown("insight_hub_as_of_seconds")), (1, 1));
    telemetry.task_times(CUSTOMERS, times(Some(8.0), None));
    assert_eq!((shown("insight_hub_watermark_delay_seconds"), shown("insight_hub_as_of_seconds")), (0, 1));
}

#[test]
fn a_log_level_that_cannot_be_read_is_refused() {
    let options = |level: &str| LogOptions { format: LogFormat::Json, level: level.into() };
    assert!(options("info,insight_hub::engine=debug").check().is_ok());
    assert!(options("info,engine=loud").check().is_err());
}
