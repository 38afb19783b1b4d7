//! Whoever decides without seeing values: pairs that do not link are shown by keyed hashes alone, and a decision about those is one
//! about the identifiers.

use insight_hub::model::EventTime;

use super::{pages::form_token, *};
use crate::harness::http::send;

const ANN: &str = "ann.canary@example.org";
/// A cookie that is an MD5, and so looks like a keyed hash.
const COOKIE: &str = "d41d8cd98f00b204e9800998ecf8427e";

/// Ann and a cookie that she was seen with, held apart by a decision.
fn apart(name: &str, more: &[&str]) -> (Desk, String) {
    let mut desk = Desk::open(name, &[&["serve.requests_per_second=100000"], more].concat());
    let events = [
        event("1", 1, "page_viewed", json!({ "cookie": COOKIE })),
        event("2", 2, "order_placed", json!({ "email": ANN, "cookie": COOKIE })),
    ];
    desk.house.append(DAY_MS, &events);
    desk.house.becomes(&format!("email:{ANN}"), &|shown| identifiers(shown) == Some(2));
    desk.house.succeed(&["identity", "never-link", &format!("email:{ANN}"), &format!("cookie:{COOKIE}")]);
    desk.house.becomes(&format!("email:{ANN}"), &|shown| identifiers(shown) == Some(1));
    let (review, _) = desk.token("review", &[]);
    (desk, review)
}

fn identifiers(shown: Option<&Value>) -> Option<u64> {
    shown.map(|it| it["identifiers_total"].as_u64().unwrap())
}

/// The pair that does not link, as somebody sees it.
fn pair(desk: &Desk, token: &str) -> Vec<Value> {
    let has_one = |answer: &Answer| answer.status == 200 && answer.body.contains("never_link");
    let found = desk.becomes("/api/v1/identity/conflicts", &[("authorization", token)], &has_one);
    let items = found.items();
    let conflict = items.iter().flat_map(|it| it["conflicts"].as_array().unwrap()).next().expect("a conflict");
    ["stronger", "weaker"].map(|of| conflict[of].clone()).to_vec()
}

/// As a decision takes an identifier whose value is its keyed hash.
fn hidden(identifier: &Value) -> String {
    format!("{}{}", identifier["type"].as_str().unwrap(), identifier["value"].as_str().unwrap())
}

fn decide(desk: &Desk, token: &str, document: &Value) -> Answer {
    let headers = [("content-type", "application/json"), ("authorization", token)];
    let body = document.to_string();
    send(desk.port, "POST", "/api/v1/identity/decisions", &headers, body.as_bytes()).expect("an answer")
}

