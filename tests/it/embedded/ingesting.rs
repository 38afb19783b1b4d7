//! Departments that send their touchpoints over HTTP: what becomes of them, what is refused, and what a crash may take.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use flate2::{Compression, write::GzEncoder};
use insight_hub::company::{CompanyOptions, SourceEvent};
use serde_json::{Value, json};

use super::{
    identity::{House, event},
    process::{Running, command, records},
};
use crate::{
    harness::{
        http::{Answer, begin, received, send},
        kafka::free_port,
        sweeper::Scratch,
    },
    world::{events, truth},
};

const WITHIN: Duration = Duration::from_secs(120);
/// Those whose events are JSON.
const DEPARTMENTS: [&str; 3] = ["marketing", "operations", "support"];

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Items as an array or as lines, packed or not.
struct Body {
    bytes: Vec<u8>,
    headers: Vec<(&'static str, &'static str)>,
}

fn body(items: &[&[u8]], as_lines: bool, is_packed: bool) -> Body {
    let bytes = match as_lines {
        true => items.join(&b"\n"[..]),
        false => [&b"["[..], &items.join(&b","[..]), b"]"].concat(),
    };
    let kind = if as_lines { "application/x-ndjson" } else { "application/json" };
    let mut headers = vec![("content-type", kind)];
    if is_packed {
        headers.push(("content-encoding", "gzip"));
    }
    Body { bytes: if is_packed { packed(&bytes) } else { bytes }, headers }
}

/// Sends items of a department; `None`: nobody answers.
fn post(port: u16, spoke: &str, token: &str, body: &Body) -> Option<Answer> {
    let headers: Vec<(&str, &str)> = body.headers.iter().copied().chain([("authorization", token)]).collect();
    send(port, "POST", &format!("/api/v1/spokes/{spoke}/touchpoints"), &headers, &body.bytes)
}

/// A token of a hub that has these settings.
fn token(data: &std::path::Path, roles: &[&str]) -> String {
    let mut arguments = vec!["token", "create", "test", "-o", "json"];
    roles.iter().for_each(|role| arguments.extend(["--role", role]));
    let (command, _) = command("token", Some(data), &[]);
    let (status, made, errors) = command.args(arguments).run(WITHIN);
    assert!(status.success(), "{errors}");
    let made: Value = serde_json::from_str(&made).unwrap();
    format!("Bearer {}", made["token"].as_str().unwrap())
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The values of a department's records that are in the log, and how often each is.
fn stored(hub: &mut Running, spoke: &str) -> BTreeMap<Vec<u8>, usize> {
    let mut found = BTreeMap::new();
    for record in records(&hub.connect(), &format!("{spoke}.events")).unwrap_or_default() {
        *found.entry(record.value.unwrap()).or_default() += 1;
    }
    found
}

struct Batch<'a> {
    spoke: &'static str,
    items: Vec<&'a [u8]>,
    body: Body,
}

/// Sends batches from several threads, each until it is acknowledged or `is_over`. Returns which were.
fn send_all(port: u16, token: &str, batches: &[Batch<'_>], after: &(dyn Fn(usize) -> bool + Sync)) -> BTreeSet<usize> {
    let (next, acknowledged, is_over) = (AtomicUsize::new(0), Mutex::new(BTreeSet::new()), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let began = Instant::now();
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    let Some(batch) = batches.get(number) else { return };
                    while !is_over.load(Ordering::SeqCst) {
                        assert!(began.elapsed() < WITHIN, "batches are not taken");
                        match post(port, batch.spoke, token, &batch.body) {
                            Some(answer) if answer.status == 202 => {
                                let receipt = answer.json();
                                assert_eq!(receipt["accepted"], batch.items.len(), "{receipt}");
                                assert_eq!(receipt["refused"], 0);
                                let count = {
                                    let mut acknowledged = acknowledged.lock().unwrap();
                                    acknowledged.insert(number);
                                    acknowledged.len()
                                };
                                if after(count) {
                                    is_over.store(true, Ordering::SeqCst);
                                }
                                break;
                            }
                            // It is starting, or has much to do, or is gone: the same again.
                            None => thread::sleep(Duration::from_millis(20)),
                            Some(answer) if matches!(answer.status, 429 | 503) => {
                                assert!(answer.headers.contains_key("retry-after"), "{}", answer.body);
                                thread::sleep(Duration::from_millis(20));
                            }
                            Some(answer) => panic!("{}: {}", answer.status, answer.body),
                        }
                    }
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                }
            });
        }
    });
    acknowledged.into_inner().unwrap()
}

