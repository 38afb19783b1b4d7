//! A producer with records under way in; a producer without any out, as soon as the brokers have them.
//!
//! The Rust client's own flush asks without waiting, then waits for an event that a producer with its own polling thread
//! never gets: each commit took 100 ms longer than the brokers needed (measured: 102 ms against 3 ms), three times between
//! an event and its metrics. What the library behind it offers, and the C client uses, is to wait until the last record
//! is acknowledged, sending at once what lingers.

use std::time::Duration;

use rdkafka::{
    bindings::rd_kafka_flush,
    producer::{Producer, ThreadedProducer},
};

use super::clients::Context;

/// Waits until everything that was sent is with the brokers, for at most `within`. Whether it is tells the commit that
/// follows: it flushes again.
#[expect(unsafe_code, reason = "the Rust client has no call that waits, see above")]
pub(super) fn flush(producer: &ThreadedProducer<Context>, within: Duration) {
    let milliseconds = i32::try_from(within.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the pointer is that of a live client: `producer` owns it, destroys it only when it is dropped, and is borrowed
    // until the call returns. It is a producer's, as the function demands. The function is documented as thread-safe,
    // takes no other pointer, keeps none, and returns a number. The producer's delivery reports are events (the Rust client
    // enables them), so that it runs no callback on this thread: it waits on a condition variable.
    let _ = unsafe { rd_kafka_flush(producer.client().native_ptr(), milliseconds) };
}
