//! Records of 300 bytes in; how fast they go through the socket and back, as a line for the reader, out. Nothing is timed for a
//! verdict: machines differ.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use insight_hub::engine::log::{
    access::{
        Durability, LogAccess, NewRecord,
        opened::{self, Opened},
        socket::{Limits, Remote, Server},
    },
    commit_log::{CommitLog, Options, Policy, files::real::RealFiles},
};
use tempfile::TempDir;

use super::hub::Desk;

const RECORDS: usize = 200_000;

fn measure(name: &str, access: &dyn LogAccess, topic: &str, batch: usize) {
    access.create_topic(topic, 1, Policy::Keep).expect("a topic");
    let value = [7; 280];
    let keys: Vec<[u8; 20]> = (0..batch as u64).map(|number| [number as u8; 20]).collect();
    let records: Vec<NewRecord<'_>> =
        keys.iter().map(|key| NewRecord { key: Some(key), value: Some(&value), ..NewRecord::default() }).collect();
    let began = Instant::now();
    for _ in 0..RECORDS / batch {
        access.append(topic, &records, Durability::AsConfigured).expect("an append");
    }
    let appended = began.elapsed();
    let began = Instant::now();
    let (mut next, mut count, mut bytes) = (0, 0, 0);
    loop {
        let after = access.read(topic, 0, next, 1 << 20, &mut |record| {
            count += 1;
            bytes += record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
            ControlFlow::Continue(())
        });
        let after = after.expect("a read");
        if after == next {
            break;
        }
        next = after;
    }
    let read = began.elapsed();
    assert_eq!((count, bytes), (RECORDS / batch * batch, RECORDS / batch * batch * 300));
    let rate = |took: Duration| count as f64 / took.as_secs_f64() / 1e6;
    eprintln!(
        "{name}, batches of {batch}: append {:.2} million records/s ({:.1} us a call), read {:.2} million records/s",
        rate(appended),
        appended.as_secs_f64() * 1e6 / (RECORDS / batch) as f64,
        rate(read)
    );
}

#[test]
fn records_of_300_bytes_through_the_socket_and_back() {
    let directory = TempDir::new().expect("a directory");
    let files = RealFiles::new(directory.path()).expect("files");
    let log = Arc::new(CommitLog::open(Arc::new(files), Options::default()).expect("a log"));
    let desk = Arc::new(Desk::default());
    let opened = Arc::new(Opened::new(Arc::clone(&log), desk, opened::Limits::default()));
    let access: Arc<dyn LogAccess> = Arc::clone(&opened) as _;
    let server = Server::start(directory.path(), access, Limits::default()).expect("a server");
    let remote = Remote::connect(directory.path()).expect("no error").expect("a hub");
    for batch in [1, 100, 5000] {
        measure("in this process", &*opened, &format!("sales.opened-{batch}"), batch);
        measure("through the socket", &remote, &format!("sales.remote-{batch}"), batch);
    }
    let began = Instant::now();
    for _ in 0..10_000 {
        remote.wait_beyond(0, Duration::ZERO).expect("an answer");
    }
    eprintln!("the smallest question and its answer: {:.1} us", began.elapsed().as_secs_f64() * 1e6 / 1e4);
    server.stop();
}
