//! `insight.customers`, `insight.touchpoints` and `insight.identities` in; one customer as every department sees them out: the
//! record with what the models of buying expect, the timeline, and why these identifiers are one person. Every access is noted before it is answered.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Shared,
    asking::{Asked, By, Named, Paging, Parameters},
    metrics::Everything,
    problem::{Problem, ProblemBody},
    reply::{self, Listing},
    seen::{Contested, SeenTogether, seen},
    shapes::{Customer, Identity, IdentityChange, Touchpoint},
};
use crate::{
    feeds::{self, BuyingParameters, Feed, Names, PARAMETERS},
    model::{Calendar, Day, HASH_MARK, Identifier, IdentifierType, PersonId, PersonKey},
    serve::{
        access::{Caller, Role},
        view::{Index, Place, View, beginning_with, feed},
    },
};

/// Records of one identifier that are looked at: after a reuse there are two, until the news of both have come.
const SAME_IDENTIFIER_MAX: usize = 16;
/// Identifiers of a person that are shown with what they say of themselves: as many as a person's own record has.
const MEMBERS_MAX: usize = 256;
/// Changes that are shown, the newest of each identifier.
const CHANGES_MAX: usize = 100;

/// Why identifiers are one person.
#[derive(Serialize, ToSchema)]
pub(super) struct Evidence {
    /// The person's record: identifiers, conflicts.
    #[schema(value_type = Identity)]
    person: Value,
    /// Each of the person's identifiers, at most 256.
    #[schema(value_type = Vec<Identity>)]
    identifiers: Vec<Value>,
    /// Of each conflict of the person's record, in their order: which touchpoints name both.
    seen: Vec<SeenTogether>,
    /// What made and changed it, as far as the journal still has it: links, refusals, decisions, redirects; the newest 100 of each
    /// identifier.
    #[schema(value_type = Vec<IdentityChange>)]
    changes: Vec<Value>,
}

/// Over so many days something is expected, unless somebody asks for others.
const HORIZON_DAYS: u32 = 90;
/// The longest time that something is expected over.
const HORIZON_DAYS_MAX: u32 = 3_650;
/// Departments that are looked at: more than there are.
const DEPARTMENTS_MAX: usize = 1_000;

/// What is expected of a customer.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Horizon {
    /// Over so many days purchases and value are expected.
    #[param(minimum = 1, maximum = 3650, default = 90)]
    horizon_days: Option<u32>,
}

/// A customer's record, and what is expected of them.
#[derive(Serialize, ToSchema)]
pub(super) struct KnownCustomer {
    #[serde(flatten)]
    #[schema(value_type = Customer)]
    record: Value,
    /// What customers who bought like this one would do; null where nothing was bought, or no closed month has parameters: too few bought again,
    /// or how they did does not determine them.
    expected: Option<Expected>,
}

/// What the models of buying (BG/NBD, Gamma-Gamma) say of a customer, by the newest parameters on `insight.catalogue` and the purchases
/// in the record. Assumed: purchases at random without seasons, nobody comes back, amounts unrelated to how often somebody buys. Not to be
/// concluded: that a customer has left; and nothing about who bought on one day only: `p_alive` is 1 of them whatever the silence, and
/// the expected amount is everybody's mean (`one_time_buyer`, `caveat`).
#[derive(Serialize, ToSchema)]
pub(super) struct Expected {
    /// Up to when it is known what they did: the day of the newest touchpoint of the whole hub.
    #[schema(format = Date)]
    as_of: String,
    /// The month at whose end the parameters were fitted, `2026-01`: the newest on `insight.catalogue` that the likelihood determines.
    parameters: String,
    /// Whether these may still change: provisional, final or revised.
    parameters_status: String,
    /// How often these were published.
    parameters_revision: i64,
    /// Over so many days purchases and value are expected.
    horizon_days: u32,
    /// The share of customers with the same history who would still buy, 0 to 1. Always 1 of a one-time buyer.
    #[schema(minimum = 0, maximum = 1)]
    p_alive: f64,
    /// Days with a purchase within the horizon.
    expected_purchases: f64,
    /// What is paid on each, in minor units; null where the parameters of amounts are not determined.
    expected_amount: Option<f64>,
    /// What is paid within the horizon, in minor units.
    expected_value: Option<f64>,
    /// ISO 4217: the currency of analyses.
    currency: String,
    /// Whether they bought on one day only, of which the models know nothing.
    one_time_buyer: bool,
    /// What has to be shown with it; null if nothing has.
    caveat: Option<&'static str>,
}

