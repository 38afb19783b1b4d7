//! A touchpoint as one of its kind of contact: what customers felt there and what it took, for the analysis of balance.
//!
//! Internal touchpoints count too: they are no steps of a journey, but they cost.

use super::{
    facts::Facts,
    place::{DimensionValue, Emit},
};
use crate::model::{Accumulator, ContactElement, Dimension, ScoreScale, contact_touchpoint, family, push_contact};

/// Enough for most names, so that one allocation holds each of a touchpoint's elements.
const NAME_BYTES: usize = 96;

/// Contributes a touchpoint to its kind of contact in its month: only what is known of it.
pub(super) fn contribute<E: Emit>(facts: &Facts<'_, '_>, emit: &mut E) {
    let touchpoint = facts.touchpoint;
    let [_, _, month] = facts.place.windows;
    let mut name = String::with_capacity(NAME_BYTES);
    family::push_family(&mut name, &[family::CONTACTS]);
    push_contact(&mut name, touchpoint.spoke, touchpoint.kind, touchpoint.channel);
    name.push(family::PART_SEPARATOR);
    let contact = name.len();

    ContactElement::Touchpoints.push_name(&mut name);
    let value = DimensionValue::new(Dimension::Company, &name);
    let (cost, effort) = (facts.cost.unwrap_or(0), touchpoint.effort.map_or(0, i64::from));
    let is_cost_left_out = touchpoint.cost.is_some() && facts.cost.is_none();
    if (cost, effort, is_cost_left_out) == (0, 0, false) {
        emit.count(family::BALANCE, month, &value, 1);
    } else {
        emit.cell(family::BALANCE, None, month, &value, &contact_touchpoint(cost, effort, is_cost_left_out), 1);
    }
    let score = touchpoint.score.filter(|score| score.scale == ScoreScale::Csat).map(|score| i64::from(score.value));
    let sentiment = touchpoint.sentiment.map(i64::from);
    let mut contribute = |element: ContactElement, add: &Accumulator| {
        name.truncate(contact);
        element.push_name(&mut name);
        let value = DimensionValue::new(Dimension::Company, &name);
        emit.cell(family::BALANCE, None, month, &value, add, 1);
    };
    if let Some(score) = score {
        contribute(ContactElement::Scores, &Accumulator::observe(score));
    }
    if let Some(sentiment) = sentiment {
        contribute(ContactElement::Sentiment, &Accumulator::observe(sentiment));
    }
    let promised = facts.things().filter_map(|thing| thing.delivery).filter(|delivery| delivery.promised_at.is_some());
    for delivery in promised {
        let add = Accumulator { a: i64::from(delivery.on_time), ..Accumulator::count(1) };
        contribute(ContactElement::Promises, &add);
    }
}
