//! Signals in; a token out that workers watch, and an end to waiting.

use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::signal::unix::{SignalKind, signal};

use super::exit::Exit;

/// Whether the hub has been asked to stop. Cheap to clone; once asked, it stays asked.
#[derive(Clone, Debug, Default)]
pub struct StopToken {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The same news as `reason`, for loops that look often.
    requested: Arc<AtomicBool>,
    reason: Mutex<Option<String>>,
    news: Condvar,
}

impl StopToken {
    /// Asks for a stop. The first reason stays.
    pub fn request(&self, reason: &str) {
        let mut first = self.inner.reason.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| reason.to_owned());
        self.inner.requested.store(true, Ordering::Release);
        self.inner.news.notify_all();
    }

    /// Whether a stop has been asked for.
    pub fn requested(&self) -> bool {
        self.inner.requested.load(Ordering::Acquire)
    }

    /// The flag behind [`StopToken::requested`], for rooms that know no token.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.inner.requested)
    }

    /// Why a stop has been asked for.
    pub fn reason(&self) -> Option<String> {
        let reason = self.inner.reason.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone()
    }

    /// Waits for a stop, for `longest` at most; says whether it has been asked for.
    pub fn wait(&self, longest: Duration) -> bool {
        let reason = self.inner.reason.lock().unwrap_or_else(PoisonError::into_inner);
        let (reason, _) = self
            .inner
            .news
            .wait_timeout_while(reason, longest, |reason| reason.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        reason.is_some()
    }

    /// From now on SIGTERM and SIGINT ask for a stop instead of ending the process. A second signal, or `deadline`
    /// after the request (whoever made it), ends the process: the uncommitted work is aborted and read again.
    pub fn on_signals(&self, deadline: Duration) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut terminate, mut interrupt) = {
            let _entered = runtime.enter();
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
        };
        let token = self.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let cause = runtime.block_on(async {
                while !token.requested() {
                    tokio::select! {
                        _ = terminate.recv() => token.request("SIGTERM"),
                        _ = interrupt.recv() => token.request("SIGINT"),
                        // A stop that a worker asked for has the same deadline.
                        () = tokio::time::sleep(Duration::from_millis(200)) => {}
                    }
                }
                tokio::select! {
                    _ = terminate.recv() => "a second signal came",
                    _ = interrupt.recv() => "a second signal came",
                    () = tokio::time::sleep(deadline) => "the stop took longer than hub.stop_deadline_seconds",
                }
            });
            #[expect(clippy::print_stderr, reason = "the process ends: no log may be up to say it")]
            {
                eprintln!("error: {cause}\n  next: nothing is lost: what was not committed is read again");
            }
            std::process::exit(i32::from(Exit::StopDeadline as u8));
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_wakes_who_waits_and_stays() {
        let token = StopToken::default();
        assert!(!token.wait(Duration::from_millis(1)));
        let flag = token.flag();
        let waiting = {
            let token = token.clone();
            std::thread::spawn(move || token.wait(Duration::from_secs(60)))
        };
        token.request("SIGTERM");
        token.request("SIGINT");
        assert!(waiting.join().expect("the waiting thread does not panic"));
        assert!(token.requested() && flag.load(Ordering::Acquire));
        assert_eq!(token.reason().as_deref(), Some("SIGTERM"));
    }
}
