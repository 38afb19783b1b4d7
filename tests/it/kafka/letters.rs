//! Dead letters on a real broker: replayed after the mapping was mended, once, by their first position.

use std::{collections::BTreeSet, path::Path, time::Duration};

use serde_json::Value;

use super::house::{Dice, House};
use crate::harness::{
    kafka::Broker,
    reader::read_settled,
    sweeper::Scratch,
    writer::{Message, Writer, create_topics, set_message_bytes_max},
};

const WITHIN: Duration = Duration::from_secs(120);
/// 2026-03-20T00:00:00Z.
const DAY_MS: i64 = 1_773_964_800_000;

fn mapping(folder: &Path, topic: &str, kinds: &str) {
    let mapping = format!(
        "spoke = \"marketing\"\ntopic = \"{topic}\"\nformat = \"json\"\nid = \"position\"\n\
         occurred_at = {{ path = \"when\", format = \"rfc3339\" }}\n\
         kind = {{ path = \"what\", map = {{ {kinds} }}, unmapped = \"reject\" }}\n\
         identifiers = {{ customer_id = \"who\" }}\n"
    );
    std::fs::write(folder.join("marketing.toml"), mapping).unwrap();
}

#[test]
fn dead_letters_go_back_once_with_key_headers_and_first_position() {
    let house = House::new(&Broker::shared().bootstrap(), "letters");
    let folder = Scratch::new("letters-spokes");
    let topic = format!("{}.marketing", house.name);
    let spokes = format!("spokes.directory={}", folder.path().display());
    mapping(folder.path(), &topic, "order = \"order_placed\"");
    let mut hub = house.start("a", &[&spokes], None);
    let messages: Vec<Message> = (0..30)
        .map(|number| {
            let what = if number % 3 == 0 { "order" } else { "look" };
            let payload = format!(r#"{{"what":"{what}","when":"2026-03-10T10:00:00Z","who":"C{}"}}"#, number % 5);
            Message::new("key", payload).header("trace", "17").at(DAY_MS).to(number % 4)
        })
        .collect();
    Writer::new(house.bootstrap()).write(&topic, &messages);
    hub.wait_until_figure("insight_hub_outcomes_total", 30.0, WITHIN);
    assert_eq!(house.rejected().values().sum::<u64>(), 20);
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));

    mapping(folder.path(), &topic, "order = \"order_placed\", look = \"page_viewed\"");
    let mut hub = house.start("a", &[&spokes], None);
    let json = |arguments: &[&str]| -> Value {
        let (status, output, errors) = house.command_line(arguments, &[&spokes]).run(WITHIN);
        assert!(status.success(), "{arguments:?}: {output}\n{errors}");
        serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{arguments:?}: {error}\n{output}"))
    };
    assert_eq!(json(&["rejected", "replay", "--dry-run", "-o", "json"])["records_sent"], 0);
    for _ in 0..2 {
        assert_eq!(json(&["rejected", "replay", "-o", "json"])["records_sent"], 20);
    }
    hub.wait_until_figure("insight_hub_outcomes_total", 40.0, WITHIN);
    let ids: BTreeSet<String> =
        house.feeds().touchpoints.values().map(|touchpoint| touchpoint["id"].as_str().unwrap().to_owned()).collect();
    let first: BTreeSet<String> = (0..30).map(|number| format!("{topic}-{}-{}", number % 4, number / 4)).collect();
    assert_eq!(ids, first, "each once, by the position where it came first");
    assert_eq!(house.rejected().values().sum::<u64>(), 20, "a replay makes no dead letters");
    let records = read_settled(house.bootstrap(), &topic, Duration::from_secs(60));
    let replays: Vec<_> = records.iter().filter(|it| it.header("insight-hub-replay-of").is_some()).collect();
    assert_eq!((records.len(), replays.len()), (70, 40));
    for record in replays {
        assert_eq!((record.key.as_deref(), record.header("trace")), (Some(&b"key"[..]), Some(&b"17"[..])));
        assert_eq!(record.header("insight-hub-replay-timestamp"), Some(DAY_MS.to_string().as_bytes()));
    }

    // Beside the group that reads it, without joining it.
    let (status, output, errors) = house
        .command_line(&["tap", "marketing", "--from-beginning", "--until-end", "-o", "jsonl"], &[&spokes])
        .run(WITHIN);
    assert!(status.success() && output.lines().count() == 70 && !output.contains("\"C1\""), "{errors}");
    let explained = json(&["explain", &format!("{topic}-1-0"), "--arrivals", "-o", "json"]);
    assert!(explained["answer"].as_str().unwrap().starts_with("it counts now"), "{explained}");
    assert_eq!(explained["arrivals"].as_array().map(Vec::len), Some(3), "{explained}");
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
}

