//! What the API answers in; the dashboard out: pages of plain HTML, made here, for people, in any browser.
//!
//! ```text
//!  request → guard: who (session, token, this machine)? how often? filled? → turn free? → page → inside (the API's own answers)
//!                                                                                           └→ blocks → templates → security headers
//! ```
//!
//! One file per page; `acknowledge`, `review` and `privacy` are what is done there. What they share: `faults` (what is said where there is
//! no page), `visitor` (who asks, cookies, form tokens), `forms` (what a form sends), `blocks` (what a page
//! says), `charts` (pictures), `choices` (months and what else is
//! chosen), `words` (values as people read them), `html/` (templates, which escape everything), `assets/` (the one
//! style, the one script, the icon). `live`: which pages have something new.
//!
//! Nothing is asked of the view here: a page is an API client that is inside, so it shows whom it should and is noted as they are.
//! Without script everything works but that pages renew themselves.

mod acknowledge;
mod alerts;
mod balance;
mod blocks;
mod charts;
mod choices;
mod customers;
mod department;
mod drivers;
mod faults;
mod forms;
mod journeys;
mod letters;
mod live;
mod login;
mod metrics;
mod operations;
mod overview;
mod priorities;
mod privacy;
mod review;
mod spokes;
#[cfg(test)]
mod tests;
mod visitor;
mod words;

use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use askama::Template as _;
use axum::{
    Extension, Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use self::{
    blocks::{Page, notice},
    faults::failed,
    visitor::{Visitor, Who},
};
use super::{
    access::Role,
    http::inside::{Inside, Refused},
};
use crate::feeds::Feed;

const STYLE: &str = include_str!("assets/style.css");
const SCRIPT: &str = include_str!("assets/script.js");
const ICON: &str = include_str!("assets/icon.svg");

/// Content of other versions has another address, so that no browser shows a page in yesterday's clothes.
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| version(STYLE));
static SCRIPT_VERSION: LazyLock<String> = LazyLock::new(|| version(SCRIPT));

/// The list of pages, in its order.
const NAV: [(&str, &str); 11] = [
    ("/", "Overview"),
    ("/department", "My department"),
    ("/metrics", "Metrics"),
    ("/journeys", "Journeys"),
    ("/drivers", "Drivers"),
    ("/priorities", "Priorities & changes"),
    ("/balance", "Balance"),
    ("/customers", "Customers"),
    ("/alerts", "Alerts"),
    ("/spokes", "Spokes"),
    ("/operations", "Operations"),
];

/// When a browser asks again for a page that waits for something, in seconds.
const AGAIN_AFTER: &str = "2";
/// Nothing is loaded from elsewhere, nothing in a page is run, and no other page may hold one of ours.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What every page needs.
type Desk = Arc<Office>;

/// The API's inside, and what pages keep of its answers.
pub(super) struct Office {
    inside: Inside,
    /// What tells this process from others.
    process: u64,
    boards: overview::Boards,
    trials: spokes::Trials,
}

impl Deref for Office {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.inside
    }
}

/// Who asks, and what of the API is theirs.
pub(super) struct Asker {
    desk: Desk,
    who: Who,
    /// How the feeds were before anything of them was read for this.
    seen: live::Seen,
}

impl Asker {
    /// The document at a path of the API.
    async fn get(&self, path: &str) -> Result<Value, Refused> {
        self.desk.get(&self.who.caller, path).await
    }

    /// The same without what is about persons, where that is not needed: what nobody saw is not to be noted.
    fn of_metrics(&self) -> Asker {
        let mut who = self.who.clone();
        if who.caller.roles.contains(&Role::ReadMetrics) {
            who.caller.roles.remove(&Role::ReadCustomers);
        }
        Asker { desk: Arc::clone(&self.desk), who, seen: self.seen.clone() }
    }

    /// A list of the API.
    async fn all(&self, path: &str) -> Result<Vec<Value>, Refused> {
        self.desk.all(&self.who.caller, path).await
    }

    /// What comes of a document that is sent to a path of the API.
    async fn send(&self, path: &str, document: &Value) -> Result<Value, Refused> {
        self.desk.send(&self.who.caller, path, document).await
    }

    fn may(&self, role: &Role) -> bool {
        self.who.caller.roles.contains(role)
    }

    /// The currency of amounts in records that say none.
    fn currency(&self) -> String {
        self.desk.currency().as_str().to_owned()
    }
}

/// The routes of the dashboard and of the API. What is neither's is said in words to people, and to programs as the API does.
pub(super) fn beside(inside: Inside, api: Router) -> Router {
    let (process, boards, trials) = (live::number_of_process(), overview::Boards::default(), spokes::Trials::default());
    let desk = Arc::new(Office { inside, process, boards, trials });
    routes(&desk).merge(api).layer(from_fn_with_state(desk, faults::in_words))
}

