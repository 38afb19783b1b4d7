//! Streams of one feed in; that each was sent every record, once, out.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream as Blocking,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, runtime::Runtime, task::JoinHandle, time::timeout};

/// A feed of which something comes all the time, and not so much that a machine does nothing but write it a thousand times.
const FEED: &str = "spokes";
const OPENED_WITHIN: Duration = Duration::from_secs(120);
/// What comes at the end is waited for.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);

/// What one stream was sent.
#[derive(Default)]
struct Sent {
    records: u64,
    /// Where the first one was, and the last: the next offset of each partition.
    first: BTreeMap<i32, u64>,
    last: BTreeMap<i32, u64>,
    /// It was ended by the hub.
    is_ended: bool,
}

impl Sent {
    fn note(&mut self, id: &str) {
        let (_, places) = id.split_once('@').unwrap();
        let at = places.split(',').map(|place| place.split_once(':').unwrap());
        self.last = at.map(|(partition, next)| (partition.parse().unwrap(), next.parse().unwrap())).collect();
        if self.records == 0 {
            self.first = self.last.clone();
        }
        self.records += 1;
    }

    /// How many records there are from the first one to the last; a log without Kafka has no gaps.
    fn between(&self) -> u64 {
        let moved = self.last.iter().map(|(partition, next)| next - self.first.get(partition).copied().unwrap_or(0));
        if self.records == 0 { 0 } else { moved.sum::<u64>() + 1 }
    }
}

/// Streams that are open.
pub struct Watchers {
    tasks: Vec<JoinHandle<Sent>>,
    stop: Arc<AtomicBool>,
}

impl Watchers {
    /// Opens them, one after the other.
    pub fn open(runtime: &Runtime, api: u16, token: &str, count: usize) -> Watchers {
        let (stop, begun) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let head = format!(
            "GET /api/v1/feeds/{FEED}/events HTTP/1.1\r\nhost: 127.0.0.1:{api}\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        let open = || {
            let mut stream = Blocking::connect(("127.0.0.1", api)).unwrap();
            stream.write_all(head.as_bytes()).unwrap();
            let mut answer = vec![0; 4_096];
            let count = stream.read(&mut answer).unwrap();
            let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            stream.set_nonblocking(true).unwrap();
            (stream, answer.split_once("\r\n\r\n").unwrap_or_default().1.to_owned())
        };
        let tasks = (0..count).map(|_| {
            // Faster than a caller may ask they are not let in.
            std::thread::sleep(Duration::from_millis(1));
            assert!(begun.elapsed() < OPENED_WITHIN, "the streams are not opened in time");
            runtime.spawn(watch(open(), Arc::clone(&stop)))
        });
        Watchers { tasks: tasks.collect(), stop }
    }

    /// Waits until nothing comes any more; each must have what the others have.
    pub fn close(self, runtime: &Runtime) {
        let began = Instant::now();
        self.stop.store(true, Ordering::Relaxed);
        let sent: Vec<Sent> = runtime.block_on(async {
            let mut sent = Vec::new();
            for task in self.tasks {
                sent.push(timeout(DRAINED_WITHIN, task).await.expect("the streams come to rest").unwrap());
            }
            sent
        });
        let ended = sent.iter().filter(|it| it.is_ended).count();
        let missed: u64 = sent.iter().map(|it| it.between().abs_diff(it.records)).sum();
        let is_as_far = sent.iter().all(|it| it.last == sent[0].last);
        let counts: Vec<u64> = sent.iter().map(|it| it.records).collect();
        println!(
            "{} streams of {FEED}: {} to {} records each; {ended} were ended by the hub, {missed} records were missed or came twice, and \
             all are {}as far; at rest after {:.1} s",
            sent.len(),
            counts.iter().min().unwrap(),
            counts.iter().max().unwrap(),
            if is_as_far { "" } else { "NOT " },
            began.elapsed().as_secs_f64()
        );
        assert!(ended == 0 && missed == 0 && is_as_far, "each stream has every record once");
    }
}

/// Reads a stream until nothing comes any more after it was told to stop.
async fn watch((stream, mut text): (Blocking, String), stop: Arc<AtomicBool>) -> Sent {
    let stream = TcpStream::from_std(stream).unwrap();
    let (mut sent, mut buffer) = (Sent::default(), vec![0; 4 << 10]);
    loop {
        while let Some(end) = text.find("\n\n") {
            if let Some(id) = text[..end].lines().find_map(|line| line.strip_prefix("id: ")) {
                sent.note(id);
            }
            text.drain(..end + 2);
        }
        if timeout(Duration::from_secs(2), stream.readable()).await.is_err() {
            if stop.load(Ordering::Relaxed) {
                return sent;
            }
            continue;
        }
        match stream.try_read(&mut buffer) {
            Ok(read @ 1..) => text.push_str(&String::from_utf8_lossy(&buffer[..read])),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return Sent { is_ended: true, ..sent },
        }
    }
}