/// A department's record of so many bytes that no compression makes small.
fn large(id: usize, bytes: usize) -> String {
    let mut dice = Dice(u64::try_from(id).unwrap());
    let filling: String = (0..bytes).map(|_| char::from(b'#' + u8::try_from(dice.below(56)).unwrap())).collect();
    format!(r#"{{"id":"L{id}","what":"look","when":"2026-03-10T10:00:00Z","who":"C1","filling":"{filling}"}}"#)
}

#[test]
fn what_its_topic_does_not_take_is_named_and_keeps_no_other_from_being_sent() {
    let house = House::new(&Broker::shared().bootstrap(), "unfit");
    let folder = Scratch::new("unfit-spokes");
    let topic = format!("{}.marketing", house.name);
    let spokes = format!("spokes.directory={}", folder.path().display());
    mapping(folder.path(), &topic, "order = \"order_placed\"");
    let mut hub = house.start("a", &[&spokes], None);
    let small = |id: usize| large(id, 100);
    // Larger than the client library's own bound, and no larger than the hub and the broker take by default.
    let payload = |number: usize| if number == 4 { large(number, 1_020_000) } else { small(number) };
    let messages: Vec<Message> = (0..9).map(|number| Message::new("key", payload(number)).to(1)).collect();
    Writer::new(house.bootstrap()).write(&topic, &messages);
    hub.wait_until_figure("insight_hub_outcomes_total", 9.0, WITHIN);
    assert_eq!(house.rejected().values().sum::<u64>(), 9);
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));

    mapping(folder.path(), &topic, "look = \"page_viewed\"");
    let run = |arguments: &[&str]| {
        let (status, output, errors) = house.command_line(arguments, &[&spokes]).run(WITHIN);
        let report: Value =
            serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{error}: {output}\n{errors}"));
        (status.code(), report, errors)
    };
    let replay = ["rejected", "replay", "-o", "json"];
    let (code, report, errors) = run(&replay);
    assert_eq!((code, &report["records_sent"]), (Some(0), &Value::from(9)), "{report}\n{errors}");

    set_message_bytes_max(house.bootstrap(), &topic, 100_000);
    let (code, report, errors) = run(&replay);
    assert_eq!((code, &report["records_sent"]), (Some(1), &Value::from(8)), "{report}\n{errors}");
    let place = format!("{topic}|1|4");
    assert_eq!(report["too_large"], serde_json::json!([place]), "{report}");
    assert!(errors.contains(&place) && errors.contains("raise max.message.bytes of the topic"), "{errors}");
    let records = read_settled(house.bootstrap(), &topic, Duration::from_secs(60));
    assert_eq!(records.len(), 9 + 9 + 8);

    // So it is with rows of a file.
    let by_id = std::fs::read_to_string(folder.path().join("marketing.toml")).unwrap();
    std::fs::write(folder.path().join("marketing.toml"), by_id.replace("id = \"position\"", "id = \"id\"")).unwrap();
    let rows = [small(20), large(21, 300_000), small(22)].join("\n");
    let file = folder.path().join("rows.ndjson");
    std::fs::write(&file, rows).unwrap();
    let (code, report, errors) = run(&["import", &file.display().to_string(), "--spoke", "marketing", "-o", "json"]);
    assert_eq!(code, Some(1), "{report}\n{errors}");
    assert!(errors.contains("1 of the rows") && errors.contains("--again"), "{errors}");
    assert_eq!((&report["accepted"], &report["not_sent"]), (&Value::from(2), &Value::from(1)), "{report}");
    let rejection = &report["rejections"][0];
    assert_eq!(
        (&rejection["reason"], &rejection["lines"][0]),
        (&Value::from("too_large"), &Value::from(2)),
        "{report}"
    );
    assert_eq!(read_settled(house.bootstrap(), &topic, Duration::from_secs(60)).len(), 9 + 9 + 8 + 2);
    // Whoever asks again is told again.
    let (code, report, errors) = run(&["import", &file.display().to_string(), "--spoke", "marketing", "-o", "json"]);
    assert!(code == Some(1) && errors.contains("1 of the rows"), "{report}\n{errors}");
}

/// Text that no compression makes much shorter.
fn noise(bytes: usize) -> String {
    let mut state: u64 = 88_172_645_463_325_252;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'a' + (state >> 32) as u8 % 26)
    };
    (0..bytes).map(|_| next()).collect()
}

