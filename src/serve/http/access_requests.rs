//! An identifier of somebody who asks for their data in; everything that the hub keeps of them, as one document, out.
//!
//! ```text
//!  POST → running ─┬→ done ──┐
//!                  ├→ nobody ├→ forgotten, a quarter of an hour after it ended or when there are too many
//!                  └→ failed ┘
//! ```
//!
//! It is gathered from feeds and state as a whole, which takes as long as reading them. Only who asked for it is given it, and it
//! is kept in memory alone.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::{
    sync::{Semaphore, oneshot},
    task::AbortHandle,
    time::sleep,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    Shared,
    asking::{By, Named, Parameters},
    customers::find,
    decisions::{accepted_at, document},
    problem::{Kind, Problem, ProblemBody},
    reply,
    shapes::CustomerText,
};
use crate::serve::access::Role;

/// Requests that are gathered at a time: each reads everything.
const RUNNING_MAX: usize = 2;
/// Requests that are kept. The oldest that is not running goes first.
const KEPT_MAX: usize = 16;
/// Bytes of what was gathered, written down, that are kept: the oldest goes first, and the newest stays.
const KEPT_BYTES_MAX: usize = 256 << 20;
/// How long an answer is kept, from when it is there.
const KEPT_FOR: Duration = Duration::from_secs(900);
/// When to ask again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// It could not be gathered; the log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it could not be gathered")]
pub struct Ungathered;

/// Gathers everything that is kept of one person, wherever it is.
pub trait GatherPerson: Send + Sync {
    /// Of the person whom a text, TYPE:VALUE or 32 digits, names; `None`: it names nobody.
    ///
    /// # Errors
    /// [`Ungathered`].
    fn gather(&self, text: &str) -> Result<Option<Value>, Ungathered>;
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Progress {
    /// It is being gathered: ask again.
    Running,
    /// It is there.
    Done,
    /// Nobody is known by that.
    Nobody,
    /// It could not be gathered; the log of the hub says why.
    Failed,
}

struct Kept {
    actor: String,
    begun: Instant,
    progress: Progress,
    document: Option<Arc<Value>>,
    /// Of the document, written down.
    bytes: usize,
    /// Takes it out when its time is over; there is one for each that is kept.
    _timer: Timer,
}

/// A task that ends with its owner.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The requests that are kept.
pub(super) struct Requests {
    gather: Arc<dyn GatherPerson>,
    running: Arc<Semaphore>,
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
    kept_for: Duration,
    kept_bytes_max: usize,
}

impl Requests {
    pub(super) fn new(gather: Arc<dyn GatherPerson>) -> Requests {
        Requests {
            gather,
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
            kept: Arc::default(),
            kept_for: KEPT_FOR,
            kept_bytes_max: KEPT_BYTES_MAX,
        }
    }

