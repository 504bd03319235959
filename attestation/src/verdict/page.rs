//! The verdict as a page that a person reads.

use std::fmt;

use super::{Check, Outcome, Verdict};

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.accepted() { "ACCEPTED" } else { "DENIED" };
        writeln!(f, "{word}: {} evidence", self.platform())?;
        let failed = self.failed().count();
        let opted_out = self.opted_out().count();
        writeln!(
            f,
            "{} checks: {failed} failed, {opted_out} opted out of, {} passed",
            self.checks().len(),
            self.checks().len() - failed - opted_out,
        )?;
        section(f, "Failed", self.failed(), true)?;
        section(f, "Opted out of", self.opted_out(), false)?;
        writeln!(f, "\nPassed")?;
        for check in self.checks() {
            if check.outcome == Outcome::Passed {
                writeln!(f, "  {:<24} {}", check.name, check.found)?;
            }
        }
        Ok(())
    }
}

fn section<'a>(
    f: &mut fmt::Formatter<'_>,
    title: &str,
    checks: impl Iterator<Item = &'a Check>,
    with_remedy: bool,
) -> fmt::Result {
    for (position, check) in checks.enumerate() {
        if position == 0 {
            writeln!(f, "\n{title}")?;
        }
        writeln!(f, "  {}: {}", check.name, check.rule)?;
        writeln!(f, "    expected  {}", check.expected)?;
        writeln!(f, "    found     {}", check.found)?;
        if with_remedy {
            writeln!(f, "    to do     {}", check.remedy)?;
        }
    }
    Ok(())
}
