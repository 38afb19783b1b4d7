//! Observations in, the values of `insight.metrics` out.

use std::{
    borrow::Cow,
    cell::RefCell,
    collections::{BTreeMap, HashMap},
};

use jiff::{
    Timestamp,
    civil::{Date, date},
    tz::TimeZone,
};
use serde_json::{Value, json};

use super::{
    Options, escaped,
    figures::{Count, Figures, is_per_customer, together},
    sources::Touch,
};

const DIMENSIONS: [&str; 11] =
    ["company", "spoke", "channel", "segment", "region", "product", "subject", "campaign", "account", "phase", "item"];
const ITEM: u8 = 10;
pub const METRICS: [&str; 35] = [
    "nps",
    "csat",
    "ces",
    "sentiment",
    "promise_gap",
    "on_time",
    "overdue",
    "first_response_time",
    "unanswered",
    "resolution_time",
    "new_customers",
    "revenue",
    "orders",
    "average_order_value",
    "return_rate",
    "contact_rate",
    "reach",
    "retention",
    "advocacy",
    "acquisition_cost",
    "customer_value",
    "expectation_gap",
    "full_resolution_time",
    "first_contact_resolution",
    "follow_up_time",
    "repurchase_30",
    "repurchase_60",
    "repurchase_90",
    "referral",
    "word_of_mouth",
    "margin",
    "conversion",
    "contact_pressure",
    "churn",
    "content_credibility",
];
/// Counted ahead: published from the day on which their window begins.
const AHEAD: [&str; 2] = ["retention", "churn"];

/// Days since 1970-01-01.
pub type Day = i32;
/// 0 day, 1 week, 2 month, with the first day.
pub type Window = (u8, Day);
/// Index into the dimensions, and the interned value; the company is zero twice.
pub type Slice = (u8, u32);
/// A window of a slice.
pub type Place = (Slice, Window);

/// Calendar arithmetic, by jiff.
pub struct Calendar {
    zone: TimeZone,
}

impl Calendar {
    pub fn new(time_zone: &str) -> Calendar {
        Calendar { zone: TimeZone::get(time_zone).unwrap() }
    }

    fn day(&self, milliseconds: i64) -> Day {
        let instant = Timestamp::from_millisecond(milliseconds).unwrap();
        number(self.zone.to_datetime(instant).date())
    }
}

fn number(day: Date) -> Day {
    day.since(date(1970, 1, 1)).unwrap().get_days()
}

pub fn civil(day: Day) -> Date {
    let instant = Timestamp::from_second(i64::from(day) * 86_400).unwrap();
    TimeZone::UTC.to_datetime(instant).date()
}

pub fn windows(day: Day) -> [Window; 3] {
    let today = civil(day);
    let since_monday = i32::from(today.weekday().to_monday_zero_offset());
    [(0, day), (1, day - since_monday), (2, number(today.first_of_month()))]
}

/// The window of the same kind that follows.
pub fn next(window: Window) -> Window {
    (window.0, end(window))
}

/// The first day after a window.
pub fn end((kind, start): Window) -> Day {
    match kind {
        0 => start + 1,
        1 => start + 7,
        _ => start + i32::from(civil(start).days_in_month()),
    }
}

pub fn window_name((kind, start): Window) -> String {
    let first = civil(start);
    match kind {
        0 => format!("day:{first}"),
        1 => format!("week:{:04}-W{:02}", first.iso_week_date().year(), first.iso_week_date().week()),
        _ => format!("month:{:04}-{:02}", first.year(), first.month()),
    }
}

/// When and where a touchpoint counts.
pub struct Moment {
    pub day: Day,
    pub windows: [Window; 3],
    pub slices: Vec<Slice>,
}

impl Moment {
    /// Every window of every slice.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.slices.iter().flat_map(|slice| self.windows.iter().map(|window| (*slice, *window)))
    }

    /// Every slice of one window.
    pub fn places_in(&self, window: Window) -> impl Iterator<Item = Place> + '_ {
        self.slices.iter().map(move |slice| (*slice, window))
    }
}