    /// Begins one; its id. Within a runtime, whose timer takes it out again.
    fn begin(&self, actor: &str, text: String) -> Result<String, Problem> {
        let busy = || Problem::new(Kind::Full, "other requests are being gathered").after(AGAIN_AFTER);
        let failed = |_| Problem::new(Kind::Internal, "the system has no random numbers");
        let place = Arc::clone(&self.running).try_acquire_owned().map_err(|_| busy())?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(failed)?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let (ended, has_ended) = oneshot::channel::<()>();
        let (weak, of, kept_for) = (Arc::downgrade(&self.kept), id.clone(), self.kept_for);
        let timer = tokio::spawn(async move {
            // An error: the thread has ended without a word, which is an end as well.
            let _ = has_ended.await;
            sleep(kept_for).await;
            if let Some(kept) = weak.upgrade() {
                locked(&kept).remove(&of);
            }
        });
        let mut kept = locked(&self.kept);
        leave_room(&mut kept);
        let (begun, timer) = (Instant::now(), Timer(timer.abort_handle()));
        let actor = actor.to_owned();
        let running = Kept { actor, begun, progress: Progress::Running, document: None, bytes: 0, _timer: timer };
        kept.insert(id.clone(), running);
        drop(kept);
        let (gather, all, of) = (Arc::clone(&self.gather), Arc::clone(&self.kept), id.clone());
        let bytes_max = self.kept_bytes_max;
        let gathering = move || {
            let gathered = gather.gather(&text);
            drop(place);
            let bytes = gathered.as_ref().ok().and_then(Option::as_ref).map_or(0, bytes_of);
            let mut all = locked(&all);
            if let Some(kept) = all.get_mut(&of) {
                kept.bytes = bytes;
                (kept.progress, kept.document) = match gathered {
                    Ok(Some(document)) => (Progress::Done, Some(Arc::new(document))),
                    Ok(None) => (Progress::Nobody, None),
                    Err(Ungathered) => (Progress::Failed, None),
                };
            }
            leave_bytes(&mut all, &of, bytes_max);
            drop(all);
            // Nobody waits for it any more: the hub stops.
            let _ = ended.send(());
        };
        // Not one of the threads that answer.
        if std::thread::Builder::new().name("gathering".into()).spawn(gathering).is_err() {
            locked(&self.kept).remove(&id);
            return Err(busy());
        }
        Ok(id)
    }

    fn find(&self, actor: &str, id: &str) -> Option<(Progress, Option<Arc<Value>>)> {
        let kept = locked(&self.kept);
        let found = kept.get(id).filter(|kept| kept.actor == actor)?;
        Some((found.progress, found.document.clone()))
    }
}

fn locked(kept: &Mutex<BTreeMap<String, Kept>>) -> MutexGuard<'_, BTreeMap<String, Kept>> {
    // Nothing is half-changed when a thread panics here.
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Leaves room for one more.
fn leave_room(kept: &mut BTreeMap<String, Kept>) {
    while kept.len() >= KEPT_MAX {
        let ended = kept.iter().filter(|(_, it)| it.progress != Progress::Running);
        let Some(oldest) = ended.min_by_key(|(_, it)| it.begun).map(|(id, _)| id.clone()) else { return };
        kept.remove(&oldest);
    }
}

/// Leaves no more bytes than may be kept, but for the newest.
fn leave_bytes(kept: &mut BTreeMap<String, Kept>, newest: &str, bytes_max: usize) {
    while kept.values().map(|it| it.bytes).sum::<usize>() > bytes_max {
        let others = kept.iter().filter(|(id, it)| *id != newest && it.bytes > 0);
        let Some(oldest) = others.min_by_key(|(_, it)| it.begun).map(|(id, _)| id.clone()) else { return };
        kept.remove(&oldest);
    }
}

/// Bytes of a document, written down.
fn bytes_of(document: &Value) -> usize {
    struct Counted(usize);
    impl io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, document).map_or(usize::MAX / KEPT_MAX, |()| counted.0)
}

/// Whose data is asked for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ToGather {
    /// TYPE:VALUE of any identifier of the person; or the 32 digits of the person's id.
    #[schema(value_type = CustomerText)]
    identifier: String,
}

/// A request that was begun.
#[derive(Serialize, ToSchema)]
pub(super) struct Begun {
    /// Its id: /api/v1/access-requests/{request}.
    request: String,
}

/// A request and what came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Gathered {
    /// What came of it.
    status: Progress,
    /// Everything that is kept of the person, when it is done: identifiers, identity, record, touchpoints, alerts, journal, and places
    /// of dead letters.
    #[schema(value_type = Option<Object>)]
    document: Option<Arc<Value>>,
    /// How much that is, when it is done.
    contents: Option<Contents>,
}

/// How much is kept of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Contents {
    /// Touchpoints.
    touchpoints: usize,
    /// Open alerts.
    alerts: usize,
    /// Lines of the journal of identities.
    journal: usize,
    /// Places of dead letters.
    rejected: usize,
}

