//! Reads what `cargo test -- --show-output` prints: counts the tests, collects the
//! skipped ones, and leaves out what passing tests said.
//!
//! A test that cannot run on this machine passes, and says so with a line
//! `SKIPPED: reason` on standard output.

use std::fmt;

const SKIPPED: &str = "SKIPPED:";

/// What one run of `cargo test` did, line by line.
#[derive(Default)]
pub struct Results {
    passed: u64,
    failed: u64,
    /// Tests that libtest was told to ignore.
    ignored: u64,
    /// Tests that skipped themselves.
    excused: u64,
    /// Names and reasons of both.
    skipped: Vec<(String, String)>,
    /// Inside libtest's section on tests that passed.
    in_successes: bool,
    /// The test whose output is being read.
    current: Current,
}

/// Whose output is being read.
#[derive(Default)]
struct Current {
    name: Option<String>,
    /// It has said already that it was skipped.
    excused: bool,
}

impl Results {
    /// Takes one line without its end; gives it back if it is to be shown.
    pub fn line<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        if let Some(name) = output_of(line) {
            self.current = Current { name: Some(name.to_owned()), excused: false };
        } else if let Some(reason) = line.strip_prefix(SKIPPED) {
            self.excuse(reason.trim());
        } else if let Some(name) = ignored(line) {
            let reason = "marked #[ignore]".to_owned();
            self.skipped.push((name.to_owned(), reason));
        } else if line == "successes:" {
            self.in_successes = true;
        } else if line == "failures:" {
            self.in_successes = false;
        } else if let Some(counts) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.current = Current::default();
            self.passed += count(counts, "passed");
            self.failed += count(counts, "failed");
            self.ignored += count(counts, "ignored");
        }
        (!self.in_successes).then_some(line)
    }

    /// Tests that failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Whether no test was run at all, as when the build failed.
    pub fn none(&self) -> bool {
        self.passed + self.failed + self.ignored == 0
    }

    fn excuse(&mut self, reason: &str) {
        let failed = self.current.name.is_some() && !self.in_successes;
        if failed || self.current.excused {
            return;
        }
        let name = match &self.current.name {
            Some(name) => {
                self.current.excused = true;
                name.clone()
            }
            None => "a test".to_owned(),
        };
        self.excused += 1;
        self.skipped.push((name, reason.to_owned()));
    }
}

/// Skipped tests with their reasons, then the totals.
impl fmt::Display for Results {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        if self.skipped.is_empty() {
            writeln!(f, "No test was skipped.")?;
        } else {
            writeln!(f, "NOT TESTED HERE: {} skipped", self.skipped.len())?;
            for (name, reason) in &self.skipped {
                writeln!(f, "  {name}: {reason}")?;
            }
        }
        // libtest counts a test that skipped itself as passed.
        let passed = self.passed.saturating_sub(self.excused);
        let skipped = self.ignored + self.excused;
        writeln!(f, "{passed} passed, {} failed, {skipped} skipped", self.failed)
    }
}

/// The test's name in `---- name stdout ----`.
fn output_of(line: &str) -> Option<&str> {
    line.strip_prefix("---- ")?.strip_suffix(" stdout ----")
}

/// The test's name in `test name ... ignored` and `test name ... ignored, why`.
fn ignored(line: &str) -> Option<&str> {
    let (name, outcome) = line.strip_prefix("test ")?.split_once(" ... ")?;
    (outcome == "ignored" || outcome.starts_with("ignored, ")).then_some(name)
}

/// The number before `what` in `ok. 3 passed; 0 failed; ...`.
fn count(counts: &str, what: &str) -> u64 {
    counts
        .split([';', '.'])
        .find_map(|part| part.trim().strip_suffix(what)?.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "
running 4 tests
test vectors ... ok
test plain ... ok
test slow ... ignored, takes an hour
test broken ... FAILED

successes:

---- vectors stdout ----
reading vectors
SKIPPED: ../shared/vectors is not here
SKIPPED: nor is the second file


successes:
    plain
    vectors

failures:

---- broken stdout ----
SKIPPED: a failure excuses nothing
assertion failed


failures:
    broken

test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s
";

    fn read(text: &str) -> (Results, Vec<&str>) {
        let mut results = Results::default();
        let shown = text.lines().filter_map(|line| results.line(line)).collect();
        (results, shown)
    }

    #[test]
    fn a_skipped_test_is_named_once_and_not_counted_as_passed() {
        let (results, _) = read(RUN);
        assert_eq!(
            results.to_string(),
            "\nNOT TESTED HERE: 2 skipped\n  \
             slow: marked #[ignore]\n  \
             vectors: ../shared/vectors is not here\n\
             6 passed, 1 failed, 2 skipped\n"
        );
    }

    #[test]
    fn failures_are_shown_and_the_chatter_of_passing_tests_is_not() {
        let (_, shown) = read(RUN);
        assert!(shown.contains(&"assertion failed"));
        assert!(shown.contains(&"test vectors ... ok"));
        assert!(shown.iter().any(|line| line.starts_with("test result: FAILED")));
        assert!(!shown.contains(&"reading vectors"));
        assert!(!shown.contains(&"    vectors"));
    }

    #[test]
    fn a_run_without_skips_says_so() {
        assert!(read("running 0 tests").0.none());
        let (results, _) = read("test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured");
        assert!(!results.none());
        assert_eq!(results.to_string(), "\nNo test was skipped.\n5 passed, 0 failed, 0 skipped\n");
    }
}
