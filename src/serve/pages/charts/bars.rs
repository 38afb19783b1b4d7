//! Things with a value each in; bars beside each other out, or dots, with the lines of their intervals and a line at zero.

use super::{
    Chart, Mark, Px,
    scale::{Scale, axis},
    shortened,
};
use crate::serve::pages::{blocks::Table, words::amount};

/// Room for the names: as much as the longest one needs, within these.
const NAMES: (f64, f64) = (120.0, 420.0);
/// Of a letter, on average.
const LETTER: f64 = 7.4;
const PLOT: f64 = 390.0;
const VALUES: f64 = 130.0;
const ROW: f64 = 28.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 28.0;

/// A thing with a value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::serve::pages) struct Bar {
    pub(in crate::serve::pages) name: String,
    pub(in crate::serve::pages) value: f64,
    pub(in crate::serve::pages) interval: Option<(f64, f64)>,
    /// The value as it is read.
    pub(in crate::serve::pages) shown: String,
}

/// What is drawn beside each other.
#[derive(Clone, Debug)]
pub(in crate::serve::pages) struct Bars {
    pub(in crate::serve::pages) id: String,
    pub(in crate::serve::pages) title: String,
    pub(in crate::serve::pages) unit: String,
    pub(in crate::serve::pages) currency: String,
    pub(in crate::serve::pages) bars: Vec<Bar>,
    /// Dots: what is shown is a place and no size.
    pub(in crate::serve::pages) are_dots: bool,
    pub(in crate::serve::pages) table: Table,
}

/// The picture.
pub(in crate::serve::pages) fn bars(chart: Bars) -> Chart {
    let height = TOP + ROW * chart.bars.len() as f64 + BOTTOM;
    let numbers = chart.bars.iter().flat_map(|bar| {
        let ends = bar.interval.map(|(low, high)| [low, high]);
        std::iter::once(bar.value).chain(ends.into_iter().flatten())
    });
    let (ends, ticks) = axis(numbers, &chart.unit, true);
    let longest = chart.bars.iter().map(|bar| bar.name.chars().count()).max().unwrap_or_default();
    let names = (LETTER * longest as f64 + 14.0).clamp(NAMES.0, NAMES.1);
    let width = names + PLOT + VALUES;
    let x = Scale::new(ends, (names, names + PLOT));
    let floor = height - BOTTOM;
    let mut marks = Vec::new();
    for tick in ticks {
        let at = x.place(tick);
        let class = if tick == 0.0 { "axis" } else { "grid" };
        marks.push(Mark::Rule { class, from: (Px(at), Px(TOP)), to: (Px(at), Px(floor)) });
        let words = amount(tick, &chart.unit, &chart.currency);
        marks.push(Mark::Words { class: "soft middle", at: (Px(at), Px(height - 8.0)), words });
    }
    for (number, bar) in chart.bars.iter().enumerate() {
        let top = TOP + ROW * number as f64;
        let middle = top + ROW / 2.0;
        let (zero, at) = (x.place(0.0), x.place(bar.value));
        let class = if bar.value < 0.0 { "c2" } else { "c1" };
        let tip = format!("{}: {}", bar.name, bar.shown);
        let name = shortened(&bar.name, ((names - 14.0) / LETTER) as usize);
        marks.push(Mark::Words { class: "end", at: (Px(names - 10.0), Px(middle + 4.0)), words: name });
        if !chart.are_dots {
            let (at, size) = ((Px(zero.min(at)), Px(top + 5.0)), (Px((at - zero).abs()), Px(ROW - 10.0)));
            marks.push(Mark::Rect { class: format!("fill {class}"), at, size, tip: tip.clone() });
        }
        if let Some((low, high)) = bar.interval {
            let (low, high) = (x.place(low), x.place(high));
            let line = |from: (f64, f64), to: (f64, f64)| Mark::Rule {
                class: "whisker",
                from: (Px(from.0), Px(from.1)),
                to: (Px(to.0), Px(to.1)),
            };
            marks.push(line((low, middle), (high, middle)));
            marks.extend([low, high].map(|end| line((end, middle - 4.0), (end, middle + 4.0))));
        }
        if chart.are_dots {
            marks.push(Mark::Dot { class: format!("fill {class}"), at: (Px(at), Px(middle)), radius: Px(5.0), tip });
        }
        let words = bar.shown.clone();
        marks.push(Mark::Words { class: "", at: (Px(names + PLOT + 12.0), Px(middle + 4.0)), words });
    }
    Chart {
        description: described(&chart),
        id: chart.id,
        title: chart.title,
        width: width.ceil() as u32,
        height: height as u32,
        legend: Vec::new(),
        marks,
        table: chart.table,
    }
}

/// What is to be seen, in words.
fn described(chart: &Bars) -> String {
    let first: Vec<String> = chart.bars.iter().take(5).map(|bar| format!("{} {}", bar.name, bar.shown)).collect();
    let how = if chart.are_dots { "Dots" } else { "Bars" };
    match chart.bars.len() {
        0 => "Nothing to show.".to_owned(),
        more @ 6.. => format!("{how}: {}, and {} more.", first.join(", "), more - 5),
        _ => format!("{how}: {}.", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::pages::blocks::columns;

    fn drawn(are_dots: bool) -> Chart {
        let bar = |name: &str, value: f64, interval| Bar {
            name: name.to_owned(),
            value,
            interval,
            shown: format!("{value}"),
        };
        bars(Bars {
            id: "b".to_owned(),
            title: "Drivers".to_owned(),
            unit: String::new(),
            currency: String::new(),
            bars: vec![bar("up", 0.4, Some((0.2, 0.6))), bar("down", -0.2, None)],
            are_dots,
            table: Table {
                caption: "Drivers, as numbers".to_owned(),
                columns: columns(["a"]),
                rows: Vec::new(),
                empty: "",
            },
        })
    }

    #[test]
    fn a_bar_reaches_from_zero_to_its_value() {
        let chart = drawn(false);
        let rect = |mark: &Mark| match mark {
            Mark::Rect { at, size, .. } => Some((at.0.0, at.0.0 + size.0.0)),
            _ => None,
        };
        let rects: Vec<(f64, f64)> = chart.marks.iter().filter_map(rect).collect();
        // From -0.2 to 0.6 there are 390 units.
        let zero = NAMES.0 + PLOT * 0.25;
        assert!((rects[0].0 - zero).abs() < 1e-6 && (rects[0].1 - (NAMES.0 + PLOT * 0.75)).abs() < 1e-6, "{rects:?}");
        assert!((rects[1].0 - NAMES.0).abs() < 1e-6 && (rects[1].1 - zero).abs() < 1e-6, "{rects:?}");
        let whiskers = chart.marks.iter().filter(|mark| matches!(mark, Mark::Rule { class: "whisker", .. }));
        assert_eq!(whiskers.count(), 3, "of the one with an interval");
        assert_eq!(chart.description, "Bars: up 0.4, down -0.2.");
    }

    #[test]
    fn a_dot_is_a_place() {
        let chart = drawn(true);
        assert!(!chart.marks.iter().any(|mark| matches!(mark, Mark::Rect { .. })));
        assert_eq!(chart.marks.iter().filter(|mark| matches!(mark, Mark::Dot { .. })).count(), 2);
    }
}
