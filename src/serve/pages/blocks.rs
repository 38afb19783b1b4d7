//! What a page says, as values in; HTML out. Pages choose the words, templates how they look, and nothing that came of a feed is
//! ever taken for HTML: askama escapes it all, and only the types of this file say that they are HTML already.

use askama::{Template, filters::HtmlSafe};

/// A part of a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(ext = "html")]
pub(super) enum Piece {
    #[template(ext = "html", source = "{{ text }}")]
    Text { text: String },
    #[template(ext = "html", source = "<strong>{{ text }}</strong>")]
    Strong { text: String },
    #[template(ext = "html", source = "<code>{{ text }}</code>")]
    Code { text: String },
    #[template(ext = "html", source = "<span class=\"soft\">{{ text }}</span>")]
    Soft { text: String },
    /// `href`: a place of ours, made by [`super::words::href`].
    #[template(ext = "html", source = "<a href=\"{{ href }}\">{{ text }}</a>")]
    Link { href: String, text: String },
    /// `kind`: good, bad, doubt or plain; the text says the same.
    #[template(ext = "html", source = "<span class=\"badge {{ kind }}\">{{ text }}</span>")]
    Badge { kind: &'static str, text: String },
    /// Something that is done at once.
    #[template(
        ext = "html",
        source = r#"<form class="act" action="{{ act.action }}" method="post">{{ act.fields }}<button type="submit" class="small">{{ act.button }}<span class="hidden"> {{ act.about }}</span></button></form>"#
    )]
    Act { act: Act },
    /// Something that is done once its doer has said who that is, or nobody.
    #[template(
        ext = "html",
        source = r#"<details class="act"><summary>{{ act.button }}<span class="hidden"> {{ act.about }}</span></summary><form action="{{ act.action }}" method="post">{{ act.fields }}<label for="by-{{ id }}">Your name, if everybody may read it</label><input id="by-{{ id }}" name="by" type="text" maxlength="64" autocomplete="name"><button type="submit" class="small">{{ act.button }}<span class="hidden"> {{ act.about }}</span></button></form></details>"#
    )]
    Sign { id: String, act: Act },
}

impl HtmlSafe for Piece {}

/// A form of one button, in a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Act {
    pub(super) action: &'static str,
    pub(super) fields: Sent,
    pub(super) button: &'static str,
    /// What it is done to, for who does not see where it stands.
    pub(super) about: String,
}

/// What a form sends that nobody types.
#[derive(Clone, Debug, PartialEq, Eq, Template)]
#[template(
    ext = "html",
    source = r#"{% for (name, value) in fields %}<input type="hidden" name="{{ name }}" value="{{ value }}">{% endfor %}"#
)]
pub(super) struct Sent {
    pub(super) fields: Vec<(&'static str, String)>,
}

impl HtmlSafe for Sent {}

/// A sentence, or what is in a cell.
pub(super) type Line = Vec<Piece>;

/// Plain words.
pub(super) fn text(text: impl Into<String>) -> Piece {
    Piece::Text { text: text.into() }
}

pub(super) fn strong(text: impl Into<String>) -> Piece {
    Piece::Strong { text: text.into() }
}

pub(super) fn soft(text: impl Into<String>) -> Piece {
    Piece::Soft { text: text.into() }
}

pub(super) fn code(text: impl Into<String>) -> Piece {
    Piece::Code { text: text.into() }
}

pub(super) fn link(href: impl Into<String>, text: impl Into<String>) -> Piece {
    Piece::Link { href: href.into(), text: text.into() }
}

pub(super) fn badge(kind: &'static str, text: impl Into<String>) -> Piece {
    Piece::Badge { kind, text: text.into() }
}

/// A line of plain words.
pub(super) fn line(words: impl Into<String>) -> Line {
    vec![text(words)]
}

/// A column of a table.
#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) title: &'static str,
    pub(super) is_number: bool,
}

