//! What journeys lead to: a list of words from configuration in, goals out.

use super::kind::{Kind, vocabulary};

vocabulary! {
    /// The goals that need no more than their name.
    KnownGoal {
        FirstPurchase => "first_purchase",
        Repurchase => "repurchase",
        Resolution => "resolution",
        Renewal => "renewal",
        Referral => "referral",
    }
}

vocabulary! {
    /// How a journey ended.
    PathOutcome {
        Converted => "converted",
        Lost => "lost",
    }
}

/// When a goal is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reached {
    /// As the name says.
    Known(KnownGoal),
    /// At each touchpoint of a kind.
    By(Kind),
}

/// What a journey leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Goal {
    /// Its name in feeds: lower-case letters, digits and underscores.
    pub name: String,
    /// When it is reached.
    pub reached: Reached,
}

/// The most goals of a hub: each touchpoint is a step towards several.
pub const GOALS_MAX: usize = 16;

/// The longest name of a goal.
const NAME_LENGTH_MAX: usize = 32;

/// Why a list of goals is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GoalError {
    /// A word that is no goal.
    #[error(
        "`{0}` is no goal: name first_purchase, repurchase, resolution, renewal or referral, or write name=kind, as in demo=meeting_held"
    )]
    Unknown(String),
    /// A kind that does not exist.
    #[error("the goal `{goal}` names `{kind}`, which is no kind of touchpoint")]
    UnknownKind {
        /// The goal's name.
        goal: String,
        /// What follows its name.
        kind: String,
    },
    /// A name that cannot be one.
    #[error("`{0}` cannot name a goal: use up to 32 lower-case letters, digits and underscores")]
    BadName(String),
    /// A goal named twice.
    #[error("the goal `{0}` is named twice")]
    Twice(String),
    /// Too many.
    #[error("there are more than {GOALS_MAX} goals")]
    TooMany,
}

impl KnownGoal {
    /// Those that each purchase reaches exactly one of: the first purchase of a customer, and each further one.
    pub const PURCHASES: [KnownGoal; 2] = [KnownGoal::FirstPurchase, KnownGoal::Repurchase];
}

impl Goal {
    /// Every known goal.
    pub fn known() -> Vec<Goal> {
        KnownGoal::ALL
            .iter()
            .map(|&goal| Goal { name: goal.as_str().to_owned(), reached: Reached::Known(goal) })
            .collect()
    }

    /// The goals of a list: known ones, and `name=kind`, separated by commas. None for an empty list.
    pub fn parse_list(list: &str) -> Result<Vec<Goal>, GoalError> {
        let mut goals: Vec<Goal> = Vec::new();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, reached) = match word.split_once('=') {
                Some((name, kind)) => {
                    let (name, kind) = (name.trim(), kind.trim());
                    let known = Kind::parse(kind)
                        .ok_or_else(|| GoalError::UnknownKind { goal: name.to_owned(), kind: kind.to_owned() })?;
                    if KnownGoal::parse(name).is_some() || !is_name(name) {
                        return Err(GoalError::BadName(name.to_owned()));
                    }
                    (name, Reached::By(known))
                }
                None => {
                    let known = KnownGoal::parse(word).ok_or_else(|| GoalError::Unknown(word.to_owned()))?;
                    (word, Reached::Known(known))
                }
            };
            if goals.iter().any(|goal| goal.name == name) {
                return Err(GoalError::Twice(name.to_owned()));
            }
            if goals.len() == GOALS_MAX {
                return Err(GoalError::TooMany);
            }
            goals.push(Goal { name: name.to_owned(), reached });
        }
        Ok(goals)
    }
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_LENGTH_MAX
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_known_or_kinds() {
        let goals = Goal::parse_list(" first_purchase, demo=meeting_held ").expect("two goals");
        assert_eq!(goals.len(), 2);
        assert_eq!(goals[0].reached, Reached::Known(KnownGoal::FirstPurchase));
        assert_eq!(goals[1], Goal { name: "demo".into(), reached: Reached::By(Kind::MeetingHeld) });
        assert_eq!(Goal::parse_list("").expect("an empty list"), []);
        let all = KnownGoal::ALL.iter().map(|goal| goal.as_str()).collect::<Vec<_>>().join(",");
        assert_eq!(Goal::parse_list(&all).expect("every known goal"), Goal::known());
    }

    #[test]
    fn a_mistake_is_named() {
        for (list, error) in [
            ("purchase", GoalError::Unknown("purchase".into())),
            ("demo=meeting", GoalError::UnknownKind { goal: "demo".into(), kind: "meeting".into() }),
            ("De mo=meeting_held", GoalError::BadName("De mo".into())),
            ("renewal=visit_made", GoalError::BadName("renewal".into())),
            ("referral,referral", GoalError::Twice("referral".into())),
        ] {
            assert_eq!(Goal::parse_list(list), Err(error), "{list}");
        }
        let many = (0..=GOALS_MAX).map(|number| format!("g{number}=visit_made")).collect::<Vec<_>>().join(",");
        assert_eq!(Goal::parse_list(&many), Err(GoalError::TooMany));
    }
}