fn routes(desk: &Desk) -> Router {
    let pages = Router::new()
        .route("/department", get(department::page))
        .route("/metrics", get(metrics::page))
        .route("/journeys", get(journeys::page))
        .route("/drivers", get(drivers::page))
        .route("/priorities", get(priorities::page).post(acknowledge::priority))
        .route("/balance", get(balance::page))
        .route("/customers", get(customers::search).post(customers::find))
        .route("/customers/review", get(review::page).post(review::sent))
        .route("/customers/privacy", get(privacy::page).post(privacy::sent))
        .route("/customers/privacy/document", get(privacy::document))
        .route("/customers/{person}", get(customers::page))
        .route("/alerts", get(alerts::page).post(acknowledge::alert))
        .route("/spokes", get(spokes::page))
        .route("/spokes/letters", get(letters::page))
        .route("/spokes/try", get(spokes::trial).post(spokes::tried))
        .route("/operations", get(operations::page))
        .route("/live", get(live::changes))
        .route("/logout", post(login::log_out))
        .layer(from_fn_with_state(Arc::clone(desk), in_turn))
        // It waits for whoever makes it, and takes its turns between.
        .route("/", get(overview::page))
        .layer(from_fn_with_state(Arc::clone(desk), guard));
    let open = Router::new()
        .route("/login", get(login::page).post(login::log_in))
        .layer(from_fn_with_state(Arc::clone(desk), welcome));
    let asset = |kind: &'static str, text: &'static str| {
        get(async move || {
            let headers =
                [(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
            let mut response = (headers, text).into_response();
            secure(&mut response);
            response
        })
    };
    let assets = Router::new()
        .route("/assets/style.css", asset("text/css; charset=utf-8", STYLE))
        .route("/assets/script.js", asset("text/javascript; charset=utf-8", SCRIPT))
        .route("/assets/icon.svg", asset("image/svg+xml", ICON));
    pages.merge(open).merge(assets).with_state(Arc::clone(desk))
}

fn version(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..9])
}

/// Everything that is the same for each page but the login.
async fn guard(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let mut visitor = Visitor::of(request.headers(), desk.over_tls());
    // A page that listens uses no session.
    visitor.is_live |= request.uri().path() == "/live";
    let path = request.uri().path_and_query().map(|it| it.as_str().to_owned()).unwrap_or_default();
    let is_read = is_read(request.method());
    let admitted = async {
        visitor.prepare(&desk).await;
        let who = visitor.who(&desk)?;
        desk.take(&who.caller)?;
        Ok::<_, Refused>((who, gathered(&desk, request, forms::FORM_BYTES_MAX).await?))
    };
    let mut response = match admitted.await {
        Ok((who, _)) if !desk.view().progress().is_complete() => faults::filling(&desk, &who),
        Ok((who, mut request)) => {
            request.extensions_mut().insert(who.clone());
            match timeout(desk.within(), next.run(request)).await {
                Ok(response) => response,
                Err(_) => failed(&desk, Some(&who), &faults::late()),
            }
        }
        // A person is asked to log in; a script or a form is told.
        Err(refused) if refused.status == StatusCode::UNAUTHORIZED && is_read && !visitor.is_live => {
            redirect(&faults::to_login(&path))
        }
        Err(refused) if refused.status == StatusCode::UNAUTHORIZED && !visitor.is_live => {
            faults::session_over(&desk, &path)
        }
        Err(refused) => failed(&desk, None, &refused),
    };
    finish(&visitor, &mut response);
    desk.note(response.status(), begun.elapsed());
    response
}

/// A page in its turn: while it holds it, others wait for theirs, also those who ask the API.
async fn in_turn(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let who = request.extensions().get::<Who>().cloned();
    turned(&desk, who.as_ref(), next.run(request)).await
}

/// What is made in a turn, and why not.
async fn turned(desk: &Inside, who: Option<&Who>, made: impl Future<Output = Response>) -> Response {
    let held = async {
        let _turn = desk.turn().await?;
        // In the same turn, so that few pages wait for room.
        desk.held(made.await).await
    };
    held.await.unwrap_or_else(|refused| failed(desk, who, &refused))
}

/// Whether a request only looks: HEAD is answered as GET is.
fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

/// The same of the login, which is for everybody.
async fn welcome(State(desk): State<Desk>, request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let visitor = Visitor::of(request.headers(), desk.over_tls());
    let admitted = async {
        let request = gathered(&desk, request, LOGIN_BYTES_MAX).await?;
        // Nobody knows yet who it is: keys of the company's login are asked for before the turn, which others wait for.
        let request = login::prepared(&desk, request).await?;
        Ok::<_, Refused>((request, desk.turn().await?))
    };
    let mut response = match admitted.await {
        Ok((mut request, _turn)) => {
            request.extensions_mut().insert(visitor.clone());
            match timeout(desk.within(), next.run(request)).await {
                Ok(response) => response,
                Err(_) => failed(&desk, None, &faults::late()),
            }
        }
        Err(refused) => failed(&desk, None, &refused),
    };
    finish(&visitor, &mut response);
    desk.note(response.status(), begun.elapsed());
    response
}

