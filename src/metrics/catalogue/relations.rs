//! Definitions of what becomes of the relation to customers: who stays, who speaks for the company, what it costs to win one and
//! what they are worth.

use super::{Definition, FLOW, LEVEL, MONEY_EACH, MetricKind, index};
use crate::metrics::values;

pub(super) const RETENTION: Definition = Definition {
    index: index::RETENTION,
    id: "retention",
    title: "Retention",
    unit: "percent",
    formula: "100·(persons active in the window and in the one before)/(persons active in the one before); Wilson \
              interval (1927)",
    inclusion: "Active: a person with a touchpoint in the window that the customer initiated. Per dimension value, \
                active with that value in both windows. A window is published once it has begun.",
    counted_at: "window",
    source: "Retention rate: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015, here of \
             persons active and not of contracts",
    figures: values::percent,
    ahead: true,
    ..FLOW
};

pub(super) const ADVOCACY: Definition = Definition {
    index: index::ADVOCACY,
    id: "advocacy",
    title: "Advocacy",
    unit: "percent",
    formula: "100·(active persons who spoke for the company)/active persons; Wilson interval (1927)",
    inclusion: "Active: a person with a touchpoint in the window that the customer initiated. Spoke for the company: a \
                referral made, a review of 4 or 5, or an answer of 9 or 10 on the scale of nps in the window.",
    counted_at: "window",
    source: "Convention of this hub: what customers say to others, after F. F. Reichheld, The Ultimate Question, 2006",
    figures: values::percent,
    ..FLOW
};

pub(super) const ACQUISITION_COST: Definition = Definition {
    index: index::ACQUISITION_COST,
    id: "acquisition_cost",
    title: "Cost of a new customer",
    unit: "minor_units",
    formula: "(cost of the touchpoints of marketing and sales)/new customers, per currency; absent without new customers",
    inclusion: "Touchpoints with a cost of the spokes that metrics.acquisition_spokes names, whomever they reached; persons \
                whose first purchase, not cancelled, lies in the window. Per dimension value, each by its own touchpoint.",
    counted_at: "window",
    source: "Customer acquisition cost: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
    version: 2,
    ..MONEY_EACH
};

pub(super) const CUSTOMER_VALUE: Definition = Definition {
    index: index::CUSTOMER_VALUE,
    id: "customer_value",
    title: "Value of an active customer",
    unit: "minor_units",
    formula: "(revenue − refunds)/active customers, per currency; absent without active customers",
    inclusion: "Purchases, not cancelled, and renewals, less the amounts of refunds whatever their sign, but not of an \
                order that is cancelled, before or after; a return that is not paid back does not count. Active: a person with a touchpoint in the window that the customer \
                initiated.",
    counted_at: "window",
    source: "Revenue per customer less returns: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
    version: 3,
    ..MONEY_EACH
};

pub(super) const CONTACT_PRESSURE: Definition = Definition {
    index: index::CONTACT_PRESSURE,
    id: "contact_pressure",
    title: "Contact pressure",
    unit: "messages",
    formula: "messages sent in the 30 days up to the day's close/persons to whom at least one was; the share of these persons \
              to whom more were sent than metrics.contact_cap",
    inclusion: "Every message sent to a person; per dimension value, the messages with that value, and the cap against those \
                alone. It is a count of all persons and no estimate.",
    counted_at: "day close",
    source: "Contact frequency and its cap as campaign tools state them: a count at the close of a day of event time",
    version: 2,
    figures: values::contact_pressure,
    ..LEVEL
};

pub(super) const CHURN: Definition = Definition {
    index: index::CHURN,
    id: "churn",
    title: "Churn",
    unit: "percent",
    formula: "100·(subscriptions running as the window begins and cancelled in it)/(running as it begins); where none runs, \
              100·(1 − retention); Wilson interval (1927)",
    inclusion: "Subscriptions with a contract number, each from a start to the first cancellation after it, under the \
                dimension values of the start; one that is started again after that runs again. One that starts and ends in \
                the same window counts in none. Of a customer the newest 256 are known: an older one runs no longer, \
                without being cancelled. Details give both: subscriptions, and persons active before with those \
                still active. A window is published once it has begun.",
    counted_at: "window",
    version: 4,
    source: "Churn rate: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
    kind: MetricKind::Opening,
    ahead: true,
    figures: values::churn,
    ..FLOW
};

pub(super) const CONTENT_CREDIBILITY: Definition = Definition {
    index: index::CONTENT_CREDIBILITY,
    id: "content_credibility",
    title: "Credibility of content",
    unit: "percentage_points",
    formula: "100·(consumers who went on/consumers − others who went on/others); 95 % interval of the difference after \
              Newcombe (1998), method 10. Numerator and denominator are the consumers'; details give the others'",
    inclusion: "Months only. Consumers: persons who consumed content in the month, from the first time in it; others: persons \
                active in it who did not, from their first touchpoint in it that the customer initiated. Per dimension value, both \
                by touchpoints with that value alone: who consumed content elsewhere is one of the others. Went on: any purchase \
                after that, or a later phase (before, during, after) than that touchpoint left them in, within 30 days, \
                whatever its values and whether or not the purchase is cancelled later. Who consumes content may have been about \
                to buy: a difference is no effect. Of a customer 64 KiB of dimension values wait at once, besides the company: \
                further ones count nowhere. A window is final 30 days after its end.",
    counted_at: "consumption",
    version: 3,
    source: "R. G. Newcombe, Interval estimation for the difference between independent proportions, Statistics in Medicine \
             17, 1998",
    settles_after_days: 30,
    figures: values::content_credibility,
    ..FLOW
};
