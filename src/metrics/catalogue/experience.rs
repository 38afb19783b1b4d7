//! Definitions of what customers experience and where it leads: expectations, resolutions that hold, follow-ups, buying again,
//! word of mouth, margin, conversion.

use super::{Definition, FLOW, index};
use crate::{metrics::values, model::Dimension};

pub(super) const EXPECTATION_GAP: Definition = Definition {
    index: index::EXPECTATION_GAP,
    id: "expectation_gap",
    title: "Gap between expectation and perception",
    unit: "points",
    formula: "mean of perception − expectation (negative: less than expected), with the share below; SE = √(variance/n)",
    inclusion: "Answers of one person about the same item, both on 1–7: an expectation with the next perception, or a \
                perception with the next expectation; each answer is part of one pair, and a newer answer on the same \
                scale replaces one that waits. Answers without an item go together.",
    counted_at: "answer of the later",
    source: "A. Parasuraman, V. Zeithaml, L. Berry, SERVQUAL, Journal of Retailing 64, 1988",
    dimensions: Dimension::ALL,
    figures: values::expectation_gap,
    ..FLOW
};

pub(super) const FULL_RESOLUTION_TIME: Definition = Definition {
    index: index::FULL_RESOLUTION_TIME,
    id: "full_resolution_time",
    title: "Time to full resolution",
    unit: "seconds",
    formula: "mean of last resolved − case opened, with percentiles by nearest rank from log buckets (relative error \
              ≤ 1 %)",
    inclusion: "The last resolution of a case with a number; a further one takes the one before back where it was \
                counted.",
    counted_at: "resolution",
    version: 2,
    source: "Full resolution time as customer-service desks report it, in elapsed time and not working hours",
    figures: values::duration,
    ..FLOW
};

pub(super) const FIRST_CONTACT_RESOLUTION: Definition = Definition {
    index: index::FIRST_CONTACT_RESOLUTION,
    id: "first_contact_resolution",
    title: "Resolved with the first contact",
    unit: "percent",
    formula: "100·(resolved with no further contact within 7 days)/resolved; Wilson interval (1927)",
    inclusion: "The first resolution of a case with a number. A further contact: a touchpoint that the customer \
                initiated, after it and within 7 · 24 hours, on the same case or on the subject of the resolution (of \
                the opening, if the resolution names none); answers to surveys are none. A window is final 7 days \
                after its end.",
    counted_at: "resolution",
    version: 2,
    source: "First contact resolution by repeat contacts within a window of days, as contact centres report it",
    settles_after_days: 7,
    figures: values::percent,
    ..FLOW
};

pub(super) const FOLLOW_UP_TIME: Definition = Definition {
    index: index::FOLLOW_UP_TIME,
    id: "follow_up_time",
    title: "Time to follow-up",
    unit: "seconds",
    formula: "mean of follow-up − detractor's answer or complaint, with the share within 48 hours and percentiles by \
              nearest rank from log buckets (relative error ≤ 1 %)",
    inclusion: "A public follow-up by an agent of any spoke (bots, systems and internal notes are none), from the first answer 0–6 on the scale 0–10 or complaint since the \
                follow-up before; one without such a cause does not count.",
    counted_at: "follow-up",
    source: "Closing the loop: F. F. Reichheld, R. Markey, The Ultimate Question 2.0, 2011",
    version: 2,
    figures: values::follow_up_time,
    ..FLOW
};

pub(super) const REPURCHASE_30: Definition = Definition {
    index: index::REPURCHASE_30,
    id: "repurchase_30",
    title: "Bought again within 30 days",
    formula: "100·(first-time buyers with another purchase within 30 days)/first-time buyers; Wilson interval (1927)",
    inclusion: "Persons by their first purchase that is not cancelled; another one that is not, within 30 · 24 hours. \
                A window is final 30 days after its end.",
    settles_after_days: 30,
    ..REPURCHASE
};

