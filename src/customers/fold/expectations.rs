//! Answers about what was expected and what was perceived → pairs about the same item.

use super::{
    facts::Facts,
    head::{EXPECTATIONS_MAX, Head, Waiting},
};
use crate::model::ScoreScale;

/// An answer completes the pair of its item with one on the other scale that waits; else it waits itself.
pub(super) fn observe_answer(head: &mut Head, facts: &mut Facts<'_, '_>) {
    let Some(score) = facts.touchpoint.score else { return };
    let is_perception = match score.scale {
        ScoreScale::Perception => true,
        ScoreScale::Expectation => false,
        _ => return,
    };
    let known = head.expectations.iter().position(|waiting| waiting.item.as_deref() == score.item);
    match known {
        Some(index) if head.expectations[index].is_perception != is_perception => {
            let other = head.expectations.remove(index).map_or(0, |waiting| i64::from(waiting.value));
            let answer = i64::from(score.value);
            facts.gap = Some(if is_perception { answer - other } else { other - answer });
        }
        Some(index) => head.expectations[index].value = score.value,
        None => {
            if head.expectations.len() == EXPECTATIONS_MAX {
                head.expectations.pop_front();
                facts.capped = true;
            }
            head.expectations.push_back(Waiting {
                item: score.item.map(Into::into),
                is_perception,
                value: score.value,
            });
        }
    }
}
