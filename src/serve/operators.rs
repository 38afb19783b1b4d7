//! Requests of scrapers and supervisors in; figures and the state of health out.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;

use super::{board::Board, view::Progress};
use crate::telemetry::{Event, Telemetry};

/// What is told.
#[derive(Clone)]
struct Operators {
    telemetry: Telemetry,
    view: Option<Progress>,
    board: Option<Arc<Board>>,
}

/// The routes. Anything else is 404, any other method 405.
pub(super) fn routes(telemetry: Telemetry, view: Option<Progress>, board: Option<Arc<Board>>) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .with_state(Operators { telemetry, view, board })
}

async fn metrics(State(Operators { telemetry, view, board }): State<Operators>) -> Response {
    if let Some(view) = view {
        telemetry.emit(Event::ViewLooked { behind_records: view.behind(), is_stalled: view.is_stalled() });
    }
    if let Some(board) = board {
        let telemetry = telemetry.clone();
        // It reads the disk; whoever asks for health does not wait for it. A panic has been reported by its hook.
        let _ = tokio::task::spawn_blocking(move || board.show(&telemetry)).await;
    }
    let content_type = [(CONTENT_TYPE, prometheus::TEXT_FORMAT)];
    (content_type, telemetry.render()).into_response()
}

/// 200 while every worker shows a pulse; 503 tells a supervisor to restart the hub.
async fn live(State(Operators { telemetry, .. }): State<Operators>) -> Response {
    if telemetry.health().live() {
        answer(StatusCode::OK, &json!({"status": "live"}))
    } else {
        answer(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "stuck"}))
    }
}

/// 200 when all assigned tasks run; else 503 with which tasks restore and how much they have still to read.
/// With how far the view is, if one is kept: it has its own time, and holds no traffic up.
async fn ready(State(Operators { telemetry, view, .. }): State<Operators>) -> Response {
    let report = telemetry.health().report();
    let remaining = report.tasks.iter().map(|task| task.restore_remaining_records).sum::<u64>();
    let tasks: Vec<serde_json::Value> = report
        .tasks
        .iter()
        .map(|task| {
            json!({
                "stage": task.stage,
                "topic": task.topic,
                "partition": task.partition,
                "state": task.state.as_str(),
                "restore_remaining_records": task.restore_remaining_records,
            })
        })
        .collect();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut body = json!({"status": report.status, "restore_remaining_records": remaining, "tasks": tasks});
    if let Some(view) = view {
        body["view"] = json!({"status": view.status(), "behind_records": view.behind()});
    }
    answer(status, &body)
}

fn answer(status: StatusCode, body: &serde_json::Value) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
