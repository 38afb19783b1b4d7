//! What one client of the API may hold, and where a stream of events cannot go on.

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
    let (origin, places) = id.split_once('@').expect("an id says what it is of");
    // The same place in a feed of that name which was made anew.
    let renewed = format!("{}@{places}", origin.chars().rev().collect::<String>());
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

impl Desk {
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
