//! Topics: what is there, what is wanted, and the difference spelled out.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigEntry, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
    config::FromClientConfigAndContext,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    types::RDKafkaErrorCode as Code,
};

use super::{
    PATIENCE,
    clients::{Context, KafkaOptions},
    rights::Rights,
    wanted,
};
use crate::engine::{
    log::{LogError, TopicPartition},
    topics::{ErasedWithin, Ownership, TopicSpec, Topics},
};

const TRY: Duration = Duration::from_secs(10);
/// How long an answer is waited for before it is heard what the library has to say meanwhile.
const LISTEN_EVERY: Duration = Duration::from_secs(1);
/// How long whoever runs the hub hears nothing of brokers that do not answer: they may just be starting.
const TELL_AFTER: Duration = Duration::from_secs(5);
/// How much of it is heard at once: each connection that fails is told twice.
const NEWS_AT_ONCE: usize = 32;

/// How a topic differs from what the topology needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// It does not exist.
    Missing,
    /// This user may not see it, whether it exists or not.
    Hidden,
    /// It exists with another number of partitions: placement would change, so this is never mended silently.
    Partitions {
        /// How many it has.
        found: i32,
        /// How many are wanted.
        wanted: i32,
    },
    /// It exists and keeps something else.
    Setting {
        /// Which setting of the topic.
        name: &'static str,
        /// What it is.
        found: String,
        /// What is wanted.
        wanted: String,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Difference::Missing => write!(formatter, "does not exist"),
            Difference::Hidden => write!(formatter, "may not be seen by this user"),
            Difference::Partitions { found, wanted } => write!(formatter, "has {found} partitions instead of {wanted}"),
            Difference::Setting { name, found, wanted } => {
                write!(formatter, "has {name}={found} instead of {wanted}")
            }
        }
    }
}

/// One topic of the plan.
#[derive(Clone, Debug)]
pub struct TopicPlan {
    /// The topic as it should be.
    pub topic: TopicSpec,
    /// How many partitions it has; `None` where it does not exist.
    pub partitions: Option<i32>,
    /// What is different; `None`: it is as it should be.
    pub difference: Option<Difference>,
    /// Whether this user may look at its settings; where not, they may be others than the hub needs.
    pub settings_seen: bool,
}

/// Records that the brokers refuse to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undeleted {
    /// Where they are.
    pub of: TopicPartition,
    /// Why, and what to do about it.
    pub why: String,
}

/// What a look at a topic's settings shows.
enum Look {
    Fits,
    Differs(Difference),
    /// This user may not look.
    Refused,
}

/// Asks a cluster about topics, and makes them.
pub struct Admin {
    client: AdminClient<DefaultClientContext>,
    metadata: BaseConsumer<Context>,
    context: Context,
    runtime: tokio::runtime::Runtime,
    replication: i32,
    min_insync_replicas: u32,
}

/// Whether time mends it: brokers that are away, or have just come back.
fn passes(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        AllBrokersDown, BrokerNotAvailable, BrokerTransportFailure, LeaderNotAvailable, NetworkException,
        NotController, OperationTimedOut, RequestTimedOut,
    };
    matches!(
        code,
        AllBrokersDown
            | BrokerNotAvailable
            | BrokerTransportFailure
            | LeaderNotAvailable
            | NetworkException
            | NotController
            | OperationTimedOut
            | RequestTimedOut
    )
}

/// Asks again while time may mend the refusal.
fn persist<T>(mut ask: impl FnMut() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = ask();
        match answer {
            Err(KafkaError::AdminOp(code)) if passes(code) && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(200));
            }
            answer => return answer,
        }
    }
}

