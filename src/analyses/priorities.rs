//! Persons touched by a subject in, and out what to fix first.
//!
//! *Formula.* A candidate is a subject at a touchpoint (spoke × kind × subject). Persons with such a touchpoint are compared with all others:
//!
//! - *Reach*: the persons touched; of them no more than the stated limit of what can be handled counts.
//! - *Impact*: the drop of the outcome, `yes/known without − yes/known with` (Newcombe's interval, [`difference_of_shares`]); the drop
//!   of the score, `mean without − mean with` (Welch's interval, [`difference_of_means`]), as a part of its scale. The score decides
//!   where the outcome is known of too few persons, and where the outcome's interval does not leave zero out while the score's does (who
//!   is less content has not left yet); otherwise the outcome: [`Priority::ground`] says which.
//! - *Value at risk*: the revenue of the persons touched over the last year. Since it grows with their number, it is taken per
//!   person in the product: reach would count twice otherwise.
//! - *Score* = reach × impact × revenue per person, in minor units: of the money of those who are touched, as much as the outcome
//!   drops. Its interval is the impact's: reach and revenue are counted, not estimated. *Rank*: by score per effort.
//! - *Effort*: as the configuration states it; where it does not, the mean of what the touchpoints with the subject say in the month, of
//!   all persons' those that say one, rounded half up; where none does, one. Never less than one: [`Priority::effort_source`] says
//!   which.
//!
//! Candidates whose persons fare no worse than others, or have paid nothing, are no priorities.
//!
//! *Smallest n.* [`OBSERVATIONS_MIN`] persons on each side, of whom the outcome or else the score is known; candidates with fewer are
//! not judged. Those and the ones that are no priorities are counted ([`Judged`]).
//!
//! *Source.* Reach × drop of the outcome is what epidemiology calls the cases attributable to an exposure among those exposed, after
//! M. L. Levin, "The occurrence of lung cancer in man", Acta Unio Internationalis Contra Cancrum 9, 1953. Weighing them with revenue, and
//! dividing by an effort, is our own. Intervals: R. G. Newcombe 1998 and B. L. Welch 1947, see [`super::statistics`].
//!
//! *Assumptions.* Money of one currency; a person without the touchpoint is like one with it but for the touchpoint; departments
//! estimate efforts in one unit, the configuration's.
//!
//! *What not to conclude.* That fixing it brings the score. Who complains about a delivery has had one, and differs from who never
//! ordered; one bad experience stands in several candidates, so scores do not add up; and with many candidates some of the
//! intervals leave zero out by chance ([`Judged::judged`] says how many there were). A priority is where to look first; whether
//! a change helped is for [`super::change`] to say.

use std::{cmp::Ordering, collections::BTreeMap};

use super::{
    ranking::{Ranked, first},
    statistics::{Difference, OBSERVATIONS_MIN, Sums, difference_of_means, difference_of_shares},
};

/// Scores are means of 1 to 5, in thousandths.
pub const SCORE_UNIT: i64 = 1_000;
/// From the lowest to the highest of them.
pub const SCORE_RANGE: i64 = 4 * SCORE_UNIT;

/// What is known of a group of persons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub persons: i64,
    /// With the outcome (bought again).
    pub outcome_yes: i64,
    /// Of whom it is known.
    pub outcome_known: i64,
    /// Their scores, one of each person who gave any.
    pub scores: Sums,
    /// What they paid over the last year, in minor units.
    pub revenue: i64,
    /// How many of the subject's touchpoints say what it takes; none of everyone's.
    pub efforts: i64,
    /// The sum of what they say.
    pub effort: i64,
}

impl Group {
    pub(crate) fn and(self, part: Group) -> Group {
        Group {
            persons: self.persons.wrapping_add(part.persons),
            outcome_yes: self.outcome_yes.wrapping_add(part.outcome_yes),
            outcome_known: self.outcome_known.wrapping_add(part.outcome_known),
            scores: self.scores.and(part.scores),
            revenue: self.revenue.wrapping_add(part.revenue),
            efforts: self.efforts.wrapping_add(part.efforts),
            effort: self.effort.wrapping_add(part.effort),
        }
    }

