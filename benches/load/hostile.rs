//! Clients that take nothing, ask too often or send too much in; that they are refused, and cost the hub little, out.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream as Blocking,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use tokio::net::TcpSocket;

use super::{Load, memory, share, wire::Client};
use crate::{
    measure::{figures, sum},
    token,
};

/// How long it is asked too often.
const FLOODED: Duration = Duration::from_secs(10);
const FLOODERS: usize = 4;
/// Requests that are sent before an answer is read.
const AHEAD: usize = 50;
/// Clients that ask and take nothing.
const SLOW: usize = 200;
/// Answers that each of them asks for: more than the system takes for it.
const SLOW_ANSWERS: usize = 200;
/// The hub gives half a minute, and what it noticed last a little more.
const CUT_OFF_WITHIN: Duration = Duration::from_secs(150);

/// A caller asks as often as it can over several connections, while another asks now and then.
pub fn flood(load: &Load, reads: &str) {
    let flooder = token(&load.hub, &["read:metrics"]);
    let (stop, answered, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (before, _) = memory(load.hub.process.pid());
    let mut waits = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..FLOODERS {
            scope.spawn(|| {
                let mut client = Client::connect(load.api, &flooder);
                let requests = client.head("GET", "/api/v1/metrics/orders", "").repeat(AHEAD);
                while !stop.load(Ordering::Relaxed) {
                    assert!(client.write(requests.as_bytes()), "a flood is answered, not cut off");
                    for _ in 0..AHEAD {
                        match client.received() {
                            200 => answered.fetch_add(1, Ordering::Relaxed),
                            429 | 503 => refused.fetch_add(1, Ordering::Relaxed),
                            status => panic!("{status}"),
                        };
                    }
                }
            });
        }
        let (mut client, began) = (Client::connect(load.api, reads), Instant::now());
        while began.elapsed() < FLOODED {
            let asked = Instant::now();
            assert_eq!(client.get("/api/v1/metrics/revenue/series?window=day"), 200, "{}", client.answer());
            waits.push(asked.elapsed().as_secs_f64() * 1_000.0);
            std::thread::sleep(Duration::from_millis(20));
        }
        stop.store(true, Ordering::Relaxed);
    });
    waits.sort_by(f64::total_cmp);
    let (after, _) = memory(load.hub.process.pid());
    let (answered, refused) = (answered.into_inner(), refused.into_inner());
    let seconds = FLOODED.as_secs_f64();
    println!(
        "\na flood over {FLOODERS} connections: {:.0} answered and {:.0} refused a second; somebody else is answered within {:.1} ms (half), \
         {:.1} ms (99 %); memory {before:.0} → {after:.0} MiB",
        answered as f64 / seconds,
        refused as f64 / seconds,
        share(&waits, 0.5),
        share(&waits, 0.99)
    );
    assert!(refused > 0, "nobody is told to come again");
}

/// Bodies of more than may come: said so, not said so, and packed into little.
pub fn oversized(load: &Load, spoke: &str) {
    let sender = token(&load.hub, &[&format!("ingest:{spoke}")]);
    let path = format!("/api/v1/spokes/{spoke}/touchpoints");
    let (before, _) = memory(load.hub.process.pid());
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let blanks = vec![b' '; 1 << 20];
    (0..256).for_each(|_| encoder.write_all(&blanks).unwrap());
    let bomb = encoder.finish().unwrap();
    let kind = "content-type: application/x-ndjson\r\nconnection: close\r\n";
    let bombs = format!("{kind}content-encoding: gzip\r\ncontent-length: {}\r\n", bomb.len());
    let began = Instant::now();
    let statuses: Vec<[u16; 3]> = (0..20)
        .map(|_| {
            let client = Client::connect(load.api, &sender);
            let said = client.head("POST", &path, &format!("{kind}content-length: 1073741824\r\n"));
            let unsaid = client.head("POST", &path, &format!("{kind}transfer-encoding: chunked\r\n"));
            let packed = client.head("POST", &path, &bombs);
            let mebibyte = [format!("{:x}\r\n", 1 << 20).into_bytes(), vec![b'x'; 1 << 20], b"\r\n".to_vec()].concat();
            [
                refused(load.api, said.as_bytes(), &[], 0),
                refused(load.api, unsaid.as_bytes(), &mebibyte, 64),
                refused(load.api, packed.as_bytes(), &bomb, 1),
            ]
        })
        .collect();
    let (after, _) = memory(load.hub.process.pid());
    println!(
        "bodies of a GiB that is said, of 64 MiB that nobody says, of 256 MiB in {} KiB: {:?} in {:.1} s, {} times; memory {before:.0} → \
         {after:.0} MiB",
        bomb.len() >> 10,
        statuses[0],
        began.elapsed().as_secs_f64(),
        statuses.len()
    );
    assert!(statuses.iter().all(|all| all.iter().all(|status| *status == 413)), "{statuses:?}");
}