/// Columns; a title that begins with `#` is of numbers.
pub(super) fn columns<const N: usize>(titles: [&'static str; N]) -> Vec<Column> {
    let column = |title: &'static str| match title.strip_prefix('#') {
        Some(title) => Column { title, is_number: true },
        None => Column { title, is_number: false },
    };
    titles.map(column).into()
}

/// A table whose first cells say what the rows are about.
#[derive(Clone, Debug, Template)]
#[template(path = "table.html")]
pub(super) struct Table {
    /// What it shows; no two of a page are the same.
    pub(super) caption: String,
    pub(super) columns: Vec<Column>,
    pub(super) rows: Vec<Vec<Line>>,
    /// What is said where there are no rows.
    pub(super) empty: &'static str,
}

impl Table {
    fn is_number(&self, index: impl std::borrow::Borrow<usize>) -> bool {
        self.columns.get(*index.borrow()).is_some_and(|column| column.is_number)
    }
}

impl HtmlSafe for Table {}

/// A figure of the scoreboard.
#[derive(Clone, Debug)]
pub(super) struct Card {
    pub(super) title: String,
    pub(super) href: String,
    pub(super) value: String,
    pub(super) badge: Option<Piece>,
    /// n and uncertainty.
    pub(super) detail: Line,
    pub(super) spark: Option<super::charts::Spark>,
    /// How it was before.
    pub(super) change: Line,
    /// How it is in the window under way.
    pub(super) running: Line,
}

/// A field of a form.
#[derive(Clone, Debug, Template)]
#[template(ext = "html")]
pub(super) enum Field {
    #[template(
        ext = "html",
        source = r#"<p class="field"><label for="{{ name }}">{{ label }}</label><select id="{{ name }}" name="{{ name }}">
{%- for (value, text) in options %}<option value="{{ value }}"{% if value == chosen %} selected{% endif %}>{{ text }}</option>{% endfor -%}
</select></p>"#
    )]
    Select { name: &'static str, label: &'static str, options: Vec<(String, String)>, chosen: String },
    #[template(
        ext = "html",
        source = r#"<p class="field"><label for="{{ name }}">{{ label }}</label>{% if !hint.is_empty() %}<span class="hint" id="{{ name }}-hint">{{ hint }}</span>{% endif %}<input id="{{ name }}" name="{{ name }}" type="{{ kind }}" value="{{ value }}" autocomplete="off" spellcheck="false"{% if !hint.is_empty() %} aria-describedby="{{ name }}-hint"{% endif %}></p>"#
    )]
    Input { name: &'static str, label: &'static str, kind: &'static str, value: String, hint: &'static str },
    #[template(
        ext = "html",
        source = "<p class=\"field\"><label for=\"{{ name }}\">{{ label }}</label><textarea id=\"{{ name }}\" name=\"{{ name }}\" rows=\"{{ rows }}\" spellcheck=\"false\">\n{{ value }}</textarea></p>"
    )]
    Area { name: &'static str, label: &'static str, value: String, rows: u32 },
    #[template(ext = "html", source = "<input type=\"hidden\" name=\"{{ name }}\" value=\"{{ value }}\">")]
    Hidden { name: &'static str, value: String },
    /// Boxes to tick.
    #[template(
        ext = "html",
        source = r#"<fieldset class="field"><legend>{{ legend }}</legend>{% for (value, text) in options %}<label class="tick"><input type="checkbox" name="{{ name }}" value="{{ value }}"{% if *is_needed %} required{% endif %}> {{ text }}</label>{% endfor %}</fieldset>"#
    )]
    Ticks { legend: &'static str, name: &'static str, options: Vec<(String, String)>, is_needed: bool },
    /// Several things that can be done with the rest of the form.
    #[template(
        ext = "html",
        source = r#"<p class="field buttons">{% for (value, text) in options %}<button type="submit" name="{{ name }}" value="{{ value }}">{{ text }}</button>{% endfor %}</p>"#
    )]
    Buttons { name: &'static str, options: Vec<(&'static str, &'static str)> },
}