#[test]
fn a_reviewer_decides_about_whom_they_see_by_keyed_hashes_alone() {
    let (desk, review) = apart("reviewing", &[]);
    let (reader, _) = desk.token("read:customers", &[]);
    let in_clear: Vec<Value> = pair(&desk, &reader).iter().map(|it| it["value"].clone()).collect();
    assert_eq!(in_clear, [ANN, COOKIE], "whoever may sees them");

    // In no form is a value among what a reviewer is shown.
    let by = [("authorization", review.as_str())];
    let pair = pair(&desk, &review);
    let page = desk.ask("/customers/review", &by);
    for answer in [
        desk.ask("/api/v1/identity/conflicts", &by),
        desk.ask("/api/v1/identity/conflicts?format=csv", &by),
        desk.ask("/customers/review", &by),
    ] {
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.contains("never") && !answer.body.contains("canary"), "{}", answer.body);
        assert!(!answer.body.contains(COOKIE), "it is no keyed hash: {}", answer.body);
        for identifier in &pair {
            let value = identifier["value"].as_str().unwrap();
            assert!(value.len() == 33 && answer.body.contains(value), "{value} in {}", answer.body);
        }
    }

    // What they see is what they decide about.
    let names: Vec<String> = pair.iter().map(hidden).collect();
    let ann = format!("email:{ANN}");
    let answer = decide(&desk, &review, &json!({ "decision": "link", "identifiers": names }));
    assert_eq!(answer.status, 202, "{}", answer.body);
    desk.house.becomes(&ann, &|shown| identifiers(shown) == Some(2));
    // Written as a value it would be somebody else's, and is refused.
    let values: Vec<String> = names.iter().map(|name| name.replace('#', ":#")).collect();
    let answer = decide(&desk, &review, &json!({ "decision": "never_link", "identifiers": values }));
    assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-body"), "{}", answer.body);
    assert!(answer.body.contains("TYPE#DIGITS"), "{}", answer.body);

    // The same at the command line, and on the page, by what its own forms hold.
    desk.house.succeed(&["identity", "never-link", &names[0], &names[1]]);
    desk.house.becomes(&ann, &|shown| identifiers(shown) == Some(1));
    let cookie = page.headers["set-cookie"].split(';').next().unwrap().to_owned();
    let csrf = form_token(&desk, &review, &cookie);
    let form = ("content-type", "application/x-www-form-urlencoded");
    let headers = [("authorization", review.as_str()), ("cookie", &cookie), form];
    let sent = |step: &str, identifiers: &str| {
        let identifiers = identifiers.replace('#', "%23").replace('\n', "%0A");
        let body = format!("csrf={csrf}&{step}&identifiers={identifiers}");
        send(desk.port, "POST", "/customers/review", &headers, body.as_bytes()).expect("an answer")
    };
    let looked = sent("step=look", field(&page.body, "identifiers"));
    assert_eq!(looked.status, 200, "{}", looked.body);
    assert!(looked.body.contains("Whose they are is withheld") && !looked.body.contains("canary"), "{}", looked.body);
    let decided = sent("step=decide&decision=link", field(&looked.body, "identifiers"));
    assert_eq!(decided.status, 303, "{}", decided.body);
    desk.house.becomes(&ann, &|shown| identifiers(shown) == Some(2));

    // Whoever may see whose they are is shown it, also by what somebody else wrote down.
    let (both, _) = desk.token("review", &["--role", "read:customers"]);
    let headers = [("authorization", both.as_str()), headers[1], form];
    let body =
        format!("csrf={csrf}&step=look&decision=never_link&identifiers={}", names.join("%0A").replace('#', "%23"));
    // The log has it; the copy that pages are made of takes a moment.
    let began = Instant::now();
    loop {
        let looked = send(desk.port, "POST", "/customers/review", &headers, body.as_bytes()).expect("an answer");
        if looked.body.contains("They are one person now") {
            assert!(looked.body.contains(ANN), "{}", looked.body);
            break;
        }
        assert!(looked.status == 200 && began.elapsed() < WITHIN, "{}", looked.body);
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the API says of who saw the one pair that does not link.
fn seen(desk: &Desk, token: &str, is_right: &dyn Fn(&Value) -> bool) -> Value {
    let of_pair = |answer: &Answer| {
        let items = answer.items();
        items.iter().find(|it| it["conflicts_total"] == 1).map(|it| it["seen"][0].clone())
    };
    let is_it = |answer: &Answer| answer.status == 200 && of_pair(answer).is_some_and(|it| is_right(&it));
    of_pair(&desk.becomes("/api/v1/identity/conflicts", &[("authorization", token)], &is_it)).unwrap()
}

/// The id of the person whom an identifier names.
fn shown_person(desk: &Desk, identifier: &str) -> String {
    let shown: Value =
        serde_json::from_str(&desk.house.succeed(&["identity", "show", identifier, "-o", "json"])).unwrap();
    shown["person"].as_str().unwrap().to_owned()
}

#[test]
fn a_conflict_says_who_saw_the_pair_and_when_whatever_the_order_in_which_it_came() {
    let (mut desk, review) = apart("reviewing-seen", &[]);
    let (reader, _) = desk.token("read:customers", &[]);
    let (ann, cookie) = (format!("email:{ANN}"), format!("cookie:{COOKIE}"));
    let both = || json!({ "email": ANN, "cookie": COOKIE });
    // The later before the earlier, one of them twice; and some that name one of the two alone.
    let events = [
        event("9.canary", 9, "page_viewed", both()),
        event("5", 5, "page_viewed", both()),
        event("9.canary", 9, "page_viewed", both()),
        event("1.canary", 1, "page_viewed", both()),
        event("12", 12, "page_viewed", json!({ "email": ANN })),
        event("0", 0, "page_viewed", json!({ "cookie": COOKIE })),
    ];
    desk.house.append(DAY_MS, &events);
    let day = |day: i64| EventTime(DAY_MS - (30 - day) * 86_400_000).to_string();
    let moment =
        |at: i64, id: Value| json!({ "occurred_at": day(at), "spoke": "shop", "id": id, "kind": "page_viewed" });
    let expected = |first: Value, last: Value| json!({ "touchpoints": 4, "by_spoke": { "shop": 4 }, "first": moment(1, first), "last": moment(9, last), "is_whole": true });
    let is_all = |seen: &Value| seen["touchpoints"] == 4;
    let whole = expected(json!("1.canary"), json!("9.canary"));
    assert_eq!(seen(&desk, &reader, &is_all), whole);
    // An id may be an order's number: who sees no customers sees no touchpoint's id.
    assert_eq!(seen(&desk, &review, &is_all), expected(Value::Null, Value::Null));
    for (name, token) in [(&ann, &reader), (&cookie, &reader)] {
        let why = desk.ask(&format!("/api/v1/customers/{name}/identity"), &[("authorization", token)]).json();
        assert_eq!(why["seen"], json!([whole]), "either of the two says it");
        // The journal says what brought the pair, when the two were still one.
        let changes = why["changes"].as_array().unwrap();
        let of = |change: &str| changes.iter().find(|it| it["change"] == change).expect("a line").clone();
        let (linked, refused) = (of("linked"), of("refused"));
        let brought = ["spoke", "touchpoint", "occurred_at"];
        assert_eq!(brought.map(|it| &linked[it]), [&json!("shop"), &json!("2"), &json!(day(2))]);
        assert!(brought.iter().all(|it| refused[it].is_null()), "by a command: {refused}");
    }
    let by = [("authorization", reader.as_str())];
    let page = desk.ask(&format!("/customers/{}", shown_person(&desk, &ann)), &by).body;
    assert!(page.contains("shop 2, "), "{page}");
    let page = desk.ask("/customers/review", &[("authorization", &review)]).body;
    assert!(page.contains("4 times, ") && page.contains("by shop 4") && !page.contains("canary"), "{page}");

    // The same at the command line.
    let shown = desk.house.becomes(&ann, &|shown| shown.is_some_and(|it| it["seen"][0]["touchpoints"] == 4)).unwrap();
    for part in ["first", "last", "by_spoke"] {
        assert_eq!(shown["seen"][0][part], whole[part], "{shown}");
    }
    let table = desk.house.succeed(&["identity", "show", &cookie]);
    assert!(table.contains("4 by shop") && table.contains(&format!("{} shop 1.canary", day(1))), "{table}");
    let listed: Value =
        serde_json::from_str(&desk.house.succeed(&["identity", "conflicts", "-o", "json"])).expect("a document");
    let people = listed["people"].as_array().expect("people");
    assert!(people.len() == 2 && people.iter().all(|it| it["seen"] == shown["seen"]), "{listed}");
    let table = desk.house.succeed(&["identity", "conflicts"]);
    assert!(table.contains(&format!("{} to {} by shop", &day(1)[..10], &day(9)[..10])), "{table}");

    // An erasure takes what it says with the touchpoints.
    desk.house.succeed(&["erase", &cookie, "--yes"]);
    let none = |answer: &Answer| answer.status == 200 && answer.items().is_empty();
    desk.becomes("/api/v1/identity/conflicts", &[("authorization", &reader)], &none);
    let listed = desk.house.succeed(&["identity", "conflicts", "-o", "json"]);
    assert!(!listed.contains("canary"), "{listed}");
}

#[test]
fn who_is_close_to_a_limit_and_what_is_shared_is_in_the_list_and_on_the_page() {
    let mut desk = Desk::open("reviewing-close", &["serve.requests_per_second=100000"]);
    let mut events: Vec<Value> = (0..4)
        .map(|it| json!({ "customer_id": "C-1", "email": format!("close.{it}@example.org") }))
        .chain(["C-2", "C-3"].map(|customer| json!({ "customer_id": customer, "cookie": "tablet" })))
        .zip(1..)
        .map(|(identifiers, day)| event(&day.to_string(), day, "page_viewed", identifiers))
        .collect();
    desk.house.append(DAY_MS, &events);
    desk.house.has("customer_id:C-1", 5);
    let (reader, _) = desk.token("read:customers", &[]);
    let by = [("authorization", reader.as_str())];
    let of = |answer: &Answer, name: &str| answer.items().into_iter().find(|it| it["identifier"]["value"] == name);
    let both =
        |answer: &Answer| answer.status == 200 && ["C-1", "tablet"].iter().all(|name| of(answer, name).is_some());
    let found = desk.becomes("/api/v1/identity/conflicts", &by, &both);
    let close = json!([{ "type": "email", "count": 4, "limit": 5 }]);
    assert_eq!(of(&found, "C-1").unwrap()["close_to_limits"], close);
    let tablet = of(&found, "tablet").unwrap();
    assert_eq!((&tablet["shared"], &tablet["close_to_limits"]), (&json!(true), &json!([])));
    assert!(of(&found, "C-2").is_none(), "nobody else: {}", found.body);
    let page = desk.ask("/customers/review", &by).body;
    for part in ["close to a limit: 4 of 5 email", "cookie tablet", "shared by many: it links nobody"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    let table = desk.house.succeed(&["identity", "conflicts"]);
    assert!(table.contains("close to a limit: 4 of 5 email") && table.contains("cookie:tablet"), "{table}");
    assert!(desk.house.succeed(&["identity", "show", "customer_id:C-1"]).contains("close to a limit: 4 of 5 email"));

    // One that is kept apart counts no more.
    desk.house.succeed(&["identity", "never-link", "customer_id:C-1", "email:close.0@example.org"]);
    let is_refused = |answer: &Answer| of(answer, "C-1").is_some_and(|it| it["conflicts_total"] == 1);
    let found = desk.becomes("/api/v1/identity/conflicts", &by, &is_refused);
    assert_eq!(of(&found, "C-1").unwrap()["close_to_limits"], json!([]));
    // Who needs no look any more is not in the list.
    events = vec![event("9", 9, "page_viewed", json!({ "customer_id": "C-4" }))];
    desk.house.append(DAY_MS, &events);
    desk.house.has("customer_id:C-4", 1);
    desk.house.succeed(&["erase", "customer_id:C-1", "--yes"]);
    desk.becomes("/api/v1/identity/conflicts", &by, &|answer| of(answer, "C-1").is_none());
}

/// The value of the first hidden field with a name.
fn field<'p>(page: &'p str, name: &str) -> &'p str {
    let begin = format!("name=\"{name}\" value=\"");
    page.split(&begin).nth(1).expect("a form").split('"').next().expect("its value")
}

#[test]
fn where_feeds_have_keyed_hashes_a_reviewer_sees_those_and_decides_by_them() {
    let (desk, review) = apart("reviewing-hashed", &["identity.publish=hashed"]);
    let (reader, _) = desk.token("read:customers", &[]);
    let seen = pair(&desk, &review);
    assert_eq!(seen, pair(&desk, &reader), "they are not hashed once more");
    let names: Vec<String> =
        seen.iter().map(|it| format!("{}#{}", it["type"].as_str().unwrap(), it["value"].as_str().unwrap())).collect();
    let answer = decide(&desk, &review, &json!({ "decision": "link", "identifiers": names }));
    assert_eq!(answer.status, 202, "{}", answer.body);
    desk.house.becomes(&format!("email:{ANN}"), &|shown| identifiers(shown) == Some(2));
}
