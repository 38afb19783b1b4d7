//! What pages say when they cannot be shown, or not as they should be: no page, no session, an old copy of the feeds, a hub that is away.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use super::{Demo, Looker, ticket};

/// Room for the copy of the feeds of the demo, and some.
const DISK_MEBIBYTES: u64 = 256;

/// A file system of its own for the copy of the feeds, unmounted at the end.
pub struct ViewDisk(PathBuf);

impl ViewDisk {
    /// `None`: this user may not mount one.
    pub fn mount(path: &Path) -> Option<ViewDisk> {
        std::fs::create_dir_all(path).expect("folders can be made");
        let size = format!("size={DISK_MEBIBYTES}m,mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(path).output();
        if mounted.is_ok_and(|mounted| mounted.status.success()) {
            return Some(ViewDisk(path.to_owned()));
        }
        eprintln!("SKIPPED: a copy of the feeds that cannot be written (this user may not mount a file system)");
        std::fs::remove_dir(path).expect("an empty folder");
        None
    }

    /// Fills it to the last byte; the file that did.
    fn fill(&self) -> PathBuf {
        let filler = self.0.join("filler");
        let of = format!("of={}", filler.display());
        let filled = Command::new("dd").args(["if=/dev/zero", "bs=64k", &of]).output().expect("dd");
        assert!(!filled.status.success(), "dd must run into the end of the disk");
        filler
    }
}

impl Drop for ViewDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

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

/// A page that is open says that its copy of the feeds does not follow them, and how old it is, until it does again.
pub fn a_page_says_that_it_is_old(looker: &mut Looker<'_>, demo: &Demo, person: &str, newest: &str) {
    let Some(disk) = &demo.disk else { return };
    let browser = &mut looker.browser;
    browser.open(&demo.address(&format!("/customers/{person}")));
    browser.until("document.body.dataset.listening");
    assert_eq!(browser.value("document.querySelectorAll('#stale .notice').length"), 0);
    let filler = disk.fill();
    demo.append("support.events", &ticket("t-old", newest, "while it stands", &json!({ "number": demo.customer() })));
    // It stands still; while it cannot be opened either, there is no page.
    browser.until("document.querySelector('#stale .notice, #away:not([hidden])')");
    let said = browser.text("document.querySelector('[aria-live=polite]').innerText");
    assert!(said.contains("may be old") && said.contains("ago") || said.contains("is of"), "{said}");
    // It may find room again by itself: what it looks like is kept at once.
    browser.picture(&looker.pictures.join("stale-light.png"));
    std::fs::remove_file(filler).expect("it is there");
    browser.until("!document.querySelector('#stale .notice, #away:not([hidden])')");
    browser.until("document.querySelector('#timeline').innerText.includes('while it stands')");
    assert!(browser.complaints().iter().all(|complaint| complaint.contains("503")));
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
    // The browser says so as well, again and again.
    looker.wrong.retain(|wrong| !wrong.contains("net::ERR_CONNECTION_REFUSED"));
}