/// The status of the answer to a head and a body that comes piece by piece, whether or not all of it is taken.
fn refused(api: u16, head: &[u8], piece: &[u8], pieces: usize) -> u16 {
    let mut stream = Blocking::connect(("127.0.0.1", api)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(head).unwrap();
    for _ in 0..pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
    }
    let mut answer = [0; 1_024];
    let count = stream.read(&mut answer).unwrap_or_default();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

/// Clients ask for much, and take nothing of it: until each of them is gone.
pub fn cut_off(load: &Load, reads: &str) {
    let pid = load.hub.process.pid();
    let ((before, _), began) = (memory(pid), Instant::now());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let slowly = token(&load.hub, &["read:metrics"]);
    let requests =
        Client::connect(load.api, &slowly).head("GET", "/api/v1/metrics?limit=1000", "").repeat(SLOW_ANSWERS);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let stream = runtime.block_on(async {
            let socket = TcpSocket::new_v4().unwrap();
            // What the system takes for a client is the client's to say.
            socket.set_recv_buffer_size(4 << 10).unwrap();
            socket.connect(([127, 0, 0, 1], load.api).into()).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        (&stream).write_all(requests.as_bytes()).unwrap();
        stream.set_nonblocking(true).unwrap();
        slow.push(stream);
    }
    // Others are answered meanwhile, and the most that the hub holds is seen.
    let (mut client, mut waits, mut most) = (Client::connect(load.api, reads), Vec::new(), before);
    let mut open = SLOW;
    while open > 0 {
        assert!(began.elapsed() < CUT_OFF_WITHIN, "{open} clients that take nothing are still there");
        let asked = Instant::now();
        match client.get("/api/v1/metrics/orders") {
            200 => waits.push(asked.elapsed().as_secs_f64() * 1_000.0),
            429 | 503 => {}
            _ => client = Client::connect(load.api, reads),
        }
        most = most.max(memory(pid).0);
        std::thread::sleep(Duration::from_millis(100));
        open = slow.iter().filter(|stream| !is_gone(stream)).count();
    }
    waits.sort_by(f64::total_cmp);
    let cut_off = figures(load.figures_port).unwrap();
    println!(
        "{SLOW} clients that ask for {SLOW_ANSWERS} long answers each and take none: all gone after {:.0} s; somebody else is answered \
         within {:.1} ms (half), {:.1} ms (99 %); memory {before:.0} → at most {most:.0} MiB; streams cut off so far: {:.0}",
        began.elapsed().as_secs_f64(),
        share(&waits, 0.5),
        share(&waits, 0.99),
        sum(&cut_off, "insight_hub_api_requests_total{outcome=\"cut_off\"}").abs()
    );
}

/// Whether the other side has closed it: it takes nothing more.
fn is_gone(mut stream: &Blocking) -> bool {
    match stream.write_all(b"G") {
        Ok(()) => false,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    }
}
