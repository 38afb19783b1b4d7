//! What one client of the API may hold, and where a stream of events cannot go on.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::*;

#[test]
fn a_stream_goes_on_in_the_feed_that_it_was_of_and_in_no_other() {
    let mut desk = Desk::open("resume", &["serve.requests_per_second=100000", "serve.streams_per_token=2"]);
    desk.house.append(DAY_MS, &orders(1..4));
    let (customers, actor) = desk.token("read:customers", &[]);
    let (other, _) = desk.token("read:customers", &[]);
    let by = [("authorization", customers.as_str())];
    desk.becomes("/api/v1/customers/email:ann1@example.org", &by, &|answer| answer.status == 200);
    let path = "/api/v1/feeds/customers/events?from=beginning";
    let (status, mut first) = Stream::open(desk.port, path, &by);
    assert_eq!(status, 200);
    let began = Instant::now();
    let id = loop {
        if let Some((id, _)) = first.events().into_iter().next() {
            break id;
        }
        assert!(began.elapsed() < WITHIN, "nothing comes");
    };
    let (head, places) = id.split_once('@').expect("an id says what it is of");
    let (origin, minutes) = head.split_once('.').expect("and up to when all of it was had");
    // The same place in a feed of that name which was made anew.
    let renewed = format!("{}.{minutes}@{places}", origin.chars().rev().collect::<String>());
    let answer = desk.ask(path, &[by[0], ("last-event-id", &renewed)]);
    assert_eq!((answer.status, answer.problem().as_str()), (410, "resume-gone"));
    let beyond = desk.ask(path, &[by[0], ("last-event-id", &format!("{origin}@0:x"))]);
    assert_eq!((beyond.status, beyond.problem().as_str()), (400, "invalid-cursor"));
    let (status, _second) = Stream::open(desk.port, path, &[by[0], ("last-event-id", &id)]);
    assert_eq!(status, 200, "and in the one that it is of it does");

    // Two at a time, and no less for anybody else.
    let third = desk.ask(path, &by);
    assert_eq!((third.status, third.problem().as_str()), (503, "busy"));
    assert!(third.headers.contains_key("retry-after"));
    let (status, _) = Stream::open(desk.port, path, &[("authorization", &other)]);
    assert_eq!(status, 200);
    drop(first);
    desk.becomes_free(path, &by);

    // Who watched what.
    let audit = desk.feed("audit");
    let watched = |entry: &&Value| entry["operation"] == "watch_feed" && entry["actor"] == actor.as_str();
    assert!(audit.iter().filter(watched).count() >= 2, "{audit:?}");
    assert!(audit.iter().filter(watched).all(|entry| entry["feed"] == "customers"), "{audit:?}");
    assert!(audit.iter().filter(|entry| entry["operation"] == "get_customer").all(|entry| entry["feed"].is_null()));
}

impl Stream {
    /// The first event that is right, and its id.
    #[track_caller]
    fn first(&mut self, is_right: &dyn Fn(&Value) -> bool) -> String {
        let began = Instant::now();
        loop {
            if let Some((id, _)) = self.events().into_iter().find(|(_, data)| is_right(data)) {
                return id;
            }
            assert!(began.elapsed() < WITHIN, "nothing comes");
        }
    }
}

/// The parts of an id: what it is of, up to when all of it was had, in minutes, and where to go on.
fn parts(id: &str) -> (&str, i64, &str) {
    let (head, places) = id.split_once('@').unwrap();
    let (origin, minutes) = head.split_once('.').unwrap();
    (origin, minutes.parse().unwrap(), places)
}

