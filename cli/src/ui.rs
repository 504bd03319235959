//! How the program talks: pages for people, one object for machines.

use std::io::{IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::Value;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();
const LOUD: Style = AnsiColor::Yellow.on_default().bold();

/// What the global options say about output.
#[derive(Clone, Copy, Debug)]
pub struct Ui {
    /// JSON instead of pages.
    pub json: bool,
    /// Errors only.
    pub quiet: bool,
}

/// What a command has to say at its end: a page, and the same for machines.
#[derive(Debug)]
pub struct Report {
    /// For people.
    pub page: Page,
    /// For `--json`.
    pub json: Value,
    /// Whether what was asked for holds; if not, the exit code is 1.
    pub holds: bool,
}

/// A page of aligned lines.
#[derive(Debug, Default)]
pub struct Page(Vec<Line>);

#[derive(Debug)]
enum Line {
    Title(String),
    Row(String, String),
    Text(String),
    Good(String),
    Bad(String),
    Loud(String),
    Next(String),
    Blank,
}

impl Ui {
    /// Prints a report as the options say.
    pub fn report(self, report: &Report) {
        if self.json {
            self.json_line(&report.json);
        } else if !self.quiet {
            print(&report.page.render());
        } else if !report.holds {
            // What does not hold is an error, and those are printed in any case.
            let _ = anstream::stderr().lock().write_all(report.page.only_bad().render().as_bytes());
        }
    }

    /// Prints one JSON object on a line.
    #[expect(clippy::unused_self, reason = "all output goes through one door")]
    pub fn json_line(self, value: &impl Serialize) {
        if let Ok(text) = serde_json::to_string(value) {
            print(&format!("{text}\n"));
        }
    }

    /// Prints a page before the command is over, unless a machine reads.
    pub fn page(self, page: &Page) {
        if !self.json && !self.quiet {
            print(&page.render());
        }
    }

    /// A bar over `length` bytes on a terminal, nothing elsewhere.
    pub fn bar(self, length: u64, what: &'static str) -> ProgressBar {
        if self.json || self.quiet || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
        let template = "{msg} {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.with_message(what)
    }
}

/// Prints, and does not mind that nobody reads any more.
fn print(text: &str) {
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

impl Report {
    /// A report of something that was done.
    pub fn done(page: Page, json: Value) -> Self {
        Self { page, json, holds: true }
    }
}

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// A heading.
    #[must_use]
    pub fn title(self, text: impl ToString) -> Self {
        self.with(Line::Title(text.to_string()))
    }

    /// A label and its value; labels of neighbouring rows are aligned.
    #[must_use]
    pub fn row(self, label: impl ToString, value: impl ToString) -> Self {
        self.with(Line::Row(label.to_string(), value.to_string()))
    }

    /// A row that is there or not.
    #[must_use]
    pub fn row_if(self, label: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.row(label, value),
            None => self,
        }
    }

    /// A plain line.
    #[must_use]
    pub fn text(self, text: impl ToString) -> Self {
        self.with(Line::Text(text.to_string()))
    }

    /// A line that says that something holds.
    #[must_use]
    pub fn good(self, text: impl ToString) -> Self {
        self.with(Line::Good(text.to_string()))
    }

    /// A line that says that something does not hold.
    #[must_use]
    pub fn bad(self, text: impl ToString) -> Self {
        self.with(Line::Bad(text.to_string()))
    }

    /// A line that nobody may overlook.
    #[must_use]
    pub fn loud(self, text: impl ToString) -> Self {
        self.with(Line::Loud(text.to_string()))
    }

    /// What to type next.
    #[must_use]
    pub fn next(self, text: impl ToString) -> Self {
        self.with(Line::Next(text.to_string()))
    }

    /// An empty line.
    #[must_use]
    pub fn blank(self) -> Self {
        self.with(Line::Blank)
    }

    /// This page, and another below it.
    #[must_use]
    pub fn append(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The lines that say what does not hold.
    fn only_bad(&self) -> Self {
        let bad = |line: &Line| match line {
            Line::Bad(text) => Some(Line::Bad(text.clone())),
            _ => None,
        };
        Self(self.0.iter().filter_map(bad).collect())
    }

    fn with(mut self, line: Line) -> Self {
        self.0.push(line);
        self
    }

    /// The page with ANSI styles, which the stream takes out where they do not belong.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut width = 0;
        for (index, line) in self.0.iter().enumerate() {
            if let Line::Row(..) = line {
                let before = index.checked_sub(1).map(|before| &self.0[before]);
                if !matches!(before, Some(Line::Row(..))) {
                    width = self.label_width(index);
                }
            }
            text.push_str(&line.render(width));
            text.push('\n');
        }
        text
    }

    /// The longest label of the rows that begin here.
    fn label_width(&self, from: usize) -> usize {
        let labels = self.0[from..].iter().map_while(|line| match line {
            Line::Row(label, _) => Some(label.chars().count()),
            _ => None,
        });
        labels.max().unwrap_or(0)
    }
}

impl Line {
    fn render(&self, width: usize) -> String {
        let styled = |style: Style, text: &str| format!("{style}{text}{style:#}");
        match self {
            Self::Title(text) => styled(BOLD, text),
            Self::Row(label, value) => {
                let label = format!("{label:<width$}");
                format!("  {}  {value}", styled(DIM, &label))
            }
            Self::Text(text) => text.clone(),
            Self::Good(text) => styled(GOOD, text),
            Self::Bad(text) => styled(BAD, text),
            Self::Loud(text) => styled(LOUD, text),
            Self::Next(text) => format!("{} {text}", styled(DIM, "Next:")),
            Self::Blank => String::new(),
        }
    }
}

/// Text from a file or peer, safe on a terminal.
pub fn printable(text: &str) -> String {
    safe(text, 200)
}

/// The same for a reason: what it cost may stand at its end.
pub fn sentence(text: &str) -> String {
    safe(text, 2000)
}

fn safe(text: &str, most: usize) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(most).collect()
}

/// Bytes as people say them.
pub fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

/// Numbers in order, each once, as `1 to 3, 7`.
pub fn ranges(numbers: &[u32]) -> String {
    let mut words = Vec::new();
    for run in numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        words.push(match run {
            [first, .., last] => format!("{first} to {last}"),
            _ => run[0].to_string(),
        });
    }
    words.join(", ")
}

/// A time in seconds since 1970, in RFC 3339.
pub fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_rows_are_aligned() {
        let page = Page::new().row("a", 1).row("long", 2).text("x").row("b", 3);
        let plain = anstream::adapter::strip_str(&page.render()).to_string();
        assert_eq!(plain, "  a     1\n  long  2\nx\n  b  3\n");
    }

    #[test]
    fn runs_of_numbers_are_said_shortly() {
        assert_eq!(ranges(&[1]), "1");
        assert_eq!(ranges(&[1, 2, 3, 7, 9, 10]), "1 to 3, 7, 9 to 10");
    }

    #[test]
    fn hostile_text_stays_on_its_line() {
        assert_eq!(printable("a\n\u{1b}[31m"), "a\u{fffd}\u{fffd}[31m");
    }
}