/// What was counted at one place for one metric.
#[derive(Clone, Default)]
pub struct Cell {
    pub n: i64,
    pub a: i64,
    pub b: i64,
    pub values: Vec<i64>,
}

/// All cells, before publication.
pub struct World {
    calendar: Calendar,
    /// The day before that of the newest touchpoint.
    pub last_closed_day: Day,
    names: Vec<String>,
    numbers: HashMap<String, u32>,
    windows: RefCell<HashMap<Day, [Window; 3]>>,
    cells: HashMap<(u8, u32, Place), Cell, ahash::RandomState>,
    levels: HashMap<(u8, Slice), BTreeMap<Day, i64>>,
    /// At the close of each day the messages of the last 30 to each person who got any.
    pub messages: HashMap<Slice, BTreeMap<Day, Vec<i64>>>,
}

fn metric_number(metric: &str) -> u8 {
    METRICS.iter().position(|name| *name == metric).unwrap() as u8
}

impl World {
    pub fn new(calendar: Calendar, as_of: i64) -> World {
        let last_closed_day = calendar.day(as_of) - 1;
        let mut world = World {
            calendar,
            last_closed_day,
            names: Vec::new(),
            numbers: HashMap::new(),
            windows: RefCell::default(),
            cells: HashMap::default(),
            levels: HashMap::new(),
            messages: HashMap::new(),
        };
        // Number 0 is the company's empty value, and no currency.
        world.name("");
        world
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len() as u32;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }

    pub fn day(&self, milliseconds: i64) -> Day {
        self.calendar.day(milliseconds)
    }

    /// The month of a day: its name and what records say of it.
    pub fn month(&self, day: Day) -> (String, Value) {
        let month = windows(day)[2];
        let about = json!({"kind": "month", "start": civil(month.1).to_string(), "end": civil(end(month)).to_string()});
        (window_name(month), about)
    }

    /// What records say of the month after one.
    pub fn month_after(&self, month: &Value) -> Value {
        let end: Date = month["end"].as_str().unwrap().parse().unwrap();
        self.month(number(end)).1
    }

    /// A day: its name and what records say of it.
    pub fn day_window(&self, day: Day) -> (String, Value) {
        let about = json!({"kind": "day", "start": civil(day).to_string(), "end": civil(day + 1).to_string()});
        (window_name((0, day)), about)
    }

    /// The dimension of a slice, and its value.
    pub fn dimension(&self, slice: Slice) -> (&'static str, &str) {
        (DIMENSIONS[usize::from(slice.0)], &self.names[slice.1 as usize])
    }

    /// Whether the last day of a month has closed.
    pub fn is_over(&self, month: &Value) -> bool {
        let end: Date = month["end"].as_str().unwrap().parse().unwrap();
        number(end) - 1 <= self.last_closed_day
    }

    pub fn moment(&mut self, touch: &Touch, phase: &str) -> Moment {
        let day = self.day(touch.occurred_at);
        let values = [
            Some(""),
            Some(touch.spoke.as_str()),
            touch.channel.as_deref(),
            touch.segment.as_deref(),
            touch.region.as_deref(),
            touch.product.as_deref(),
            touch.subject.as_deref(),
            touch.campaign.as_deref(),
            touch.account.as_deref(),
            Some(phase),
        ];
        let named = values.into_iter().enumerate().filter_map(|(index, value)| Some((index as u8, value?)));
        let slices = named.map(|(index, value)| (index, self.name(value))).collect();
        let windows = *self.windows.borrow_mut().entry(day).or_insert_with(|| windows(day));
        Moment { day, windows, slices }
    }

    /// The same time for one item alone.
    pub fn of_item(&mut self, moment: &Moment, item: &str) -> Moment {
        Moment { day: moment.day, windows: moment.windows, slices: vec![(ITEM, self.name(item))] }
    }

    pub fn at(&mut self, metric: &str, currency: Option<&str>, place: Place) -> &mut Cell {
        let currency = currency.map_or(0, |currency| self.name(currency));
        self.cells.entry((metric_number(metric), currency, place)).or_default()
    }

