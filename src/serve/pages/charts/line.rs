//! Values of windows in; a line over time out, with the band of their intervals, hollow where they can still change.

use super::{
    Chart, Mark, Px, Spark, colour,
    scale::{Scale, axis},
};
use crate::serve::pages::{
    blocks::{Line, Table, columns, line as plain, soft, text},
    words::{amount, count, interval_words, parsed_day, status_badge, window},
};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 16.0;
const BOTTOM: f64 = 36.0;
/// How long a name along the axis of time is, and how far its neighbour is away.
const NAME: f64 = 84.0;
const ROOM_OF_NAME: f64 = 112.0;
/// Bands of more things than these hide each other: their intervals are in the table.
const BANDS_MAX: usize = 2;

/// A window's value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::serve::pages) struct Point {
    /// The window's first day, `2026-01-31`.
    pub(in crate::serve::pages) start: String,
    pub(in crate::serve::pages) value: Option<f64>,
    pub(in crate::serve::pages) interval: Option<(f64, f64)>,
    pub(in crate::serve::pages) n: i64,
    pub(in crate::serve::pages) status: String,
}

/// Values of one thing.
#[derive(Clone, Debug, Default)]
pub(in crate::serve::pages) struct Series {
    pub(in crate::serve::pages) name: String,
    /// By time.
    pub(in crate::serve::pages) points: Vec<Point>,
}

/// What is drawn over time.
#[derive(Clone, Debug, Default)]
pub(in crate::serve::pages) struct TimeChart {
    pub(in crate::serve::pages) id: String,
    pub(in crate::serve::pages) title: String,
    pub(in crate::serve::pages) unit: String,
    pub(in crate::serve::pages) currency: String,
    /// day, week or month.
    pub(in crate::serve::pages) window: String,
    pub(in crate::serve::pages) series: Vec<Series>,
}

/// Days since 1970-01-01; `None` of what is no day.
fn number_of(start: &str) -> Option<f64> {
    parsed_day(start).map(|day| f64::from(day.0))
}

/// The picture.
pub(in crate::serve::pages) fn line(chart: TimeChart) -> Chart {
    let shown = |value: f64| amount(value, &chart.unit, &chart.currency);
    let all = || chart.series.iter().flat_map(|series| &series.points);
    let days = all().filter_map(|point| number_of(&point.start));
    let (first, last) = days.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), day| (low.min(day), high.max(day)));
    let x = Scale::new((first, last), (LEFT, WIDTH - RIGHT));
    let numbers = all().flat_map(|point| {
        let ends = point.interval.filter(|_| point.value.is_some() && has_bands(&chart)).map(|(low, high)| [low, high]);
        point.value.into_iter().chain(ends.into_iter().flatten())
    });
    let (ends, ticks) = axis(numbers, &chart.unit, false);
    let y = Scale::new(ends, (HEIGHT - BOTTOM, TOP));
    let mut marks = Vec::new();
    for tick in ticks {
        let at = y.place(tick);
        marks.push(Mark::Rule { class: "grid", from: (Px(LEFT), Px(at)), to: (Px(WIDTH - RIGHT), Px(at)) });
        marks.push(Mark::Words { class: "soft end", at: (Px(LEFT - 8.0), Px(at + 4.0)), words: shown(tick) });
    }
    marks.extend(names(all().map(|point| point.start.as_str()), &chart.window, x));
    for (number, series) in chart.series.iter().enumerate() {
        draw((series, number), &chart.window, (x, y), &shown, has_bands(&chart), &mut marks);
    }
    let legend = match chart.series.len() {
        0 | 1 => Vec::new(),
        _ => chart.series.iter().enumerate().map(|(at, series)| (colour(at), series.name.clone())).collect(),
    };
    Chart {
        description: described(&chart, &shown),
        table: table(&chart),
        id: chart.id,
        title: chart.title,
        width: WIDTH as u32,
        height: HEIGHT as u32,
        legend,
        marks,
    }
}

fn has_bands(chart: &TimeChart) -> bool {
    chart.series.len() <= BANDS_MAX
}