#[test]
fn a_stream_of_a_compacted_feed_does_not_go_on_where_a_deletion_may_be_gone() {
    let mut desk = Desk::open("aged", &["serve.requests_per_second=100000", "serve.streams_per_token=100"]);
    desk.house.append(DAY_MS, &orders(1..4));
    let (token, _) = desk.token("read:customers", &[]);
    let by = [("authorization", token.as_str())];
    for number in 1..4 {
        desk.becomes(&format!("/api/v1/customers/email:ann{number}@example.org"), &by, &|answer| answer.status == 200);
    }
    let open = |feed: &str, id: &str| {
        let path = format!("/api/v1/feeds/{feed}/events");
        Stream::open(desk.port, &path, &[by[0], ("last-event-id", id)])
    };
    let first = |feed: &str| {
        let path = format!("/api/v1/feeds/{feed}/events?from=beginning");
        Stream::open(desk.port, &path, &by).1.first(&|_| true)
    };
    let (customers, audit) = (first("customers"), first("audit"));
    let aged = |id: &str, minutes: i64| {
        let (origin, at, places) = parts(id);
        format!("{origin}.{}@{places}", at - minutes)
    };
    let now = crate::embedded::house::now_ms() / 60_000;
    assert!((0..=2).contains(&(now - parts(&customers).1)), "{customers} at {now}");

    // Nine tenths of a day are 21.6 hours.
    let (status, mut nearly) = open("customers", &aged(&customers, 21 * 60));
    assert_eq!(status, 200);
    let read = nearly.first(&|_| true);
    assert_eq!(
        parts(&read).1,
        parts(&customers).1 - 21 * 60,
        "reading up, it is as old as it was: not all was had yet"
    );
    let away = "/api/v1/feeds/customers/events";
    desk.assert_gone(away, &[by[0], ("last-event-id", &aged(&customers, 22 * 60))]);
    assert_eq!(open("audit", &aged(&audit, 22 * 60)).0, 200, "no key of it is ever deleted");

    // Where nothing comes, an id does not age.
    let began = Instant::now();
    let newest = loop {
        nearly.fill();
        let alone = nearly.text.split("\n\n").filter_map(|event| event.rsplit("\r\n").next()?.strip_prefix("id: "));
        if let Some(id) = alone.filter(|rest| !rest.contains('\n')).last() {
            break id.to_owned();
        }
        assert!(began.elapsed() < WITHIN, "no event has an id alone: {}", nearly.text);
    };
    assert!(parts(&newest).1 >= parts(&customers).1, "{newest} and {customers}");
    assert_eq!(open("customers", &newest).0, 200);

    // An id of a version that did not say how old it is: where something has come since, it is not known what else has.
    let former = |id: &str| format!("{}@{}", parts(id).0, parts(id).2);
    assert_eq!(open("customers", &former(&newest)).0, 200);
    desk.assert_gone(away, &[by[0], ("last-event-id", &former(&customers))]);
    assert_eq!(open("audit", &former(&audit)).0, 200);
}

#[test]
fn a_stream_does_not_go_on_in_a_log_that_was_restored() {
    let settings = ["serve.requests_per_second=100000"];
    let mut desk = Desk::open("backed-up", &settings);
    let path = "/api/v1/metrics/orders/series?window=day";
    let has = |desk: &Desk, days: usize| {
        desk.becomes(path, &[], &|answer| answer.status == 200 && answer.items().len() == days);
    };
    let of_day = |day: &'static str| {
        move |data: &Value| data["value"]["metric"] == "orders" && data["value"]["window"]["start"] == day
    };
    let beginning = "/api/v1/feeds/metrics/events?from=beginning";
    desk.house.append(DAY_MS, &orders(1..4));
    has(&desk, 3);
    let before = Stream::open(desk.port, beginning, &[]).1.first(&|_| true);
    let backup = desk.house.path().join("backup");
    desk.house.succeed(&["backup", backup.to_str().unwrap()]);
    desk.house.append(DAY_MS, &orders(4..15));
    has(&desk, 14);
    // The day of the last of them.
    let newest = desk.ask(path, &[]).items().last().unwrap()["window"]["start"].as_str().unwrap().to_owned();
    let after = Stream::open(desk.port, beginning, &[]).1.first(&of_day(newest.leak()));

    let data = desk.house.path().join("restored");
    let place = format!("hub.data_directory={}", data.display());
    desk.house.succeed(&["restore", backup.to_str().unwrap(), "--set", &place]);
    let restored = Desk::on("restored", Some(&data), &settings);
    has(&restored, 3);
    for id in [&before, &after] {
        let by = [("last-event-id", id.as_str())];
        restored.assert_gone("/api/v1/feeds/metrics/events", &by);
        let (status, _) = Stream::open(desk.port, "/api/v1/feeds/metrics/events", &by);
        assert_eq!(status, 200, "in the one that it is of it goes on");
    }
    assert!(!Stream::open(restored.port, beginning, &[]).1.first(&|_| true).is_empty());
}

