//! The metrics stage on the engine: contributions in; published values and the catalogue out.

use std::sync::Arc;

use super::{TopicMap, TopologyOptions, customers::send_feed, messages, store_view::StoreView};
use crate::{
    engine::{
        log::{LogError, Output, Placement, Record, TopicPartition},
        stage::{Outputs, Stage, StageError},
        store::Store,
    },
    feeds::{self, CE_ID, Encoder},
    metrics::{self, Metrics, MetricsError, catalogue},
    model::MetricValue,
};

/// Which catalogue was published last, in the store of the first partition.
const CATALOGUE_KEY: &[u8] = b"\x01catalogue";

pub(super) fn maker(
    options: &TopologyOptions,
    map: TopicMap,
) -> Arc<dyn Fn(TopicPartition) -> Box<dyn Stage> + Send + Sync> {
    let options = options.clone();
    Arc::new(move |input| {
        Box::new(MetricsStage {
            input,
            map,
            metrics: Metrics::new(options.metrics.clone()),
            values: Encoder::new(options.feed_format, &options.application_id),
            definitions: Encoder::new(options.feed_format, &options.application_id),
            sequence: 0,
            taken_bytes: 0,
        })
    })
}

struct MetricsStage {
    input: TopicPartition,
    map: TopicMap,
    metrics: Metrics,
    values: Encoder<feeds::Metrics>,
    definitions: Encoder<feeds::Definitions>,
    sequence: u64,
    /// Bytes of contributions taken in this transaction.
    taken_bytes: usize,
}

/// A transaction takes about so many bytes of contributions: every cell that they touch is written and published.
const CONTRIBUTIONS_BYTES_MAX: usize = 2 << 20;

struct Sending<'a, 'o> {
    map: TopicMap,
    values: &'a mut Encoder<feeds::Metrics>,
    outputs: &'a mut (dyn Outputs + 'o),
    failure: Option<LogError>,
}

impl metrics::Effects for Sending<'_, '_> {
    fn value(&mut self, key: &str, value: &MetricValue<'_>) {
        self.values.encode(value);
        // A value counts its own publications.
        let sent = send_feed(self.outputs, self.map.metrics_feed, self.values, key.as_bytes(), value.revision);
        if let Err(error) = sent {
            self.failure.get_or_insert(error);
        }
    }

    fn tombstone(&mut self, key: &str) {
        let id = feeds::event_id(key.as_bytes(), 0, None);
        let mut headers: smallvec::SmallVec<[(&str, &[u8]); 8]> =
            self.values.feed_headers().iter().map(|(name, value)| (*name, value.as_ref())).collect();
        headers.push((CE_ID, &id));
        let sent = self.outputs.send(&Output {
            topic: self.map.metrics_feed,
            placement: Placement::ByKey,
            key: key.as_bytes(),
            value: None,
            headers: &headers,
            timestamp_ms: None,
        });
        if let Err(error) = sent {
            self.failure.get_or_insert(error);
        }
    }
}

fn stop(error: MetricsError) -> StageError {
    StageError::Stop(error.to_string())
}

impl MetricsStage {
    fn publish_catalogue(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<(), StageError> {
        let fingerprint = catalogue::fingerprint().to_be_bytes();
        let published = store.get(CATALOGUE_KEY).map_err(|error| StageError::Stop(error.to_string()))?;
        if published.as_deref() == Some(&fingerprint[..]) {
            return Ok(());
        }
        for entry in catalogue::entries() {
            self.definitions.encode(&entry);
            let key = entry.metric.as_bytes();
            send_feed(outputs, self.map.catalogue_feed, &self.definitions, key, u64::from(entry.version))?;
        }
        store.put(CATALOGUE_KEY, &fingerprint);
        Ok(())
    }
}

impl Stage for MetricsStage {
    fn process(&mut self, record: &Record<'_>, store: &mut Store, _: &mut dyn Outputs) -> Result<(), StageError> {
        let (header, mut entries) = messages::open(record.value.unwrap_or_default())?;
        self.sequence = u64::try_from(record.offset).unwrap_or_default();
        self.taken_bytes += entries.len();
        let mut view = StoreView(store);
        // Contributions before the watermark that travels with them: what comes with it is not late.
        while let Some(contribution) = messages::next_contribution(&mut entries)? {
            self.metrics.contribution(contribution.cell, &contribution.add, &mut view).map_err(stop)?;
        }
        if let Some(as_of) = header.as_of {
            self.metrics.advance(as_of, &view).map_err(stop)?;
        }
        if header.source != u32::MAX {
            self.metrics.watermark(header.source, header.watermark, &view).map_err(stop)?;
        }
        Ok(())
    }

    fn prepare_commit(&mut self, store: &mut Store, outputs: &mut dyn Outputs) -> Result<bool, StageError> {
        if self.input.partition == 0 {
            self.publish_catalogue(store, outputs)?;
        }
        let mut sending = Sending { map: self.map, values: &mut self.values, outputs, failure: None };
        let more = self.metrics.publish(&mut StoreView(store), &mut sending).map_err(stop)?;
        match sending.failure {
            Some(error) => Err(error.into()),
            None => Ok(more),
        }
    }

    fn post_commit(&mut self) {
        self.taken_bytes = 0;
        self.metrics.committed();
    }

    fn wants_commit(&self) -> bool {
        self.taken_bytes >= CONTRIBUTIONS_BYTES_MAX
    }

    fn rolled_back(&mut self) {
        self.taken_bytes = 0;
        self.metrics.rolled_back();
    }

    fn restored(&mut self, key: &[u8], value: Option<&[u8]>, store: &mut Store) -> Result<(), StageError> {
        if matches!(key.first(), Some(0 | 1)) {
            return Ok(()); // the stage's and the engine's own entries: nothing is derived from them
        }
        Metrics::restored(key, value, &mut StoreView(store)).map_err(stop)
    }
}
