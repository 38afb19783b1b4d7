//! The view in; a terminal that is drawn again and again, or a pipe that gets each chapter and then the whole, out.

use std::{io::Write, net::SocketAddr, path::PathBuf};

use super::{Home, feeder::Feeder, view::View};
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
    address: SocketAddr,
    /// Chapters that a pipe was told of.
    told: usize,
}

impl Screen {
    pub(super) fn new(is_terminal: bool, home: &Home, settings: &Settings, address: SocketAddr) -> Screen {
        let data = settings.hub.data_directory.clone();
        Screen { is_terminal, is_temporary: home.is_temporary(), data, address, told: 0 }
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
            writeln!(output)?;
            output.flush()?;
        }
        Ok(())
    }

    /// Shows how it is now. `is_done`: there is nothing more to come.
    pub(super) fn draw(&mut self, view: &View, is_done: bool, output: &mut dyn Write) -> Result<(), Failure> {
        if !self.is_terminal {
            return self.tell(view, output);
        }
        write!(output, "{CLEAR}")?;
        for line in WHAT {
            writeln!(output, "{BOLD}{line}{PLAIN}")?;
        }
        writeln!(output)?;
        for line in view.flow().iter().chain([&String::new()]).chain(&view.table()) {
            writeln!(output, "{line}")?;
        }
        writeln!(output)?;
        let today = view.today().map(|today| today.to_string()).unwrap_or_default();
        for (number, chapter) in view.begun().into_iter().take(2).enumerate() {
            let (when, style) = if number == 0 { (format!("{today}: "), "") } else { ("before: ".to_owned(), FAINT) };
            for (line, text) in view.story_of(chapter).into_iter().enumerate() {
                writeln!(output, "{style}{}{text}{PLAIN}", if line == 0 { when.as_str() } else { "" })?;
            }
        }
        writeln!(output)?;
        for line in view.example() {
            writeln!(output, "{line}")?;
        }
        writeln!(output)?;
        if is_done {
            writeln!(output, "The story is told; the hub runs on.")?;
        }
        write!(
            output,
            "{FAINT}Ctrl-C stops. Prometheus: http://{}/metrics. In another terminal:\n{}{PLAIN}",
            self.address,
            self.next(view)
        )?;
        Ok(output.flush()?)
    }

    /// A pipe hears of each chapter once.
    fn tell(&mut self, view: &View, output: &mut dyn Write) -> Result<(), Failure> {
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
        for line in view.example() {
            writeln!(output, "{line}")?;
        }
        if !self.is_temporary {
            writeln!(output, "\nWith what is kept, while the demo runs or not:\n{}", self.next(view))?;
        }
        Ok(output.flush()?)
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
