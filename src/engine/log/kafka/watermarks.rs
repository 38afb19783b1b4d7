//! A partition in; where it begins and ends, as its leader says, out.

use std::time::{Duration, Instant};

use rdkafka::{
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::KafkaResult,
};

/// One question to the brokers.
const TRY: Duration = Duration::from_secs(5);
const TRY_AT_LEAST: Duration = Duration::from_secs(1);
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// How long the brokers may take to say who leads what.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// The first offset that is kept and the end of a partition: the last stable one for a client that reads what is committed, the
/// high watermark for others. Asked again and again, at least once and for as long as `patience`.
///
/// # Errors
/// That of the last try.
pub(super) fn watermarks<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    partition: i32,
    patience: Duration,
) -> KafkaResult<(i64, i64)> {
    let deadline = Instant::now() + patience;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        match consumer.fetch_watermarks(topic, partition, left.clamp(TRY_AT_LEAST, TRY)) {
            Ok(found) => return Ok(found),
            Err(error) => {
                look_anew(consumer, Some(topic));
                if Instant::now() >= deadline {
                    return Err(error);
                }
            }
        }
        std::thread::sleep(TRY_AGAIN_AFTER);
    }
}

/// Makes a client ask who leads a topic, or all topics that it knows. It answers questions about offsets from what it heard
/// last, which it asks for anew every few minutes: of a partition whose leader was away just then, or which was not there
/// yet, it says until then that there is none, without asking anybody.
pub(super) fn look_anew<C: ConsumerContext>(consumer: &BaseConsumer<C>, topic: Option<&str>) {
    if let Err(error) = consumer.fetch_metadata(topic, LOOK_WITHIN) {
        tracing::debug!(target: "kafka", "asking who leads {}: {error}", topic.unwrap_or("each topic"));
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::{ClientConfig, consumer::DefaultConsumerContext, mocking::MockCluster};

    use super::*;

    #[test]
    fn a_leader_that_was_away_when_the_client_asked_is_found_when_it_is_back() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        cluster.partition_leader("t", 1, None).unwrap();
        let consumer: BaseConsumer<DefaultConsumerContext> =
            ClientConfig::new().set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap();
        assert_eq!(watermarks(&consumer, "t", 0, Duration::from_secs(60)).unwrap(), (0, 0));
        let error = watermarks(&consumer, "t", 1, Duration::ZERO).unwrap_err();
        cluster.partition_leader("t", 1, Some(1)).unwrap();
        // What the client does on its own.
        let again = consumer.fetch_watermarks("t", 1, Duration::from_secs(30)).unwrap_err();
        assert_eq!(error.to_string(), again.to_string());
        assert_eq!(watermarks(&consumer, "t", 1, Duration::from_secs(60)).unwrap(), (0, 0));
    }
}