impl From<feeds::Expected> for Expected {
    fn from(said: feeds::Expected) -> Expected {
        let (expected_value, caveat) = (said.expected_value(), said.caveat());
        Expected {
            as_of: said.as_of.to_string(),
            parameters: said.parameters,
            parameters_status: said.parameters_status,
            parameters_revision: said.parameters_revision,
            horizon_days: said.horizon_days,
            p_alive: said.p_alive,
            expected_purchases: said.expected_purchases,
            expected_amount: said.expected_amount,
            expected_value,
            currency: said.currency,
            one_time_buyer: said.one_time_buyer,
            caveat,
        }
    }
}

/// What is expected of whoever has this record.
fn expected(
    view: &View,
    record: &Value,
    horizon_days: u32,
    calendar: &Calendar,
) -> Result<Option<feeds::Expected>, Problem> {
    if !record.get("buying").is_some_and(Value::is_object) {
        return Ok(None);
    }
    let newest = newest_parameters(view)?;
    Ok(newest.zip(as_of(view, calendar)?).and_then(|(newest, as_of)| newest.said_of(record, as_of, horizon_days)))
}

/// The newest parameters that can be used: those of the last month, by whose name a set is kept.
fn newest_parameters(view: &View) -> Result<Option<BuyingParameters>, Problem> {
    let can_be_used = |set: &Value| BuyingParameters::of(set).is_some();
    let newest = view.last(&beginning_with(Feed::Catalogue, PARAMETERS), &can_be_used)?;
    Ok(newest.and_then(|kept| BuyingParameters::of(&kept.value)))
}

/// The day of the newest touchpoint of the whole hub.
fn as_of(view: &View, calendar: &Calendar) -> Result<Option<Day>, Problem> {
    let departments = view.list(&feed(Feed::Spokes), None, DEPARTMENTS_MAX, &|_| true)?;
    let newest = departments.records.iter().filter_map(|kept| kept.value.get("newest_occurred_at")?.as_str());
    Ok(newest.filter_map(|instant| feeds::day_of(instant, calendar)).max())
}

/// Who is asked for, as the feeds have it.
pub(super) enum Sought {
    /// A person's id of the feeds, in use or not any more.
    Person(String),
    /// An identifier's type and published value.
    Identifier(&'static str, String),
}

impl Api {
    /// Whom a text names: the 32 digits of a person's id, or TYPE:VALUE.
    pub(super) fn sought(&self, text: &str) -> Result<Sought, Problem> {
        if !text.contains(':') {
            let person = PersonId::parse(text).map(|person| Sought::Person(person.to_string()));
            return person
                .ok_or_else(|| Problem::parameter("name a customer by the 32 digits of their id, or as TYPE:VALUE"));
        }
        let (kind, value) = self.rules.named(text).map_err(|error| Problem::parameter(error.to_string()))?;
        let shown = self.names.show(Identifier { kind, value: &value });
        Ok(Sought::Identifier(kind.as_str(), shown.as_str().to_owned()))
    }

    /// What the view has of whom a text names; it is noted who asked, also where there is nobody. `records`: how many that is.
    pub(super) async fn noted<T: Send + 'static>(
        &self,
        caller: &Caller,
        operation: &'static str,
        customer: &str,
        read: impl FnOnce(&View, &str) -> Result<Option<T>, Problem> + Send + 'static,
        records: impl FnOnce(&T) -> usize,
    ) -> Result<T, Problem> {
        let sought = self.sought(customer)?;
        let found = self
            .ask(move |view| {
                let Some(person) = find(view, &sought)? else { return Ok(None) };
                Ok(read(view, &person)?.map(|found| (person, found)))
            })
            .await?;
        let person = found.as_ref().map(|(person, _)| person.as_str());
        self.note(caller, operation, person, found.as_ref().map_or(0, |(_, found)| records(found))).await?;
        found.map(|(_, found)| found).ok_or_else(nobody)
    }
}

/// The id of the person who is sought now; `None`: nobody is.
pub(super) fn find(view: &View, sought: &Sought) -> Result<Option<String>, Problem> {
    let identity = match sought {
        Sought::Person(person) => {
            if view.get(&Place::of(Feed::Customers, person))?.is_some() {
                return Ok(Some(person.clone()));
            }
            view.get(&Place::of(Feed::Identities, person))?
        }
        Sought::Identifier(kind, value) => {
            // What the index has may be cut.
            let is_it =
                |found: &Value| found.pointer("/identifier/value").and_then(Value::as_str) == Some(value.as_str());
            let found = view.list(&Index::Identifier.by(&[kind, value]), None, SAME_IDENTIFIER_MAX, &is_it)?;
            found.records.into_iter().max_by_key(|kept| kept.timestamp_ms)
        }
    };
    Ok(identity.and_then(|kept| kept.value.get("person").and_then(Value::as_str).map(str::to_owned)))
}