pub(super) const REPURCHASE_60: Definition = Definition {
    index: index::REPURCHASE_60,
    id: "repurchase_60",
    title: "Bought again within 60 days",
    formula: "100·(first-time buyers with another purchase within 60 days)/first-time buyers; Wilson interval (1927)",
    inclusion: "Persons by their first purchase that is not cancelled; another one that is not, within 60 · 24 hours. \
                A window is final 60 days after its end.",
    settles_after_days: 60,
    ..REPURCHASE
};

pub(super) const REPURCHASE_90: Definition = Definition {
    index: index::REPURCHASE_90,
    id: "repurchase_90",
    title: "Bought again within 90 days",
    formula: "100·(first-time buyers with another purchase within 90 days)/first-time buyers; Wilson interval (1927)",
    inclusion: "Persons by their first purchase that is not cancelled; another one that is not, within 90 · 24 hours. \
                A window is final 90 days after its end.",
    settles_after_days: 90,
    ..REPURCHASE
};

pub(super) const REFERRAL: Definition = Definition {
    index: index::REFERRAL,
    id: "referral",
    title: "New customers who were referred",
    unit: "percent",
    formula: "100·(new customers who were referred)/new customers; Wilson interval (1927)",
    inclusion: "Referred: a touchpoint up to the first purchase, or itself, names who referred the customer.",
    counted_at: "first purchase",
    version: 2,
    source: "V. Kumar, J. A. Petersen, R. P. Leone, How Valuable Is Word of Mouth?, Harvard Business Review, 2007",
    figures: values::percent,
    ..FLOW
};

pub(super) const WORD_OF_MOUTH: Definition = Definition {
    index: index::WORD_OF_MOUTH,
    id: "word_of_mouth",
    title: "New customers by word of mouth",
    unit: "percent",
    formula: "100·(new customers whom word of mouth had met before)/new customers; Wilson interval (1927)",
    inclusion: "Before the first purchase a touchpoint on the channel social or community, a social mention, a review \
                or a referral; or referred, as the metric referral has it.",
    counted_at: "first purchase",
    version: 2,
    source: "V. Kumar, J. A. Petersen, R. P. Leone, How Valuable Is Word of Mouth?, Harvard Business Review, 2007",
    figures: values::percent,
    ..FLOW
};

pub(super) const MARGIN: Definition = Definition {
    index: index::MARGIN,
    id: "margin",
    title: "Margin",
    unit: "minor_units",
    formula: "revenue − refunds − costs of all touchpoints; n counts the amounts",
    inclusion: "Revenue as its metric has it; the amounts of refunds, whatever their sign, but not of an order \
                that is cancelled, before or after: of its refunds the first 16 are taken back where they were counted, as \
                its amount is; a refund that names several orders is one, of the first. The cost of every touchpoint that has \
                one, in its own currency. Not what goods cost, unless a department says so.",
    counted_at: "each",
    source: "Contribution before unattributed costs: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing \
             Metrics, 2015",
    per_currency: true,
    version: 3,
    figures: values::total,
    ..FLOW
};

pub(super) const CONVERSION: Definition = Definition {
    index: index::CONVERSION,
    id: "conversion",
    title: "Conversion",
    unit: "percent",
    formula: "100·(persons with a purchase within the window's length after entering)/persons entering; Wilson \
              interval (1927)",
    inclusion: "Entering: a person's first touchpoint, or the first one after a purchase; of a person's entries in a \
                window the first counts. Within 24 hours for days, 7 · 24 for weeks, and as many days as a month has \
                for months. A purchase is one that is not cancelled within 90 days. A window is final one more \
                length of its own after its end.",
    counted_at: "entry",
    source: "Conversion rate by cohort of entry: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, \
             2015",
    version: 3,
    settles_after_own_length: true,
    figures: values::percent,
    ..FLOW
};

/// What the three repurchase rates share.
const REPURCHASE: Definition = Definition {
    unit: "percent",
    version: 3,
    counted_at: "first purchase",
    source: "Repeat purchase rate: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
    figures: values::percent,
    ..FLOW
};