#[test]
fn rejected_records_of_any_length_fit_a_topic_of_the_brokers_defaults_and_go_back_whole() {
    let house = House::new(&Broker::shared().bootstrap(), "long-letters");
    let folder = Scratch::new("long-letters-spokes");
    let (topic, rejected) = (format!("{}.long", house.name), house.feed_topic("rejected"));
    create_topics(house.bootstrap(), &[(&topic, 1)], &[("max.message.bytes", "33554432")]);
    // As somebody made it who took the broker's word for the length of a record.
    let kept = [("cleanup.policy", "delete"), ("retention.ms", "86400000"), ("segment.ms", "3600000")];
    create_topics(house.bootstrap(), &[(&rejected, 2)], &kept);
    let spokes = format!("spokes.directory={}", folder.path().display());
    mapping(folder.path(), &topic, "order = \"order_placed\"");
    let mut hub = house.start("a", &[&spokes], None);
    // What fits a letter, what fits a record of the default but no letter, and what fits nothing of the hub's.
    let lengths = [990_000, 1_048_100, 16 << 20];
    let payloads = lengths.map(|bytes| {
        let known = r#"{"what":"look","when":"2026-03-10T10:00:00Z","who":"C1","log":""}"#;
        known.replace("\"log\":\"", &format!("\"log\":\"{}", noise(bytes - known.len())))
    });
    let messages = payloads.iter().map(|it| Message::new("key", it).header("trace", "17").at(DAY_MS).to(0));
    Writer::uncompressed(house.bootstrap()).write(&topic, &messages.collect::<Vec<_>>());
    hub.wait_until_figure("insight_hub_outcomes_total", 3.0, WITHIN);
    let letters = read_settled(house.bootstrap(), &rejected, Duration::from_secs(60));
    let mut lengths: Vec<(usize, Option<String>)> = letters
        .iter()
        .map(|it| {
            let whole = it.header("__streams.errors.whole_bytes").map(|it| String::from_utf8_lossy(it).into_owned());
            (it.value.as_ref().map_or(0, Vec::len), whole)
        })
        .collect();
    lengths.sort();
    let cut = |index: usize| (65_536, Some(payloads[index].len().to_string()));
    assert_eq!(lengths, [cut(1), cut(2), (990_000, None)]);
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));

    mapping(folder.path(), &topic, "look = \"page_viewed\"");
    let mut hub = house.start("a", &[&spokes], None);
    let (status, output, errors) =
        house.command_line(&["rejected", "replay", "-o", "json"], &[&spokes]).run(Duration::from_secs(120));
    assert!(status.success(), "{output}\n{errors}");
    let report: Value = serde_json::from_str(output.trim()).unwrap();
    // The longest is too long for the hub, also now.
    assert_eq!(report["records_sent"], 2, "{report}");
    hub.wait_until_figure("insight_hub_outcomes_total", 2.0, WITHIN);
    let records = read_settled(house.bootstrap(), &topic, Duration::from_secs(60));
    let mut replays: Vec<_> = records.iter().filter(|it| it.header("insight-hub-replay-of").is_some()).collect();
    assert_eq!(replays.len(), 2);
    replays.sort_by_key(|it| it.value.as_ref().map_or(0, Vec::len));
    for (replay, payload) in replays.into_iter().zip(&payloads) {
        assert!(replay.value.as_deref() == Some(payload.as_bytes()), "as it came");
        assert_eq!((replay.key.as_deref(), replay.header("trace")), (Some(&b"key"[..]), Some(&b"17"[..])));
    }
    assert_eq!(house.rejected().values().sum::<u64>(), 3, "both are taken now");
    assert_eq!(hub.process().terminate(Duration::from_secs(20)).code(), Some(0));
}

#[test]
fn a_topic_that_takes_shorter_records_than_the_hub_writes_is_refused_before_it_starts() {
    let house = House::new(&Broker::shared().bootstrap(), "short-topic");
    let rejected = house.feed_topic("rejected");
    let settings = [("retention.ms", "86400000"), ("segment.ms", "3600000"), ("max.message.bytes", "500000")];
    create_topics(house.bootstrap(), &[(&rejected, 2)], &settings);
    let said = "max.message.bytes=500000 instead of at least 1048588";
    let named = format!("1 of 28 topics are not as the hub needs them: {rejected}");
    let run = |arguments: &[&str]| house.command_line(arguments, &[]).run(Duration::from_secs(60));
    let (status, output, _) = run(&["topics", "plan"]);
    assert!(status.success() && output.contains(said), "{output}");
    let (status, output, errors) = run(&["topics", "verify"]);
    assert!(!status.success() && output.contains(said) && errors.contains(&rejected), "{output}\n{errors}");
    // It makes what is missing.
    let (status, _, errors) = run(&["run", "--listen", "127.0.0.1:0"]);
    assert!(!status.success() && errors.contains(&named) && errors.contains("topics plan"), "{errors}");
}
