//! Things that were looked at in; a table of them, what to do about each and how the command ends, out.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::cli::{
    exit::{Exit, Failure},
    output::{Format, Listing, escaped, write_json},
};

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As the hub needs it.
    Right,
    /// Not so: the hub will not work, or not all of it.
    Missing,
    /// Nobody can tell without changing something, or before another thing is mended.
    Unseen,
    /// Not there; the hub works without it.
    Without,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            State::Right => "right",
            State::Missing => "missing",
            State::Unseen => "not seen",
            State::Without => "without",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// `broker`, `topic`, `rights`, `directory`, `registry`, `schema`, `login`, `roles`.
    pub(super) of: &'static str,
    /// Which one.
    pub(super) name: String,
    pub(super) state: State,
    /// What was seen.
    pub(super) seen: String,
    /// What to do; empty if nothing is to be done.
    pub(super) next: String,
    /// The exit code if it is missing.
    pub(super) exit: Exit,
}

impl Finding {
    pub(super) fn right(of: &'static str, name: impl Into<String>, seen: impl Into<String>) -> Finding {
        Finding { of, name: name.into(), state: State::Right, seen: seen.into(), next: String::new(), exit: Exit::Ok }
    }

    pub(super) fn missing(
        of: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        next: impl Into<String>,
    ) -> Finding {
        Finding { next: next.into(), state: State::Missing, exit: Exit::Failure, ..Finding::right(of, name, seen) }
    }

    pub(super) fn unseen(
        of: &'static str,
        name: impl Into<String>,
        seen: impl Into<String>,
        next: impl Into<String>,
    ) -> Finding {
        Finding { next: next.into(), state: State::Unseen, ..Finding::right(of, name, seen) }
    }

    pub(super) fn without(of: &'static str, name: String, seen: &str, next: &str) -> Finding {
        Finding { next: next.to_owned(), state: State::Without, ..Finding::right(of, name, seen) }
    }

    /// Everything of it.
    pub(super) fn as_json(&self) -> Value {
        json!({"of": self.of, "name": self.name, "state": self.state.as_str(), "seen": self.seen, "next": self.next})
    }
}

/// A failure if something is missing, with the code of the first thing.
pub(super) fn judge(findings: &[Finding]) -> Result<(), Failure> {
    let missing: Vec<&Finding> = findings.iter().filter(|finding| finding.state == State::Missing).collect();
    let Some(first) = missing.first() else { return Ok(()) };
    // Topics alone have a code of their own.
    let exit = match missing.iter().all(|finding| finding.exit == first.exit) {
        true => first.exit,
        false if first.exit == Exit::Unreachable => first.exit,
        false => Exit::Failure,
    };
    let names: Vec<String> = missing.iter().map(|finding| format!("{} {}", finding.of, finding.name)).collect();
    Err(Failure::new(
        exit,
        format!("{} of {} things that the hub needs are missing: {}", missing.len(), findings.len(), names.join(", ")),
        "see above what to do about each",
    ))
}

/// Shows what was seen; one document has it already.
pub(super) fn report(findings: &[Finding], format: Format, output: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => return Ok(()),
        Format::Jsonl => {
            return findings.iter().try_for_each(|it| write_json(output, &json!({"connection": it.as_json()})));
        }
        Format::Table if findings.is_empty() => return Ok(()),
        Format::Table => writeln!(output)?,
    }
    let mut listing = Listing::new(format, "connections", &["of", "name", "state", "seen"], output);
    for finding in findings {
        let row = || {
            let cells = [finding.of, &escaped(&finding.name), finding.state.as_str(), &escaped(&finding.seen)];
            vec![cells.map(str::to_owned).to_vec()]
        };
        listing.push_rows(row, || finding.as_json())?;
    }
    let output = listing.end(&[])?;
    // What is to be done about several is said once.
    let mut groups: Vec<(&Finding, Vec<&str>)> = Vec::new();
    for finding in findings.iter().filter(|finding| !finding.next.is_empty()) {
        let is_alike =
            |other: &Finding| (other.of, &other.seen, &other.next) == (finding.of, &finding.seen, &finding.next);
        match groups.iter_mut().find(|(first, _)| is_alike(first)) {
            Some((_, names)) => names.push(&finding.name),
            None => groups.push((finding, vec![&finding.name])),
        }
    }
    for (first, names) in groups {
        let (of, names) = (first.of, escaped(&names.join(", ")));
        writeln!(output, "\n{of} {names}: {}\n  next: {}", escaped(&first.seen), escaped(&first.next))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(state: State, exit: Exit) -> Finding {
        Finding { of: "topic", name: "a".into(), state, seen: String::new(), next: String::new(), exit }
    }

    #[test]
    fn the_exit_code_is_that_of_what_is_missing() {
        let code = |findings: &[Finding]| judge(findings).map_err(|failure| failure.exit);
        let (missing, right) = (State::Missing, finding(State::Right, Exit::Ok));
        assert_eq!(code(&[right.clone(), finding(State::Unseen, Exit::Ok)]), Ok(()));
        assert_eq!(code(&[right.clone(), finding(missing, Exit::TopicsDiffer)]), Err(Exit::TopicsDiffer));
        assert_eq!(
            code(&[finding(missing, Exit::TopicsDiffer), finding(missing, Exit::Failure), right]),
            Err(Exit::Failure)
        );
        assert_eq!(code(&[finding(missing, Exit::Unreachable)]), Err(Exit::Unreachable));
    }
}
