//! The configuration in; whether what a hub needs around it is there, and what to do about what is not, out.
//!
//! With brokers: do they answer, are the topics there and as they must be, may this user do what the hub does. Without: is the
//! data directory usable. Does the schema registry answer, and the company's login (`credentials`). Nothing is changed, no group joined, no name taken.

use std::{collections::BTreeSet, io, os::unix::fs::MetadataExt as _, path::Path, sync::Arc, time::Duration};

use super::{credentials, findings::Finding};
use crate::{
    cli::{
        exit::{Exit, Failure},
        hub, place, schemas, topics,
    },
    engine::{
        log::{
            access::socket::Remote,
            kafka::{Admin, Right, Rights, TopicPlan},
        },
        topics::Ownership,
    },
    feeds::Feed,
    ingest::Spoke,
    model::PersonKey,
    settings::{FeedFormat, Settings},
    telemetry::Telemetry,
    topology,
};

/// How long one question has for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Addresses of `kafka.brokers` that are tried one by one.
const ADDRESSES_MAX: usize = 8;
/// What is said of what nobody can tell.
const NOT_SEEN: &str = "not to be seen without trying";

/// Looks at everything that the configuration names.
pub(super) fn look(settings: &Settings) -> Result<Vec<Finding>, Failure> {
    let mut findings = Vec::new();
    if place::is_embedded(settings) {
        look_at_directory(settings, &mut findings);
    } else {
        look_at_kafka(settings, &mut findings)?;
    }
    look_at_registry(settings, &mut findings);
    credentials::look(settings, &mut findings);
    Ok(findings)
}

fn look_at_kafka(settings: &Settings, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    let options = hub::topology_options(settings, PersonKey([0; 32]), &Telemetry::new())?;
    let (topology, _) = topology::topology(&options);
    if !look_at_brokers(settings, findings)? {
        let next = "mend the connection first";
        findings.push(Finding::unseen("topics", "all", "no broker answers", next));
        findings.push(Finding::unseen("rights", "all", "no broker answers", next));
        return Ok(());
    }
    let kafka = hub::kafka_options(settings, "check".to_owned())?;
    let admin = topics::connect(settings, &kafka)?;
    let names: Vec<Arc<str>> = topology.topics.iter().map(|(_, topic)| Arc::clone(&topic.name)).collect();
    // Before anything that waits for them for long.
    if !look_at_leaders(&admin, &names, findings) {
        let (seen, next) = ("a broker of the cluster does not answer", "mend the connection to it first");
        findings.push(Finding::unseen("topics", "all", seen, next));
        findings.push(Finding::unseen("rights", "all", seen, next));
        return Ok(());
    }
    let rights = admin.rights_on_topics(&names.iter().map(|name| &**name).collect::<Vec<_>>());
    let next = "see to the brokers, then look again";
    if let Some(Rights::Unanswered(why)) = rights.first() {
        findings.push(Finding::missing("topics", "all", why.clone(), next));
        return Ok(());
    }
    match admin.plan(&topology.topics, ANSWER_WITHIN) {
        Ok(plans) => {
            let spokes = options.spokes.now();
            let senders = senders(settings, findings);
            plans.iter().zip(&rights).for_each(|(plan, rights)| {
                let spoke = spokes.of_topic(&plan.topic.name).map(Spoke::name);
                let needed = needed(plan.topic.ownership, spoke.is_some_and(|spoke| senders.contains(spoke)));
                look_at_topic(plan, rights, needed, findings);
            });
        }
        Err(error) => {
            findings.push(Finding::missing("topics", "all", error.to_string(), next));
            return Ok(());
        }
    }
    let application = &settings.hub.application_id;
    look_at_group(application, &admin.rights_on_group(application), findings);
    findings.push(Finding::unseen(
        "rights",
        format!("transactional ids that begin with {application}"),
        format!("{NOT_SEEN}: who takes such an id fences the hub that has it"),
        "grant Write and Describe on them; the start of the hub says it if they are missing",
    ));
    Ok(())
}

/// The departments that send over HTTP; what keeps that from being known is said.
fn senders(settings: &Settings, findings: &mut Vec<Finding>) -> BTreeSet<String> {
    credentials::senders(settings, hub::now_ms()).unwrap_or_else(|error| {
        let next = "look as the user of the hub; the topics of departments that send over HTTP need Write as well";
        findings.push(Finding::unseen("rights", "of departments that send over HTTP", error.to_string(), next));
        BTreeSet::new()
    })
}

