//! What a thread has worked, however long it was kept waiting: for figures that tell work from a machine that is too busy.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread since it began.
pub fn of_this_thread() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanoseconds) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanoseconds.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_does_not_work() {
        let before = of_this_thread();
        std::thread::sleep(Duration::from_millis(300));
        let slept = of_this_thread() - before;
        assert!(slept < Duration::from_millis(150), "{slept:?}");
        let mut sum = 0_u64;
        while of_this_thread() - before < Duration::from_millis(20) {
            sum = std::hint::black_box(sum).wrapping_mul(31).wrapping_add(7);
        }
    }
}
