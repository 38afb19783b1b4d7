//! Definitions of what becomes of the relation to customers: who stays, who speaks for the company, what it costs to win one and
//! what they are worth.

use super::{Definition, FLOW, MONEY_EACH, index};
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
    ..MONEY_EACH
};

pub(super) const CUSTOMER_VALUE: Definition = Definition {
    index: index::CUSTOMER_VALUE,
    id: "customer_value",
    title: "Value of an active customer",
    unit: "minor_units",
    formula: "(revenue − refunds)/active customers, per currency; absent without active customers",
    inclusion: "Purchases, not cancelled, and renewals, less the amounts of refunds whatever their sign; a return that \
                is not paid back does not count. Active: a person with a touchpoint in the window that the customer \
                initiated.",
    counted_at: "window",
    source: "Revenue per customer less returns: N. Bendle, P. Farris, P. Pfeifer, D. Reibstein, Marketing Metrics, 2015",
    ..MONEY_EACH
};
