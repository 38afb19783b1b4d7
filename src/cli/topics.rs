//! `insight-hub topics`: which topics the hub needs, which exist, and how they differ.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use serde_json::json;

use super::{
    exit::{Exit, Failure},
    hub,
    output::{Format, Listing, escaped},
};
use crate::{
    engine::{
        log::{
            LogError,
            kafka::{Admin, Difference, KafkaOptions, TopicPlan},
        },
        stage::Topology,
        topics::{Cleanup, Ownership},
    },
    feeds,
    model::PersonKey,
    settings::Settings,
    telemetry::{Event, Telemetry},
    topology::{self, TopologyOptions},
};

/// How long a cluster may take to answer the first question.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What to do about topics.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TopicsArguments {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What to do about topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum Action {
    /// Show what `apply` would create; change nothing
    Plan {
        /// How the result is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Create what is missing; never change or delete what exists
    Apply {
        /// How the result is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Write an AsyncAPI document of the feeds, as configured, for people and tools that subscribe
    Asyncapi,
    /// Compare; exit code 3 if a topic is missing or differs
    Verify {
        /// How the result is shown
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

/// One topic that the hub needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicLine {
    /// The topic's name.
    pub topic: String,
    /// `feed`, `repartition`, `changelog` or `spoke` (which the hub reads and never creates).
    pub role: &'static str,
    /// Partitions that it must have; `None`: any.
    pub partitions: Option<i32>,
    /// `cleanup.policy` that it must have; empty: any.
    pub cleanup: &'static str,
    /// How it is.
    pub state: TopicState,
}

/// How a topic is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    /// As it must be.
    Fits,
    /// Not there.
    Missing,
    /// A department's, and this user may not see whether it is there.
    Hidden,
    /// Was not there and has been created.
    Created,
    /// There with the right partitions; its settings are not shown to this user.
    Unseen,
    /// There, and different: each difference spelled out.
    Differs(Vec<String>),
}

impl TopicState {
    fn words(&self) -> (&'static str, String) {
        match self {
            TopicState::Fits => ("fits", String::new()),
            TopicState::Missing => ("missing", String::new()),
            TopicState::Hidden => ("hidden", "this user may not see it: grant Read and Describe on it".to_owned()),
            TopicState::Created => ("created", String::new()),
            TopicState::Unseen => ("unseen", "its settings may be others: grant DescribeConfigs on it".to_owned()),
            TopicState::Differs(differences) => ("differs", differences.join("; ")),
        }
    }
}

pub(super) fn execute(settings: &Settings, arguments: &TopicsArguments, output: &mut dyn Write) -> Result<(), Failure> {
    let (format, create) = match arguments.action {
        Action::Asyncapi => return describe(settings, output),
        Action::Plan { output } | Action::Verify { output } => (output, false),
        Action::Apply { output } => (output, true),
    };
    super::require_brokers(settings)?;
    let lines = survey(settings, create)?;
    report(&lines, format, output)?;
    output.flush()?;
    judge(&lines, arguments.action)
}

/// Writes the document of the feeds.
fn describe(settings: &Settings, output: &mut dyn Write) -> Result<(), Failure> {
    let document = feeds::asyncapi_document(&settings.topics.prefix, hub::feed_format(settings));
    serde_json::to_writer_pretty(&mut *output, &document).map_err(std::io::Error::from)?;
    writeln!(output)?;
    output.flush()?;
    Ok(())
}

/// Compares the topics that the hub needs with those that exist; with `create`, creates the missing ones first.
fn survey(settings: &Settings, create: bool) -> Result<Vec<TopicLine>, Failure> {
    // What topics there must be does not depend on the key of person ids.
    let options = hub::topology_options(settings, PersonKey([0; 32]), &Telemetry::new())?;
    let (topology, _) = topology::topology(&options);
    let kafka = hub::kafka_options(settings, "topics".to_owned())?;
    let admin = connect(settings, &kafka)?;
    let failed = |error: LogError| hub::log_failure(&error);
    let plans = admin.plan(&topology.topics, ANSWER_WITHIN).map_err(failed)?;
    let created = if create { admin.apply(&plans, topology.topics.erased_within).map_err(failed)? } else { Vec::new() };
    Ok(plans.iter().map(|plan| line(plan, &created)).collect())
}

/// Before a hub runs: creates what is missing of its own topics, and refuses what does not fit. Returns the topology that
/// knows how many partitions the spokes' topics have.
pub(super) fn prepare(
    settings: &Settings,
    kafka: &KafkaOptions,
    mut options: TopologyOptions,
) -> Result<Topology, Failure> {
    let (topology, _) = topology::topology(&options);
    let failed = |error: LogError| hub::log_failure(&error);
    let admin = connect(settings, kafka)?;
    let mut plans = admin.plan(&topology.topics, ANSWER_WITHIN).map_err(failed)?;
    let created = admin.apply(&plans, topology.topics.erased_within).map_err(failed)?;
    // Another instance that starts at the same time may have been faster: what it made shows a moment later.
    let deadline = Instant::now() + ANSWER_WITHIN;
    let is_awaited = |plan: &TopicPlan| {
        plan.difference == Some(Difference::Missing)
            && plan.topic.ownership != Ownership::Spoke
            && !created.contains(&plan.topic.name)
    };
    while plans.iter().any(is_awaited) && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
        plans = admin.plan(&topology.topics, ANSWER_WITHIN).map_err(failed)?;
    }
    for plan in plans.iter().filter(|plan| created.contains(&plan.topic.name)) {
        options.telemetry.emit(Event::TopicCreated { topic: &plan.topic.name, partitions: plan.topic.partitions });
    }
    tell_unseen(&plans, &options.telemetry);
    let lines: Vec<TopicLine> = plans.iter().map(|plan| line(plan, &created)).collect();
    judge(&lines, Action::Verify { output: Format::Table })?;
    let spokes = plans.iter().filter(|plan| plan.topic.ownership == Ownership::Spoke);
    options.spoke_partitions =
        spokes.filter_map(|plan| Some((plan.topic.name.to_string(), plan.partitions?))).collect();
    Ok(topology::topology(&options).0)
}