impl Contents {
    fn of(document: &Value) -> Contents {
        let count = |field: &str| document.get(field).and_then(Value::as_array).map_or(0, Vec::len);
        Contents {
            touchpoints: count("touchpoints"),
            alerts: count("alerts"),
            journal: count("journal"),
            rejected: count("rejected"),
        }
    }
}

/// What of a request is asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Whether the document is wanted when it is there. Without it, it is only said how far the request is and how much there is, which is
    /// not noted: no data leaves.
    #[param(default = true)]
    document: Option<bool>,
}

/// Begins to gather everything that is kept of one person.
///
/// The answer is fetched from where `location` says, by the same token, within a quarter of an hour after it is there.
#[utoipa::path(
    post, path = "/api/v1/access-requests", operation_id = "request_access", tag = "erasure and access",
    request_body = ToGather,
    responses(
        (status = 202, description = "It was begun", body = Begun, headers(("location" = String, description = "Where the answer is going to be"))),
        (status = 400, description = "The body is wrong", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "More than may come at a time", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "Another content type", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["erase"])),
)]
pub(super) async fn begin(State(api): State<Shared>, By(caller): By, request: Request) -> Result<Response, Problem> {
    caller.must_have(&[Role::Erase])?;
    let ToGather { identifier } = document(request).await?;
    let sought = api.sought(&identifier)?;
    let person = api.ask(move |view| find(view, &sought)).await?;
    api.note(&caller, "request_access", person.as_deref(), 0).await?;
    let request = api.requests.begin(&caller.id, identifier)?;
    Ok(accepted_at(&format!("/api/v1/access-requests/{request}"), &Begun { request }))
}