fn nobody() -> Problem {
    Problem::not_found("customer")
}

/// A customer's record, and what the models of buying expect of them.
#[utoipa::path(
    get, path = "/api/v1/customers/{customer}", operation_id = "get_customer", tag = "customers",
    params(
        ("customer" = String, Path, description = "A person's id, also one that is no longer in use; or TYPE:VALUE of any identifier, such as email:ann@example.org"),
        Horizon,
    ),
    responses(
        (status = 200, description = "What the company knows", body = KnownCustomer),
        (status = 404, description = "Nobody is known by that", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:customers"])),
)]
pub(super) async fn get(
    State(api): State<Shared>,
    By(caller): By,
    Named(customer): Named,
    Parameters(Horizon { horizon_days }): Parameters<Horizon>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadCustomers])?;
    let horizon_days = horizon_days.unwrap_or(HORIZON_DAYS);
    if !(1..=HORIZON_DAYS_MAX).contains(&horizon_days) {
        return Err(Problem::parameter(format!("`horizon_days` must be between 1 and {HORIZON_DAYS_MAX}")));
    }
    let calendar = Arc::clone(&api.calendar);
    let known = move |view: &View, person: &str| {
        let Some(record) = view.get(&Place::of(Feed::Customers, person))?.map(|kept| kept.value) else {
            return Ok(None);
        };
        let expected = expected(view, &record, horizon_days, &calendar)?.map(Expected::from);
        Ok(Some(KnownCustomer { record, expected }))
    };
    Ok(reply::one(&api.noted(&caller, "get_customer", &customer, known, |_| 1).await?))
}

/// A customer's touchpoints, of every department, the newest first.
#[utoipa::path(
    get, path = "/api/v1/customers/{customer}/timeline", operation_id = "get_customer_timeline", tag = "customers",
    params(("customer" = String, Path, description = "As of the record"), Paging),
    responses(
        (status = 200, description = "Touchpoints; each says by which department and with which identifiers it came", body = Listing<Touchpoint>),
        (status = 404, description = "Nobody is known by that", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:customers"])),
)]
pub(super) async fn timeline(
    State(api): State<Shared>,
    By(caller): By,
    Named(customer): Named,
    asked: Asked<Everything>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadCustomers])?;
    let sought = api.sought(&customer)?;
    let Some(person) = api.ask(move |view| find(view, &sought)).await? else {
        api.note(&caller, "get_customer_timeline", None, 0).await?;
        return Err(nobody());
    };
    let (items, next) = api.page(&asked, Index::Timeline.by(&[&person]), |_| true).await?;
    api.note(&caller, "get_customer_timeline", Some(&person), items.len()).await?;
    Ok(reply::page(&asked, &super::columns(Feed::Touchpoints), items, next))
}

/// Why a customer's identifiers are one person.
#[utoipa::path(
    get, path = "/api/v1/customers/{customer}/identity", operation_id = "get_customer_identity", tag = "customers",
    params(("customer" = String, Path, description = "As of the record")),
    responses(
        (status = 200, description = "Identifiers, what does not link, and how it came about", body = Evidence),
        (status = 404, description = "Nobody is known by that", body = ProblemBody, content_type = "application/problem+json"),
    ),
    security(("token" = ["read:customers"])),
)]
pub(super) async fn identity(
    State(api): State<Shared>,
    By(caller): By,
    Named(customer): Named,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadCustomers])?;
    let records = |evidence: &Evidence| 1 + evidence.identifiers.len() + evidence.changes.len();
    Ok(reply::one(&api.noted(&caller, "get_customer_identity", &customer, evidence, records).await?))
}

