//! Prints what feeds say, and keeps the latest value of each key.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    env,
    error::Error,
    time::Duration,
};

use apache_avro::{Schema, reader::datum::GenericDatumReader};
use rdkafka::{
    ClientConfig, Message,
    consumer::{BaseConsumer, Consumer},
};
use serde_json::{Value, json};

fn environment(name: &str, otherwise: &str) -> String {
    env::var(name).unwrap_or_else(|_| otherwise.to_owned())
}

/// The schema that a value was written with. The registry is asked once for each.
fn schema(schemas: &mut BTreeMap<u32, Schema>, number: u32) -> Result<&Schema, Box<dyn Error>> {
    Ok(match schemas.entry(number) {
        Entry::Occupied(known) => known.into_mut(),
        Entry::Vacant(place) => {
            let mut answer = ureq::get(format!("{}/schemas/ids/{number}", env::var("REGISTRY")?)).call()?;
            let answer: Value = serde_json::from_str(&answer.body_mut().read_to_string()?)?;
            place.insert(Schema::parse_str(answer["schema"].as_str().ok_or("no schema in the answer")?)?)
        }
    })
}

/// Avro begins with a zero and the number of its schema in four bytes; no JSON does.
fn decode(schemas: &mut BTreeMap<u32, Schema>, value: &[u8]) -> Result<Value, Box<dyn Error>> {
    match value {
        [0, a, b, c, d, record @ ..] => {
            let schema = schema(schemas, u32::from_be_bytes([*a, *b, *c, *d]))?;
            let mut record = record;
            Ok(GenericDatumReader::builder(schema).build()?.read_value(&mut record)?.try_into()?)
        }
        _ => Ok(serde_json::from_slice(value)?),
    }
}

pub fn main() -> Result<(), Box<dyn Error>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", environment("BROKERS", "localhost:9092"))
        .set("group.id", environment("GROUP", "my-dashboard"))
        .set("isolation.level", "read_committed") // never what a crash left half done
        .set("auto.offset.reset", "earliest") // from the oldest value that is kept,
        .set("enable.auto.commit", "false") // each time anew, because `latest` is only in memory
        .create()?;
    let topics = environment("TOPICS", "insight.metrics,insight.customers");
    consumer.subscribe(&topics.split(',').collect::<Vec<_>>())?;
    let (mut schemas, mut latest) = (BTreeMap::new(), BTreeMap::new());
    loop {
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message?;
        let (topic, key) = (message.topic().to_owned(), String::from_utf8(message.key().unwrap_or_default().to_vec())?);
        let value = message.payload().map(|value| decode(&mut schemas, value)).transpose()?;
        println!("{}", json!({ "topic": topic, "key": key, "value": value }));
        match value {
            Some(value) => latest.insert((topic, key), value),
            None => latest.remove(&(topic, key)), // a tombstone: nothing of it is left
        };
    }
}