/// The request with all of its body. Turns are taken after it: whoever sends slowly holds up nobody.
async fn gathered(desk: &Inside, request: Request, bytes_max: usize) -> Result<Request, Refused> {
    let (parts, body) = request.into_parts();
    let body = timeout(desk.within(), to_bytes(body, bytes_max)).await.map_err(|_| faults::late())?;
    let body = body.map_err(|_| forms::too_long(bytes_max))?;
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn finish(visitor: &Visitor, response: &mut Response) {
    if let Some(cookie) = visitor.new_form_cookie() {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    secure(response);
}

/// What every answer says to browsers.
fn secure(response: &mut Response) {
    let rules = [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        // Addresses of pages hold ids of persons: no other host hears of them. With `no-referrer` browsers would not say either that a
        // form is one of ours.
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        ("cache-control", "no-store"),
    ];
    let headers = response.headers_mut();
    for (name, value) in rules {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
}

/// To another page; the browser gets it with GET.
fn redirect(to: &str) -> Response {
    match HeaderValue::from_str(to) {
        Ok(to) => (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response(),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// A page with everything around it.
#[derive(askama::Template)]
#[template(path = "layout.html")]
struct Layout<'a> {
    page: &'a Page,
    nav: &'static [(&'static str, &'static str)],
    shows_nav: bool,
    style_version: &'a str,
    script_version: &'a str,
    live: Option<String>,
    logout_csrf: Option<String>,
    /// What is said when a page that listens hears nothing.
    away: String,
    stale: Option<String>,
    state: String,
}

/// The page as an answer. `who`: whose it is; nobody's at the login.
fn shown(desk: &Inside, who: Option<&Who>, status: StatusCode, page: &Page) -> Response {
    let (stale, state) = match who {
        // How the hub does is nobody's business who has not logged in.
        None => (None, String::new()),
        Some(_) => faults::state(desk),
    };
    let hears = |feed: &&Feed| who.is_some_and(|who| Inside::may_hear(&who.caller, **feed));
    let feeds: Vec<Feed> = page.feeds.iter().filter(hears).copied().collect();
    let live = (!feeds.is_empty()).then(|| {
        let names: Vec<&str> = feeds.iter().map(|feed| feed.topic().trim_start_matches("insight.")).collect();
        let seen = page.seen.as_ref().map(|seen| seen.word(&feeds)).unwrap_or_default();
        let key = page.key.as_deref().unwrap_or_default();
        words::href("/live", &[("feeds", &names.join(",")), ("key", key), ("seen", &seen)])
    });
    let layout = Layout {
        page,
        nav: &NAV,
        shows_nav: who.is_some(),
        style_version: &STYLE_VERSION,
        script_version: &SCRIPT_VERSION,
        live,
        logout_csrf: who.filter(|who| who.has_session()).map(|who| who.form_token()),
        away: format!("The hub does not answer at present. What is shown here is of {}.", words::moment(desk.now_ms())),
        stale,
        state,
    };
    match layout.render() {
        Ok(html) => {
            let mut response = (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
            if page.is_waiting {
                response.headers_mut().insert(header::REFRESH, HeaderValue::from_static(AGAIN_AFTER));
            }
            response
        }
        Err(error) => {
            tracing::error!("a page cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a page's function came to, as an answer.
fn answered(asker: &Asker, page: Result<Page, Refused>) -> Response {
    match page {
        Ok(page) => {
            let page = Page { seen: Some(asker.seen.clone()), ..page };
            shown(&asker.desk, Some(&asker.who), StatusCode::OK, &page)
        }
        Err(refused) => failed(&asker.desk, Some(&asker.who), &refused),
    }
}

/// Who asks, for a page's function.
impl axum::extract::FromRequestParts<Desk> for Asker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, desk: &Desk) -> Result<Asker, Response> {
        // The guard has put it there.
        let who = Extension::<Who>::from_request_parts(parts, desk).await;
        let Extension(who) = who.map_err(IntoResponse::into_response)?;
        Ok(Asker { desk: Arc::clone(desk), who, seen: live::Seen::now(desk) })
    }
}

/// A part of a page that could not be had, said in its place: the rest of the page is shown.
fn part(found: Result<Vec<blocks::Block>, Refused>) -> Vec<blocks::Block> {
    found.unwrap_or_else(|refused| vec![notice("warning", format!("{}: {}.", refused.title, refused.detail))])
}

/// The longest login: a token, what makes the form ours, and the page to go to. Anybody may send one.
const LOGIN_BYTES_MAX: usize = 16 << 10;
/// How long a page that renews itself holds a connection.
const LIVE_MAX: Duration = Duration::from_secs(3_600);
