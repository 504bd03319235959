//! `cloister budget plan`: what a job costs against its noise.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use cloister_broker::policy::Amount;
use cloister_privacy::{Accounting, Order, Rate, Sensitivity, Zcdp, gaussian::MAX_SIGMA_STEPS};
use cloister_protocol::limits;
use serde_json::{Value, json};

use super::{
    Account, Balance, NOTHING_LEFT,
    amount::{at_most, counted, machine},
    is_next_to_nothing, loud,
    noise::{self, Rounds, STEPS},
    plot::{self, Plot, SAMPLES},
    svg,
};
use crate::{
    error::{Context, Error, Result},
    files,
    ui::{Page, Report, printable},
};

/// Say what a job of so many rounds costs against its noise, and show where the limits are
///
/// Nothing is reserved and nobody is asked. Epsilon is at the delta of the policy's limit
/// of one job. The job has an update for each unit in each round, unless it is said
/// otherwise, and no release beside its rounds.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister budget plan --home hospital-a
  cloister budget plan --home hospital-a --rounds 50 --epsilon 0.5 --units 2000
  cloister budget plan --home hospital-a --rounds 24 --svg plan.svg")]
pub struct Plan {
    #[command(flatten)]
    of: super::OfHome,
    /// An epsilon to mark, as the job would ask for it
    #[arg(long, value_name = "EPSILON", value_parser = epsilon)]
    epsilon: Option<f64>,
    /// Rounds of the job, each with one release
    #[arg(
        long,
        value_name = "N",
        default_value_t = 24,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::ROUNDS))
    )]
    rounds: u32,
    /// Groups of units that have an update each, instead of units
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    groups: Option<u32>,
    /// The probability with which each unit takes part in a round; saves where the policy
    /// counts at one order
    #[arg(long, value_name = "P", conflicts_with = "groups", value_parser = rate)]
    sampling: Option<Rate>,
    /// Units of all datasets in the job: also say what the noise is in the mean
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    units: Option<u64>,
    /// Also write the plot to this file, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "svg")]
    force: bool,
}

fn epsilon(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| "a number above 0 is needed, usually 0.1 to 10".to_owned())
}

fn rate(text: &str) -> std::result::Result<Rate, String> {
    let rate = text.parse().ok().and_then(|number| Rate::nearest(number).ok());
    rate.ok_or_else(|| "a probability above 0 and below 1 is needed".to_owned())
}

/// Where the limits are, and what a job of some rounds costs.
struct Scene {
    rounds: Rounds,
    delta: f64,
    per_job: Zcdp,
    left: Zcdp,
    asked: Option<Zcdp>,
}

/// One line of the table.
struct Row {
    sigma: u64,
    cost: Zcdp,
    epsilon: f64,
    /// What no account could claim less than, where that is known.
    lower: Option<f64>,
    /// Which limits cost that.
    is: Vec<&'static str>,
    /// Why it would be refused.
    refused: Option<&'static str>,
}