/// Whether the schema registry answers, and takes the schemas of the feeds where they are to be there. Nothing is registered.
fn look_at_registry(settings: &Settings, findings: &mut Vec<Finding>) {
    let Some(url) = &settings.registry.url else { return };
    let client = match schemas::client(settings) {
        Ok(Some(client)) => client,
        Ok(None) => return,
        Err(problem) => {
            findings.push(Finding::missing("registry", url, problem, "correct the section [registry]"));
            return;
        }
    };
    if let Err(error) = client.probe() {
        let next = "records in Avro would wait for it; mend what it says, or correct the section [registry]";
        findings.push(Finding::missing("registry", url, error.to_string(), next));
        return;
    }
    findings.push(Finding::right("registry", url, "answers"));
    if settings.topics.feed_format != FeedFormat::AvroRegistry {
        return;
    }
    for feed in Feed::ALL.into_iter().filter(|feed| feed.description().encoded) {
        let subject = schemas::subject(settings, feed);
        findings.push(match client.is_compatible(&subject, feed.description().schema) {
            Ok(true) => Finding::right("schema", subject, "goes together with what is registered"),
            Ok(false) => Finding::missing(
                "schema",
                subject,
                "what is registered there is not compatible with the feed's schema",
                "remove the subject, loosen its compatibility, or set another topics.prefix",
            ),
            Err(error) => Finding::missing("schema", subject, error.to_string(), "mend what the registry says"),
        });
    }
}

/// Each address alone, so that one that is wrong is seen though others answer. Whether any answers.
fn look_at_brokers(settings: &Settings, findings: &mut Vec<Finding>) -> Result<bool, Failure> {
    let brokers = settings.kafka.brokers.as_deref().unwrap_or_default();
    let addresses: Vec<&str> = brokers.split(',').map(str::trim).filter(|address| !address.is_empty()).collect();
    let mut answers = 0;
    for address in addresses.iter().take(ADDRESSES_MAX) {
        let mut alone = settings.clone();
        alone.kafka.brokers = Some((*address).to_owned());
        let kafka = hub::kafka_options(&alone, "check".to_owned())?;
        let answered = topics::connect(&alone, &kafka)
            .and_then(|admin| admin.partitions(&[], ANSWER_WITHIN).map_err(|error| hub::log_failure(&error)));
        let protocol = settings.kafka.security_protocol.as_str();
        findings.push(match answered {
            Ok(_) => {
                answers += 1;
                Finding::right("broker", *address, format!("answers, by {protocol}"))
            }
            Err(failure) => {
                // It answered once, and named another place to ask at.
                let is_elsewhere = failure.happened.contains("Connect to") && !failure.happened.contains(*address);
                let next = match is_elsewhere {
                    true => {
                        "make the address that the broker names reachable from here, or correct advertised.listeners"
                            .to_owned()
                    }
                    false => failure.next,
                };
                Finding { exit: failure.exit, ..Finding::missing("broker", *address, failure.happened, next) }
            }
        });
    }
    if addresses.len() > ADDRESSES_MAX {
        let more = format!("{} more", addresses.len() - ADDRESSES_MAX);
        findings.push(Finding::unseen("broker", more, "so many are not tried one by one", ""));
    }
    // One of several that is away stops nobody.
    if answers > 0 {
        findings
            .iter_mut()
            .filter(|it| it.of == "broker" && it.exit == Exit::Unreachable)
            .for_each(|it| it.exit = Exit::Failure);
    }
    Ok(answers > 0)
}

/// What the hub does with a topic, in the words of README's table. `is_sent`: what comes over HTTP is written there.
fn needed(ownership: Ownership, is_sent: bool) -> &'static [Right] {
    match ownership {
        Ownership::Spoke if is_sent => &[Right::Read, Right::Write, Right::Describe],
        Ownership::Spoke => &[Right::Read, Right::Describe],
        Ownership::Feed => &[Right::Read, Right::Write, Right::Describe, Right::DescribeConfigs],
        Ownership::Repartition | Ownership::Changelog => {
            &[Right::Read, Right::Write, Right::Describe, Right::DescribeConfigs, Right::Delete]
        }
    }
}

fn words(rights: &[Right]) -> String {
    rights.iter().map(|right| right.as_str()).collect::<Vec<_>>().join(", ")
}