fn evidence(view: &View, person: &str) -> Result<Option<Evidence>, Problem> {
    let Some(record) = view.get(&Place::of(Feed::Identities, person))? else { return Ok(None) };
    let members = view.list(&Index::Members.by(&[person]), None, MEMBERS_MAX, &|_| true)?;
    let mut changes: Vec<Value> = Vec::new();
    // A change of a pair is found by either.
    for id in members.records.iter().filter_map(|kept| kept.key.as_deref()) {
        let of_one = view.list(&Index::Journal.by(&[id]), None, CHANGES_MAX, &|_| true)?;
        for change in of_one.records.into_iter().map(|kept| kept.value) {
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
    let identifiers = members.records.into_iter().map(|kept| kept.value).collect();
    let seen = seen(view, std::slice::from_ref(&record.value))?.pop().unwrap_or_default();
    Ok(Some(Evidence { person: record.value, identifiers, seen, changes }))
}

/// Persons with identifiers that do not link although they were seen together, with who saw them and when; identifiers that too
/// many share; and persons close to a limit.
///
/// Without the role read:customers the value of each identifier is its keyed hash: `#` and 32 hexadecimal digits, by which a decision
/// takes it, `email#0123…`. Where the feeds have keyed hashes, it is theirs, without the mark. Nor is any touchpoint named then.
#[utoipa::path(
    get, path = "/api/v1/identity/conflicts", operation_id = "list_identity_conflicts", tag = "customers", params(Paging),
    responses((status = 200, description = "Their records, by id", body = Listing<Contested>)),
    security(("token" = ["read:customers"]), ("token" = ["review"])),
)]
pub(super) async fn conflicts(
    State(api): State<Shared>,
    By(caller): By,
    asked: Asked<Everything>,
) -> Result<Response, Problem> {
    caller.must_have(&[Role::ReadCustomers, Role::Review])?;
    let (records, next) = api.page(&asked, Index::Conflicts.by(&[]), |_| true).await?;
    api.note(&caller, "list_identity_conflicts", None, records.len()).await?;
    let mut persons: Vec<Contested> = api
        .ask(move |view| {
            let seen = seen(view, &records)?;
            Ok(records.into_iter().zip(seen).map(|(record, seen)| Contested { record, seen }).collect())
        })
        .await?;
    if !caller.has(&[Role::ReadCustomers]) {
        for Contested { record, seen } in &mut persons {
            mask(record, &api.names, &api.person_key);
            seen.iter_mut().for_each(SeenTogether::withhold_ids);
        }
    }
    let items = persons.iter().map(|person| serde_json::to_value(person).expect("documents can be written")).collect();
    Ok(reply::page(&asked, &super::columns(Feed::Identities), items, next))
}

/// Writes identifiers within as keyed hashes: told apart, and nothing of whose they are. `names`: how they are written now. What looks
/// like a keyed hash says nothing of that: a cookie's value may be 32 such digits.
fn mask(value: &mut Value, names: &Names, key: &PersonKey) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, names, key)),
        Value::Object(fields) => {
            if let (Some(Value::String(kind)), Some(Value::String(value))) = (fields.get("type"), fields.get("value")) {
                let is_hashed = matches!(names, Names::Hashed(_)) && PersonId::parse(value).is_some();
                if !is_hashed {
                    let kind = IdentifierType::parse(kind);
                    let hidden = kind.map(|kind| format!("{HASH_MARK}{}", key.person(Identifier { kind, value })));
                    fields.insert("value".to_owned(), hidden.unwrap_or_default().into());
                }
            }
            fields.values_mut().for_each(|field| mask(field, names, key));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn masked_identifiers_are_told_apart_and_say_nothing() {
        let key = PersonKey([7; 32]);
        let hash = |kind: IdentifierType, value: &str| key.person(Identifier { kind, value }).to_string();
        let hidden = |value: &str| format!("#{}", hash(IdentifierType::Email, value));
        let identifier = |value: &str| json!({"type": "email", "value": value});
        // A cookie that is an MD5.
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let cookie = |value: &str| json!({"type": "cookie", "value": value});
        let person = hash(IdentifierType::Email, "ann@x.org");
        let record = json!({
            "person": person, "strongest": identifier("ann@x.org"), "shared": false, "identifiers_total": 2,
            "identifiers": [identifier("ann@x.org"), cookie(md5), {"type": "", "value": ""}, {"type": "unheard", "value": "x"}],
            "conflicts": [{"stronger": identifier("ann@x.org"), "weaker": identifier("bob@x.org"), "rule": "limit"}],
        });
        let masked = |names: &Names, record: &Value| {
            let mut record = record.clone();
            mask(&mut record, names, &key);
            record
        };
        let (ann, bob) = (hidden("ann@x.org"), hidden("bob@x.org"));
        let of_cookie = hash(IdentifierType::Cookie, md5);
        assert_eq!(
            masked(&Names::Clear, &record),
            json!({
                "person": person, "strongest": identifier(&ann), "shared": false, "identifiers_total": 2,
                "identifiers": [identifier(&ann), cookie(&format!("#{of_cookie}")), {"type": "", "value": ""}, {"type": "unheard", "value": ""}],
                "conflicts": [{"stronger": identifier(&ann), "weaker": identifier(&bob), "rule": "limit"}],
            })
        );
        let hashed = Names::Hashed(Arc::new(key.clone()));
        let published = json!({"strongest": identifier(&person), "identifiers": [cookie(&of_cookie)]});
        assert_eq!(masked(&hashed, &published), published, "it is not hashed once more");
        assert_eq!(masked(&hashed, &identifier("ann@x.org")), identifier(&ann), "and nothing is shown in clear");
    }
}
