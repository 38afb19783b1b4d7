//! What pages say when they cannot be shown, or not as they should be: no page, no session, a hub that is away.

use serde_json::json;

use super::{Demo, Looker};

/// An address that is none of a page, and one of somebody who is nobody.
pub fn what_is_no_page_says_so(looker: &mut Looker<'_>, demo: &Demo) {
    let browser = &mut looker.browser;
    for (path, title) in [
        (format!("/customers/{}", "0".repeat(32)), "There is nothing of that name"),
        ("/nothing/of/that-name".to_owned(), "There is no such page"),
    ] {
        browser.open(&demo.address(&path));
        assert_eq!(browser.text("document.querySelector('h1').innerText"), title, "{path}");
        assert!(browser.value("document.querySelectorAll('header nav a').length").as_i64() > Some(8), "{path}");
        assert!(browser.complaints().iter().all(|complaint| complaint.contains("404")), "{path}");
    }
    looker.look("not-found");
    let browser = &mut looker.browser;
    // A program is told as the API tells.
    let kind = browser.value("fetch('/nothing').then(it => it.headers.get('content-type'))");
    assert_eq!(kind, "application/problem+json");
    browser.complaints();
}

/// Who is no longer logged in is asked to, and goes on where they were; what they have sent was not taken.
pub fn a_session_that_is_over_leads_back(looker: &mut Looker<'_>, demo: &Demo, token: &str) {
    let browser = &mut looker.browser;
    browser.open(&demo.address("/drivers?outcome=bought_again"));
    browser.call("Network.clearBrowserCookies", json!({}));
    browser.leaving(|browser| browser.click("nav a[href='/balance']"));
    assert_eq!(browser.text("location.pathname + location.search"), "/login?next=%2Fbalance");
    browser.write("#token", token);
    browser.leaving(|browser| browser.press("Enter"));
    assert_eq!(browser.text("location.pathname"), "/balance");

    browser.open(&demo.address("/customers"));
    browser.call("Network.clearBrowserCookies", json!({}));
    browser.write("#value", "C1");
    browser.leaving(|browser| browser.press("Enter"));
    assert_eq!(browser.text("document.querySelector('h1').innerText"), "The session is over");
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("401")));
    looker.look("session-over");
    let browser = &mut looker.browser;
    browser.leaving(|browser| browser.click("main a"));
    assert_eq!(browser.text("location.pathname + location.search"), "/login?next=%2Fcustomers");
    browser.write("#token", token);
    browser.leaving(|browser| browser.press("Enter"));
    assert_eq!(browser.text("location.pathname"), "/customers");
}

/// What comes while a page does not listen nobody tells it: once it listens again it is asked for again, without a word of the hub's.
pub fn a_page_that_listens_again_is_asked_for_again(looker: &mut Looker<'_>, demo: &Demo) {
    let browser = &mut looker.browser;
    // Of what was done before.
    browser.complaints();
    let told = "window.sources = []; window.EventSource = class extends EventSource { constructor(...of) { super(...of); \
                window.sources.push(this); } }; window.asked = 0; const ask = window.fetch; \
                window.fetch = (...of) => { window.asked += 1; return ask(...of); };";
    let added = browser.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": told }));
    browser.open(&demo.address("/spokes"));
    browser.until("document.body.dataset.listening");
    // While it is being asked for already, it is asked for once more after that.
    browser.until(
        "(before => (window.sources[0].dispatchEvent(new Event('open')), window.asked === before + 1))(window.asked)",
    );
    assert_eq!(browser.complaints(), Vec::<String>::new());
    browser.call("Page.removeScriptToEvaluateOnNewDocument", json!({ "identifier": added["identifier"] }));
}

/// A page that is open says that the hub does not answer.
pub fn a_page_says_that_the_hub_is_away(looker: &mut Looker<'_>, demo: &mut Demo) {
    let browser = &mut looker.browser;
    browser.open(&demo.address("/spokes"));
    browser.until("document.body.dataset.listening");
    assert_eq!(browser.value("document.querySelector('#away').hidden"), true);
    demo.hub.process.kill();
    browser.until("!document.querySelector('#away').hidden");
    assert!(browser.text("document.querySelector('#away').innerText").contains("does not answer"));
    looker.look("away");
    // The browser complains as well, again and again.
    looker.wrong.retain(|wrong| !wrong.starts_with("away, {"));
}
