//! Bytes that no client of ours would send in; a hub that is still there out.

use std::{
    io::{Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    time::Duration,
};

use insight_hub::engine::log::{
    access::{LogAccess, socket::Limits},
    commit_log::Policy,
};
use proptest::prelude::*;

use super::{
    hub::{Hub, keys, put},
    limits::greeted,
};

/// Sends bytes and nothing more; what came back.
fn told(mut stream: &UnixStream, bytes: &[u8]) -> Vec<u8> {
    // The hub may close before all was sent.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    answer
}

fn connected(hub: &Hub) -> UnixStream {
    UnixStream::connect(hub.directory.path().join("socket")).expect("a hub")
}

fn contains(answer: &[u8], text: &str) -> bool {
    String::from_utf8_lossy(answer).contains(text)
}

#[test]
fn other_protocols_and_versions_are_told_what_this_is() {
    let hub = Hub::new();
    let answer = told(&connected(&hub), b"GET / HTTP/1.1\r\n\r\n");
    assert!(answer.starts_with(b"\xf1HUB\0\0\0\0") && contains(&answer, "this is the log of an insight-hub"));
    let answer = told(&connected(&hub), b"\xf1HUB\x02\0\x05\0");
    assert!(answer.starts_with(b"\xf1HUB\0\0\0\0") && contains(&answer, "speaks version 1 of"), "{answer:?}");
    assert!(contains(&answer, "not 2 to 5; use a program of its release"));
    let answer = told(&connected(&hub), b"\xf1HUB\x01\0\x05\0");
    assert_eq!(answer, b"\xf1HUB\x01\0\0\0", "one that speaks newer ones too speaks this one");
    assert_eq!(told(&connected(&hub), b"\xf1HUB"), b"");
}

#[test]
fn unknown_requests_and_unreadable_ones_are_told_so() {
    let hub = Hub::new();
    let unknown_then_topics = told(&greeted(&hub), b"\x02\0\0\0\x63?\x01\0\0\0\x01");
    assert!(contains(&unknown_then_topics, "knows no request of kind 99"));
    assert!(contains(&unknown_then_topics, "insight.metrics"), "the next one is answered");
    let unreadable_then_topics = told(&greeted(&hub), b"\x03\0\0\0\x02\xff\xff\x01\0\0\0\x01");
    assert!(contains(&unreadable_then_topics, "a request of kind 2 does not read as one"));
    assert!(!contains(&unreadable_then_topics, "insight.metrics"), "what follows may be anything");
    assert_eq!(told(&greeted(&hub), b"\0\0\0\0"), b"", "a frame of nothing has no kind");
    let too_large = told(&greeted(&hub), &[0xff; 64]);
    assert_eq!(too_large[4..14], *b"\xff\x05\xff\xff\xff\xff\0\0\0\0", "an error, too large, four billion bytes");
    let relative = told(&greeted(&hub), b"\x09\0\0\0\x08\x04\0\0\0here");
    assert!(contains(&relative, "must be given from the root on"));
}

#[test]
fn lengths_and_counts_are_not_believed() {
    let hub = Hub::new();
    hub.opened.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    // Four billion records, one of them with as many headers.
    let mut append = b"\0\0\0\0\x05\x0c\0\0\0sales.orders\0\xff\xff\xff\xff".to_vec();
    append.extend_from_slice(&[0; 4 + 8 + 4 + 4]);
    append.extend_from_slice(&[0xff; 4]);
    let length = append.len() as u32 - 4;
    append[..4].copy_from_slice(&length.to_le_bytes());
    assert!(contains(&told(&greeted(&hub), &append), "does not read as one"));
    // A topic's name of 16 MiB.
    let mut spans = vec![0, 0, 0, 1, 2];
    spans.extend_from_slice(&((16 << 20) - 5_u32).to_le_bytes());
    spans.resize(4 + (16 << 20), b'a');
    let answer = told(&greeted(&hub), &spans);
    assert!(contains(&answer, "the log has no topic aaa") && answer.len() < 1000, "{} bytes", answer.len());
    assert_eq!(hub.opened.spans("sales.orders"), Ok(vec![0..0]));
}

#[test]
fn random_bytes_leave_the_hub_as_it_was() {
    // Random bytes may ask to wait.
    let hub = Hub::with(Limits { wait_max: Duration::from_millis(20), ..Limits::default() });
    hub.opened.create_topic("sales.orders", 1, Policy::Keep).expect("a topic");
    put(&*hub.opened, "sales.orders", &["a"]).expect("an append");
    let remote = hub.remote();
    let bytes = prop::collection::vec(any::<u8>(), 0..300);
    let framed = (1..10_u8, prop::collection::vec(prop_oneof![any::<u8>(), 0..5_u8], 0..100));
    proptest!(ProptestConfig::with_cases(200), |(bytes in bytes, frames in prop::collection::vec(framed, 0..5))| {
        told(&connected(&hub), &bytes);
        told(&greeted(&hub), &bytes);
        let mut all = Vec::new();
        for (kind, payload) in frames {
            all.extend_from_slice(&(payload.len() as u32 + 1).to_le_bytes());
            all.push(kind);
            all.extend_from_slice(&payload);
        }
        told(&greeted(&hub), &all);
        prop_assert_eq!(keys(&remote, "sales.orders", 0, 0), (vec!["a".to_owned()], 1));
    });
    assert_eq!(hub.remote().topics().expect("topics").len(), 2);
}