impl Plan {
    /// Plans the job.
    pub fn run(&self) -> Result<Report> {
        if let Some(path) = self.svg.as_ref().filter(|path| !self.force && is_there(path)) {
            let path = path.display();
            return Err(Error::failed(format!(
                "{path} is there already: name another file with --svg, or replace it with --force"
            )));
        }
        let account = Account::open(&self.of.home)?;
        let balance = account.balance()?;
        let mut warnings = account.warnings()?;
        let scene = self.scene(&account, &balance)?;
        if is_next_to_nothing(scene.left, scene.delta, scene.rounds.accounting) {
            warnings.push(NOTHING_LEFT.to_owned());
        }
        let range = scene.range()?;
        let rows = scene.rows(range)?;
        let population = printable(&account.population);
        let plot = scene.plot(range, &population)?;
        let divisor = self.divisor();
        if self.sampling.is_some() && scene.rounds.accounting == Accounting::AllOrders {
            let Amount { epsilon, delta, .. } = account.policy.budget.per_job;
            let (order, _) = Order::best_for(epsilon, delta).doing("an order")?;
            warnings.push(format!(
                "This policy counts at all orders, where sampling saves nothing. A policy that \
                 has not granted anything yet can say `order = {order}` in [budget]."
            ));
        }
        if let Some(path) = &self.svg {
            files::write(path, svg::svg(&plot).as_bytes())?;
        }

        let mut page = loud(&warnings)
            .title(&plot.title)
            .text(format!("By {}.", account.source()))
            .text(format!("Amounts are {}.", counted(scene.rounds.accounting)))
            .append(table(&rows, divisor))
            .blank();
        for line in plot.lines() {
            page = page.text(line);
        }
        if let Some(path) = &self.svg {
            page = page.good(format!("Wrote {}", path.display()));
        }
        let json = json!({
            "home": self.of.home,
            "population": account.population,
            "policy": account.source_json(),
            "rounds": self.rounds,
            "units": self.units,
            "groups": self.groups,
            "sampling": self.sampling.map(Rate::probability),
            "order": scene.rounds.accounting.order(),
            "steps": STEPS,
            "per_job": scene.amount(scene.per_job)?,
            "left": scene.amount(scene.left)?,
            "asked": scene.asked.map(|asked| scene.amount(asked)).transpose()?,
            "rows": rows.iter().map(|row| row.json(divisor)).collect::<Vec<_>>(),
            "svg": self.svg,
            "warnings": warnings,
        });
        Ok(Report::done(page, json))
    }

    fn scene(&self, account: &Account, balance: &Balance) -> Result<Scene> {
        let per_job = &account.policy.budget.per_job;
        let accounting = account.policy.budget.accounting();
        let asked = self.epsilon.map(|epsilon| accounting.budget_for(epsilon, per_job.delta));
        let sensitivity = self.groups.map_or(Sensitivity::Unit, |_| Sensitivity::Group);
        let (count, sampling) = (self.rounds, self.sampling);
        Ok(Scene {
            rounds: Rounds { count, sensitivity, sampling, accounting },
            delta: per_job.delta,
            per_job: per_job.rho,
            left: balance.left,
            asked: asked.transpose().doing("--epsilon")?,
        })
    }