    fn without(self, part: Group) -> Group {
        Group {
            persons: self.persons.wrapping_sub(part.persons),
            outcome_yes: self.outcome_yes.wrapping_sub(part.outcome_yes),
            outcome_known: self.outcome_known.wrapping_sub(part.outcome_known),
            scores: self.scores.without(part.scores),
            revenue: self.revenue.wrapping_sub(part.revenue),
            efforts: self.efforts.wrapping_sub(part.efforts),
            effort: self.effort.wrapping_sub(part.effort),
        }
    }

    /// The mean of what the touchpoints say that it takes, rounded half up.
    fn mean_effort(&self) -> Option<i64> {
        let (n, sum) = (i128::from(self.efforts), i128::from(self.effort));
        (n > 0).then(|| i64::try_from((2 * sum + n).div_euclid(2 * n)).unwrap_or(i64::MAX))
    }
}

/// Where a subject came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject<'a> {
    /// The spoke: the owner.
    pub spoke: &'a str,
    /// The kind of touchpoint.
    pub kind: &'a str,
    /// The subject.
    pub subject: &'a str,
}

/// A subject with its persons, and what the organisation says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Where it came up.
    pub subject: Subject<'a>,
    /// Whom it touched.
    pub touched: Group,
    /// What it takes to fix, in the organisation's unit, as the configuration states it.
    pub effort: Option<i64>,
    /// How many persons' problem can be handled at most.
    pub limit: Option<i64>,
}

/// What the organisation states about subjects, by spoke, kind and subject.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stated {
    /// What it takes to fix one.
    pub efforts: BTreeMap<(String, String, String), i64>,
    /// How many persons' problem can be handled at most.
    pub limits: BTreeMap<(String, String, String), i64>,
}

/// The persons of a month, and those whom each subject touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriorityTable {
    everyone: Group,
    touched: BTreeMap<(String, String, String), Group>,
}

impl PriorityTable {
    /// Adds persons, or takes them back.
    pub fn add_everyone(&mut self, group: Group) {
        self.everyone = self.everyone.and(group);
    }

    /// Adds persons whom a subject touched, or takes them back: no subject is kept that touched nobody.
    pub fn add(&mut self, subject: Subject<'_>, group: Group) {
        let key = (subject.spoke.to_owned(), subject.kind.to_owned(), subject.subject.to_owned());
        let sum = self.touched.get(&key).copied().unwrap_or_default().and(group);
        if sum == Group::default() {
            self.touched.remove(&key);
        } else {
            self.touched.insert(key, sum);
        }
    }

    /// Whether nothing is left.
    pub fn is_zero(&self) -> bool {
        self.everyone == Group::default() && self.touched.is_empty()
    }

    /// How many subjects there are.
    pub fn kinds(&self) -> usize {
        self.touched.len()
    }

    /// All persons.
    pub fn everyone(&self) -> Group {
        self.everyone
    }

    /// What to fix first: [`prioritise`].
    pub fn prioritise(&self, stated: &Stated, score_range: i64, limit: usize) -> Ranked<Priority<'_>, Judged> {
        let candidates = self.touched.iter().map(|(key, touched)| Candidate {
            subject: Subject { spoke: &key.0, kind: &key.1, subject: &key.2 },
            touched: *touched,
            effort: stated.efforts.get(key).copied(),
            limit: stated.limits.get(key).copied(),
        });
        prioritise(candidates, self.everyone, score_range, limit)
    }
}

/// What a priority's impact is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The outcome.
    Outcome,
    /// The score, as a part of its scale.
    Score,
}

impl Ground {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Ground::Outcome => "outcome",
            Ground::Score => "score",
        }
    }
}

/// Whose estimate an effort is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EffortSource {
    /// The configuration's.
    Configured,
    /// The departments', by their touchpoints.
    Touchpoints,
    /// Nobody's: one.
    Assumed,
}

impl EffortSource {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            EffortSource::Configured => "configured",
            EffortSource::Touchpoints => "touchpoints",
            EffortSource::Assumed => "assumed",
        }
    }
}