    /// Adds counts.
    pub fn count(&mut self, metric: &str, moment: &Moment, n: i64, a: i64, b: i64) {
        for place in moment.places() {
            let cell = self.at(metric, None, place);
            cell.n += n;
            cell.a += a;
            cell.b += b;
        }
    }

    /// Adds one observed value.
    pub fn measure(&mut self, metric: &str, currency: Option<&String>, moment: &Moment, value: i64, a: i64) {
        for place in moment.places() {
            let cell = self.at(metric, currency.map(String::as_str), place);
            cell.n += 1;
            cell.a += a;
            cell.values.push(value);
        }
    }

    /// Something stands at the close of every day from `start` until before `end`, or until now.
    pub fn stands(&mut self, metric: &str, moment: &Moment, start: Day, end: Option<Day>) {
        let last = end.map_or(self.last_closed_day, |end| self.last_closed_day.min(end - 1));
        for slice in &moment.slices {
            for day in start..=last {
                *self.levels.entry((metric_number(metric), *slice)).or_default().entry(day).or_default() += 1;
            }
        }
    }

    /// The state of `insight.metrics`, by key; and what it would say of weeks if every value of a dimension had a key of its own.
    pub fn publish(&mut self, options: &Options) -> [BTreeMap<String, Value>; 2] {
        self.open_with_subscriptions();
        let all = self.published(options.dimension_values_max, |_| true, options);
        [all, self.published(usize::MAX, |(kind, _)| kind == 1, options)]
    }