/// A topic whose settings may not be seen passes for one that has the right ones; whoever runs the hub hears of it.
fn tell_unseen(plans: &[TopicPlan], telemetry: &Telemetry) {
    let unseen: Vec<&str> = plans.iter().filter(|plan| !plan.settings_seen).map(|plan| &*plan.topic.name).collect();
    if !unseen.is_empty() {
        telemetry.emit(Event::SettingsUnseen { topics: &unseen.join(", ") });
    }
}

pub(super) fn connect(settings: &Settings, kafka: &KafkaOptions) -> Result<Admin, Failure> {
    let replicas = u32::from(settings.kafka.min_insync_replicas.unsigned_abs());
    Admin::connect(kafka, i32::from(settings.kafka.replication_factor), replicas)
        .map_err(|error| hub::log_failure(&error))
}

fn line(plan: &TopicPlan, created: &[Arc<str>]) -> TopicLine {
    let is_spoke = plan.topic.ownership == Ownership::Spoke;
    TopicLine {
        topic: plan.topic.name.to_string(),
        role: match plan.topic.ownership {
            Ownership::Spoke => "spoke",
            Ownership::Repartition => "repartition",
            Ownership::Changelog => "changelog",
            Ownership::Feed => "feed",
        },
        partitions: (!is_spoke).then_some(plan.topic.partitions),
        cleanup: match plan.topic.cleanup {
            _ if is_spoke => "",
            Cleanup::Compact => "compact",
            Cleanup::Delete { .. } => "delete",
        },
        state: match &plan.difference {
            None if !plan.settings_seen => TopicState::Unseen,
            None => TopicState::Fits,
            Some(Difference::Missing) if created.contains(&plan.topic.name) => TopicState::Created,
            Some(Difference::Missing) => TopicState::Missing,
            Some(Difference::Hidden) => TopicState::Hidden,
            Some(difference) => TopicState::Differs(vec![difference.to_string()]),
        },
    }
}

fn report(lines: &[TopicLine], format: Format, output: &mut dyn Write) -> std::io::Result<()> {
    let header = ["topic", "role", "partitions", "cleanup", "state", "differences"];
    let mut listing = Listing::new(format, "topics", &header, output);
    for line in lines {
        let (state, words) = line.state.words();
        let cells = || {
            let partitions = line.partitions.map_or_else(|| "any".into(), |count| count.to_string());
            let topic = escaped(&line.topic);
            vec![vec![topic, line.role.into(), partitions, line.cleanup.into(), state.into(), escaped(&words)]]
        };
        let differences: &[String] = match &line.state {
            TopicState::Differs(differences) => differences,
            _ => &[],
        };
        let value = || {
            json!({
                "topic": line.topic,
                "role": line.role,
                "partitions": line.partitions,
                "cleanup_policy": line.cleanup,
                "state": state,
                "differences": differences,
            })
        };
        listing.push_rows(cells, value)?;
    }
    listing.end(&[])?;
    Ok(())
}

