//! The view in; a terminal that is drawn again and again, or a pipe that gets each chapter and then the whole, out.

use std::{io::Write, path::PathBuf};

use super::{Addresses, Home, feeder::Feeder, view::View};
use crate::{cli::exit::Failure, settings::Settings};

/// Clears the screen and goes to its beginning.
const CLEAR: &str = "\x1b[H\x1b[J";
const BOLD: &str = "\x1b[1m";
const FAINT: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// What the demo is, before anything else.
const WHAT: [&str; 3] = [
    "insight-hub demo: four departments of a made-up shop send their events, each in",
    "its own form. The hub joins them into one record per customer and publishes",
    "these metrics for everybody, as it does with your departments' events.",
];

pub(super) struct Screen {
    is_terminal: bool,
    is_temporary: bool,
    data: PathBuf,
    addresses: Addresses,
    /// Chapters that a pipe was told of.
    told: usize,
    /// Whether a pipe was told of the end.
    is_over: bool,
}

impl Screen {
    pub(super) fn new(is_terminal: bool, home: &Home, settings: &Settings, addresses: Addresses) -> Screen {
        let data = settings.hub.data_directory.clone();
        Screen { is_terminal, is_temporary: home.is_temporary, data, addresses, told: 0, is_over: false }
    }

    /// Says what this is.
    pub(super) fn begin(&self, feeder: &Feeder, output: &mut dyn Write) -> Result<(), Failure> {
        if !self.is_terminal {
            for line in WHAT {
                writeln!(output, "{line}")?;
            }
            if feeder.went_on() {
                writeln!(output, "It goes on where it was interrupted.")?;
            }
            if let Some(dashboard) = self.dashboard() {
                writeln!(output, "{dashboard}")?;
            }
            writeln!(output, "Ctrl-C (SIGINT) stops. Prometheus: http://{}/metrics", self.addresses.operators)?;
            writeln!(output)?;
            output.flush()?;
        }
        Ok(())
    }

    /// Shows how it is now. `is_done`: there is nothing more to come.
    pub(super) fn draw(&mut self, view: &View, is_done: bool, output: &mut dyn Write) -> Result<(), Failure> {
        if !self.is_terminal {
            return self.tell(view, is_done, output);
        }
        let what: Vec<String> = WHAT.iter().map(|line| format!("{BOLD}{line}{PLAIN}")).collect();
        let today = view.today().map(|today| today.to_string()).unwrap_or_default();
        let chapter = |number: usize| -> Vec<String> {
            let Some(chapter) = view.begun().into_iter().nth(number) else { return Vec::new() };
            let (when, style) = if number == 0 { (format!("{today}: "), "") } else { ("before: ".to_owned(), FAINT) };
            let lines = view.story_of(chapter).into_iter().enumerate();
            lines
                .map(|(line, text)| format!("{style}{}{text}{PLAIN}", if line == 0 { when.as_str() } else { "" }))
                .collect()
        };
        let mut footer = Vec::new();
        if is_done {
            footer.push("The story is told; the hub runs on.".to_owned());
        }
        footer.extend(self.dashboard().map(|dashboard| format!("{BOLD}{dashboard}{PLAIN}")));
        footer.push(format!("{FAINT}Ctrl-C stops. Prometheus: http://{}/metrics", self.addresses.operators));
        let next = self.next(view);
        let mut more = vec!["In another terminal:".to_owned()];
        more.extend(next.lines().map(str::to_owned));
        more.push(PLAIN.to_owned());
        // In the order of the screen, each with how soon it goes when there is no room for it.
        let mut parts = vec![
            (0, what),
            (0, view.flow()),
            (0, view.table()),
            (1, chapter(0)),
            (4, chapter(1)),
            (1, view.findings()),
            (2, view.example()),
            (0, footer),
            (3, more),
        ];
        let rows = |parts: &[(u8, Vec<String>)]| -> usize {
            parts.iter().map(|(_, lines)| if lines.is_empty() { 0 } else { lines.len() + 1 }).sum()
        };
        for dispensable in (1..=4).rev() {
            if rows(&parts) <= terminal_rows() {
                break;
            }
            parts.retain(|(priority, _)| *priority != dispensable);
        }
        write!(output, "{CLEAR}")?;
        let parts: Vec<String> =
            parts.into_iter().filter(|(_, lines)| !lines.is_empty()).map(|(_, lines)| lines.join("\n")).collect();
        write!(output, "{}{PLAIN}", parts.join("\n\n"))?;
        Ok(output.flush()?)
    }

    /// A pipe hears of each chapter once, and of the end.
    fn tell(&mut self, view: &View, is_done: bool, output: &mut dyn Write) -> Result<(), Failure> {
        if is_done && !std::mem::replace(&mut self.is_over, true) {
            self.end(view, output)?;
            writeln!(output, "The story is told; the hub runs on until Ctrl-C (SIGINT).")?;
            output.flush()?;
        }
        let begun = view.begun();
        for chapter in begun.iter().rev().skip(self.told) {
            for line in view.story_of(chapter) {
                writeln!(output, "{line}")?;
            }
        }
        if begun.len() > self.told {
            self.told = begun.len();
            output.flush()?;
        }
        Ok(())
    }

    /// The last picture.
    pub(super) fn end(&self, view: &View, output: &mut dyn Write) -> Result<(), Failure> {
        if self.is_terminal {
            write!(output, "{CLEAR}")?;
        }
        writeln!(output)?;
        for line in view.flow().iter().chain([&String::new()]).chain(&view.table()) {
            writeln!(output, "{line}")?;
        }
        writeln!(output)?;
        for part in [view.findings(), view.example()] {
            for line in &part {
                writeln!(output, "{line}")?;
            }
            if !part.is_empty() {
                writeln!(output)?;
            }
        }
        if !self.is_temporary {
            writeln!(output, "With what is kept, while the demo runs or not:\n{}", self.next(view))?;
        }
        Ok(output.flush()?)
    }

    /// Where to look in with a browser.
    fn dashboard(&self) -> Option<String> {
        self.addresses.dashboard.map(|address| format!("Dashboard: http://{address}/"))
    }

    /// What to try next, with the program as it was started.
    fn next(&self, view: &View) -> String {
        let program = std::env::args().next().unwrap_or_else(|| "insight-hub".to_owned());
        let mut lines = vec![
            format!("  export INSIGHT_HUB__HUB__DATA_DIRECTORY={}", self.data.display()),
            format!("  {program} tail metrics --from-beginning"),
        ];
        if let Some(identifier) = view.example_identifier() {
            lines.push(format!("  {program} customer {identifier}"));
        }
        lines.join("\n")
    }
}

/// Lines of the terminal; as many as it takes, where nobody knows.
fn terminal_rows() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_row > 0);
    size.map_or(usize::MAX, |size| size.ws_row.into())
}