/// Something to fix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Priority<'a> {
    /// Where.
    pub subject: Subject<'a>,
    /// The persons touched.
    pub reach: i64,
    /// The revenue of the persons touched over the last year, in minor units.
    pub value_at_risk: i64,
    /// The drop of the outcome, 0..1, with its interval.
    pub outcome_drop: Option<Difference>,
    /// The drop of the score, in points, with its interval.
    pub score_drop: Option<Difference>,
    /// Which of the two the score stands on.
    pub ground: Ground,
    /// Reach × impact × revenue per person, in minor units, with its interval.
    pub score: Difference,
    /// What it takes to fix: at least one.
    pub effort: i64,
    /// Whose estimate that is.
    pub effort_source: EffortSource,
    /// As stated.
    pub limit: Option<i64>,
    /// Score per effort: what the rank goes by.
    pub worth: f64,
}

/// What is not shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Candidates with enough persons on both sides, those that are shown among them.
    pub judged: usize,
    /// Priorities that are not shown.
    pub kinds: usize,
    /// Candidates whose persons fare no worse than others, or have paid nothing.
    pub no_worse: usize,
    /// Candidates with too few persons to say.
    pub too_few: usize,
}

/// What to fix first, of all candidates. `everyone` are all persons, those that no candidate touched among them; a score is a
/// number of points on a scale of `score_range` points from its lowest to its highest.
pub fn prioritise<'a>(
    candidates: impl IntoIterator<Item = Candidate<'a>>,
    everyone: Group,
    score_range: i64,
    limit: usize,
) -> Ranked<Priority<'a>, Judged> {
    let mut other = Judged::default();
    let priorities = candidates.into_iter().filter_map(|candidate| {
        let Some(priority) = judge(candidate, everyone, score_range) else {
            other.too_few += 1;
            return None;
        };
        other.judged += 1;
        if priority.score.value <= 0.0 {
            other.no_worse += 1;
            return None;
        }
        other.kinds += 1;
        Some(priority)
    });
    let shown = first(priorities, limit, |a, b| -> Ordering {
        b.worth.total_cmp(&a.worth).then_with(|| a.subject.cmp(&b.subject))
    });
    other.kinds -= shown.len();
    Ranked { shown, other }
}

fn judge<'a>(candidate: Candidate<'a>, everyone: Group, score_range: i64) -> Option<Priority<'a>> {
    let with = candidate.touched;
    let without = everyone.without(with);
    if with.persons <= 0 || without.persons < 0 {
        return None;
    }
    let are_enough = |one: i64, other: i64| one.min(other) >= OBSERVATIONS_MIN;
    let outcome_drop = are_enough(with.outcome_known, without.outcome_known)
        .then(|| {
            difference_of_shares((without.outcome_yes, without.outcome_known), (with.outcome_yes, with.outcome_known))
        })
        .flatten();
    let score_drop =
        are_enough(with.scores.n, without.scores.n).then(|| difference_of_means(without.scores, with.scores)).flatten();
    // Where the outcome tells nobody apart, a score that does is what is known.
    let by_score = |outcome: Option<Difference>, score: Difference| {
        outcome.is_none_or(|outcome| outcome.low <= 0.0 && score.low > 0.0)
    };
    let (ground, impact) = match (outcome_drop, score_drop) {
        (outcome, Some(drop)) if by_score(outcome, drop) => {
            (Ground::Score, drop.scaled(1.0 / score_range.max(1) as f64))
        }
        (Some(drop), _) => (Ground::Outcome, drop),
        (None, _) => return None,
    };
    let reached = candidate.limit.map_or(with.persons, |limit| limit.clamp(0, with.persons));
    // Who was paid back more than they paid puts nothing at risk.
    let revenue_per_person = with.revenue.max(0) as f64 / with.persons as f64;
    let score = impact.scaled(reached as f64 * revenue_per_person);
    let (effort, effort_source) = match (candidate.effort, with.mean_effort()) {
        (Some(configured), _) => (configured.max(1), EffortSource::Configured),
        (None, Some(mean)) => (mean.max(1), EffortSource::Touchpoints),
        (None, None) => (1, EffortSource::Assumed),
    };
    Some(Priority {
        subject: candidate.subject,
        reach: with.persons,
        value_at_risk: with.revenue,
        outcome_drop,
        score_drop,
        ground,
        score,
        effort,
        effort_source,
        limit: candidate.limit,
        worth: score.value / effort as f64,
    })
}
