//! A schema registry: schema ids of messages → the schemas that they were written with, fetched once and kept.
//!
//! - [`client`]: the requests, over HTTP or HTTPS, to one address that the operator named.
//! - [`references`]: a schema with the schemas that it refers to → one text.
//!
//! Whoever reads messages never waits for the network: [`Registry::find`] answers at once, and a thread fetches what is not
//! known yet. What a registry that cannot be reached owes stays asked for, again and again, until it answers; what it does
//! not know is asked for again after a while. Everything that is kept is bounded.

pub mod client;
pub mod references;

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use indexmap::IndexMap;

use super::schemas::WriterSchema;
use client::RegistryError;

/// Schemas that are kept: a registry of a large company has as many in use at one time.
const SCHEMAS_MAX: usize = 2_000;
/// Ids whose answer was that there is no such schema.
const UNKNOWN_MAX: usize = 10_000;
/// Ids that are being asked for. Each partition that waits asks for one.
const WANTED_MAX: usize = 4_096;
/// What nobody has asked for during so long is not asked for any more.
const WANTED_FOR: Duration = Duration::from_secs(60);
/// Between tries of one id while the registry cannot be reached: from this …
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// … to this, doubling.
const RETRY_LAST: Duration = Duration::from_secs(10);

/// Fetches the text of a schema by its id: the network, or what stands for it in a test.
pub trait Fetch: Send + 'static {
    /// The schema's text with everything that it refers to.
    fn schema(&mut self, id: u32) -> Result<String, RegistryError>;
}

/// What happens between the hub and its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistryEvent<'a> {
    /// A schema was fetched.
    Fetched {
        /// Its id.
        id: u32,
    },
    /// There is no schema with an id.
    Unknown {
        /// The id.
        id: u32,
        /// The schema that is missing, if it is not this one but one that it refers to.
        referred: Option<&'a str>,
    },
    /// There is one, but it is not decoded.
    Unusable {
        /// Its id.
        id: u32,
        /// Why.
        problem: &'a str,
    },
    /// It did not answer, or not with an answer. It is asked again.
    Unavailable {
        /// What was in the way.
        problem: &'a str,
        /// How many tries in a row have failed, this one included.
        tries: u32,
    },
    /// It answers again.
    Available,
}

/// Hears of what happens.
pub type RegistryWatcher = Arc<dyn Fn(RegistryEvent<'_>) + Send + Sync>;

/// What is known of an id.
#[derive(Clone, Debug)]
pub enum Found {
    /// Its schema.
    Schema(Arc<WriterSchema>),
    /// There is none, or one that it refers to is not there: which.
    Unknown(Option<Arc<str>>),
    /// There is one, but it is not decoded: why.
    Unusable(Arc<str>),
    /// It is being asked for: come again.
    Waiting,
}

/// A registry's schemas, as far as they are known here. Clones share what is known.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Registry")
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    unknown_for: Duration,
}

#[derive(Default)]
struct State {
    known: IndexMap<u32, Known, ahash::RandomState>,
    /// Since when, and which schema that it refers to is missing, if it is not itself.
    unknown: IndexMap<u32, (Instant, Option<Arc<str>>), ahash::RandomState>,
    wanted: IndexMap<u32, Wish, ahash::RandomState>,
    /// What was in the way at the last try.
    problem: Option<Arc<str>>,
}

/// An id that is being asked for.
struct Wish {
    /// How often it was asked for in vain, and when it is asked for again.
    tries: u32,
    not_before: Instant,
    /// When somebody last wanted it.
    wanted: Instant,
}

#[derive(Clone)]
enum Known {
    Schema(Arc<WriterSchema>),
    Unusable(Arc<str>),
}

impl Registry {
    /// Starts the thread that fetches. `unknown_for`: after so long an id that was unknown is asked for again.
    pub fn start(fetch: impl Fetch, unknown_for: Duration, watcher: RegistryWatcher) -> std::io::Result<Registry> {
        let shared = Arc::new(Shared { state: Mutex::new(State::default()), changed: Condvar::new(), unknown_for });
        let weak = Arc::downgrade(&shared);
        std::thread::Builder::new().name("registry".into()).spawn(move || {
            let mut fetcher = Fetcher { fetch, watcher, tries: 0 };
            // Woken now and then, to end with the last who holds the registry.
            while let Some(shared) = weak.upgrade() {
                fetcher.step(&shared);
            }
        })?;
        Ok(Registry { shared })
    }

    /// What is known of an id, without waiting. What is not known is asked for.
    pub fn find(&self, id: u32) -> Found {
        if i32::try_from(id).is_err() {
            // Registries count in 31 bits, and answer as if they had no such page.
            return Found::Unknown(None);
        }
        let mut state = self.shared.lock();
        match state.known.get(&id) {
            Some(Known::Schema(schema)) => return Found::Schema(Arc::clone(schema)),
            Some(Known::Unusable(problem)) => return Found::Unusable(Arc::clone(problem)),
            None => {}
        }
        match state.unknown.get(&id) {
            Some((since, referred)) if since.elapsed() < self.shared.unknown_for => {
                return Found::Unknown(referred.clone());
            }
            Some(_) => drop(state.unknown.shift_remove(&id)),
            None => {}
        }
        let now = Instant::now();
        let has_room = state.wanted.len() < WANTED_MAX;
        match state.wanted.get_mut(&id) {
            Some(wish) => wish.wanted = now,
            None if has_room => {
                state.wanted.insert(id, Wish { tries: 0, not_before: now, wanted: now });
                self.shared.changed.notify_all();
            }
            None => {} // asked for when there is room
        }
        Found::Waiting
    }

