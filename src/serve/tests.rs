//! A real server on a free loopback port, asked by hand-written requests.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::json;

use super::*;

use crate::telemetry::{Event, Rebalance, TaskName, TaskState};

#[test]
fn connections_leave_the_log_the_files_that_it_needs() {
    let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                  Max processes             127235               127235               processes \n\
                  Max open files            1024                 1048576              files     \n";
    assert_eq!(open_files(limits), Some(1_024), "what holds, not what it could be raised to");
    assert_eq!(open_files("Max open files            unlimited            unlimited            files\n"), None);
    assert_eq!(open_files(""), None, "another system");
    let connections = |files| connections_within(files, API.connections_max);
    assert_eq!(
        [connections(Some(1_024)), connections(Some(65_536)), connections(None), connections(Some(0))],
        [512, 1_200, 1_200, 1]
    );
}

fn start() -> (Server, Telemetry) {
    let telemetry = Telemetry::new();
    let server =
        Server::start(([127, 0, 0, 1], 0).into(), telemetry.clone(), None, None).expect("a free loopback port");
    (server, telemetry)
}

/// Sends bytes, returns all that comes back until the server closes.
fn ask_raw(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("a listening server");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a positive time");
    // The server may close before it has taken all: that is what one test wants to see.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The status line's code and the body.
fn ask(server: &Server, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
    let answer = ask_raw(server, request.as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    (code, body.to_owned())
}

const TASK: TaskName<'_> = TaskName { stage: "customers", topic: "hub-customers-repartition", partition: 2 };

fn task_is(telemetry: &Telemetry, state: TaskState) {
    telemetry.emit(Event::TaskChanged { task: TASK, state });
}

#[test]
fn the_hub_is_ready_only_when_its_tasks_are_restored() {
    let (server, telemetry) = start();
    assert_eq!(ask(&server, "/health/live").0, 200);
    let (code, body) = ask(&server, "/health/ready");
    assert_eq!(code, 503);
    assert!(body.contains("\"status\":\"joining\""), "{body}");
    telemetry.emit(Event::Rebalanced { worker: 0, change: Rebalance::Assigned, partitions: 1 });
    task_is(&telemetry, TaskState::Restoring);
    telemetry.emit(Event::RestoreStarted { task: TASK, from_offset: 10, remaining_records: 4_200 });
    let (code, body) = ask(&server, "/health/ready");
    assert_eq!(code, 503);
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        body,
        json!({
            "status": "restoring",
            "restore_remaining_records": 4_200,
            "tasks": [
                {
                    "stage": "customers",
                    "topic": "hub-customers-repartition",
                    "partition": 2,
                    "state": "restoring",
                    "restore_remaining_records": 4_200,
                }
            ],
        })
    );
    task_is(&telemetry, TaskState::Running);
    assert_eq!(ask(&server, "/health/ready").0, 200);
    telemetry.emit(Event::HubStopping { reason: "SIGTERM" });
    assert_eq!(ask(&server, "/health/ready").0, 503);
    assert_eq!(ask(&server, "/health/live").0, 200);
    server.stop();
}

#[test]
fn metrics_are_text_and_nothing_else_is_served() {
    let (server, telemetry) = start();
    telemetry.records_in("sales.orders").inc_by(3);
    let (code, body) = ask(&server, "/metrics");
    assert_eq!(code, 200);
    assert!(body.contains("insight_hub_records_in_total{topic=\"sales.orders\"} 3\n"), "{body}");
    assert_eq!(ask(&server, "/").0, 404);
    let post =
        ask_raw(&server, b"POST /metrics HTTP/1.1\r\nHost: hub\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(post.starts_with("HTTP/1.1 405"), "{post}");
    server.stop();
}

#[test]
fn endless_headers_are_cut_off() {
    let (server, _telemetry) = start();
    let mut request = b"GET /metrics HTTP/1.1\r\nHost: hub\r\nX-Long: ".to_vec();
    request.resize(1_000_000, b'a');
    let answer = ask_raw(&server, &request);
    assert!(!answer.contains("200 OK"), "{answer}");
    assert_eq!(ask(&server, "/health/live").0, 200);
    server.stop();
}

#[test]
fn a_stop_does_not_wait_for_an_idle_connection_for_long() {
    let (server, _telemetry) = start();
    let _idle = TcpStream::connect(server.address()).expect("a listening server");
    let asked_at = Instant::now();
    server.stop();
    assert!(asked_at.elapsed() < DRAIN_MAX + Duration::from_secs(5));
}

#[test]
fn a_taken_address_is_named() {
    let (server, telemetry) = start();
    let error = Server::start(server.address(), telemetry, None, None).expect_err("the port is taken").to_string();
    assert!(error.starts_with(&format!("cannot listen on {}", server.address())), "{error}");
    server.stop();
}
