//! A plot of a curve against a logarithmic axis: what is in it, and how a terminal shows it.
//!
//! The curve is drawn in braille, which has two dots by four in each character. Levels
//! are dashed lines across it, named at their right end.

/// The curve's width and height on a terminal, in characters.
const WIDTH: usize = 60;
const HEIGHT: usize = 16;

/// Places at which the curve is known: one for each column of dots.
pub(super) const SAMPLES: usize = 2 * WIDTH;

/// What a plot shows.
#[derive(Debug)]
pub(super) struct Plot {
    pub title: String,
    /// What goes to the right, with its unit.
    pub across: &'static str,
    /// What goes up, with its unit.
    pub upward: String,
    /// The axis to the right, logarithmic: from, and to.
    pub range: (f64, f64),
    /// The axis upward, linear: from 0 to this.
    pub top: f64,
    /// [`SAMPLES`] heights, at equal distances to the right.
    pub curve: Vec<f64>,
    /// Heights that are marked, with their names.
    pub levels: Vec<(&'static str, f64)>,
}

/// A number on an axis: where, as a fraction of the axis, and as text.
#[derive(Debug, PartialEq)]
pub(super) struct Tick {
    pub at: f64,
    pub text: String,
}

/// The value at a place of the logarithmic axis; `sample` goes from 0 below [`SAMPLES`].
pub(super) fn place((from, to): (f64, f64), sample: usize) -> f64 {
    from * (to / from).powf(sample as f64 / (SAMPLES - 1) as f64)
}

/// 1, 2 and 5 times powers of ten from one number to another.
pub(super) fn round_numbers((from, to): (f64, f64)) -> impl Iterator<Item = (u32, i32)> {
    // Every f64 that is a noise or an epsilon lies between these powers.
    let all = (-12..=12).flat_map(|power| [1, 2, 5].map(|digit| (digit, power)));
    all.filter(move |(digit, power)| (from..=to).contains(&number(*digit, *power)))
}

/// `digit` times a power of ten.
pub(super) fn number(digit: u32, power: i32) -> f64 {
    f64::from(digit) * 10_f64.powi(power)
}

/// The same as a person writes it.
fn text(digit: u32, power: i32) -> String {
    let decimals = usize::try_from(-power).unwrap_or(0);
    format!("{:.decimals$}", number(digit, power))
}

impl Plot {
    /// The numbers below the plot.
    pub(super) fn ticks_across(&self) -> Vec<Tick> {
        let (from, to) = self.range;
        let few = to / from < 1000.0;
        round_numbers(self.range)
            .filter(|(digit, _)| few || *digit == 1)
            .map(|(digit, power)| {
                let at = (number(digit, power) / from).ln() / (to / from).ln();
                Tick { at, text: text(digit, power) }
            })
            .collect()
    }

    /// The numbers beside the plot: from 0 in at most five equal steps.
    pub(super) fn ticks_upward(&self) -> Vec<Tick> {
        let step = round_numbers((self.top / 5.0, self.top)).next();
        let (digit, power) = step.unwrap_or((1, 0));
        (0..=5)
            .map(|count| Tick {
                at: number(count * digit, power) / self.top,
                text: text(count * digit, power),
            })
            .filter(|tick| tick.at <= 1.0)
            .collect()
    }

    /// The plot as lines of characters.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut cells = [[0_u8; WIDTH]; HEIGHT];
        let mut before = None;
        for (column, height) in self.curve.iter().take(SAMPLES).enumerate() {
            let row = self.dot(*height);
            // No gaps where the curve is steep.
            let first = before.map_or(row, |before: usize| (before + 1).min(row));
            for row in first..=row {
                cells[row / 4][column / 2] |= dot(column % 2, row % 4);
            }
            before = Some(row);
        }
        let upward = self.ticks_upward();
        let mut lines = vec![format!("{:>8}", self.upward)];
        for (index, cells) in cells.iter().enumerate() {
            let tick = upward.iter().find(|tick| self.dot(tick.at * self.top) / 4 == index);
            let (number, axis) = tick.map_or(("", '│'), |tick| (&tick.text, '┤'));
            let names: Vec<_> = self
                .levels
                .iter()
                .filter(|(_, height)| self.dot(*height) / 4 == index)
                .map(|(name, _)| *name)
                .collect();
            let empty = if names.is_empty() { ' ' } else { '╌' };
            let cells: String = cells.iter().map(|cell| braille(*cell, empty)).collect();
            let line = format!("{number:>7} {axis}{cells} {}", names.join(", "));
            lines.push(line.trim_end().to_owned());
        }
        lines.extend(self.axis_across());
        lines
    }