impl HtmlSafe for Field {}

/// What happened at one time.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// As programs write it.
    pub(super) at: String,
    pub(super) shown_at: String,
    /// A colour, 1 to 6; the words say which department it is.
    pub(super) lane: usize,
    pub(super) line: Line,
    /// What `more` is about, for who does not see where it stands.
    pub(super) about: String,
    pub(super) more: Vec<(String, String)>,
}

/// A part of a page.
#[derive(Clone, Debug, Template)]
#[template(ext = "html")]
pub(super) enum Block {
    #[template(ext = "html", source = "<p>{% for piece in line %}{{ piece }}{% endfor %}</p>")]
    Text { line: Line },
    #[template(ext = "html", source = "<h3>{{ text }}</h3>")]
    Heading { text: String },
    #[template(
        ext = "html",
        source = "<ul>{% for line in lines %}<li>{% for piece in line %}{{ piece }}{% endfor %}</li>{% endfor %}</ul>"
    )]
    List { lines: Vec<Line> },
    #[template(ext = "html", source = "{{ table }}")]
    Table { table: Table },
    #[template(path = "facts.html")]
    Facts { facts: Vec<(&'static str, Line)> },
    #[template(path = "cards.html")]
    Cards { cards: Vec<Card> },
    /// `kind`: info, warning, error or done.
    #[template(path = "notice.html")]
    Notice { kind: &'static str, line: Line },
    #[template(path = "form.html")]
    /// Without a text for its button it has some among its fields.
    Form { action: String, is_post: bool, csrf: Option<String>, fields: Vec<Field>, button: &'static str },
    #[template(ext = "html", source = "{{ chart }}")]
    Chart { chart: Box<super::charts::Chart> },
    #[template(path = "timeline.html")]
    Timeline { entries: Vec<Entry> },
    #[template(
        ext = "html",
        source = "<details><summary>{{ summary }}</summary>{% for block in blocks %}{{ block }}{% endfor %}</details>"
    )]
    Details { summary: String, blocks: Vec<Block> },
}

impl HtmlSafe for Block {}

impl From<Table> for Block {
    fn from(table: Table) -> Block {
        Block::Table { table }
    }
}

impl From<super::charts::Chart> for Block {
    fn from(chart: super::charts::Chart) -> Block {
        Block::Chart { chart: Box::new(chart) }
    }
}

/// A paragraph.
pub(super) fn paragraph(words: impl Into<String>) -> Block {
    Block::Text { line: line(words) }
}

/// Something that is said apart. `kind`: info, warning, error or done.
pub(super) fn notice(kind: &'static str, words: impl Into<String>) -> Block {
    Block::Notice { kind, line: line(words) }
}

/// A part of a page with a title, which is renewed by itself.
#[derive(Clone, Debug)]
pub(super) struct Section {
    /// Its place in the address; no two of a page are the same.
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

impl Section {
    pub(super) fn new(id: &'static str, title: impl Into<String>, blocks: Vec<Block>) -> Section {
        Section { id, title: title.into(), blocks }
    }
}

/// A page without what is around it.
#[derive(Clone, Debug, Default)]
pub(super) struct Page {
    pub(super) title: String,
    /// Which page of the list it belongs to.
    pub(super) nav: &'static str,
    pub(super) lead: Line,
    /// Before the parts that are renewed: forms, and what was wrong with them.
    pub(super) top: Vec<Block>,
    pub(super) sections: Vec<Section>,
    /// The feeds of which something new renews the page.
    pub(super) feeds: Vec<crate::feeds::Feed>,
    /// Of those, only records whose key begins so.
    pub(super) key: Option<String>,
    /// How the feeds were before the page was made.
    pub(super) seen: Option<super::live::Seen>,
    /// Whether it waits for something and is to be asked for again.
    pub(super) is_waiting: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "<script>alert(1)</script>\"'&</textarea><img src=x onerror=alert(1)>";

    fn assert_inert(html: &str) {
        for part in ["<script", "<img", "\"'&<", "</textarea><img"] {
            assert!(!html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn nothing_of_a_feed_is_ever_taken_for_html() {
        let hostile = || HOSTILE.to_owned();
        let act = || Act {
            action: "/alerts",
            fields: Sent { fields: vec![("alert", hostile())] },
            button: "Go",
            about: hostile(),
        };
        let pieces = || {
            vec![
                text(HOSTILE),
                strong(HOSTILE),
                soft(HOSTILE),
                code(HOSTILE),
                link(super::super::words::href("/metrics", &[("metric", HOSTILE)]), HOSTILE),
                badge("bad", HOSTILE),
                Piece::Act { act: act() },
                Piece::Sign { id: hostile(), act: act() },
            ]
        };
        let table = Table {
            caption: hostile(),
            columns: columns(["a", "#b"]),
            rows: vec![vec![pieces(), pieces()]],
            empty: "",
        };
        let blocks = vec![
            Block::Text { line: pieces() },
            Block::Heading { text: hostile() },
            Block::List { lines: vec![pieces()] },
            table.clone().into(),
            Block::Facts { facts: vec![("name", pieces())] },
            Block::Cards {
                cards: vec![Card {
                    title: hostile(),
                    href: hostile(),
                    value: hostile(),
                    badge: Some(badge("bad", HOSTILE)),
                    detail: pieces(),
                    spark: None,
                    change: pieces(),
                    running: pieces(),
                }],
            },
            Block::Notice { kind: "error", line: pieces() },
            Block::Form {
                action: hostile(),
                is_post: true,
                csrf: Some(hostile()),
                fields: vec![
                    Field::Select { name: "a", label: "A", options: vec![(hostile(), hostile())], chosen: hostile() },
                    Field::Input { name: "b", label: "B", kind: "text", value: hostile(), hint: "h" },
                    Field::Area { name: "c", label: "C", value: hostile(), rows: 3 },
                    Field::Hidden { name: "d", value: hostile() },
                    Field::Ticks { legend: "E", name: "e", options: vec![(hostile(), hostile())], is_needed: true },
                    Field::Buttons { name: "f", options: vec![("g", "G")] },
                ],
                button: "Go",
            },
            Block::Timeline {
                entries: vec![Entry {
                    at: hostile(),
                    shown_at: hostile(),
                    lane: 1,
                    line: pieces(),
                    about: hostile(),
                    more: vec![(hostile(), hostile())],
                }],
            },
        ];
        let html = Block::Details { summary: hostile(), blocks }.to_string();
        assert_inert(&html);
        assert!(html.contains("&#60;script&#62;"), "{html}");
        let none = Table { rows: Vec::new(), empty: "Nothing.", ..table }.to_string();
        assert_eq!(none.trim(), "<p class=\"empty\">Nothing.</p>");
    }

    #[test]
    fn a_picture_is_a_picture_wherever_it_stands() {
        let series =
            super::super::charts::TimeChart { id: "c".to_owned(), title: HOSTILE.to_owned(), ..Default::default() };
        let html = Block::from(super::super::charts::line(series)).to_string();
        assert!(html.contains("<svg class=\"plot\"") && !html.contains("&#60;svg"), "{html}");
        assert_inert(&html);
    }

    #[test]
    fn no_template_says_that_something_is_safe() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/serve/pages/html");
        let mut seen = 0;
        for entry in std::fs::read_dir(folder).expect("the templates") {
            let text = std::fs::read_to_string(entry.expect("a file").path()).expect("text");
            seen += 1;
            for word in ["|safe", "| safe", "escape(", "autoescape", " style=", " onclick", "javascript:"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
        assert!(seen >= 8, "{seen}");
    }
}