    /// The same, waiting for an answer at most so long. The error says what was in the way.
    pub fn wait(&self, id: u32, at_most: Duration) -> Result<Found, Arc<str>> {
        let until = Instant::now() + at_most;
        loop {
            match self.find(id) {
                Found::Waiting => {}
                found => return Ok(found),
            }
            let state = self.shared.lock();
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(state.problem.clone().unwrap_or_else(|| "it did not answer in time".into()));
            }
            // A change between the two locks is noticed a moment later.
            let pause = left.min(Duration::from_millis(50));
            drop(self.shared.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Fetcher<F> {
    fetch: F,
    watcher: RegistryWatcher,
    tries: u32,
}

impl<F: Fetch> Fetcher<F> {
    /// Fetches the first that is wanted, or waits a moment for a wish.
    fn step(&mut self, shared: &Shared) {
        const MOMENT: Duration = Duration::from_millis(200);
        let mut state = shared.lock();
        let now = Instant::now();
        state.wanted.retain(|_, wish| now.duration_since(wish.wanted) < WANTED_FOR);
        let due =
            state.wanted.iter().filter(|(_, wish)| wish.not_before <= now).min_by_key(|(_, wish)| wish.not_before);
        let Some((&id, _)) = due else {
            drop(shared.changed.wait_timeout(state, MOMENT).unwrap_or_else(PoisonError::into_inner));
            return;
        };
        drop(state);
        let answer = self.fetch.schema(id);
        let parsed = answer.map(|text| WriterSchema::parse(&format!("the schema with the id {id}"), &text));
        // The error: which schema that it refers to is missing, if it is not itself.
        let known: Result<Known, Option<Arc<str>>> = match parsed {
            Err(RegistryError::Unavailable(problem)) => return self.unavailable(shared, id, &problem),
            Ok(Ok(schema)) => Ok(Known::Schema(Arc::new(schema))),
            Ok(Err(error)) => Ok(Known::Unusable(error.to_string().into())),
            Err(RegistryError::Unusable(problem)) => Ok(Known::Unusable(problem.into())),
            Err(RegistryError::NotFound | RegistryError::Refused(_)) => Err(None),
            Err(RegistryError::ReferenceNotFound(referred)) => Err(Some(referred.into())),
        };
        // Told before those who wait are woken, so that what they do next is told after it.
        if std::mem::take(&mut self.tries) > 0 {
            (self.watcher)(RegistryEvent::Available);
        }
        (self.watcher)(match &known {
            Ok(Known::Schema(_)) => RegistryEvent::Fetched { id },
            Ok(Known::Unusable(problem)) => RegistryEvent::Unusable { id, problem },
            Err(referred) => RegistryEvent::Unknown { id, referred: referred.as_deref() },
        });
        let mut state = shared.lock();
        state.wanted.shift_remove(&id);
        state.problem = None;
        match known {
            Ok(known) => {
                bound(&mut state.known, SCHEMAS_MAX);
                state.known.insert(id, known);
            }
            Err(referred) => {
                bound(&mut state.unknown, UNKNOWN_MAX);
                state.unknown.insert(id, (Instant::now(), referred));
            }
        }
        drop(state);
        shared.changed.notify_all();
    }

    fn unavailable(&mut self, shared: &Shared, id: u32, problem: &str) {
        self.tries = self.tries.saturating_add(1);
        (self.watcher)(RegistryEvent::Unavailable { problem, tries: self.tries });
        let mut state = shared.lock();
        state.problem = Some(problem.into());
        // Each id waits for itself: the registry may refuse one of them and not all.
        if let Some(wish) = state.wanted.get_mut(&id) {
            wish.tries = wish.tries.saturating_add(1);
            let pause = RETRY_FIRST.saturating_mul(1 << wish.tries.min(16).saturating_sub(1)).min(RETRY_LAST);
            wish.not_before = Instant::now() + pause;
        }
    }
}

/// Makes room for one more: those that came first go first.
fn bound<V>(map: &mut IndexMap<u32, V, ahash::RandomState>, most: usize) {
    while map.len() >= most {
        map.shift_remove_index(0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    type Answer = Result<String, RegistryError>;

    struct Script(Arc<Mutex<Vec<Answer>>>, Arc<AtomicU32>);

    impl Fetch for Script {
        fn schema(&mut self, _: u32) -> Answer {
            self.1.fetch_add(1, Ordering::Relaxed);
            let mut answers = self.0.lock().expect("no test panics with it");
            if answers.len() > 1 { answers.remove(0) } else { answers[0].clone() }
        }
    }

    fn registry(answers: Vec<Answer>, unknown_for: Duration) -> (Registry, Arc<AtomicU32>, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::new(AtomicU32::new(0));
        let told = Arc::new(Mutex::new(Vec::new()));
        let hears = Arc::clone(&told);
        let watcher: RegistryWatcher =
            Arc::new(move |event| hears.lock().expect("no test panics with it").push(format!("{event:?}")));
        let script = Script(Arc::new(Mutex::new(answers)), Arc::clone(&asked));
        (Registry::start(script, unknown_for, watcher).expect("a thread"), asked, told)
    }

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_schema_is_fetched_once_and_whoever_asks_is_not_held_up() {
        let (registry, asked, told) = registry(vec![Ok("\"string\"".into())], LONG);
        assert!(matches!(registry.find(7), Found::Waiting));
        assert!(matches!(registry.wait(7, LONG), Ok(Found::Schema(_))));
        assert!(matches!(registry.clone().find(7), Found::Schema(_)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        drop(registry);
        assert_eq!(*told.lock().expect("unpoisoned"), ["Fetched { id: 7 }"]);
    }

    #[test]
    fn a_registry_that_is_down_is_asked_until_it_answers() {
        let down = || Err(RegistryError::Unavailable("connection refused".into()));
        let (registry, asked, told) = registry(vec![down(), down(), Ok("\"string\"".into())], LONG);
        let in_the_way = registry.wait(7, Duration::from_millis(1)).err();
        let said = ["connection refused", "it did not answer in time"];
        assert!(in_the_way.as_deref().is_some_and(|problem| said.contains(&problem)), "{in_the_way:?}");
        assert!(matches!(registry.wait(7, LONG), Ok(Found::Schema(_))));
        assert_eq!(asked.load(Ordering::Relaxed), 3);
        let told = told.lock().expect("unpoisoned").join(", ");
        assert!(told.contains("tries: 1") && told.contains("tries: 2"), "{told}");
        assert!(told.ends_with("Available, Fetched { id: 7 }"), "{told}");
    }

    #[test]
    fn an_id_that_no_registry_can_have_is_unknown_at_once() {
        let (registry, asked, _) = registry(vec![Ok("\"string\"".into())], LONG);
        for id in [u32::MAX, 1 << 31] {
            assert!(matches!(registry.find(id), Found::Unknown(None)), "{id}");
        }
        assert!(matches!(registry.wait((1 << 31) - 1, LONG), Ok(Found::Schema(_))));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn an_id_that_is_refused_holds_up_no_other() {
        struct Picky;
        impl Fetch for Picky {
            fn schema(&mut self, id: u32) -> Answer {
                match id {
                    7 => Err(RegistryError::Unavailable("it does not allow this (403)".into())),
                    _ => Ok("\"string\"".into()),
                }
            }
        }
        let registry = Registry::start(Picky, LONG, Arc::new(|_| {})).expect("a thread");
        assert!(registry.wait(7, Duration::from_millis(1_500)).is_err());
        for id in 8..28 {
            // The refused one waits for seconds by now.
            assert!(matches!(registry.wait(id, LONG), Ok(Found::Schema(_))), "{id}");
        }
        assert!(matches!(registry.find(7), Found::Waiting));
    }

    #[test]
    fn what_it_does_not_know_is_remembered_for_a_while_only() {
        let (registry, asked, _) = registry(vec![Err(RegistryError::NotFound), Ok("\"string\"".into())], LONG);
        assert!(matches!(registry.wait(7, LONG), Ok(Found::Unknown(None))));
        assert!(matches!(registry.find(7), Found::Unknown(None)));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        let lacking = Err(RegistryError::ReferenceNotFound("version 3 of the subject \"money\"".into()));
        let (lacks, _, told) = self::registry(vec![lacking], LONG);
        let found = lacks.wait(7, LONG);
        assert!(
            matches!(&found, Ok(Found::Unknown(Some(referred))) if &**referred == "version 3 of the subject \"money\""),
            "{found:?}"
        );
        let told = told.lock().expect("unpoisoned").join(", ");
        assert!(told.contains("referred: Some(\"version 3 of the subject"), "{told}");
        let (registry, ..) =
            self::registry(vec![Err(RegistryError::NotFound), Ok("\"string\"".into())], Duration::ZERO);
        assert!(matches!(registry.wait(7, LONG), Ok(Found::Schema(_))));
    }

    #[test]
    fn a_schema_that_could_be_used_for_an_attack_is_known_and_not_decoded() {
        let bomb = r#"{"type":"array","items":"null"}"#;
        let (registry, ..) = registry(vec![Ok(bomb.into())], LONG);
        let Ok(Found::Unusable(problem)) = registry.wait(7, LONG) else { panic!("a bomb was taken") };
        assert!(problem.contains("items take no bytes"), "{problem}");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut map = IndexMap::default();
        for id in 0..10 {
            bound(&mut map, 3);
            map.insert(id, ());
        }
        assert_eq!(map.keys().copied().collect::<Vec<u32>>(), [7, 8, 9]);
    }
}