#[test]
fn what_was_acknowledged_survives_a_kill_and_counts_once_however_often_it_is_sent() {
    let at = now_ms();
    let company =
        CompanyOptions { seed: 11, customers: 150, touchpoints: 1_500, shuffled: true, ..CompanyOptions::default() };
    let events: Vec<SourceEvent> = events(company)
        .into_iter()
        .filter(|event| DEPARTMENTS.contains(&event.spoke) && event.valid)
        // What an API receives has the time of its arrival.
        .map(|event| SourceEvent { timestamp_ms: at, ..event })
        .collect();
    let expected = truth(&events);
    let mut batches = Vec::new();
    for spoke in DEPARTMENTS {
        let payloads: Vec<&[u8]> =
            events.iter().filter(|event| event.spoke == spoke).map(|event| event.payload.as_slice()).collect();
        assert!(payloads.len() > 100, "{spoke} has {}", payloads.len());
        for (number, items) in payloads.chunks(20).enumerate() {
            // Each twice, one beside the other, in another form.
            for twin in [number, number + 1] {
                let body = body(items, twin % 2 == 0, number % 3 == 0);
                batches.push(Batch { spoke, items: items.to_vec(), body });
            }
        }
    }
    // Departments send side by side.
    batches.sort_by_key(|batch| batch.body.bytes.len());

    let port = free_port();
    let listen = format!("serve.listen=127.0.0.1:{port}");
    let scratch = Scratch::new("ingesting");
    let settings = [listen.as_str(), "serve.requests_per_second=100000", "time.idle_partition_seconds=5"];
    let mut hub = Running::start("ingesting", Some(&scratch.path().join("data")), &settings);
    hub.connect();
    let token = token(hub.data(), &["ingest:marketing", "ingest:operations", "ingest:support"]);

    let third = batches.len() / 3;
    let pid_of_hub = Mutex::new(&mut hub);
    let acknowledged = send_all(port, &token, &batches, &|count| {
        let is_time = count == third;
        if is_time {
            pid_of_hub.lock().unwrap().hub.process.kill();
        }
        is_time
    });
    assert!((third..batches.len()).contains(&acknowledged.len()), "{} of {}", acknowledged.len(), batches.len());
    hub.hub.restart();
    hub.connect();
    let there: BTreeMap<&str, BTreeMap<Vec<u8>, usize>> =
        DEPARTMENTS.into_iter().map(|spoke| (spoke, stored(&mut hub, spoke))).collect();
    for number in &acknowledged {
        let batch = &batches[*number];
        for item in &batch.items {
            assert!(there[batch.spoke].contains_key(*item), "an acknowledged item of {} is gone", batch.spoke);
        }
    }

    // Everything again, as those do who have no answer.
    let all: BTreeSet<usize> = (0..batches.len()).collect();
    assert_eq!(send_all(port, &token, &batches, &|_| false), all);
    let twice = stored(&mut hub, "marketing");
    assert!(twice.values().all(|count| *count >= 2), "each was sent and stored twice at least");
    hub.assert_becomes(&expected, WITHIN);
    let counted = hub.figure("insight_hub_api_items_total").unwrap();
    assert!(counted >= 2.0 * events.len() as f64, "{counted} of {}", events.len());
}

/// A hub with one department, and an API.
struct Desk {
    house: House,
    port: u16,
    token: String,
}

impl Desk {
    fn open(name: &str, more: &[&str]) -> Desk {
        let port = free_port();
        let listen = format!("serve.listen=127.0.0.1:{port}");
        let settings: Vec<&str> =
            [listen.as_str(), "serve.requests_per_second=100000"].iter().chain(more).copied().collect();
        let house = House::with(name, &settings);
        let made: Value =
            serde_json::from_str(&house.succeed(&["token", "create", "t", "--role", "ingest:shop", "-o", "json"]))
                .unwrap();
        let token = format!("Bearer {}", made["token"].as_str().unwrap());
        let mut desk = Desk { house, port, token };
        let began = Instant::now();
        // Until it has begun.
        while desk.post(&body(&[b"{}"], true, false)).is_none_or(|answer| answer.status == 503) {
            assert!(began.elapsed() < WITHIN, "it does not begin");
            desk.house.assert_runs();
            thread::sleep(Duration::from_millis(20));
        }
        desk
    }