impl Desk {
    /// Fails unless a stream cannot go on, and says what to do; one that goes on has no end that could be waited for.
    #[track_caller]
    fn assert_gone(&self, path: &str, headers: &[(&str, &str)]) {
        let (status, mut stream) = Stream::open(self.port, path, headers);
        assert_eq!(status, 410, "{headers:?}");
        let began = Instant::now();
        while !stream.text.contains("urn:insight-hub:problem:resume-gone")
            || !stream.text.contains("forget what you have")
        {
            assert!(began.elapsed() < WITHIN, "{}", stream.text);
            stream.fill();
        }
    }

    /// Opens streams until one is let in: a client that is gone is noticed with the next thing that is sent to it.
    #[track_caller]
    fn becomes_free(&self, path: &str, headers: &[(&str, &str)]) {
        let began = Instant::now();
        while Stream::open(self.port, path, headers).0 != 200 {
            assert!(began.elapsed() < WITHIN, "its place stays taken");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn clients_that_take_nothing_hold_up_nobody_else() {
    let mut desk = Desk::open("slow", &["serve.requests_per_second=100000"]);
    // More of a feed than the system takes for a client that does not.
    desk.house.append(DAY_MS, &orders(1..400));
    let path = "/api/v1/metrics/orders/series?window=day&from=2026-02-01";
    desk.becomes(path, &[], &|answer| answer.status == 200 && !answer.items().is_empty());
    let tokens: Vec<String> = (0..4).map(|_| desk.token("read:metrics", &[]).0).collect();
    let feed = "/api/v1/feeds/metrics/events?from=beginning";
    let slow: Vec<Stream> = tokens
        .iter()
        .flat_map(|token| (0..3).map(move |_| token))
        .map(|token| {
            let (status, stream) = Stream::open(desk.port, feed, &[("authorization", token)]);
            assert_eq!(status, 200, "there is room for more than a few");
            stream
        })
        .collect();
    // They take no more from here on.
    std::thread::sleep(Duration::from_secs(3));
    let (quick, _) = desk.token("read:metrics", &[]);
    let by = [("authorization", quick.as_str())];
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(desk.ask(path, &by).status, 200);
    }
    let (status, mut whole) = Stream::open(desk.port, feed, &by);
    assert_eq!(status, 200, "somebody else is read up to where the view is");
    let mut read = 0;
    while read < 200 {
        assert!(began.elapsed() < WITHIN, "{read} events came");
        read += whole.events().len();
    }
    drop(slow);
}

#[test]
fn other_pages_and_slow_bodies_hold_up_nobody_who_asks() {
    let desk = Desk::open("held-up", &["serve.requests_per_second=5", "serve.concurrent_requests=2"]);
    desk.becomes("/api/v1/metrics", &[], &|answer| answer.status == 200);
    // What another page asks for through somebody's browser is not theirs, and takes nothing of what they may ask.
    let host = format!("127.0.0.1:{}", desk.port);
    let same = format!("http://{host}");
    for _ in 0..30 {
        for headers in [
            &[("sec-fetch-site", "cross-site")][..],
            &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")],
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
            &[("origin", "http://evil.example")],
            &[("origin", "null")],
        ] {
            assert_eq!(desk.ask("/api/v1/metrics", headers).status, 401, "{headers:?}");
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    for headers in [
        &[][..],
        &[("sec-fetch-site", "same-origin")],
        &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")],
        &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        &[("origin", same.as_str())],
    ] {
        assert_eq!(desk.ask("/api/v1/metrics", headers).status, 200, "{headers:?}");
    }

    // Whoever may decide begins more documents than are answered at a time, and sends none of them.
    let (review, _) = desk.token("review", &[]);
    let (metrics, _) = desk.token("read:metrics", &[]);
    let headers = [("authorization", review.as_str()), ("content-type", "application/json"), ("content-length", "900")];
    let slow: Vec<TcpStream> = (0..6)
        .map(|_| crate::harness::http::begin(desk.port, "POST", "/api/v1/identity/decisions", &headers).unwrap())
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    assert_eq!(desk.ask("/api/v1/metrics", &[("authorization", &metrics)]).status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    drop(slow);
}

#[test]
fn whoever_waits_for_the_overview_holds_up_nobody_who_asks() {
    const VIEWERS: usize = 40;
    const TURNS: &str = "serve.concurrent_requests=2";
    let mut desk = Desk::open("viewers", &["serve.requests_per_second=100000", TURNS]);
    desk.house.append(DAY_MS, &orders(1..4));
    let path = "/api/v1/metrics/orders/series?window=day";
    desk.becomes(path, &[], &|answer| answer.status == 200 && answer.items().len() == 3);
    desk.becomes("/", &[], &|answer| answer.status == 200);
    let (port, house, is_over) = (desk.port, &mut desk.house, AtomicBool::new(false));
    let (pages, answers) = thread::scope(|scope| {
        let is_over = &is_over;
        // Something is always new, so that whoever looks in waits until it may be read once more.
        scope.spawn(move || {
            for number in 0.. {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                house
                    .append(DAY_MS, &[event(&format!("n-{number}"), 4, "order_placed", json!({ "email": "b@x.org" }))]);
                thread::sleep(Duration::from_millis(50));
            }
        });
        let viewers: Vec<_> = (0..VIEWERS)
            .map(|_| {
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    while !is_over.load(Ordering::SeqCst) {
                        statuses.push(ask(port, "GET", "/", &[]).map(|page| page.status));
                        thread::sleep(Duration::from_millis(50));
                    }
                    statuses
                })
            })
            .collect();
        let mut answers = Vec::new();
        for _ in 0..20 {
            answers.push(ask(port, "GET", path, &[]).map(|answer| answer.status));
            thread::sleep(Duration::from_millis(150));
        }
        is_over.store(true, Ordering::SeqCst);
        let pages: Vec<_> = viewers.into_iter().flat_map(|viewer| viewer.join().expect("a viewer")).collect();
        (pages, answers)
    });
    // Whoever gets no turn for two seconds is told that others are being answered.
    assert_eq!(answers, vec![Some(200); 20], "while {} pages were shown", pages.len());
    assert!(pages.len() > VIEWERS && pages.iter().all(|status| *status == Some(200)), "{pages:?}");
}

#[test]
fn whoever_shows_no_token_asks_at_a_rate_too_and_takes_nothing_of_whoever_does() {
    let desk = Desk::open("strangers", &["serve.requests_per_second=5"]);
    desk.becomes("/api/v1/metrics", &[], &|answer| answer.status == 200);
    let (metrics, _) = desk.token("read:metrics", &[]);
    let by = [("authorization", metrics.as_str())];
    // What everybody may read is for everybody all together, and so is being refused: neither takes of the other.
    for (path, status) in [("/api/v1/openapi.json", 200), ("/api/v1/metrics", 401)] {
        for headers in [&[][..], &[("x-forwarded-for", "1.2.3.4")]] {
            std::thread::sleep(Duration::from_secs(2));
            let answers: Vec<Answer> = (0..60).map(|_| desk.ask(path, headers)).collect();
            assert!(answers[..10].iter().all(|answer| answer.status == status), "{path}: twice as many at once");
            let limited: Vec<&Answer> = answers.iter().filter(|answer| answer.status != status).collect();
            assert!(!limited.is_empty() && limited.len() < 51, "{path}: {} of 60", limited.len());
            for answer in limited {
                assert_eq!((answer.status, answer.problem().as_str()), (429, "too-many-requests"), "{path}");
                assert_eq!(answer.headers["retry-after"], "1", "{path}");
            }
        }
        assert_eq!(desk.ask("/api/v1", &[("authorization", "Bearer x")]).status, if status == 200 { 429 } else { 200 });
        for path in ["/api/v1/openapi.json", "/api/v1", "/api/v1/metrics"] {
            assert_eq!(desk.ask(path, &by).status, 200, "{path} with a token");
        }
    }
    // What has not changed is not sent again.
    for path in ["/api/v1/openapi.json", "/api/v1"] {
        let tag = desk.ask(path, &by).headers["etag"].clone();
        let again = desk.ask(path, &[by[0], ("if-none-match", &tag)]);
        assert_eq!((again.status, again.body.as_str(), &again.headers["etag"]), (304, "", &tag), "{path}");
    }
}
