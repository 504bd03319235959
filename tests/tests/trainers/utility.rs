//! What the trainers come to at each epsilon, over random splits: `cargo xtask bench trainers`.

use std::{env, fmt::Write as _, fs, path::Path};

use anyhow::{Context, Result, ensure};
use cloister_sandbox::UnitRows;
use serde::Serialize;

use crate::{
    component,
    job::{Example, Trained},
    learning::{explained, ordered},
    table::{Table, together},
};

/// How a model is measured on rows that were held out.
#[derive(Clone, Copy)]
enum Measure {
    Accuracy,
    Explained,
    Concordance,
}

/// Trainer, table, its description, and measure.
const TRAINERS: [(&str, &str, &str, Measure); 6] = [
    ("logistic", "breast-cancer/patients.csv", "breast-cancer/dataset.toml", Measure::Accuracy),
    ("softmax", "digits/images.csv", "digits/dataset.toml", Measure::Accuracy),
    ("perceptron", "digits/images.csv", "digits/dataset.toml", Measure::Accuracy),
    ("linear", "actg175/patients.csv", "actg175/cd4.toml", Measure::Explained),
    ("cox", "actg175/patients.csv", "actg175/dataset.toml", Measure::Concordance),
    ("gradient-histogram", "digits/images.csv", "digits/dataset.toml", Measure::Accuracy),
];

/// The last is without noise; clipping and all else stay.
const EPSILONS: [Option<f64>; 6] = [Some(0.5), Some(1.0), Some(2.0), Some(4.0), Some(8.0), None];

/// One trainer at one epsilon.
#[derive(Serialize)]
struct Found {
    trainer: &'static str,
    measure: &'static str,
    epsilon: Option<f64>,
    mean: f64,
    deviation: f64,
    values: Vec<f64>,
}

/// Takes half an hour, so it is run by name: with `CLOISTER_UTILITY`, where the report and the
/// plot go, `CLOISTER_SEEDS`, how many splits, and `CLOISTER_ONLY`, one trainer, or nothing.
#[test]
#[ignore = "a measurement; `cargo xtask bench trainers` runs it"]
fn by_epsilon() -> Result<()> {
    let to = env::var_os("CLOISTER_UTILITY").context("CLOISTER_UTILITY is not set")?;
    let seeds: u8 = env::var("CLOISTER_SEEDS").context("CLOISTER_SEEDS is not set")?.parse()?;
    let only = env::var("CLOISTER_ONLY").unwrap_or_default();
    ensure!(only.is_empty() || TRAINERS.iter().any(|one| one.0 == only), "no trainer {only}");
    let mut all = Vec::new();
    for (trainer, table, description, measure) in TRAINERS {
        if !only.is_empty() && trainer != only {
            continue;
        }
        let Some(component) = component(trainer)? else { return Ok(()) };
        let table = Table::read(table, description)?;
        for epsilon in EPSILONS {
            let mut values = Vec::new();
            for seed in 0..seeds {
                let (test, training) = table.split_by(seed.into());
                let example = at(Example::of(trainer)?, epsilon, seed);
                let public = Some(together(&test));
                let trained = example.run(&component, &table.shape, training, None, public)?;
                values.push(measure.of(&example, &trained, &table, &test));
            }
            let found = Found::of(trainer, measure, epsilon, values);
            println!("{}", found.line());
            all.push(found);
        }
        let to = Path::new(&to);
        fs::write(to, serde_json::to_string_pretty(&all)? + "\n")?;
        fs::write(to.with_extension("svg"), svg(&all))?;
    }
    Ok(())
}