impl Admin {
    /// Connects. `replication` and `min_insync_replicas` are for topics that it creates; 0: the brokers' defaults.
    pub fn connect(options: &KafkaOptions, replication: i32, min_insync_replicas: u32) -> Result<Admin, LogError> {
        let refused = |error: KafkaError| LogError::Stop(format!("the Kafka client refuses its settings: {error}"));
        let context = Context::default();
        let config = options.admin();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| LogError::Stop(format!("a runtime for administration cannot start: {error}")))?;
        Ok(Admin {
            client: AdminClient::from_config_and_context(&config, DefaultClientContext).map_err(refused)?,
            metadata: config.create_with_context(context.clone()).map_err(refused)?,
            context,
            runtime,
            replication,
            min_insync_replicas,
        })
    }

    /// How many partitions each named topic has; `None` where it does not exist. Also what shows that the cluster
    /// answers at all.
    pub fn partitions(&self, names: &[Arc<str>], patience: Duration) -> Result<Vec<Option<i32>>, LogError> {
        let (deadline, tell_at) = (Instant::now() + patience, Instant::now() + TELL_AFTER);
        let mut told = patience <= TELL_AFTER;
        let metadata = loop {
            // In short waits, because only between them is heard what no waiting mends: a wrong password, for one.
            let answer = self.metadata.fetch_metadata(None, LISTEN_EVERY.min(patience));
            for _ in 0..NEWS_AT_ONCE {
                let _ = self.metadata.poll(Duration::ZERO);
            }
            if let Some(reason) = self.context.fatal.get() {
                return Err(LogError::Stop(reason));
            }
            match answer {
                Ok(metadata) => break metadata,
                Err(error) => {
                    let reason = self.context.failed_connection().unwrap_or_else(|| error.to_string());
                    let look_at = "check kafka.brokers and kafka.security_protocol";
                    if Instant::now() >= deadline {
                        return Err(LogError::Stop(format!("Kafka does not answer: {reason}; {look_at}")));
                    }
                    if !told && Instant::now() >= tell_at {
                        told = true;
                        let seconds = patience.as_secs();
                        tracing::warn!("Kafka does not answer yet, asked for {seconds} s: {reason}; {look_at}");
                    }
                    std::thread::sleep(Duration::from_millis(200));
                }
            }
        };
        let count = |name: &Arc<str>| {
            let topic = metadata.topics().iter().find(|topic| topic.name() == &**name)?;
            i32::try_from(topic.partitions().len()).ok().filter(|count| *count > 0)
        };
        Ok(names.iter().map(count).collect())
    }

    /// Compares every topic of a topology with the cluster.
    pub fn plan(&self, topics: &Topics, patience: Duration) -> Result<Vec<TopicPlan>, LogError> {
        let specs: Vec<TopicSpec> = topics.iter().map(|(_, spec)| spec.clone()).collect();
        let names: Vec<Arc<str>> = specs.iter().map(|spec| spec.name.clone()).collect();
        let found = self.partitions(&names, patience)?;
        let is_unseen =
            |topic: &TopicSpec, partitions: Option<i32>| topic.ownership == Ownership::Spoke && partitions.is_none();
        let unseen = specs.iter().zip(&found).filter(|(topic, partitions)| is_unseen(topic, **partitions));
        let hidden = self.hidden(unseen.map(|(topic, _)| Arc::clone(&topic.name)).collect())?;
        let mut plans = Vec::with_capacity(specs.len());
        for (topic, partitions) in specs.into_iter().zip(found) {
            let mut settings_seen = true;
            let difference = match partitions {
                None if hidden.contains(&topic.name) => Some(Difference::Hidden),
                None => Some(Difference::Missing),
                Some(_) if topic.ownership == Ownership::Spoke => None,
                Some(found) if found != topic.partitions => {
                    Some(Difference::Partitions { found, wanted: topic.partitions })
                }
                Some(_) => match self.settings_difference(&topic, topics.erased_within)? {
                    Look::Fits => None,
                    Look::Differs(difference) => Some(difference),
                    // Partitions are all that can be compared.
                    Look::Refused => {
                        settings_seen = false;
                        None
                    }
                },
            };
            plans.push(TopicPlan { topic, partitions, difference, settings_seen });
        }
        Ok(plans)
    }

    /// Of topics that are not among those that this user is shown, those that it may not see. Of its own, whoever runs the
    /// hub is told when they cannot be made.
    fn hidden(&self, unseen: Vec<Arc<str>>) -> Result<Vec<Arc<str>>, LogError> {
        if unseen.is_empty() {
            return Ok(unseen);
        }
        let rights = self.rights_on_topics(&unseen.iter().map(|name| &**name).collect::<Vec<&str>>());
        let mut hidden = Vec::new();
        for (name, rights) in unseen.into_iter().zip(rights) {
            match rights {
                Rights::Hidden => hidden.push(name),
                Rights::Unanswered(why) => {
                    return Err(LogError::Stop(format!("whether this user may see {name} cannot be asked: {why}")));
                }
                Rights::Known(_) | Rights::Absent | Rights::Unknown(_) => {}
            }
        }
        Ok(hidden)
    }

    fn settings_difference(&self, topic: &TopicSpec, within: ErasedWithin) -> Result<Look, LogError> {
        let described = persist(|| {
            let resources = [&ResourceSpecifier::Topic(&topic.name)];
            self.runtime.block_on(self.client.describe_configs(resources, &AdminOptions::new()))
        })
        .map_err(|error| LogError::Stop(format!("the settings of {} cannot be read: {error}", topic.name)))?;
        let wanted = wanted::settings(topic, within);
        for resource in described {
            match resource {
                // The Rust client drops what the brokers say of one resource: who is refused gets no setting, and every topic has some.
                Ok(resource) if resource.entries.is_empty() => return Ok(Look::Refused),
                Ok(resource) => {
                    for wanted in &wanted {
                        let found = resource.entries.iter().find(|entry: &&ConfigEntry| entry.name == wanted.name);
                        if let Some(found) = found.and_then(|entry| entry.value.clone())
                            && !wanted.is_met_by(&found)
                        {
                            let (name, wanted) = (wanted.name, wanted.to_string());
                            return Ok(Look::Differs(Difference::Setting { name, found, wanted }));
                        }
                    }
                }
                Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed) => return Ok(Look::Refused),
                Err(error) => {
                    return Err(LogError::Stop(format!("the settings of {} cannot be read: {error}", topic.name)));
                }
            }
        }
        Ok(Look::Fits)
    }

    /// Whether a topic is compacted; `None`: this client may not ask.
    pub fn is_compacted(&self, topic: &str) -> Result<Option<bool>, LogError> {
        let failed = |error: &dyn std::fmt::Display| {
            LogError::Stop(format!("whether {topic} is compacted cannot be asked: {error}"))
        };
        let described = persist(|| {
            let resources = [&ResourceSpecifier::Topic(topic)];
            self.runtime.block_on(self.client.describe_configs(resources, &AdminOptions::new()))
        })
        .map_err(|error| failed(&error))?;
        match described.into_iter().next() {
            Some(Ok(resource)) => {
                let policy = resource.entries.into_iter().find(|entry| entry.name == "cleanup.policy");
                Ok(policy.and_then(|entry| entry.value).map(|policy| policy.contains("compact")))
            }
            Some(Err(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) | None => Ok(None),
            Some(Err(error)) => Err(failed(&error)),
        }
    }

    /// Creates the topics that a plan found missing; spokes' topics are their departments' to create.
    pub fn apply(&self, plans: &[TopicPlan], within: ErasedWithin) -> Result<Vec<Arc<str>>, LogError> {
        let missing: Vec<&TopicSpec> = plans
            .iter()
            .filter(|plan| plan.difference == Some(Difference::Missing) && plan.topic.ownership != Ownership::Spoke)
            .map(|plan| &plan.topic)
            .collect();
        self.create(&missing, within)
    }

    /// Creates topics; one that exists already is left as it is. Returns the names of those that were created.
    pub fn create(&self, missing: &[&TopicSpec], within: ErasedWithin) -> Result<Vec<Arc<str>>, LogError> {
        if missing.is_empty() {
            // The client library refuses to be asked for nothing.
            return Ok(Vec::new());
        }
        let min_insync_replicas = (self.min_insync_replicas > 0).then(|| self.min_insync_replicas.to_string());
        // -1: the broker's own default.
        let replication = if self.replication > 0 { self.replication } else { -1 };
        let settings: Vec<Vec<wanted::Wanted>> =
            missing.iter().map(|topic| wanted::settings_of_new(topic, within)).collect();
        let new: Vec<NewTopic<'_>> = missing
            .iter()
            .zip(&settings)
            .map(|(topic, settings)| {
                let mut new = NewTopic::new(&topic.name, topic.partitions, TopicReplication::Fixed(replication));
                if let Some(replicas) = &min_insync_replicas {
                    new = new.set("min.insync.replicas", replicas);
                }
                for setting in settings {
                    new = new.set(setting.name, &setting.value);
                }
                new
            })
            .collect();
        let results = persist(|| {
            let options = AdminOptions::new().operation_timeout(Some(TRY));
            let results = self.runtime.block_on(self.client.create_topics(&new, &options))?;
            // All of them again: what was made by then is left as it is.
            match results.iter().find_map(|result| result.as_ref().err().filter(|(_, code)| passes(*code))) {
                Some((_, code)) => Err(KafkaError::AdminOp(*code)),
                None => Ok(results),
            }
        })
        .map_err(|error| LogError::Stop(format!("topics cannot be created: {error}")))?;
        let mut created = Vec::new();
        for result in results {
            match result {
                Ok(name) => created.push(Arc::from(name)),
                // Another instance was faster; what it made is verified like any other.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, error)) => {
                    return Err(LogError::Stop(format!(
                        "topic {name} cannot be created: {error}; if it is there, this user may not see it: grant Read, \
                         Write, Describe and DescribeConfigs on it; else create it by hand, or grant Create on the cluster"
                    )));
                }
            }
        }
        Ok(created)
    }

    /// The client that asks about topics and their brokers.
    pub(super) fn metadata(&self) -> &BaseConsumer<Context> {
        &self.metadata
    }

    /// The client itself, for questions that the Rust client does not put; live as long as this is.
    pub(super) fn native(&self) -> *mut rdkafka::bindings::rd_kafka_t {
        self.client.inner().native_ptr()
    }

    /// Who is in a consumer group, by client id.
    pub fn members(&self, group: &str) -> Result<Vec<String>, LogError> {
        let groups = self
            .metadata
            .fetch_group_list(Some(group), TRY)
            .map_err(|error| LogError::Stop(format!("the members of group {group:?} cannot be asked for: {error}")))?;
        let members = groups.groups().iter().filter(|it| it.name() == group).flat_map(|it| it.members());
        Ok(members.map(|member| member.client_id().to_owned()).collect())
    }

    /// Deletes the records of repartition topics below offsets that a commit has passed. Returns those that the brokers
    /// refuse: the answer as a whole is no error then, and each partition has its own.
    pub fn delete_records(&self, topics: &Topics, below: &[(TopicPartition, i64)]) -> Result<Vec<Undeleted>, LogError> {
        let mut list = rdkafka::TopicPartitionList::new();
        for (key, offset) in below {
            list.add_partition_offset(&topics.get(key.topic).name, key.partition, rdkafka::Offset::Offset(*offset))
                .map_err(|error| LogError::Stop(error.to_string()))?;
        }
        let answer = self
            .runtime
            .block_on(self.client.delete_records(&list, &AdminOptions::new().request_timeout(Some(TRY))))
            .map_err(|error| LogError::Rewind(format!("records that were processed cannot be deleted: {error}")))?;
        let refusal = |of: &TopicPartition| match answer.find_partition(&topics.get(of.topic).name, of.partition) {
            None => Some("the brokers say nothing of it".to_owned()),
            Some(partition) => partition.error().err().map(|error| refusal_to_delete(&error)),
        };
        Ok(below.iter().filter_map(|(of, _)| Some(Undeleted { of: *of, why: refusal(of)? })).collect())
    }
}

/// In words, with what to do.
fn refusal_to_delete(error: &KafkaError) -> String {
    match error.rdkafka_error_code() {
        Some(Code::TopicAuthorizationFailed) => "this user lacks a right: grant Delete on the topic".to_owned(),
        Some(code) => code.to_string(),
        None => error.to_string(),
    }
}
