//! Connections in; how long each kind of answer takes, and how many there are in a second, out.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{share, stand_aside, wire::Client};

/// How many customers are asked for in turn.
const CUSTOMERS: usize = 500;

/// The ids of some customers, as their feed has them.
fn customers(api: u16, token: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", api)).unwrap();
    let path = "/api/v1/feeds/customers/events?from=beginning";
    let head = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{api}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (mut text, mut buffer, mut found) = (Vec::new(), vec![0; 64 << 10], BTreeSet::new());
    while let Ok(count @ 1..) = stream.read(&mut buffer) {
        text.extend_from_slice(&buffer[..count]);
        let all = String::from_utf8_lossy(&text);
        found = all.split("\"key\":\"").skip(1).filter_map(|rest| rest.get(..32)).map(str::to_owned).collect();
        if found.len() >= CUSTOMERS {
            break;
        }
    }
    assert!(found.len() > 20, "there are {} customers", found.len());
    found.into_iter().take(CUSTOMERS).collect()
}

/// Who asks, and what for.
pub struct Questions {
    api: u16,
    token: String,
    pub connections: usize,
    /// In turn: a dashboard's figures, analyses, a customer from all sides, what departments send.
    paths: Vec<(&'static str, Vec<String>)>,
}

impl Questions {
    pub fn of(api: u16, token: &str, connections: usize) -> Questions {
        let paths = paths(&customers(api, token));
        Questions { api, token: token.to_owned(), connections, paths }
    }
}

fn paths(persons: &[String]) -> Vec<(&'static str, Vec<String>)> {
    let of_persons = |tail: &str| persons.iter().map(|person| format!("/api/v1/customers/{person}{tail}")).collect();
    vec![
        ("metric series, days", vec!["/api/v1/metrics/orders/series?window=day&limit=100".to_owned()]),
        ("metric roll-up", vec!["/api/v1/metrics/orders/roll-up?window=day".to_owned()]),
        ("metric catalogue", vec!["/api/v1/metrics".to_owned()]),
        ("customer", of_persons("")),
        ("customer timeline", of_persons("/timeline?limit=50")),
        ("customer identity", of_persons("/identity")),
        ("alerts of a customer", persons.iter().map(|it| format!("/api/v1/alerts?person={it}")).collect()),
        ("alerts, a page", vec!["/api/v1/alerts?limit=100".to_owned()]),
        ("journeys, a page", vec!["/api/v1/journeys?limit=10".to_owned()]),
        ("spokes", vec!["/api/v1/spokes".to_owned()]),
    ]
}

/// Asks over all connections for a while, so often in a second or as often as it is answered, and prints how long each kind of
/// answer took.
pub fn read(questions: &Questions, per_second: Option<u64>, within: Duration) {
    let Questions { api, token, connections, paths: questions } = questions;
    let taken: Mutex<BTreeMap<usize, Vec<f64>>> = Mutex::default();
    let limited = std::sync::atomic::AtomicU64::new(0);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..*connections {
            let (taken, limited) = (&taken, &limited);
            scope.spawn(move || {
                stand_aside();
                let (mut client, mut own) = (Client::connect(*api, token), BTreeMap::<usize, Vec<f64>>::new());
                let mut turn = connection;
                while began.elapsed() < within {
                    // The connections take turns.
                    if let Some(per_second) = per_second {
                        let asked = turn - connection;
                        let due = (asked * connections + connection) as f64 / per_second as f64;
                        std::thread::sleep(Duration::from_secs_f64(due).saturating_sub(began.elapsed()));
                    }
                    let kind = turn % questions.len();
                    let paths = &questions[kind].1;
                    let asked = Instant::now();
                    match client.get(&paths[turn / questions.len() % paths.len()]) {
                        200 => own.entry(kind).or_default().push(asked.elapsed().as_secs_f64() * 1_000.0),
                        429 => drop(limited.fetch_add(1, std::sync::atomic::Ordering::Relaxed)),
                        status => panic!("{status}: {}", client.answer()),
                    }
                    turn += 1;
                }
                let mut all = taken.lock().unwrap();
                own.into_iter().for_each(|(kind, mut waits)| all.entry(kind).or_default().append(&mut waits));
            });
        }
    });
    let seconds = began.elapsed().as_secs_f64();
    println!("\nreads over {connections} connections while events come:\n");
    println!("| what | requests/s | p50 ms | p99 ms | longest ms |\n| --- | ---: | ---: | ---: | ---: |");
    let (mut all, mut every) = (0, Vec::new());
    for (kind, mut waits) in taken.into_inner().unwrap() {
        waits.sort_by(f64::total_cmp);
        all += waits.len();
        print_row(questions[kind].0, &waits, seconds);
        every.append(&mut waits);
    }
    every.sort_by(f64::total_cmp);
    print_row("all", &every, seconds);
    println!("\n{all} answers, {} told to come again", limited.into_inner());
}

fn print_row(what: &str, sorted: &[f64], seconds: f64) {
    println!(
        "| {what} | {:.0} | {:.1} | {:.1} | {:.1} |",
        sorted.len() as f64 / seconds,
        share(sorted, 0.5),
        share(sorted, 0.99),
        share(sorted, 1.0)
    );
}
