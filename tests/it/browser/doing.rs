//! What people do on pages: acknowledge, decide who is one person, give somebody their data, forget them; and all of it by keyboard.

use std::{
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{Demo, Looker, WITHIN, chromium::Chromium, find_by_email, ticket};

/// What somebody calls themselves, as long as a name may be.
const NAME: &str = "<img src=x onerror='window.isHurt=1'>";

/// An alert that somebody has seen says so, by whom, and to everybody who has the page open.
pub fn alerts_are_acknowledged(looker: &mut Looker<'_>, demo: &Demo) {
    let browser = &mut looker.browser;
    let deadline = Instant::now() + WITHIN;
    // They come once the story's end is taken for quiet.
    loop {
        browser.open(&demo.address("/alerts?state=open"));
        if browser.value("document.querySelectorAll('#customers details.act').length > 0") == true {
            break;
        }
        assert!(Instant::now() < deadline, "no alert is open");
        thread::sleep(Duration::from_millis(100));
    }
    let id = browser.text("document.querySelector('#customers details.act input[name=alert]').value");
    assert_eq!(id.len(), 32, "an alert has an id");
    browser.click("#customers details.act summary");
    browser.until("document.querySelector('#customers details.act').open");
    browser.write("#customers details.act input[name=by]", NAME);
    browser.leaving(|browser| browser.press("Enter"));
    assert_eq!(browser.text("location.pathname + location.search"), "/alerts?done=acknowledged&state=open");
    assert!(browser.text("document.querySelector('main').innerText").contains("handed over"));
    browser.open(&demo.address("/alerts?state=acknowledged"));
    browser.until(&format!("document.querySelector('#customers').innerText.includes({})", json!(NAME)));
    assert_eq!(browser.value("document.querySelectorAll('main img').length"), 0);
    assert_ne!(browser.value("window.isHurt"), 1);
    let buttons = browser.value("document.querySelectorAll('#customers details.act').length");
    assert_eq!(buttons, 0, "what was seen is not to be acknowledged once more");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    looker.look("alerts-acknowledged");
}

/// Two persons become one by a decision, with what is known of both beside it, and two again when it is taken back.
pub fn identities_are_decided(looker: &mut Looker<'_>, demo: &Demo, person: &str, newest: &str) {
    demo.append("support.events", &ticket("t-two", newest, "second", &json!({ "email": "second@example.org" })));
    find_by_email(looker, demo, "second@example.org");
    let browser = &mut looker.browser;
    browser.complaints();
    browser.open(&demo.address("/customers/review"));
    let both = format!("email:second@example.org\ncustomer_id:{}", demo.customer());
    browser.write("#identifiers", &both);
    browser.leaving(|browser| browser.click("#decide button[type=submit]"));
    let text = browser.text("document.querySelector('main').innerText");
    for part in ["They are 2 persons now", "second@example.org", &demo.customer(), "They become one person"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert_eq!(browser.text("location.search"), "", "no identifier is in the address");
    looker.look("review-evidence");
    let browser = &mut looker.browser;
    browser.leaving(|browser| browser.click("#decide button[name=decision]"));
    let address = browser.text("location.href");
    assert!(address.contains("/customers/review?done=") && !address.contains("example"), "{address}");
    looker.look("review-decided");
    shows(&mut looker.browser, demo, person, true);

    // A part of them could be split off; it is looked at, and left.
    let browser = &mut looker.browser;
    browser.click("#identity > details:last-of-type > summary");
    let tick = "#identity input[value='email:second@example.org']";
    browser.until(&format!("document.querySelector(\"{tick}\")"));
    browser.click(tick);
    browser.leaving(|browser| browser.click("#identity details[open] form.asking button[type=submit]"));
    let text = browser.text("document.querySelector('main').innerText");
    for part in ["They are one person now", "one side", "the other", "Split them"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    looker.look("review-split");

    let browser = &mut looker.browser;
    browser.open(&address);
    browser.leaving(|browser| browser.click("main form button[type=submit]"));
    shows(&mut looker.browser, demo, person, false);
    // Too few to decide about is said, and nothing is lost of what was typed.
    let browser = &mut looker.browser;
    browser.open(&demo.address("/customers/review"));
    browser.write("#identifiers", "email:second@example.org");
    browser.leaving(|browser| browser.click("#decide button[type=submit]"));
    assert!(browser.text("document.querySelector('[role=alert]').innerText").contains("at least two"));
    assert_eq!(browser.text("document.querySelector('#identifiers').value"), "email:second@example.org");
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("400")));
}

/// Waits until a person's page has the other's address, or has not. It is opened once: what changes from then on it hears of.
fn shows(browser: &mut Chromium, demo: &Demo, person: &str, is_one: bool) {
    browser.open(&demo.address(&format!("/customers/{person}")));
    browser.until(&format!("document.querySelector('#who').innerText.includes('second@example.org') === {is_one}"));
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

/// Somebody is given everything that is kept of them, and then forgotten, after it was shown what goes.
pub fn persons_are_given_their_data_and_forgotten(looker: &mut Looker<'_>, demo: &Demo) {
    let browser = &mut looker.browser;
    ask_for(browser, demo, "button[value=gather]");
    assert!(browser.text("location.search").starts_with("?request="), "no identifier is in the address");
    browser.until("document.querySelector('a[href*=\"privacy/document\"]')");
    looker.look("access-request");
    let browser = &mut looker.browser;
    let document: Value = browser.value(
        "fetch(document.querySelector('a[href*=\"privacy/document\"]').href).then(it => it.json().then(of => \
         ({ of, saved: it.headers.get('content-disposition') })))",
    );
    assert!(document["saved"].as_str().is_some_and(|saved| saved.starts_with("attachment")), "{document}");
    assert_eq!(document["of"]["identifiers"]["email"], json!(["second@example.org"]), "{document}");
    assert!(document["of"]["touchpoints"].as_array().is_some_and(|all| !all.is_empty()), "{document}");

    ask_for(browser, demo, "button[value=look]");
    let text = browser.text("document.querySelector('main').innerText");
    for part in ["What an erasure would take", "second@example.org", "support", "There is no way back"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    looker.look("erasure-asked");
    let browser = &mut looker.browser;
    // Without the tick nothing is sent.
    browser.click("button[value=erase]");
    assert_eq!(browser.value("document.querySelector('input[name=sure]').validity.valueMissing"), true);
    browser.click("input[name=sure]");
    browser.leaving(|browser| browser.click("button[value=erase]"));
    assert!(browser.text("location.search").starts_with("?erasure="));
    browser.until("document.querySelector('main') && document.querySelector('main').innerText.includes('was erased')");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    looker.look("erased");
    let browser = &mut looker.browser;
    browser.open(&demo.address("/customers"));
    browser.value("void (document.querySelector('#kind').value = 'email')");
    browser.write("#value", "second@example.org");
    browser.leaving(|browser| browser.press("Enter"));
    let wrong = browser.text("document.querySelector('main').innerText");
    assert!(wrong.contains("Nobody is known"), "{wrong}");
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("404")));
}

fn ask_for(browser: &mut Chromium, demo: &Demo, button: &str) {
    browser.open(&demo.address("/customers/privacy"));
    browser.value("void (document.querySelector('#kind').value = 'email')");
    browser.write("#value", "second@example.org");
    browser.leaving(|browser| browser.click(button));
}

/// The key for the next stop reaches everything that can be used, in the order in which it is read, and one sees where it is.
pub fn a_keyboard_reaches_everything(looker: &mut Looker<'_>, demo: &Demo) {
    for (path, width) in [("/", 1_280), ("/customers/review", 360), ("/customers/privacy", 1_280)] {
        let browser = &mut looker.browser;
        browser.open(&demo.address(path));
        browser.screen(width, width == 360);
        let stops = browser.value(
            "(() => { const all = [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary, \
             [tabindex=\"0\"]')].filter(it => it.checkVisibility()); all.forEach((it, at) => { it.dataset.stop = at; }); \
             return all.length; })()",
        );
        let stops = stops.as_u64().expect("a number");
        assert!(stops > 15, "{path}: {stops}");
        for stop in 0..stops {
            browser.press("Tab");
            let at = browser.value(
                "(() => { const it = document.activeElement, style = getComputedStyle(it), box = it.getBoundingClientRect(); return { \
                 stop: it.dataset.stop, isSeen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2 && box.bottom > 0 \
                 && box.top < innerHeight, html: it.outerHTML.slice(0, 120) }; })()",
            );
            assert_eq!(at["stop"], json!(stop.to_string()), "{path}: {at}");
            assert_eq!(at["isSeen"], true, "{path}: {at}");
        }
        browser.screen(1_280, false);
    }
}
