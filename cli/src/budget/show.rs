//! `cloister budget show`.

use std::path::Path;

use cloister_broker::policy::{Amount, Budget};
use cloister_privacy::Zcdp;
use serde_json::{Value, json};

use super::{
    Account, NOTHING_LEFT,
    amount::{at_least, at_most, counted, epsilon_left, machine, words},
    is_next_to_nothing, loud,
    noise::{self, Rounds, STEPS},
};
use crate::{
    error::{Context, Result},
    ui::{Page, Report, printable},
};

/// The jobs whose noise is shown.
const ROUNDS: [u32; 6] = [1, 10, 24, 50, 100, 200];

/// Says what is spent and left, and what that buys.
pub(super) fn show(home: &Path) -> Result<Report> {
    let account = Account::open(home)?;
    let balance = account.balance()?;
    let budget = &account.policy.budget;
    let (Budget { total, per_job, order }, accounting) = (budget, budget.accounting());
    let delta = total.delta;
    let spent = accounting.epsilon_upper(balance.spent, delta).doing("what was spent")?;
    let left = epsilon_left(balance.left, total, accounting)?;
    let jobs = balance.left.as_pico() / per_job.rho.as_pico();
    let mut warnings = account.warnings()?;
    if balance.spent > total.rho {
        warnings.push("More was spent than this policy allows.".to_owned());
    }

    let population = printable(&account.population);
    let entries = balance.entries.len();
    let head = format!("{entries} entries, unbroken; head {}", balance.head.short());
    let page = loud(&warnings)
        .title(format!("Budget of {population}, by {}", account.source()))
        .row("total", words(total.rho, &at_most(total.epsilon), delta))
        .row("spent", words(balance.spent, &at_most(spent), delta))
        .row("left", words(balance.left, &at_least(left), delta))
        .row("one job", words(per_job.rho, &at_most(per_job.epsilon), per_job.delta))
        .row("jobs", format!("{jobs} more at the most that one may cost"))
        .row("counted", counted(accounting))
        .row("ledger", head)
        .text("Rho adds up. Epsilons do not: those of spent and left may exceed the total's.")
        .blank();
    let json = json!({
        "home": home,
        "population": account.population,
        "policy": account.source_json(),
        "total": machine(total.rho, total.epsilon, delta),
        "spent": machine(balance.spent, spent, delta),
        "left": machine(balance.left, left, delta),
        "per_job": machine(per_job.rho, per_job.epsilon, per_job.delta),
        "jobs_at_limit": jobs,
        "order": order,
        "buys": bought(balance.left, per_job),
        "entries": entries,
        "head": balance.head.to_hex(),
        "warnings": warnings,
    });
    Ok(Report::done(page.append(table(balance.left, budget, home)?), json))
}

/// The least noise of jobs that cost all they can.
fn buys(budget: Zcdp) -> impl Iterator<Item = (u32, Option<u64>)> {
    ROUNDS.into_iter().map(move |rounds| (rounds, Rounds::of_all(rounds).least_sigma(budget)))
}

fn table(left: Zcdp, limits: &Budget, home: &Path) -> Result<Page> {
    let (per_job, accounting) = (&limits.per_job, limits.accounting());
    let budget = left.min(per_job.rho);
    if is_next_to_nothing(budget, per_job.delta, accounting) {
        return Ok(Page::new().loud(NOTHING_LEFT));
    }
    let epsilon = at_least(epsilon_left(budget, per_job, accounting)?);
    let mut page = Page::new()
        .title(format!("What it buys: one job of epsilon {epsilon} at delta {:e}", per_job.delta))
        .text(format!("{:>8}{:>10}", "rounds", "noise"));
    for (rounds, sigma) in buys(budget) {
        let noise = sigma.map_or_else(|| "-".to_owned(), |s| noise::shown(noise::of_sigma(s)));
        page = page.text(format!("{rounds:>8}{noise:>10}"));
    }
    Ok(page
        .text("Noise: the standard deviation in each number of a round's sum, in clip bounds.")
        .text("In the mean it is that divided by the number of units.")
        .next(format!("cloister budget plan --home {}", home.display())))
}

fn bought(left: Zcdp, per_job: &Amount) -> Vec<Value> {
    let row = |(rounds, sigma): (u32, Option<u64>)| {
        json!({
            "rounds": rounds,
            "steps": STEPS,
            "sigma_steps": sigma,
            "noise": sigma.map(noise::of_sigma),
        })
    };
    buys(left.min(per_job.rho)).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_buys_what_is_left_within_its_limit() {
        let limit = Amount::new(1.0, 1e-5).unwrap();
        let (most, little) = (Zcdp::from_pico(u64::MAX), Zcdp::from_pico(1_000_000_000));
        let of = |left| bought(left, &limit);
        assert_eq!(of(most), of(limit.rho));
        // sqrt(24 / (2 * 0.001)) = 109.5445
        assert_eq!(of(little)[2]["rounds"], 24);
        assert!((of(little)[2]["noise"].as_f64().unwrap() - 109.5445).abs() < 1e-3);
        assert!(of(little)[2]["noise"].as_f64() > of(most)[2]["noise"].as_f64());
    }

    #[test]
    fn nothing_left_buys_nothing() {
        let limit = Amount::new(1.0, 1e-5).unwrap();
        let limits = Budget { total: limit, per_job: limit, order: None };
        for left in [Zcdp::ZERO, Zcdp::from_pico(640)] {
            let page = table(left, &limits, Path::new("a")).unwrap().render();
            assert!(page.contains("Nothing is left") && !page.contains("noise"), "{page}");
        }
        assert!(bought(Zcdp::ZERO, &limit).iter().all(|row| row["noise"].is_null()));
    }
}