/// Names of some windows along the axis of time.
fn names<'s>(starts: impl Iterator<Item = &'s str>, kind: &str, x: Scale) -> Vec<Mark> {
    let mut starts: Vec<&str> = starts.collect();
    starts.sort_unstable();
    starts.dedup();
    let mut marks = Vec::new();
    // From the newest back: that one has a name, and the next one that there is room for.
    let mut before = f64::INFINITY;
    for start in starts.iter().rev() {
        let Some(at) = number_of(start).map(|day| x.place(day)) else { continue };
        // The name at the end would leave the picture.
        let is_end = at > WIDTH - RIGHT - NAME / 2.0;
        let middle = if is_end { WIDTH - RIGHT - NAME / 2.0 } else { at };
        if before - middle < ROOM_OF_NAME {
            continue;
        }
        before = middle;
        let words = window(if kind == "month" { "month" } else { "day" }, start);
        let (class, at) = if is_end { ("soft end", WIDTH - RIGHT) } else { ("soft middle", at) };
        marks.push(Mark::Words { class, at: (Px(at), Px(HEIGHT - 12.0)), words });
    }
    marks
}

fn draw(
    (series, number): (&Series, usize),
    kind: &str,
    (x, y): (Scale, Scale),
    shown: &dyn Fn(f64) -> String,
    has_bands: bool,
    marks: &mut Vec<Mark>,
) {
    let class = colour(number);
    // Where a window has no value, the line has a gap.
    for run in series.points.split(|point| point.value.is_none()) {
        let places: Vec<(f64, f64, &Point)> = run
            .iter()
            .filter_map(|point| Some((x.place(number_of(&point.start)?), y.place(point.value?), point)))
            .collect();
        let band: Vec<(f64, f64, f64)> = places
            .iter()
            .filter_map(|(at, _, point)| point.interval.map(|(low, high)| (*at, y.place(low), y.place(high))))
            .collect();
        if has_bands && band.len() > 1 {
            let over = band.iter().map(|(at, _, high)| (*at, *high));
            let under = band.iter().rev().map(|(at, low, _)| (*at, *low));
            let path = format!("{}Z", path(over.chain(under)));
            marks.push(Mark::Path { class: format!("band {class}"), path, tip: "95 % interval".to_owned() });
        }
        // The way to a value that can still change is dashed.
        let sure = places.iter().take_while(|(_, _, point)| point.status != "provisional").count();
        let whole: Vec<(f64, f64)> = places.iter().map(|(at, value, _)| (*at, *value)).collect();
        for (part, dash) in [(&whole[..sure], ""), (&whole[sure.saturating_sub(1)..], " dashed")] {
            if part.len() > 1 {
                let class = format!("stroke{dash} {class}");
                marks.push(Mark::Path { class, path: path(part.iter().copied()), tip: series.name.clone() });
            }
        }
        for (at, value, point) in places {
            let form = if point.status == "provisional" { "open" } else { "fill" };
            let tip = format!(
                "{}{}: {}, n {}{}",
                if series.name.is_empty() { String::new() } else { format!("{}, ", series.name) },
                window(kind, &point.start),
                shown(point.value.unwrap_or_default()),
                count(point.n),
                if form == "open" { ", provisional" } else { "" }
            );
            marks.push(Mark::Dot { class: format!("{form} {class}"), at: (Px(at), Px(value)), radius: Px(3.5), tip });
        }
    }
}

/// `M x y L x y …`.
fn path(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (at, (x, y)) in places.enumerate() {
        path.push(if at == 0 { 'M' } else { 'L' });
        path.push_str(&format!("{} {}", Px(x), Px(y)));
    }
    path
}

/// What is to be seen, in words.
fn described(chart: &TimeChart, shown: &dyn Fn(f64) -> String) -> String {
    let of_one = |series: &Series| {
        let mut known = series.points.iter().filter_map(|point| Some((point, point.value?)));
        let first = known.next();
        let last = known.next_back().or(first);
        let name = if series.name.is_empty() { String::new() } else { format!("{}: ", series.name) };
        match (first, last) {
            (Some((first, before)), Some((last, now))) => format!(
                "{name}from {} ({}) to {} ({}).",
                shown(before),
                window(&chart.window, &first.start),
                shown(now),
                window(&chart.window, &last.start)
            ),
            _ => format!("{name}no value."),
        }
    };
    let all: Vec<String> = chart.series.iter().map(of_one).collect();
    let bands =
        if has_bands(chart) { ", with 95 % intervals where they are known" } else { "; intervals are in the table" };
    format!("A line over time{bands}. {}", all.join(" "))
}