    fn post(&self, body: &Body) -> Option<Answer> {
        post(self.port, "shop", &self.token, body)
    }

    fn send(&self, headers: &[(&str, &str)], bytes: &[u8]) -> Answer {
        let headers: Vec<(&str, &str)> =
            headers.iter().copied().chain([("authorization", self.token.as_str())]).collect();
        send(self.port, "POST", "/api/v1/spokes/shop/touchpoints", &headers, bytes).expect("an answer")
    }

    fn tail(&self, feed: &str) -> Vec<Value> {
        let lines = self.house.succeed(&["tail", feed, "--from-beginning", "--until-end", "-o", "jsonl"]);
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn view(id: &str, day: i64, customer: &str) -> Vec<u8> {
    event(id, day, "page_viewed", json!({ "customer_id": customer })).to_string().into_bytes()
}

#[test]
fn each_item_is_told_what_became_of_it_and_those_of_one_customer_stay_in_order() {
    let mut desk = Desk::open("items", &[]);
    let good: Vec<Vec<u8>> =
        (0..40).map(|number| view(&format!("v{number}"), 1, &format!("C{}", number % 4))).collect();
    let bad: [(&[u8], &str, &str); 4] = [
        (br#"{"id":"b1","kind":"page_viewed","identifiers":{"customer_id":"C1"}}"#, "missing_field", "occurred_at"),
        (
            br#"{"id":"b2","kind":"juggled","occurred_at":1773964800000,"identifiers":{"customer_id":"C1"}}"#,
            "unknown_kind",
            "kind",
        ),
        (b"{\"id\": nonsense}", "undecodable", ""),
        (
            br#"{"id":"b3","kind":"page_viewed","occurred_at":1773964800000,"identifiers":{}}"#,
            "no_usable_identifier",
            "identifiers",
        ),
    ];
    let mut items: Vec<&[u8]> = good.iter().map(Vec::as_slice).collect();
    for (at, (item, _, _)) in bad.iter().enumerate() {
        items.insert(at * 7, item);
    }
    for (as_lines, is_packed) in [(true, false), (false, true)] {
        let answer = desk.post(&body(&items, as_lines, is_packed)).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
        let receipt = answer.json();
        assert_eq!((&receipt["accepted"], &receipt["refused"]), (&json!(40), &json!(4)), "{receipt}");
        let results = receipt["items"].as_array().unwrap();
        assert_eq!(results.len(), items.len());
        for (index, result) in results.iter().enumerate() {
            assert_eq!(result["index"], index);
            match index % 7 == 0 && index < 28 {
                true => {
                    let (_, reason, field) = bad[index / 7];
                    assert_eq!(result["status"], "refused", "{result}");
                    let problem = &result["problems"][0];
                    assert_eq!((&problem["reason"], &problem["field"]), (&json!(reason), &json!(field)), "{result}");
                    assert!(!problem["message"].as_str().unwrap().is_empty());
                }
                false => assert_eq!(*result, json!({ "index": index, "status": "accepted", "touchpoints": 1 })),
            }
        }
    }
    // None of it can be taken.
    let answer = desk.post(&body(&[bad[0].0, bad[1].0], true, false)).unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (422, "nothing-accepted"));
    assert_eq!(answer.json()["items"][1]["problems"][0]["reason"], "unknown_kind");

    (0..4).for_each(|number| drop(desk.house.customer(&format!("customer_id:C{number}"), 10)));
    let mut kept = records(&desk.house.access(), "shop.events").unwrap();
    assert_eq!(kept.len(), 80, "what was refused is not there");
    assert!(desk.tail("rejected").is_empty(), "who sent it was told");
    assert_eq!(desk.tail("touchpoints").len(), 40, "sent twice, each counts once");

    // By customer: one key, one partition, in the order in which they were sent.
    kept.sort_by_key(|record| (record.partition, record.offset));
    let mut by_key: BTreeMap<Vec<u8>, Vec<(i32, Vec<u8>)>> = BTreeMap::new();
    for record in kept {
        by_key.entry(record.key).or_default().push((record.partition, record.value.unwrap()));
    }
    assert_eq!(by_key.len(), 4, "a key for each customer");
    let sent: Vec<&Vec<u8>> = good.iter().chain(&good).collect();
    for (key, records) in &by_key {
        assert!(key.len() == 32 && key.iter().all(u8::is_ascii_hexdigit), "a keyed hash: {key:?}");
        assert!(records.iter().all(|(partition, _)| *partition == records[0].0), "one partition of {key:?}");
        let values: Vec<&Vec<u8>> = records.iter().map(|(_, value)| value).collect();
        let theirs: Vec<&Vec<u8>> = sent.iter().copied().filter(|value| values.contains(value)).collect();
        assert_eq!(values, theirs, "in order");
    }
    assert!(by_key.values().map(|records| records[0].0).collect::<BTreeSet<_>>().len() > 1, "several partitions");
}

#[test]
fn nothing_is_acknowledged_before_it_is_on_the_disk() {
    // Nobody else syncs.
    let mut hub_of = Desk::open("durable", &["embedded.fsync=never"]);
    let access = hub_of.house.access();
    for number in 0..5 {
        let before = access.status().unwrap().newest;
        let answer = hub_of.post(&body(&[&view(&format!("d{number}"), 1, "C1")], false, false)).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.body);
        let after = access.status().unwrap().durable;
        assert!(after > before, "durable up to {after}, and {before} was there before");
    }
}

#[test]
fn hostile_bodies_are_refused_and_the_next_good_one_is_taken() {
    let desk = Desk::open("hostile-bodies", &["serve.ingest_body_bytes_max=1048576", "serve.ingest_items_max=1000"]);
    let json = ("content-type", "application/json");
    let lines = ("content-type", "application/x-ndjson");
    let gzip = ("content-encoding", "gzip");
    let bomb = packed(&vec![b' '; 256 << 20]);
    let deep = "[".repeat(100_000);
    let nested = format!("[{{\"id\":{}1{}}}]", "[".repeat(50_000), "]".repeat(50_000));
    let long_text = format!("[{{\"id\":\"{}\"}}]", "x".repeat(900_000));
    let many = format!("[{}1]", "1,".repeat(5_000));
    let cases: Vec<(&str, Vec<(&str, &str)>, Vec<u8>, u16, &str)> = vec![
        ("a bomb", vec![json, gzip], bomb, 413, "too-large"),
        ("a bomb in a bomb", vec![json, gzip], packed(&packed(&vec![b'['; 64 << 20])), 400, "invalid-body"),
        ("too long", vec![json], vec![b' '; (1 << 20) + 1], 413, "too-large"),
        // A client that looks at no answer before it has sent all sees this one too.
        ("much too long", vec![json], vec![b' '; 6 << 20], 413, "too-large"),
        ("too many", vec![json], many.into_bytes(), 413, "too-large"),
        ("no end", vec![json], deep.into_bytes(), 400, "invalid-body"),
        ("deep", vec![json], nested.into_bytes(), 422, "nothing-accepted"),
        ("a long text", vec![json], long_text.into_bytes(), 422, "nothing-accepted"),
        ("no array", vec![json], b"{\"id\":1}".to_vec(), 400, "invalid-body"),
        ("nothing", vec![json], Vec::new(), 400, "invalid-body"),
        ("an empty array", vec![json], b"[]".to_vec(), 400, "invalid-body"),
        ("blank lines", vec![lines], b"\n\n \n".to_vec(), 400, "invalid-body"),
        ("zeros", vec![lines], vec![0; 10_000], 422, "nothing-accepted"),
        ("no gzip", vec![json, gzip], b"[{}]".to_vec(), 400, "invalid-body"),
        ("gzip cut off", vec![json, gzip], packed(b"[{},{},{}]")[..15].to_vec(), 400, "invalid-body"),
        ("no text", vec![lines], vec![0xff; 100], 422, "nothing-accepted"),
        ("another type", vec![("content-type", "text/csv")], b"[{}]".to_vec(), 415, "unsupported-media-type"),
        ("no type", vec![], b"[{}]".to_vec(), 415, "unsupported-media-type"),
        ("another coding", vec![json, ("content-encoding", "br")], b"[{}]".to_vec(), 415, "unsupported-media-type"),
        (
            "two codings",
            vec![json, ("content-encoding", "gzip, gzip")],
            b"[{}]".to_vec(),
            415,
            "unsupported-media-type",
        ),
    ];
    for (what, headers, bytes, status, problem) in &cases {
        let answer = desk.send(headers, bytes);
        assert_eq!((answer.status, answer.problem().as_str()), (*status, *problem), "{what}: {}", answer.body);
        let next = desk.post(&body(&[&view("good", 1, "C1")], false, true)).unwrap();
        assert_eq!(next.status, 202, "after {what}: {}", next.body);
    }
    // A body that never ends is cut off at what it may have.
    let headers = [("authorization", desk.token.as_str()), json, ("transfer-encoding", "chunked")];
    let mut endless = begin(desk.port, "POST", "/api/v1/spokes/shop/touchpoints", &headers).unwrap();
    let chunk = [&b"10000\r\n"[..], &vec![b' '; 0x10000], b"\r\n"].concat();
    let sent = (0..64).take_while(|_| endless.write_all(&chunk).is_ok()).count();
    let answer = received(&mut endless, "endless");
    assert!(answer.is_none_or(|answer| answer.status == 413), "{sent} pieces were sent");
    let memory = desk.house.peak_memory_kib();
    assert!(memory < 256 << 10, "{memory} KiB");
}

#[test]
fn whose_token_it_is_not_sends_nothing_and_a_flood_is_told_when_to_come_again() {
    let most = 1 << 20;
    let desk = Desk::open(
        "flood",
        &[&format!("serve.ingest_body_bytes_max={most}"), &format!("serve.ingest_waiting_bytes={}", 2 * most)],
    );
    let created = |role: &str| {
        let made = desk.house.succeed(&["token", "create", "t", "--role", role, "-o", "json"]);
        let made: Value = serde_json::from_str(&made).unwrap();
        format!("Bearer {}", made["token"].as_str().unwrap())
    };
    let good = body(&[&view("f1", 1, "C1")], false, false);
    for role in ["ingest:other", "ingest:shop2", "read:metrics", "read:customers", "review", "erase", "operate"] {
        let answer = post(desk.port, "shop", &created(role), &good).unwrap();
        assert_eq!((answer.status, answer.problem().as_str()), (403, "forbidden"), "{role}");
    }
    let answer = post(desk.port, "other", &created("ingest:other"), &good).unwrap();
    assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"), "there is no such department");
    for name in ["SHOP", "shop%2F..", "shop%00", "..%2Fshop"] {
        let answer = post(desk.port, name, &desk.token, &good).unwrap();
        assert!(matches!(answer.status, 400 | 403 | 404), "{name}: {}", answer.status);
    }

    // Who has said that much comes holds the room until it has come, or until it is too late. There is room for two.
    let length = (most - 10).to_string();
    let headers = [
        ("authorization", desk.token.as_str()),
        ("content-type", "application/x-ndjson"),
        ("content-length", length.as_str()),
    ];
    let path = "/api/v1/spokes/shop/touchpoints";
    let _other = begin(desk.port, "POST", path, &headers).unwrap();
    let began = Instant::now();
    let (mut slow, refused) = loop {
        let slow = begin(desk.port, "POST", path, &headers).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let answer = desk.post(&good).unwrap();
        if answer.status == 429 {
            break (slow, answer);
        }
        // The other one was first, and it may be the slow one that is refused: once more.
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert!(began.elapsed() < WITHIN, "nothing is refused");
    };
    assert_eq!((refused.problem().as_str(), refused.headers["retry-after"].as_str()), ("full", "1"));
    // Also who has much to say hears it.
    let mut large = view("f2", 1, "C1");
    large.resize(most - 100, b'\n');
    let large = Body { bytes: large, headers: vec![("content-type", "application/x-ndjson")] };
    let refused = desk.post(&large).expect("an answer");
    assert_eq!((refused.status, refused.problem().as_str()), (429, "full"));
    // Whoever reads is not held up.
    let read = crate::harness::http::ask(desk.port, "GET", "/api/v1/openapi.json", &[]).unwrap();
    assert_eq!(read.status, 200);
    let item = view("slow", 1, "C1");
    slow.write_all(&item).unwrap();
    slow.write_all(&vec![b'\n'; most - 10 - item.len()]).unwrap();
    let slow = received(&mut slow, path).expect("an answer");
    assert_eq!(slow.status, 202, "{}", slow.body);
    assert_eq!(desk.post(&good).unwrap().status, 202, "there is room again");
}

#[test]
fn a_token_that_sends_slowly_shuts_nobody_else_out() {
    let most = 1 << 20;
    let desk = Desk::open(
        "shares",
        &[
            &format!("serve.ingest_body_bytes_max={most}"),
            &format!("serve.ingest_waiting_bytes={}", 4 * most),
            "serve.concurrent_requests=4",
        ],
    );
    let made = desk.house.succeed(&["token", "create", "slow", "--role", "ingest:shop", "-o", "json"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let slow = format!("Bearer {}", made["token"].as_str().unwrap());
    let path = "/api/v1/spokes/shop/touchpoints";
    let begun = |more: &[(&str, &str)]| {
        let mut headers = vec![("authorization", slow.as_str()), ("content-type", "application/x-ndjson")];
        headers.extend_from_slice(more);
        begin(desk.port, "POST", path, &headers).unwrap()
    };
    let good = body(&[&view("s1", 1, "C1")], false, false);
    let others_are_served = |when: &str| {
        let answer = desk.post(&good).expect("an answer");
        assert_eq!(answer.status, 202, "{when}: {}", answer.body);
    };
    // Of what is packed, or has no length, nobody knows how much it is: it takes room as it comes, and no turn before it has come.
    let packed: Vec<_> =
        (0..20).map(|_| begun(&[("content-encoding", "gzip"), ("transfer-encoding", "chunked")])).collect();
    others_are_served("many bodies of which nothing has come");
    drop(packed);
    // What is announced takes room at once, up to a token's share.
    let length = (most - 10).to_string();
    let began = Instant::now();
    let (mut announced, refused) = loop {
        let announced: Vec<_> = (0..3).map(|_| begun(&[("content-length", length.as_str())])).collect();
        std::thread::sleep(Duration::from_millis(50));
        let mut one = begun(&[("content-length", "200000")]);
        one.write_all(&vec![b'\n'; 200_000]).unwrap();
        let answer = received(&mut one, path).expect("an answer");
        if answer.status == 429 {
            break (announced, answer);
        }
        assert_eq!(answer.status, 400, "blank lines: {}", answer.body);
        assert!(began.elapsed() < WITHIN, "nothing is refused");
    };
    assert_eq!(refused.problem(), "full");
    others_are_served("one token has its share");
    let item = view("s2", 1, "C1");
    for one in &mut announced {
        one.write_all(&item).unwrap();
        one.write_all(&vec![b'\n'; most - 10 - item.len()]).unwrap();
        let answer = received(one, path).expect("an answer");
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
}

#[test]
fn the_example_of_the_readme_works_to_the_letter() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section =
        readme.split("## Send and decide over HTTP").nth(1).expect("the section").split("\n## ").next().unwrap();
    let block = section.split("```sh\n").nth(1).expect("a block").split("```").next().unwrap();
    let desk = Desk::open("example", &[]);
    let scratch = Scratch::new("example-of-the-readme");
    let lines = [view("e1", 1, "C1"), view("e2", 2, "C2")].join(&b"\n"[..]);
    std::fs::write(scratch.path().join("shop.ndjson"), lines).unwrap();
    assert!(block.contains("127.0.0.1:9700"), "{block}");
    let script = block.replace("127.0.0.1:9700", &format!("127.0.0.1:{}", desk.port));
    let output = std::process::Command::new("bash")
        .current_dir(scratch.path())
        .env("TOKEN", desk.token.strip_prefix("Bearer ").unwrap())
        .args(["-euc", &script])
        .output()
        .unwrap();
    let receipt: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    });
    assert_eq!((&receipt["accepted"], &receipt["refused"]), (&json!(2), &json!(0)), "{receipt}");
    desk.house.customer("customer_id:C2", 1);
}
