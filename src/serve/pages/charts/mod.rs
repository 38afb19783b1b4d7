//! Figures in; pictures out: SVG made here, each with a title, a description and the same as a table.
//!
//! - [`Chart`], [`Mark`]: a picture and what it is drawn of. `line`: values over time, with their intervals. `bars`: things beside each
//!   other, with theirs. `flow`: the ways of many. `scale`: which number is where.
//!
//! Geometry is in units of the picture's own, which the browser makes as large as there is room.

mod bars;
mod flow;
mod line;
mod scale;

use askama::{Template, filters::HtmlSafe};

use super::blocks::Table;

pub(super) use bars::{Bar, Bars, bars};
pub(super) use flow::{Way, flow};
pub(super) use line::{Point, Series, TimeChart, line, spark};

/// A length or place, to a tenth of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Px(pub(super) f64);

impl std::fmt::Display for Px {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No number of a feed makes a picture that no browser draws.
        let place = if self.0.is_finite() { self.0.clamp(-1e5, 1e5) } else { 0.0 };
        write!(formatter, "{:.1}", place)
    }
}

impl HtmlSafe for Px {}

/// A part of a picture.
#[derive(Clone, Debug, PartialEq, Template)]
#[template(ext = "html")]
pub(super) enum Mark {
    #[template(
        ext = "html",
        source = r#"<line class="{{ class }}" x1="{{ from.0 }}" y1="{{ from.1 }}" x2="{{ to.0 }}" y2="{{ to.1 }}"/>"#
    )]
    Rule { class: &'static str, from: (Px, Px), to: (Px, Px) },
    #[template(ext = "html", source = r#"<path class="{{ class }}" d="{{ path }}"><title>{{ tip }}</title></path>"#)]
    Path { class: String, path: String, tip: String },
    #[template(
        ext = "html",
        source = r#"<rect class="{{ class }}" x="{{ at.0 }}" y="{{ at.1 }}" width="{{ size.0 }}" height="{{ size.1 }}"><title>{{ tip }}</title></rect>"#
    )]
    Rect { class: String, at: (Px, Px), size: (Px, Px), tip: String },
    #[template(
        ext = "html",
        source = r#"<circle class="{{ class }}" cx="{{ at.0 }}" cy="{{ at.1 }}" r="{{ radius }}"><title>{{ tip }}</title></circle>"#
    )]
    Dot { class: String, at: (Px, Px), radius: Px, tip: String },
    #[template(ext = "html", source = r#"<text class="{{ class }}" x="{{ at.0 }}" y="{{ at.1 }}">{{ words }}</text>"#)]
    Words { class: &'static str, at: (Px, Px), words: String },
}

impl HtmlSafe for Mark {}

/// A picture.
#[derive(Clone, Debug, Template)]
#[template(path = "chart.html")]
pub(super) struct Chart {
    /// Its place in the page; no two of a page are the same.
    pub(super) id: String,
    pub(super) title: String,
    /// What is to be seen, for who does not see it.
    pub(super) description: String,
    pub(super) width: u32,
    pub(super) height: u32,
    /// Colours and what they stand for.
    pub(super) legend: Vec<(String, String)>,
    pub(super) marks: Vec<Mark>,
    pub(super) table: Table,
}

impl HtmlSafe for Chart {}

/// A small line without axes; the words beside it say what it shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spark {
    pub(super) description: String,
    pub(super) paths: Vec<String>,
    /// From the last closed window to what is still open.
    pub(super) open_path: Option<String>,
    /// The last closed window.
    pub(super) last: Option<(Px, Px)>,
    /// The last open one.
    pub(super) open: Option<(Px, Px)>,
}

/// A text that is not longer than a place has room for.
fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let mut shown: String = text.chars().take(characters.saturating_sub(1)).collect();
    shown.push('…');
    shown
}

/// Colours; after the last one they begin anew.
fn colour(at: usize) -> String {
    format!("c{}", at % 6 + 1)
}