fn look_at_topic(plan: &TopicPlan, rights: &Rights, needed: &[Right], findings: &mut Vec<Finding>) {
    let name = &*plan.topic.name;
    let is_spoke = plan.topic.ownership == Ownership::Spoke;
    let grant = |rights: &[Right]| format!("grant this user {} on it", words(rights));
    let differ = |seen: String, next: String| Finding {
        exit: Exit::TopicsDiffer,
        ..Finding::missing("topic", name, seen, next)
    };
    // What may not be seen looks as if it were not there.
    if *rights == Rights::Hidden {
        let next = format!("{}; if there is none, it must be made: by {}", grant(needed), maker(is_spoke));
        findings.push(Finding::missing("rights", name, "this user may not even see it", next));
        return;
    }
    let count = plan.partitions.unwrap_or(0);
    let found = if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") };
    findings.push(match (&plan.difference, *rights == Rights::Absent || plan.partitions.is_none()) {
        (_, true) => differ("does not exist".to_owned(), format!("it must be made: by {}", maker(is_spoke))),
        (Some(difference), false) => differ(
            difference.to_string(),
            "change it, or the configuration; partitions of the hub's own topics decide where state lies".to_owned(),
        ),
        (None, false) => Finding::right("topic", name, found),
    });
    findings.push(match rights {
        Rights::Known(known) => {
            let missing: Vec<Right> = needed.iter().copied().filter(|right| !known.contains(right)).collect();
            match missing.as_slice() {
                [] => Finding::right("rights", name, words(needed)),
                missing => Finding::missing("rights", name, format!("without {}", words(missing)), grant(missing)),
            }
        }
        // What to do about that is said of the topic.
        Rights::Absent | Rights::Hidden => Finding::unseen("rights", name, "what does not exist has none", ""),
        Rights::Unknown(why) | Rights::Unanswered(why) => Finding::unseen("rights", name, why.clone(), grant(needed)),
    });
}

fn maker(is_spoke: bool) -> &'static str {
    match is_spoke {
        true => "its department",
        false => "`insight-hub topics apply`, or the hub's start, of a user who may create topics",
    }
}

/// Brokers that the cluster names are reached by the addresses that they advertise, which may be wrong from here. Whether all
/// answer that lead a topic which this user may see.
fn look_at_leaders(admin: &Admin, names: &[Arc<str>], findings: &mut Vec<Finding>) -> bool {
    let mut all_answer = true;
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for leader in admin.leaders(names, ANSWER_WITHIN) {
        if !seen.insert(leader.address.clone()) {
            continue;
        }
        let name = format!("{} ({})", leader.broker, leader.address);
        let answer = admin.reaches(&leader, ANSWER_WITHIN);
        all_answer &= answer.is_ok();
        findings.push(match answer {
            Ok(()) => Finding::right("broker", name, "answers at the address that it advertises"),
            Err(error) => Finding::missing(
                "broker",
                name,
                format!("does not answer at the address that it advertises: {error}"),
                "make this address reachable from here, or correct advertised.listeners of that broker",
            ),
        });
    }
    all_answer
}

fn look_at_group(name: &str, rights: &Rights, findings: &mut Vec<Finding>) {
    let needed = [Right::Read, Right::Describe];
    let named = format!("the group {name}");
    let grant = |rights: &[Right]| format!("grant this user {} on it", words(rights));
    findings.push(match rights {
        Rights::Known(known) => {
            let missing: Vec<Right> = needed.into_iter().filter(|right| !known.contains(right)).collect();
            match missing.as_slice() {
                [] => Finding::right("rights", named, words(&needed)),
                missing => Finding::missing("rights", named, format!("without {}", words(missing)), grant(missing)),
            }
        }
        Rights::Hidden => Finding::missing("rights", named, "this user may not even see it", grant(&needed)),
        Rights::Absent => Finding::unseen(
            "rights",
            named,
            "it does not exist before the hub's first start, and what does not exist has none",
            grant(&needed),
        ),
        Rights::Unknown(why) | Rights::Unanswered(why) => Finding::unseen("rights", named, why.clone(), grant(&needed)),
    });
}

/// The data directory of a hub without Kafka.
fn look_at_directory(settings: &Settings, findings: &mut Vec<Finding>) {
    let directory = settings.hub.data_directory.as_path();
    let name = directory.display().to_string();
    let is_writable = |path: &Path| {
        use rustix::fs::Access;
        rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_ok()
    };
    let nearest = directory.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    let nearest = if nearest.as_os_str().is_empty() { Path::new(".") } else { nearest };
    if directory.exists() && !directory.is_dir() {
        let next = "move it away, or set hub.data_directory";
        return findings.push(Finding::missing("directory", name, "it is no directory", next));
    }
    let is_there = directory.is_dir();
    findings.push(match (is_there, is_writable(nearest)) {
        (true, true) => Finding::right("directory", &name, "this user may write to it"),
        (false, true) => Finding::right("directory", &name, "does not exist yet; the hub makes it"),
        (_, false) => Finding::missing(
            "directory",
            &name,
            format!("this user may not write to {}", nearest.display()),
            "make it writable for this user, or set hub.data_directory",
        ),
    });
    if is_there {
        findings.push(match Remote::connect_within(directory, ANSWER_WITHIN) {
            Ok(Some(_)) => Finding::right("hub", &name, "one runs there and answers; commands work beside it"),
            Ok(None) => look_at_lock(settings, &name),
            Err(error) => {
                let next = "see whether it is another user's hub, or one of another version";
                Finding::missing("hub", &name, error.to_string(), next)
            }
        });
    }
    let reserved = settings.embedded.reserved_bytes;
    match rustix::fs::statvfs(nearest).map(|found| found.f_bavail.saturating_mul(found.f_frsize)) {
        Ok(room) if room >= reserved => {
            findings.push(Finding::right(
                "room",
                &name,
                format!("{} MiB, and {} MiB stay free", room >> 20, reserved >> 20),
            ));
        }
        Ok(room) => findings.push(Finding::missing(
            "room",
            &name,
            format!("{} MiB, and below {} MiB nothing is taken in", room >> 20, reserved >> 20),
            "make room, or set embedded.reserved_bytes or hub.data_directory",
        )),
        Err(error) => findings.push(Finding::unseen("room", &name, error.to_string(), "")),
    }
}