/// The page's job at another epsilon. Its rate goes with epsilon, up to twice the page's: the
/// more noise there is, the smaller the steps that it allows.
fn at(mut example: Example, epsilon: Option<f64>, seed: u8) -> Example {
    let share = epsilon.map_or(2.0, |epsilon| (epsilon / example.epsilon).min(2.0));
    example.server.rate *= share;
    match epsilon {
        Some(epsilon) => example.epsilon = epsilon,
        // A hundredth of a clip bound in the sum of all: nothing, and it can be accounted for.
        None => example.sigma = Some(example.steps / 100),
    }
    example.noise = seed;
    example
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Explained => "R²",
            Self::Concordance => "concordance",
        }
    }

    fn of(self, example: &Example, trained: &Trained, table: &Table, test: &[UnitRows]) -> f64 {
        match self {
            Self::Accuracy => trained.accuracy,
            Self::Explained => explained(example, trained, test),
            Self::Concordance => ordered(example, trained, table.shape.features.len(), test),
        }
    }
}

impl Found {
    fn of(trainer: &'static str, measure: Measure, epsilon: Option<f64>, values: Vec<f64>) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let deviation = (square / (count - 1.0).max(1.0)).sqrt();
        Self { trainer, measure: measure.name(), epsilon, mean, deviation, values }
    }

    fn line(&self) -> String {
        let epsilon = self.epsilon.map_or_else(|| "no noise".into(), |epsilon| epsilon.to_string());
        let Self { trainer, measure, mean, deviation, .. } = self;
        format!("{trainer:<20} {epsilon:>8}  {measure} {mean:.4} ({deviation:.4})")
    }
}

/// A line for each trainer over epsilon, doubling from step to step, with one deviation of a
/// split up and down.
fn svg(all: &[Found]) -> String {
    const COLOURS: [&str; 6] = ["#a03060", "#1b6ca8", "#b8471b", "#3a7d34", "#7a4fa3", "#8a6d00"];
    let x = |step: usize| 80.0 + 100.0 * step as f64;
    let y = |value: f64| 400.0 - 360.0 * value;
    let mut text = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 460\" width=\"800\" \
         height=\"460\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <title>What trainers come to at each epsilon</title>\n\
         <rect width=\"800\" height=\"460\" fill=\"#fff\"/>\n",
    );
    let mut add = |line: String| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{line}");
    };
    for tenth in 0..=10 {
        let (value, at) = (f64::from(tenth) / 10.0, y(f64::from(tenth) / 10.0));
        add(format!("<path d=\"M80 {at:.0}H580\" stroke=\"#ddd\"/>"));
        add(format!("<text x=\"70\" y=\"{:.0}\" text-anchor=\"end\">{value:.1}</text>", at + 4.0));
    }
    for (step, epsilon) in EPSILONS.iter().enumerate() {
        let name = epsilon.map_or_else(|| "no noise".into(), |epsilon| epsilon.to_string());
        add(format!("<text x=\"{}\" y=\"420\" text-anchor=\"middle\">{name}</text>", x(step)));
    }
    add("<text x=\"330\" y=\"446\" text-anchor=\"middle\">epsilon at delta 1e-5</text>".into());
    let mut names = Vec::new();
    for ((trainer, _, _, measure), colour) in TRAINERS.iter().zip(COLOURS) {
        let found: Vec<_> = all.iter().filter(|found| found.trainer == *trainer).collect();
        let mut path = String::new();
        for (step, found) in found.iter().enumerate() {
            let (x, y, half) = (x(step), y(found.mean.max(0.0)), 360.0 * found.deviation);
            let _ = write!(path, "{}{x:.0} {y:.1}", if step == 0 { "M" } else { "L" });
            add(format!(
                "<path d=\"M{x:.0} {:.1}V{:.1}\" stroke=\"{colour}\"/>",
                y - half,
                y + half
            ));
        }
        add(format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"));
        names.extend(found.last().map(|last| {
            (y(last.mean) + 4.0, format!("fill=\"{colour}\">{trainer}, {}", measure.name()))
        }));
    }
    // Names of lines that end together stand below each other.
    names.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = 0.0_f64;
    for (at, name) in names {
        let at = at.max(free);
        free = at + 15.0;
        add(format!("<text x=\"592\" y=\"{at:.1}\" {name}</text>"));
    }
    text + "</svg>\n"
}