/// What is kept of a person, once it is gathered. That it was given is noted each time.
#[utoipa::path(
    get, path = "/api/v1/access-requests/{request}", operation_id = "get_access_request", tag = "erasure and access",
    params(("request" = String, Path, description = "Its id"), Wanted),
    responses(
        (status = 200, description = "What came of it", body = Gathered),
        (status = 404, description = "There is none here, any more, or it is somebody else's; of several instances the one that was asked has it", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["erase"])),
)]
pub(super) async fn get(
    State(api): State<Shared>,
    By(caller): By,
    Named(request): Named,
    Parameters(Wanted { document: is_wanted }): Parameters<Wanted>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::Erase])?;
    let found = api.requests.find(&caller.id, &request);
    let (status, document) = found.ok_or_else(|| Problem::not_found("request"))?;
    let contents = document.as_deref().map(Contents::of);
    let document = document.filter(|_| is_wanted.unwrap_or(true));
    if let (Some(document), Some(contents)) = (&document, contents) {
        let records = 1 + contents.touchpoints;
        api.note(&caller, "get_access_request", document["person"].as_str(), records).await?;
    }
    Ok(reply::one(&Gathered { status, document, contents }))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use serde_json::json;

    use super::*;

    /// Gathers what it is told to.
    struct Told(Mutex<Receiver<Result<Option<Value>, Ungathered>>>);

    impl GatherPerson for Told {
        fn gather(&self, _: &str) -> Result<Option<Value>, Ungathered> {
            self.0.lock().expect("nobody panics").recv().unwrap_or(Err(Ungathered))
        }
    }

    type Tell = Sender<Result<Option<Value>, Ungathered>>;

    /// Within a runtime, as the API is.
    fn requests(kept_for: Duration) -> (tokio::runtime::Runtime, Requests, Tell) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let (tell, told) = channel();
        let requests = Requests { kept_for, ..Requests::new(Arc::new(Told(Mutex::new(told)))) };
        (runtime.expect("a runtime"), requests, tell)
    }

    fn until<T>(look: impl Fn() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(seen) = look() {
                return seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not become so");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ended(requests: &Requests, id: &str) -> (Progress, Option<Arc<Value>>) {
        until(|| {
            let found = requests.find("ann", id).expect("it is kept");
            (found.0 != Progress::Running).then_some(found)
        })
    }

    #[test]
    fn a_request_is_answered_to_who_made_it() {
        let (runtime, requests, tell) = requests(KEPT_FOR);
        let _within = runtime.enter();
        for (outcome, progress) in [
            (Ok(Some(json!({"person": "p"}))), Progress::Done),
            (Ok(None), Progress::Nobody),
            (Err(Ungathered), Progress::Failed),
        ] {
            let id = requests.begin("ann", "email:ann@x.org".to_owned()).expect("begun");
            assert_eq!(requests.find("ann", &id), Some((Progress::Running, None)));
            tell.send(outcome.clone()).expect("it is waited for");
            let (found, document) = ended(&requests, &id);
            assert_eq!((found, document.map(|it| (*it).clone())), (progress, outcome.unwrap_or_default()));
            assert_eq!(requests.find("bob", &id), None, "it is nobody else's");
        }
    }

    #[test]
    fn few_are_gathered_at_a_time_and_few_are_kept() {
        let (runtime, requests, tell) = requests(KEPT_FOR);
        let _within = runtime.enter();
        let begin = || requests.begin("ann", String::new());
        let (one, other) = (begin().expect("begun"), begin().expect("begun"));
        assert!(begin().is_err(), "two are being gathered");
        tell.send(Ok(None)).expect("it is waited for");
        tell.send(Ok(None)).expect("it is waited for");
        ended(&requests, &one);
        ended(&requests, &other);
        let mut newest = one.clone();
        for _ in 0..KEPT_MAX {
            newest = begin().expect("begun");
            tell.send(Ok(None)).expect("it is waited for");
            ended(&requests, &newest);
        }
        assert!(requests.find("ann", &one).is_none() && requests.find("ann", &newest).is_some());
        assert_eq!(locked(&requests.kept).len(), KEPT_MAX);
    }

    #[test]
    fn of_what_was_gathered_so_many_bytes_are_kept_and_the_newest_stays() {
        let (runtime, all, tell) = requests(KEPT_FOR);
        let requests = Requests { kept_bytes_max: 2_500, ..all };
        let _within = runtime.enter();
        let gather = |bytes: usize| {
            let id = requests.begin("ann", String::new()).expect("begun");
            tell.send(Ok(Some(json!("x".repeat(bytes - 2))))).expect("it is waited for");
            assert!(ended(&requests, &id).1.is_some());
            id
        };
        let kept = |ids: &[&String]| ids.iter().map(|id| requests.find("ann", id).is_some()).collect::<Vec<_>>();
        let (one, two) = (gather(1_000), gather(1_500));
        assert_eq!(kept(&[&one, &two]), [true, true]);
        let three = gather(3);
        assert_eq!(kept(&[&one, &two, &three]), [false, true, true], "the oldest makes room");
        let four = gather(9_000);
        assert_eq!(kept(&[&two, &three, &four]), [false, false, true], "the newest stays");
    }

    #[test]
    fn an_answer_is_kept_for_a_while_from_when_it_is_there_and_then_nowhere_though_nobody_asks() {
        let kept_for = Duration::from_millis(500);
        let (runtime, requests, tell) = requests(kept_for);
        let _within = runtime.enter();
        let id = requests.begin("ann", String::new()).expect("begun");
        let begun = Instant::now();
        // Gathering takes longer than an answer is kept.
        until(|| (begun.elapsed() > kept_for).then_some(()));
        assert_eq!(requests.find("ann", &id), Some((Progress::Running, None)), "it is still being gathered");
        let told = Instant::now();
        tell.send(Ok(Some(json!({"person": "p"})))).expect("it is waited for");
        let kept =
            until(|| locked(&requests.kept).get(&id).and_then(|kept| kept.document.as_ref().map(Arc::downgrade)));
        until(|| locked(&requests.kept).is_empty().then_some(()));
        assert!(told.elapsed() >= kept_for, "it was taken out after {:?}", told.elapsed());
        assert!(kept.upgrade().is_none(), "nothing of it is left in memory");
    }
}