/// `plan` only shows. `apply` fails when something stays wrong, `verify` when anything is. A right that is missing is no
/// matter of topics: once it is granted, a supervisor's next start of the hub succeeds.
fn judge(lines: &[TopicLine], action: Action) -> Result<(), Failure> {
    if matches!(action, Action::Plan { .. }) {
        return Ok(());
    }
    let names = |is: &dyn Fn(&TopicLine) -> bool| -> Vec<&str> {
        lines.iter().filter(|line| is(line)).map(|line| line.topic.as_str()).collect()
    };
    let hidden = names(&|line| line.state == TopicState::Hidden);
    let wrong = names(&|line| matches!(line.state, TopicState::Missing | TopicState::Differs(_)));
    let grant = || {
        format!("grant this user Read and Describe on {}; if there is none, its department makes it", hidden.join(", "))
    };
    if wrong.is_empty() {
        if hidden.is_empty() {
            return Ok(());
        }
        let happened =
            format!("this user may not see {} of {} topics: {}", hidden.len(), lines.len(), hidden.join(", "));
        return Err(Failure::new(Exit::Failure, happened, grant()));
    }
    let mut next = "`insight-hub topics apply` creates missing ones of the hub's own, a department makes its own; change the \
                    others yourself, or the configuration: partitions of internal topics decide where state lies; a setting is \
                    changed by `kafka-configs.sh --alter --entity-type topics --entity-name TOPIC --add-config NAME=VALUE`, and \
                    `insight-hub topics plan` says which"
        .to_owned();
    if !hidden.is_empty() {
        next = format!("{next}; {}", grant());
    }
    Err(Failure::new(
        Exit::TopicsDiffer,
        format!("{} of {} topics are not as the hub needs them: {}", wrong.len(), lines.len(), wrong.join(", ")),
        next,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(topic: &str, state: TopicState) -> TopicLine {
        TopicLine { topic: topic.into(), role: "feed", partitions: Some(8), cleanup: "compact", state }
    }

    #[test]
    fn only_verify_and_apply_fail_on_differences() {
        let lines = [
            line("insight.customers", TopicState::Fits),
            line("insight.metrics", TopicState::Differs(vec!["4 partitions, not 8".into()])),
        ];
        let output = Format::Table;
        assert_eq!(judge(&lines, Action::Plan { output }), Ok(()));
        for action in [Action::Apply { output }, Action::Verify { output }] {
            let failure = judge(&lines, action).expect_err("a difference");
            assert_eq!(failure.exit, Exit::TopicsDiffer);
            assert!(failure.happened.ends_with("insight.metrics"), "{failure}");
        }
        assert_eq!(judge(&[line("a", TopicState::Created)], Action::Apply { output }), Ok(()));
    }

    /// For scripts: what a grant mends is no difference of topics.
    #[test]
    fn a_topic_that_may_not_be_seen_is_a_missing_right_and_no_missing_topic() {
        let action = Action::Verify { output: Format::Table };
        let hidden = || line("sales.events", TopicState::Hidden);
        let failure = judge(&[hidden(), line("insight.metrics", TopicState::Fits)], action).expect_err("a right");
        assert_eq!(failure.exit, Exit::Failure);
        assert!(failure.happened.contains("may not see 1 of 2 topics: sales.events"), "{failure}");
        assert!(failure.next.starts_with("grant this user Read and Describe on sales.events"), "{failure}");
        // What no grant mends comes first.
        let failure = judge(&[hidden(), line("insight.metrics", TopicState::Missing)], action).expect_err("both");
        assert_eq!(failure.exit, Exit::TopicsDiffer);
        assert!(
            failure.happened.ends_with(": insight.metrics") && failure.next.contains("on sales.events"),
            "{failure}"
        );
        assert_eq!(judge(&[hidden()], Action::Plan { output: Format::Table }), Ok(()));
    }

    #[test]
    fn differences_are_spelled_out() {
        let lines = [line("insight.metrics", TopicState::Differs(vec!["4 partitions, not 8".into()]))];
        let mut text = Vec::new();
        report(&lines, Format::Table, &mut text).expect("memory");
        assert!(String::from_utf8_lossy(&text).contains("4 partitions, not 8"));
        let mut text = Vec::new();
        report(&lines, Format::Json, &mut text).expect("memory");
        let value: serde_json::Value = serde_json::from_slice(&text).expect("one JSON document");
        assert_eq!(value["topics"][0]["differences"][0], "4 partitions, not 8");
    }
}
