//! The API of a hub on a broker: what it shows is what is committed there, before and after a crash, and who saw whom is on the
//! broker too.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use insight_hub::company::SourceEvent;
use serde_json::{Value, json};

use super::house::House;
use crate::{
    harness::{
        http::{Answer, ask, send},
        kafka::{Broker, free_port},
        sweeper::Scratch,
    },
    world::of_marketing,
};

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-03-02T00:00:00Z.
const DAY_S: i64 = 1_772_409_600;

fn viewed(days: std::ops::Range<i64>) -> Vec<SourceEvent> {
    let event = |day: i64| {
        let second = DAY_S + day * 86_400;
        let profile = json!({ "mail": format!("ann{}@example.org", day % 3) });
        let payload = json!({ "id": day.to_string(), "event": "PageViewed", "ts": second, "profile": profile });
        of_marketing(&day.to_string(), &payload, second)
    };
    days.map(event).collect()
}

/// A token with a role, as a header's value.
fn token(house: &House, role: &str) -> String {
    let command = house.command_line(&["token", "create", "test", "--role", role, "-o", "json"], &[]);
    let (status, made, errors) = command.run(WITHIN);
    assert!(status.success(), "{errors}");
    format!("Bearer {}", serde_json::from_str::<Value>(&made).unwrap()["token"].as_str().unwrap())
}

#[test]
fn the_api_of_a_hub_on_a_broker_shows_what_is_committed_there_and_goes_on_after_a_crash() {
    let scratch = Scratch::new("api-on-kafka");
    let port = free_port();
    let house = House::new(&Broker::shared().bootstrap(), "api")
        .set(&format!("serve.listen=127.0.0.1:{port}"))
        .set("http.company_values=true")
        .set(&format!("serve.tokens_file={}", scratch.path().join("tokens.json").display()));
    // A file of tokens that is named has one in it before the hub starts.
    let metrics = token(&house, "read:metrics");
    let by = [("authorization", metrics.as_str())];
    let mut hub = house.start("a", &[], None);
    hub.wait_until_ready(WITHIN);
    house.write(&viewed(0..6));
    let path = "/api/v1/metrics/reach/series?window=day";
    let becomes = |path: &str, headers: &[(&str, &str)], is_right: &dyn Fn(&Answer) -> bool| {
        let began = Instant::now();
        loop {
            if let Some(answer) = ask(port, "GET", path, headers).filter(is_right) {
                return answer;
            }
            assert!(began.elapsed() < WITHIN, "{path} does not become what it should");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    let is_reach = |value: &&Value| {
        value["metric"] == "reach" && value["window"]["kind"] == "day" && value["dimension"] == "company"
    };
    let committed = || {
        let mut values: Vec<Value> = house.latest("metrics").values().filter(is_reach).cloned().collect();
        values.sort_by_key(|value| value["window"]["start"].to_string());
        values
    };
    // Of windows that are open yet, what is committed may still change between the two looks.
    let shows_what_is_committed = |days: usize| {
        let has_days = |answer: &Answer| answer.status == 200 && answer.items().len() == days;
        let began = Instant::now();
        loop {
            let (seen, there) = (becomes(path, &by, &has_days).items(), committed());
            if seen == there {
                return;
            }
            assert!(began.elapsed() < WITHIN, "shown: {seen:?}\ncommitted: {there:?}");
        }
    };
    shows_what_is_committed(6);

    // What the API shows of the company is among the figures too.
    hub.wait_until_labelled_figure("insight_hub_company_value", r#"metric="reach""#, 1.0, WITHIN);

    hub.hub.restart();
    house.write(&viewed(6..9));
    shows_what_is_committed(9);

    let (status, made, errors) =
        house.command_line(&["token", "create", "test", "--role", "read:customers", "-o", "json"], &[]).run(WITHIN);
    assert!(status.success(), "{errors}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let token = format!("Bearer {}", made["token"].as_str().unwrap());
    let by = [("authorization", token.as_str())];
    let ann = becomes("/api/v1/customers/email:ann1@example.org", &by, &|answer| {
        answer.status == 200 && answer.json()["touchpoints"] == 3
    });
    assert!(ask(port, "GET", path, &by).unwrap().status == 403, "it may read customers and nothing else");
    let person = &ann.json()["person"];
    let audit = house.latest("audit");
    assert!(audit.values().any(|entry| entry["person"] == *person && entry["actor"] == made["id"]), "{audit:?}");
}

#[test]
fn a_department_without_a_client_sends_over_http_what_counts_once_on_a_broker() {
    let scratch = Scratch::new("ingesting-on-kafka");
    let port = free_port();
    let house = House::new(&Broker::shared().bootstrap(), "ingesting")
        .set(&format!("serve.listen=127.0.0.1:{port}"))
        .set(&format!("serve.tokens_file={}", scratch.path().join("tokens.json").display()));
    let (ingest, read) = (token(&house, "ingest:marketing"), token(&house, "read:customers"));
    let mut hub = house.start("a", &[], None);
    hub.wait_until_ready(WITHIN);
    let send_all = |days: std::ops::Range<i64>| {
        for batch in viewed(days).chunks(5) {
            let items: Vec<&[u8]> = batch.iter().map(|event| event.payload.as_slice()).collect();
            let body = [&b"["[..], &items.join(&b","[..]), b"]"].concat();
            let headers = [("authorization", ingest.as_str()), ("content-type", "application/json")];
            let began = Instant::now();
            loop {
                let answer = send(port, "POST", "/api/v1/spokes/marketing/touchpoints", &headers, &body);
                match answer {
                    Some(answer) if answer.status == 202 => {
                        assert_eq!(answer.json()["accepted"], items.len(), "{}", answer.body);
                        break;
                    }
                    Some(answer) => assert!(matches!(answer.status, 429 | 503), "{}: {}", answer.status, answer.body),
                    None => {}
                }
                assert!(began.elapsed() < WITHIN, "it is not taken");
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    };
    send_all(0..30);
    // Acknowledged by the broker: it is there whatever happens to the hub.
    hub.process().kill();
    let topic = format!("{}.marketing", house.name);
    let there = crate::harness::reader::read_settled(house.bootstrap(), &topic, WITHIN);
    let values: BTreeSet<&[u8]> = there.iter().filter_map(|record| record.value.as_deref()).collect();
    for event in viewed(0..30) {
        assert!(values.contains(event.payload.as_slice()), "an acknowledged item is not on the broker");
    }
    let mut partitions: BTreeMap<Vec<u8>, BTreeSet<i32>> = BTreeMap::new();
    for record in &there {
        partitions.entry(record.key.clone().unwrap()).or_default().insert(record.partition);
    }
    assert_eq!(partitions.len(), 3, "a key for each customer");
    assert!(partitions.values().all(|of_key| of_key.len() == 1), "one partition for each key: {partitions:?}");

    hub.hub.restart();
    send_all(0..45);
    let path = "/api/v1/customers/email:ann1@example.org";
    let began = Instant::now();
    loop {
        let answer = ask(port, "GET", path, &[("authorization", read.as_str())]);
        if answer.is_some_and(|answer| answer.status == 200 && answer.json()["touchpoints"] == 15) {
            break;
        }
        assert!(began.elapsed() < WITHIN, "she does not have her 15 touchpoints");
        std::thread::sleep(Duration::from_millis(100));
    }
    let records: Vec<Value> = house.latest("customers").into_values().collect();
    let counted: Vec<&Value> = records.iter().map(|record| &record["touchpoints"]).collect();
    assert_eq!(counted, [15, 15, 15], "what was sent twice counts once");
}