    /// What a mean is over, if it is known.
    fn divisor(&self) -> Option<u64> {
        match (self.groups, self.sampling, self.units) {
            (Some(groups), _, _) => Some(groups.into()),
            (None, Some(rate), Some(units)) => Some(rate.of(units)),
            (None, _, units) => units,
        }
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

impl Scene {
    /// What is marked: a short name, a longer one, and how much.
    fn levels(&self) -> Vec<(&'static str, &'static str, Zcdp)> {
        let asked = self.asked.map(|asked| ("asked", "as asked", asked));
        let nothing = is_next_to_nothing(self.left, self.delta, self.rounds.accounting);
        let left = (!nothing).then_some(("left", "all that is left", self.left));
        let limit = ("one job", "limit of one job", self.per_job);
        [Some(limit), left, asked].into_iter().flatten().collect()
    }

    fn epsilon(&self, rho: Zcdp) -> Result<f64> {
        self.rounds.accounting.epsilon_upper(rho, self.delta).doing("the cost")
    }

    fn amount(&self, rho: Zcdp) -> Result<Value> {
        Ok(machine(rho, self.epsilon(rho)?, self.delta))
    }

    /// The largest epsilon of the plot: a quarter above all levels.
    fn top(&self) -> Result<f64> {
        let most = self.levels().iter().map(|level| level.2).max().unwrap_or(self.per_job);
        Ok(self.epsilon(most)? * 1.25)
    }

    /// The noise from the top of the plot to well below the levels.
    fn range(&self) -> Result<(u64, u64)> {
        let top = self.top()?;
        let least = self.levels().iter().map(|level| level.2).min().unwrap_or(self.per_job);
        let bottom = self.epsilon(least)?.max(top / 100.0) / 4.0;
        let sigma = |epsilon| -> Result<Option<u64>> {
            let budget = self.rounds.accounting.budget_for(epsilon, self.delta);
            let budget = budget.doing("the plot")?;
            Ok(self.rounds.least_sigma(budget))
        };
        let to = sigma(bottom)?.unwrap_or(MAX_SIGMA_STEPS);
        sigma(top)?.filter(|from| *from < to).map(|from| (from, to)).ok_or_else(|| {
            let rounds = self.rounds.count;
            Error::failed(format!("no noise makes {rounds} rounds cost so little: plan fewer"))
        })
    }

    /// Round numbers of noise, and the least noise for each level.
    fn rows(&self, (from, to): (u64, u64)) -> Result<Vec<Row>> {
        let mut noises: BTreeMap<u64, Vec<&'static str>> = BTreeMap::new();
        for (digit, power) in plot::round_numbers((noise::of_sigma(from), noise::of_sigma(to))) {
            noises.entry(noise::to_sigma(plot::number(digit, power))).or_default();
        }
        for (_, name, rho) in self.levels() {
            if let Some(sigma) = self.rounds.least_sigma(rho) {
                noises.entry(sigma).or_default().push(name);
            }
        }
        let row = |(sigma, is)| -> Result<Row> {
            let cost = self.rounds.cost(sigma).doing("the cost")?;
            let refused = if cost > self.left {
                Some("more than is left")
            } else if cost > self.per_job {
                Some("more than one job may cost")
            } else {
                None
            };
            let lower = self.rounds.charges(sigma).epsilon_lower(self.delta).doing("the cost")?;
            Ok(Row { sigma, cost, epsilon: self.epsilon(cost)?, lower, is, refused })
        };
        noises.into_iter().map(row).collect()
    }

    fn plot(&self, (from, to): (u64, u64), population: &str) -> Result<Plot> {
        let range = (noise::of_sigma(from), noise::of_sigma(to));
        let rounds = self.rounds.count;
        let heights = (0..SAMPLES).map(|sample| -> Result<f64> {
            let sigma = noise::to_sigma(plot::place(range, sample));
            self.epsilon(self.rounds.cost(sigma).doing("the cost")?)
        });
        let levels = self.levels().into_iter();
        let levels = levels.map(|(name, _, rho)| -> Result<_> { Ok((name, self.epsilon(rho)?)) });
        Ok(Plot {
            title: format!("What {rounds} rounds on {population} cost against their noise"),
            across: "noise of each round (standard deviation, in clip bounds)",
            upward: format!("epsilon at delta {:e}", self.delta),
            range,
            top: self.top()?,
            curve: heights.collect::<Result<_>>()?,
            levels: levels.collect::<Result<_>>()?,
        })
    }
}

impl Row {
    fn noise(&self) -> f64 {
        noise::of_sigma(self.sigma)
    }

    fn note(&self) -> String {
        self.is.iter().copied().chain(self.refused).collect::<Vec<_>>().join(", ")
    }

    fn json(&self, divisor: Option<u64>) -> Value {
        json!({
            "sigma_steps": self.sigma,
            "noise": self.noise(),
            "noise_in_mean": divisor.map(|divisor| self.noise() / divisor as f64),
            "pico_rho": self.cost.as_pico(),
            "epsilon": self.epsilon,
            "epsilon_lower": self.lower,
            "is": self.is,
            "refused": self.refused,
        })
    }
}

fn table(rows: &[Row], divisor: Option<u64>) -> Page {
    let mean = if divisor.is_some() { format!("{:>12}", "in the mean") } else { String::new() };
    let page = Page::new().text(format!("{:>10}{mean}{:>19}{:>10}", "noise", "rho", "epsilon"));
    rows.iter().fold(page, |page, row| {
        let (noise, epsilon) = (noise::shown(row.noise()), at_most(row.epsilon));
        let mean = divisor.map_or_else(String::new, |divisor| {
            format!("{:>12}", noise::shown(row.noise() / divisor as f64))
        });
        let line =
            format!("{noise:>10}{mean}{:>19}{epsilon:>10}  {}", row.cost.to_string(), row.note());
        page.text(line.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scene() -> Scene {
        let rho = |epsilon| Zcdp::budget_for(epsilon, 1e-5).unwrap();
        Scene {
            rounds: Rounds::of_all(24),
            delta: 1e-5,
            per_job: rho(1.0),
            left: rho(1.5),
            asked: Some(rho(0.5)),
        }
    }

    fn rows(scene: &Scene) -> Vec<Row> {
        scene.rows(scene.range().unwrap()).unwrap()
    }

    #[test]
    fn the_table_has_round_noises_and_every_level() {
        let scene = scene();
        let rows = rows(&scene);
        assert!(rows.is_sorted_by(|a, b| a.sigma < b.sigma && a.cost >= b.cost));
        for (name, rho) in [
            ("limit of one job", scene.per_job),
            ("all that is left", scene.left),
            ("as asked", scene.asked.unwrap()),
        ] {
            let row = rows.iter().find(|row| row.is.contains(&name)).unwrap();
            assert!(row.cost <= rho && scene.rounds.cost(row.sigma - 1).unwrap() > rho);
        }
        let round = rows.iter().filter(|row| row.is.is_empty()).map(Row::noise);
        assert_eq!(round.collect::<Vec<_>>(), [20.0, 50.0, 100.0]);
        let refused = |row: &Row| row.refused == Some("more than one job may cost");
        assert!(rows.iter().all(|row| refused(row) == (row.cost > scene.per_job)));
    }

    #[test]
    fn levels_that_are_the_same_share_a_row() {
        let mut scene = scene();
        scene.left = scene.per_job;
        let rows = rows(&scene);
        let both = rows.iter().find(|row| row.is.len() == 2).unwrap();
        assert_eq!(both.note(), "limit of one job, all that is left");
        scene.left = Zcdp::ZERO;
        assert!(rows.len() > 3 && self::rows(&scene).iter().all(|row| row.refused.is_some()));
    }

    #[test]
    fn the_plot_holds_the_curve_and_its_levels() {
        for left in [0, 1, 1_000, 30_000_000_000, u64::MAX / 1_000_000] {
            for rounds in [1, 24, 10_000] {
                let (left, rounds) = (Zcdp::from_pico(left), Rounds::of_all(rounds));
                let scene = Scene { rounds, left, ..scene() };
                let plot = scene.plot(scene.range().unwrap(), "patients").unwrap();
                assert_eq!(plot.curve.len(), SAMPLES);
                assert!(plot.curve.is_sorted_by(|a, b| a >= b), "{plot:?}");
                assert!(plot.curve[0] <= plot.top && plot.curve[0] > 0.9 * plot.top, "{plot:?}");
                assert!(plot.levels.iter().all(|(_, height)| *height < plot.top));
                assert!(plot.range.0 < plot.range.1 && !plot.ticks_across().is_empty());
            }
        }
    }

    #[test]
    fn the_noise_in_the_mean_is_shared_by_the_units() {
        let rows = rows(&scene());
        let json = rows[0].json(Some(1000));
        assert_eq!(json["noise_in_mean"].as_f64().unwrap() * 1000.0, rows[0].noise());
        assert!(rows[0].json(None)["noise_in_mean"].is_null());
        let page = table(&rows, Some(1000)).render();
        assert!(page.contains("in the mean"), "{page}");
        assert!(!table(&rows, None).render().contains("in the mean"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for text in ["0", "-1", "NaN", "inf", "much"] {
            assert!(epsilon(text).is_err(), "{text}");
        }
        let tiny = Zcdp::from_pico(1000);
        let rounds = Rounds::of_all(10_000);
        let scene = Scene { rounds, per_job: tiny, left: tiny, asked: None, ..scene() };
        assert!(scene.range().is_err_and(|error| error.to_string().contains("plan fewer")));
    }
}