    /// The axis below the plot, its numbers, and what they are.
    fn axis_across(&self) -> [String; 3] {
        let mut axis = ['─'; WIDTH];
        let mut numbers = String::new();
        for tick in self.ticks_across() {
            let column = nearest(tick.at, WIDTH);
            axis[column] = '┬';
            // Under its mark, unless another number is there.
            let start = (9 + column).saturating_sub(tick.text.len() / 2);
            if numbers.is_empty() || numbers.len() < start {
                numbers = format!("{numbers:<start$}{}", tick.text);
            }
        }
        let axis: String = axis.iter().collect();
        [format!("{:>9}{axis}", '└'), numbers, format!("{:9}{}", "", self.across)]
    }

    /// The row of dots of a height, from the top.
    fn dot(&self, height: f64) -> usize {
        nearest(1.0 - height / self.top, 4 * HEIGHT)
    }
}

/// The index nearest to a fraction, among so many.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the number is between 0 and the count"
)]
fn nearest(fraction: f64, count: usize) -> usize {
    (fraction.clamp(0.0, 1.0) * (count - 1) as f64).round() as usize
}

/// The bit of a dot in a character of braille.
fn dot(column: usize, row: usize) -> u8 {
    const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
    BITS[column][row]
}

fn braille(dots: u8, empty: char) -> char {
    match dots {
        0 => empty,
        dots => char::from_u32(0x2800 + u32::from(dots)).unwrap_or(empty),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A curve that halves as its argument doubles.
    pub(in super::super) fn plot() -> Plot {
        let range = (1.0, 100.0);
        let curve = (0..SAMPLES).map(|sample| 2.0 / place(range, sample)).collect();
        Plot {
            title: "A <plot> & its \"parts\"".into(),
            across: "noise",
            upward: "epsilon".into(),
            range,
            top: 2.0,
            curve,
            levels: vec![("one job", 1.0), ("left", 0.5)],
        }
    }

    #[test]
    fn ticks_are_round_numbers_where_they_belong() {
        let texts = |ticks: Vec<Tick>| ticks.into_iter().map(|tick| tick.text).collect::<Vec<_>>();
        let mut plot = plot();
        let across = plot.ticks_across();
        assert_eq!((across[0].at, across[3].at), (0.0, 0.5));
        assert_eq!(texts(across), ["1", "2", "5", "10", "20", "50", "100"]);
        assert_eq!(texts(plot.ticks_upward()), ["0.0", "0.5", "1.0", "1.5", "2.0"]);
        (plot.range, plot.top) = ((0.03, 3000.0), 37.0);
        assert_eq!(texts(plot.ticks_across()), ["0.1", "1", "10", "100", "1000"]);
        assert_eq!(texts(plot.ticks_upward()), ["0", "10", "20", "30"]);
    }

    #[test]
    fn a_terminal_shows_the_curve_its_levels_and_both_axes() {
        let plot = plot();
        let lines = plot.lines();
        assert_eq!(lines.len(), 1 + HEIGHT + 3);
        assert!(lines.iter().all(|line| line.chars().count() <= 90 && line.trim_end() == line));
        let body = &lines[1..=HEIGHT];
        // From the top left to the bottom right, and nothing in between is missing.
        assert!(body[0].starts_with("    2.0 ┤⠱"), "{}", body[0]);
        for line in body {
            let dots = line.chars().filter(|c| ('\u{2801}'..='\u{28ff}').contains(c)).count();
            assert!(dots > 0, "{line}");
        }
        for (name, height) in &plot.levels {
            let line = body.iter().find(|line| line.ends_with(name)).unwrap();
            assert!(line.contains('╌'), "{line}");
            assert_eq!(plot.dot(*height) / 4, body.iter().position(|other| other == line).unwrap());
        }
        let marks: Vec<_> = lines[1 + HEIGHT].chars().enumerate().collect();
        let marks = marks.iter().filter(|(_, c)| *c == '┬').map(|(index, _)| *index);
        assert_eq!(marks.collect::<Vec<_>>()[..2], [9, 18]);
        assert_eq!(lines[2 + HEIGHT].split_whitespace().count(), 7);
        assert!(lines[3 + HEIGHT].ends_with("noise"));
    }

    #[test]
    fn numbers_never_cover_each_other() {
        let mut plot = plot();
        plot.range = (1000.0, 900_000.0);
        let numbers = &plot.lines()[2 + HEIGHT];
        for number in numbers.split_whitespace() {
            assert!(plot.ticks_across().iter().any(|tick| tick.text == number), "{numbers}");
        }
    }
}
