//! Notes of readings there and back, and what a partition makes of them.

use expect_test::expect_file;

use super::*;
use crate::{
    model::{Day, EventTime},
    topology::messages::Batch,
};

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n"
}

#[test]
fn notes_travel_and_are_kept_in_the_forms_of_the_golden_file() {
    let reading = Reading { spoke: "sales", number: 3, mapping: 0x0123_4567_89ab_cdef };
    let header = Header { as_of: Some(EventTime(1_769_849_999_000)), ..Header::timeless(Day(0), None) };
    let far = Far { next: 1_250, missing: 40 };
    let all = [
        Says::Asks { attempt: 5 },
        Says::Touchpoints { reading },
        Says::Progress { reading, partition: 2, far },
        Says::Ended { reading, partition: 2, partitions: 3, missing: 40, keeps: true },
    ];
    let mut lines = String::new();
    let mut known = Known::begun(reading);
    for says in all {
        let (mut batch, mut record) = (Batch::default(), Vec::new());
        batch.push_touchpoint(PersonId([9; 16]), |bytes| bytes.extend_from_slice(b"touchpoint"));
        batch.take_with(VERSION_OF_A_READING, &header, &says, &mut record);
        lines += &hexadecimal(&record);
        let (read, said, mut entries) = open(&record).expect("the form that was written");
        assert_eq!((read, said), (header, Some(says)));
        let entry = messages::next_touchpoint(&mut entries).expect("readable");
        assert_eq!(entry, Some((PersonId([9; 16]), &b"touchpoint"[..])));
        assert!(messages::open(&record).is_err(), "those who know no readings do not pass over them");
        known.hear(says, 77);
    }
    let swept = Swept { older: 4, keeps: true, missing: 40 };
    let sweeping = Phase::Sweeping { next: Some(PersonId([1; 16])), sequence: 77, outcome: swept };
    for known in
        [known.clone(), Known { phase: sweeping, ..known.clone() }, Known { phase: Phase::Over(swept), ..known }]
    {
        lines += &hexadecimal(&known.encode());
        assert_eq!(Known::decode(&known.encode()), Some(known));
    }
    assert_eq!(Known::decode(&[9, 0]), None, "no version of ours");
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/readings_v6.hex")].assert_eq(&lines);
}

#[test]
fn a_reading_ends_when_every_source_partition_has_and_notes_that_come_twice_change_nothing() {
    let reading = Reading { spoke: "sales", number: 1, mapping: 7 };
    let ended = |partition, missing, keeps| Says::Ended { reading, partition, partitions: 2, missing, keeps };
    let mut known = Known::begun(reading);
    assert!(known.hear(ended(1, 5, true), 10));
    assert!(known.hear(ended(1, 5, true), 11) && !known.is_over());
    assert!(known.hear(ended(0, 0, false), 12));
    let outcome = Swept { older: 0, keeps: true, missing: 5 };
    let sweeping = Phase::Sweeping { next: None, sequence: 12, outcome };
    assert_eq!(known.phase, sweeping);
    assert!(!known.hear(ended(0, 0, false), 13));
    assert_eq!(known.phase, sweeping);
}