fn table(chart: &TimeChart) -> Table {
    let mut rows: Vec<(&str, usize, Vec<Line>)> = Vec::new();
    for (number, series) in chart.series.iter().enumerate() {
        for point in &series.points {
            let value = point
                .value
                .map_or_else(|| vec![soft("no value")], |it| plain(amount(it, &chart.unit, &chart.currency)));
            let interval = point.interval.map(|ends| interval_words(ends, &chart.unit, &chart.currency));
            let mut row = vec![plain(window(&chart.window, &point.start))];
            if chart.series.len() > 1 {
                row.push(plain(series.name.clone()));
            }
            row.extend([value, plain(interval.unwrap_or_default()), plain(count(point.n))]);
            row.push(status_badge(&point.status).map_or_else(|| vec![text(point.status.clone())], |badge| vec![badge]));
            rows.push((&point.start, number, row));
        }
    }
    // The newest first.
    rows.sort_by(|a, b| b.0.cmp(a.0).then(a.1.cmp(&b.1)));
    let columns = match chart.series.len() {
        0 | 1 => columns(["Window", "#Value", "#Interval", "#n", "Status"]),
        _ => columns(["Window", "Of", "#Value", "#Interval", "#n", "Status"]),
    };
    Table {
        caption: format!("{}, as numbers", chart.title),
        columns,
        rows: rows.into_iter().map(|(_, _, row)| row).collect(),
        empty: "There are no values.",
    }
}

