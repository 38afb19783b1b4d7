//! What holds for every page: what is around it, what browsers are told, and what the one script may do.

use super::*;

fn layout(page: &Page) -> String {
    let layout = Layout {
        page,
        nav: &NAV,
        shows_nav: true,
        style_version: &STYLE_VERSION,
        script_version: &SCRIPT_VERSION,
        live: Some(words::href("/live", &[("feeds", "metrics,changes")])),
        logout_csrf: Some("token".to_owned()),
        away: "Away.".to_owned(),
        stale: None,
        state: "Current.".to_owned(),
    };
    layout.render().expect("a page")
}

#[test]
fn a_page_has_what_keyboards_and_screen_readers_need() {
    let page = Page {
        title: "Metrics <b>".to_owned(),
        nav: "/metrics",
        sections: vec![blocks::Section::new("one", "One", vec![blocks::paragraph("Words.")])],
        ..Page::default()
    };
    let html = layout(&page);
    for part in [
        "<html lang=\"en\">",
        "<a class=\"skip\" href=\"#main\">",
        "<main id=\"main\" tabindex=\"-1\">",
        "<a href=\"/metrics\" aria-current=\"page\">Metrics</a>",
        "<h1>Metrics &#60;b&#62;</h1>",
        "<section id=\"one\" aria-labelledby=\"one-title\" data-part>",
        "<h2 id=\"one-title\">One</h2>",
        "data-live=\"/live?feeds=metrics%2Cchanges\"",
        "name=\"csrf\" value=\"token\"",
        "<nav aria-label=\"Pages\">",
        "<footer>",
    ] {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert_eq!(html.matches("aria-current").count(), 1);
    assert_eq!(html.matches("<h1>").count(), 1);
    // Nothing that the policy would have to allow.
    for part in [" style=", "<style", " onload", " onclick", "javascript:", "http://", "https://"] {
        assert!(!html.contains(part), "{part} in {html}");
    }
    assert_eq!(html.matches("<script").count(), 1, "the one script");
}

#[test]
fn browsers_are_told_to_run_nothing_and_to_keep_nothing() {
    let mut response = StatusCode::OK.into_response();
    secure(&mut response);
    let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    for part in ["unsafe-inline", "unsafe-eval", "*", "data:", "http:"] {
        assert!(!policy.contains(part), "{part} in {policy}");
    }
    for part in
        ["frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'", "script-src 'self'", "style-src 'self'"]
    {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert_eq!((header("cache-control").as_str(), header("x-content-type-options").as_str()), ("no-store", "nosniff"));
    assert_eq!((header("referrer-policy").as_str(), header("x-frame-options").as_str()), ("same-origin", "DENY"));
}

#[test]
fn the_script_makes_no_html_of_texts() {
    for part in
        ["innerHTML =", "outerHTML =", "insertAdjacentHTML", "document.write", "eval(", "Function(", "localStorage"]
    {
        assert!(!SCRIPT.contains(part), "{part}");
    }
    assert!(STYLE.contains("prefers-color-scheme: dark") && !STYLE.contains("@import") && !STYLE.contains("url("));
    assert_eq!(version(STYLE).len(), 12);
}