/// Whether somebody has the log, though no hub answers.
fn look_at_lock(settings: &Settings, name: &str) -> Finding {
    match is_locked(&place::log_directory(settings).join("LOCK")) {
        Ok(false) => Finding::right("hub", name, "none runs there, and nothing has its log"),
        Ok(true) => Finding::missing(
            "hub",
            name,
            "another process has the log and answers nobody",
            "wait until a command that is at work ends, or see which process it is: a hub that starts or stops, or a command",
        ),
        Err(error) => Finding::unseen("hub", name, error.to_string(), ""),
    }
}

/// Whether a process has a lock on a file. Taking it would tell as well, but for that moment keep a hub from starting.
fn is_locked(file: &Path) -> io::Result<bool> {
    let inode = match std::fs::metadata(file) {
        Ok(found) => found.ino(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    // A line is `1: FLOCK  ADVISORY  WRITE 1234 08:01:56789 0 EOF`, the sixth word ending with the file's number.
    let locks = std::fs::read_to_string("/proc/locks")?;
    Ok(locks.lines().any(|line| {
        let file = line.split_whitespace().nth(5).and_then(|word| word.rsplit(':').next()?.parse::<u64>().ok());
        file == Some(inode)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        check::findings::{State, judge, report},
        output::Format,
    };

    #[test]
    fn a_data_directory_is_looked_at_and_not_made() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::default();
        settings.hub.data_directory = directory.path().join("deep/data");
        let seen = |settings: &Settings| {
            let findings = look(settings).expect("it looks");
            (findings.iter().map(|it| (it.of, it.state)).collect::<Vec<_>>(), judge(&findings))
        };
        let (found, judged) = seen(&settings);
        assert_eq!((found, judged), (vec![("directory", State::Right), ("room", State::Right)], Ok(())));
        assert!(!directory.path().join("deep").exists());

        std::fs::create_dir_all(&settings.hub.data_directory).expect("a writable directory");
        let (found, judged) = seen(&settings);
        assert_eq!(found[1], ("hub", State::Right));
        assert_eq!(judged, Ok(()));
        assert_eq!(std::fs::read_dir(&settings.hub.data_directory).expect("it is there").count(), 0);

        settings.embedded.reserved_bytes = u64::MAX;
        let (found, judged) = seen(&settings);
        assert_eq!(found[2], ("room", State::Missing));
        assert_eq!(judged.expect_err("no room").exit, Exit::Failure);

        std::fs::write(directory.path().join("file"), "").expect("a writable directory");
        settings.hub.data_directory = directory.path().join("file");
        assert_eq!(seen(&settings).0, [("directory", State::Missing)]);
    }

    #[test]
    fn a_log_that_somebody_has_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut settings = Settings::default();
        settings.hub.data_directory = directory.path().to_owned();
        let open = place::Place::of(&settings).expect("an empty log");
        let findings = look(&settings).expect("it looks");
        assert!(judge(&findings).is_err_and(|failure| failure.happened.contains("hub")), "{findings:?}");
        drop(open);
        assert_eq!(judge(&look(&settings).expect("it looks")), Ok(()));
    }

    #[test]
    fn brokers_that_do_not_answer_are_told_in_seconds() {
        let mut settings = Settings::default();
        settings.spokes.directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/spokes");
        // Nothing listens on port 1.
        settings.kafka.brokers = Some("127.0.0.1:1, 127.0.0.2:1".to_owned());
        let began = std::time::Instant::now();
        let findings = look(&settings).expect("it looks");
        let states: Vec<_> = findings.iter().map(|it| (it.of, it.state)).collect();
        assert_eq!(
            states,
            [
                ("broker", State::Missing),
                ("broker", State::Missing),
                ("topics", State::Unseen),
                ("rights", State::Unseen)
            ]
        );
        assert_eq!(judge(&findings).expect_err("nobody answers").exit, Exit::Unreachable);
        assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        let mut text = Vec::new();
        report(&findings, Format::Table, &mut text).expect("memory");
        let text = String::from_utf8(text).expect("text");
        assert!(text.contains("next: ") && text.contains("127.0.0.2:1") && text.contains("kafka.brokers"), "{text}");
    }
}