    fn published(
        &self,
        values_max: usize,
        is_shown: impl Fn(Window) -> bool,
        options: &Options,
    ) -> BTreeMap<String, Value> {
        let mut feed = BTreeMap::new();
        for ((metric, _, dimension, window), values) in self.groups(is_shown) {
            let name = METRICS[usize::from(metric)];
            let n_of = |amounts: &BTreeMap<u32, Count<'_>>| {
                // The customers of every currency are those without one.
                let counted = if is_per_customer(name) { amounts.get(&0) } else { amounts.values().next() };
                counted.map_or(0, |count| count.n(name))
            };
            let mut ranked: Vec<_> = values.into_iter().collect();
            ranked.sort_by_key(|(value, amounts)| (-n_of(amounts), self.names[*value as usize].as_str()));
            let others = ranked.split_off(ranked.len().min(values_max));
            let of_others = (!others.is_empty()).then(|| (0, together(&others)));
            for (is_of_others, (value, amounts)) in
                ranked.into_iter().map(|one| (false, one)).chain(of_others.map(|one| (true, one)))
            {
                let others = is_of_others.then_some(others.len());
                let place = ((dimension, value), window);
                for (currency, count) in &amounts {
                    let figures = match (count, is_per_customer(name)) {
                        (_, true) if *currency == 0 => continue,
                        (Count::Cell(cell), true) => {
                            let (n, sum) = (n_of(&amounts), cell.values.iter().sum::<i64>());
                            Figures::new("minor_units", n, sum, n, (n > 0).then(|| sum as f64 / n as f64))
                        }
                        _ => count.figures(name, options.contact_cap),
                    };
                    let currency = (*currency != 0).then(|| self.names[*currency as usize].as_str());
                    self.insert(&mut feed, (metric, currency), place, others, figures);
                }
            }
        }
        feed
    }

    /// What is counted, by what competes for keys, value and currency.
    fn groups(
        &self,
        is_shown: impl Fn(Window) -> bool,
    ) -> BTreeMap<(u8, u32, u8, Window), BTreeMap<u32, BTreeMap<u32, Count<'_>>>> {
        let mut groups: BTreeMap<_, BTreeMap<_, BTreeMap<_, _>>> = BTreeMap::new();
        let mut take = |metric: u8, currency: u32, ((dimension, value), window): Place, count| {
            if !is_shown(window) {
                return;
            }
            let within = if is_per_customer(METRICS[usize::from(metric)]) { 0 } else { currency };
            let group = groups.entry((metric, within, dimension, window)).or_default();
            group.entry(value).or_default().insert(currency, count);
        };
        for ((metric, currency, place), cell) in &self.cells {
            if AHEAD.contains(&METRICS[usize::from(*metric)]) && place.1.1 > self.last_closed_day + 1 {
                continue;
            }
            take(*metric, *currency, *place, Count::Cell(Cow::Borrowed(cell)));
        }
        // A longer window shows a level at its last closed day.
        let shown =
            |day: Day| windows(day).into_iter().filter(move |window| day == self.last_closed_day.min(end(*window) - 1));
        for ((metric, slice), days) in &self.levels {
            for (day, level) in days {
                for window in shown(*day).filter(|_| METRICS[usize::from(*metric)] != "churn") {
                    take(*metric, 0, (*slice, window), Count::Level(*level));
                }
            }
        }
        for (slice, days) in &self.messages {
            for (day, counts) in days {
                for window in shown(*day) {
                    take(metric_number("contact_pressure"), 0, (*slice, window), Count::Messages(counts.clone()));
                }
            }
        }
        groups
    }

    /// Each window begins with the subscriptions that stood at the close of the day before it.
    fn open_with_subscriptions(&mut self) {
        let churn = metric_number("churn");
        for ((_, slice), days) in self.levels.iter().filter(|((metric, _), _)| *metric == churn) {
            for (day, level) in days {
                for window in windows(day + 1).into_iter().filter(|window| window.1 == day + 1) {
                    self.cells.entry((churn, 0, (*slice, window))).or_default().values.push(*level);
                }
            }
        }
    }

    fn insert(
        &self,
        feed: &mut BTreeMap<String, Value>,
        (metric, currency): (u8, Option<&str>),
        ((dimension, value), window): Place,
        others: Option<usize>,
        figures: Figures,
    ) {
        let metric = METRICS[usize::from(metric)];
        let dimension = DIMENSIONS[usize::from(dimension)];
        let value = if others.is_some() { "other" } else { self.names[value as usize].as_str() };
        let mut parts = Vec::new();
        parts.extend(currency.map(|currency| format!("currency={currency}")));
        parts.extend((dimension != "company").then(|| match others {
            Some(_) => format!("others={dimension}"),
            None => format!("{dimension}={}", escaped(value)),
        }));
        let key = format!("{metric}|{}|{}", window_name(window), parts.join("&"));
        let kind = ["day", "week", "month"][usize::from(window.0)];
        let (low, high) = figures.interval.unzip();
        let [p50, p90, p99] = figures.percentiles.map_or([None; 3], |values| values.map(Some));
        // Null and empty members are left out: they say as much as absent ones, and simulations build many.
        let window = json!({"kind": kind, "start": civil(window.1).to_string(), "end": civil(end(window)).to_string()});
        let always = [
            ("metric", Value::from(metric)),
            ("unit", Value::from(figures.unit)),
            ("window", window),
            ("dimension", Value::from(dimension)),
            ("dimension_value", Value::from(value)),
            ("n", Value::from(figures.n)),
            ("numerator", Value::from(figures.numerator)),
            ("denominator", Value::from(figures.denominator)),
        ];
        let numbers = [
            ("value", figures.value),
            ("standard_error", figures.standard_error),
            ("interval_low", low),
            ("interval_high", high),
            ("p50", p50),
            ("p90", p90),
            ("p99", p99),
        ];
        let numbers = numbers.into_iter().filter_map(|(name, number)| Some((name, Value::from(number?))));
        let currency = currency.map(|currency| ("currency", Value::from(currency)));
        let details = (!figures.details.is_empty()).then_some(("details", Value::Object(figures.details)));
        let others = others.map(|others| ("other_values", Value::from(others)));
        let members = always.into_iter().chain(numbers).chain(currency).chain(others).chain(details);
        let json = Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect());
        assert!(feed.insert(key, json).is_none());
    }
}