/// The newest values of one thing, small: what can still change is dashed, and its end hollow.
pub(in crate::serve::pages) fn spark(points: &[Point], description: String) -> Option<Spark> {
    let known: Vec<(f64, f64, bool)> = points
        .iter()
        .filter_map(|point| Some((number_of(&point.start)?, point.value?, point.status == "provisional")))
        .collect();
    let (first, last) = (known.first()?, known.last()?);
    if known.len() < 2 {
        return None;
    }
    let x = Scale::new((first.0, last.0), (4.0, 156.0));
    let ends = known
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), (_, value, _)| (low.min(*value), high.max(*value)));
    let y = Scale::new(ends, (32.0, 4.0));
    let places: Vec<(f64, f64)> = known.iter().map(|(day, value, _)| (x.place(*day), y.place(*value))).collect();
    let closed = known.iter().rposition(|(.., is_open)| !is_open).map_or(0, |at| at + 1);
    let end = |at: usize| places.get(at).map(|(at, value)| (Px(*at), Px(*value)));
    let has_open = closed < places.len();
    let from = closed.saturating_sub(1);
    Some(Spark {
        description,
        paths: if closed > 1 { vec![path(places[..closed].iter().copied())] } else { Vec::new() },
        open_path: (has_open && places.len() - from > 1).then(|| path(places[from..].iter().copied())),
        last: closed.checked_sub(1).and_then(end),
        open: has_open.then(|| end(places.len() - 1)).flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(start: &str, value: Option<f64>, status: &str) -> Point {
        Point {
            start: start.to_owned(),
            value,
            interval: value.map(|value| (value - 5.0, value + 5.0)),
            n: 1_234,
            status: status.to_owned(),
        }
    }

    fn chart(points: Vec<Point>) -> Chart {
        line(TimeChart {
            id: "c".to_owned(),
            title: "On time".to_owned(),
            unit: "percent".to_owned(),
            window: "month".to_owned(),
            series: vec![Series { name: String::new(), points }],
            ..TimeChart::default()
        })
    }

    fn dots(chart: &Chart) -> Vec<(f64, f64, String)> {
        let dot = |mark: &Mark| match mark {
            Mark::Dot { class, at, .. } => Some((at.0.0, at.1.0, class.clone())),
            _ => None,
        };
        chart.marks.iter().filter_map(dot).collect()
    }

    #[test]
    fn a_value_is_where_its_time_and_its_size_say() {
        let drawn = chart(vec![
            point("2026-01-01", Some(40.0), "final"),
            point("2026-02-01", Some(80.0), "final"),
            point("2026-03-01", Some(60.0), "provisional"),
        ]);
        let dots = dots(&drawn);
        assert_eq!(dots.len(), 3);
        // 31 of the 59 days, and upwards.
        assert!((dots[0].0 - LEFT).abs() < 1e-9 && (dots[2].0 - (WIDTH - RIGHT)).abs() < 1e-9);
        assert!((dots[1].0 - (LEFT + (WIDTH - RIGHT - LEFT) * 31.0 / 59.0)).abs() < 1e-9);
        assert!(dots[1].1 < dots[2].1 && dots[2].1 < dots[0].1, "{dots:?}");
        assert!(dots[0].2.starts_with("fill") && dots[2].2.starts_with("open"), "{dots:?}");
        assert!(dots.iter().all(|(_, y, _)| (TOP..=HEIGHT - BOTTOM).contains(y)));
        let dashed =
            drawn.marks.iter().filter(|mark| matches!(mark, Mark::Path { class, .. } if class.contains("dashed")));
        assert_eq!(dashed.count(), 1, "the way to what can still change");
        let html = drawn.to_string();
        assert!(html.contains("from 40.0 % (Jan 2026) to 60.0 % (Mar 2026)"), "{html}");
        assert!(html.contains("95 % 35.0 % to 45.0 %") && html.contains("1,234") && html.contains("provisional"));
    }

    #[test]
    fn where_there_is_no_value_the_line_has_a_gap() {
        let drawn = chart(vec![
            point("2026-01-01", Some(40.0), "final"),
            point("2026-02-01", Some(41.0), "final"),
            point("2026-03-01", None, "final"),
            point("2026-04-01", Some(42.0), "final"),
            point("2026-05-01", Some(43.0), "final"),
        ]);
        let lines =
            drawn.marks.iter().filter(|mark| matches!(mark, Mark::Path { class, .. } if class.starts_with("stroke")));
        assert_eq!((lines.count(), dots(&drawn).len()), (2, 4));
    }

    #[test]
    fn pictures_of_nothing_and_of_one_value_are_pictures() {
        for points in
            [vec![], vec![point("2026-01-01", None, "final")], vec![point("2026-01-01", Some(1e300), "final")]]
        {
            let html = chart(points).to_string();
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
    }

    #[test]
    fn a_spark_needs_two_values() {
        assert_eq!(spark(&[point("2026-01-01", Some(1.0), "final")], String::new()), None);
        let two = [point("2026-01-01", Some(1.0), "final"), point("2026-02-01", Some(2.0), "final")];
        let spark = spark(&two, String::new()).expect("a line");
        assert_eq!((spark.paths, spark.open_path), (vec!["M4.0 32.0L156.0 4.0".to_owned()], None));
        assert_eq!((spark.last, spark.open), (Some((Px(156.0), Px(4.0))), None));
    }

    #[test]
    fn a_spark_shows_what_can_still_change_apart() {
        let of = |statuses: [&str; 3]| {
            let starts = ["2026-01-01", "2026-01-02", "2026-01-03"];
            let points: Vec<Point> = starts
                .iter()
                .zip(statuses)
                .zip([1.0, 2.0, 3.0])
                .map(|((start, status), value)| point(start, Some(value), status))
                .collect();
            spark(&points, String::new()).expect("a line")
        };
        let running = of(["final", "revised", "provisional"]);
        assert_eq!(running.paths, ["M4.0 32.0L80.0 18.0"]);
        assert_eq!(running.open_path.as_deref(), Some("M80.0 18.0L156.0 4.0"));
        assert_eq!((running.last, running.open), (Some((Px(80.0), Px(18.0))), Some((Px(156.0), Px(4.0)))));
        let open = of(["provisional"; 3]);
        assert!(open.paths.is_empty() && open.last.is_none());
        assert_eq!(open.open_path.as_deref(), Some("M4.0 32.0L80.0 18.0L156.0 4.0"));
        let one = of(["final", "provisional", "provisional"]);
        assert!(one.paths.is_empty() && one.last.is_some() && one.open_path.is_some());
    }
}
