//! The command line, read by hand: a parser would be the larger half of it.

use std::{ffi::OsString, path::PathBuf};

use cloister_link::Address;
use thiserror::Error;

use crate::attester::{self, Platform, Vmpl};

/// What `--help` says.
#[must_use]
pub fn help() -> String {
    format!("{HELP}\nPlatforms of this build: {}\n", attester::built())
}

const HELP: &str = "\
The enclave: trains on sealed data and releases noised sums.

Usage:
  cloister-enclave serve --listen ADDRESS --platform simulated --vendor DIR [--workers N]
  cloister-enclave serve --listen ADDRESS --platform nitro [--workers N]
  cloister-enclave serve --listen ADDRESS --platform snp [--vmpl N] [--workers N]
  cloister-enclave vendor DIR
  cloister-enclave measure --vendor DIR

Commands:
  serve     Listen for the host; events go to standard error as lines of JSON
  vendor    Make a simulated vendor: certificates that vouch for this program
  measure   Print this program's simulated measurements, for an owner's policy

Options:
  --listen ADDRESS   unix:PATH, vsock:PORT or tcp:HOST:PORT
  --platform NAME    simulated, nitro or snp: one of this build's
  --vendor DIR       The simulated vendor's directory
  --vmpl N           The privilege level of SEV-SNP reports, 0 to 3 [default: 0]
  --workers N        Worker processes of a job [default: one for each processor]
  --help, --version

Example:
  cloister-enclave vendor vendor
  cloister-enclave measure --vendor vendor > measurements.toml
  cloister-enclave serve --listen unix:enclave.sock --platform simulated --vendor vendor
  cloister-enclave serve --listen vsock:7000 --platform nitro
";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Serve the host.
    Serve {
        /// Where.
        listen: Address,
        /// Who vouches.
        platform: Platform,
        /// Worker processes of a job.
        workers: Option<usize>,
    },
    /// Be a worker process of a pool.
    Worker,
    /// Make a simulated vendor.
    Vendor(PathBuf),
    /// Print measurements.
    Measure {
        /// The vendor whose root they name.
        vendor: PathBuf,
    },
    /// Print [`help`].
    Help,
    /// Print the version.
    Version,
}

/// A command line that makes no sense, in one line that says what to do.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0}; see cloister-enclave --help")]
pub struct UsageError(String);

impl Arguments {
    /// Reads what follows the program's name.
    ///
    /// # Errors
    ///
    /// [`UsageError`].
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut words = words.into_iter();
        let command = text(words.next().unwrap_or_else(|| "--help".into()))?;
        let mut rest = Rest::of(words)?;
        if rest.help {
            return Ok(Self::Help);
        }
        let parsed = match command.as_str() {
            "serve" => Self::Serve {
                listen: rest.address("--listen")?,
                platform: rest.platform()?,
                workers: rest.workers()?,
            },
            "worker" => Self::Worker,
            "vendor" => {
                Self::Vendor(rest.plain.pop().ok_or_else(|| error("vendor needs a directory"))?)
            }
            "measure" => Self::Measure { vendor: rest.path("--vendor")? },
            "--help" | "-h" | "help" => Self::Help,
            "--version" | "-V" => Self::Version,
            other => return Err(UsageError(format!("{other:?} is not a command"))),
        };
        rest.finish()?;
        Ok(parsed)
    }
}

/// Options and plain words behind the command.
struct Rest {
    options: Vec<(String, OsString)>,
    plain: Vec<PathBuf>,
    help: bool,
}

impl Rest {
    fn of(mut words: impl Iterator<Item = OsString>) -> Result<Self, UsageError> {
        let mut rest = Self { options: Vec::new(), plain: Vec::new(), help: false };
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--help" | "-h") => rest.help = true,
                Some(name) if name.starts_with("--") => {
                    let value = words.next();
                    let value = value.ok_or_else(|| UsageError(format!("{name} needs a value")))?;
                    if rest.options.iter().any(|(known, _)| known == name) {
                        return Err(UsageError(format!("{name} is given twice")));
                    }
                    rest.options.push((name.into(), value));
                }
                _ => rest.plain.push(word.into()),
            }
        }
        Ok(rest)
    }

    fn option(&mut self, name: &str) -> Option<OsString> {
        let place = self.options.iter().position(|(known, _)| known == name)?;
        Some(self.options.remove(place).1)
    }

    fn required(&mut self, name: &str) -> Result<OsString, UsageError> {
        self.option(name).ok_or_else(|| UsageError(format!("{name} is missing")))
    }

    fn path(&mut self, name: &str) -> Result<PathBuf, UsageError> {
        Ok(self.required(name)?.into())
    }

    fn address(&mut self, name: &str) -> Result<Address, UsageError> {
        let value = text(self.required(name)?)?;
        value.parse().map_err(|why| UsageError(format!("{name}: {why}")))
    }

    fn platform(&mut self) -> Result<Platform, UsageError> {
        match text(self.required("--platform")?)?.as_str() {
            "simulated" => Ok(Platform::Simulated { vendor: self.path("--vendor")? }),
            "nitro" => Ok(Platform::Nitro),
            "snp" => Ok(Platform::Snp { vmpl: self.vmpl()? }),
            other => Err(UsageError(format!(
                "{other:?} is not a platform: --platform simulated, nitro or snp"
            ))),
        }
    }

    fn vmpl(&mut self) -> Result<Vmpl, UsageError> {
        let Some(value) = self.option("--vmpl") else { return Ok(Vmpl::default()) };
        let level = text(value)?.parse().ok().and_then(Vmpl::new);
        level.ok_or_else(|| error("--vmpl takes a number from 0 to 3"))
    }

    fn workers(&mut self) -> Result<Option<usize>, UsageError> {
        let Some(value) = self.option("--workers") else { return Ok(None) };
        match text(value)?.parse() {
            Ok(workers @ 1..=1024) => Ok(Some(workers)),
            _ => Err(error("--workers takes a number from 1 to 1024")),
        }
    }

    fn finish(self) -> Result<(), UsageError> {
        if let Some((name, _)) = self.options.first() {
            return Err(UsageError(format!("{name} is not an option of this command")));
        }
        match self.plain.first() {
            Some(word) => Err(UsageError(format!("{} is not expected here", word.display()))),
            None => Ok(()),
        }
    }
}

fn text(word: OsString) -> Result<String, UsageError> {
    word.into_string().map_err(|word| UsageError(format!("{} is not text", word.display())))
}

fn error(text: &str) -> UsageError {
    UsageError(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace().map(OsString::from);
        Arguments::parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn the_examples_of_the_help_are_understood() {
        let lines: Vec<_> = HELP
            .lines()
            .skip_while(|line| *line != "Example:")
            .filter_map(|line| line.trim().strip_prefix("cloister-enclave "))
            .map(|line| line.split(" >").next().unwrap())
            .collect();
        assert_eq!(lines.len(), 4);
        for line in lines {
            parse(line).unwrap();
        }
        assert_eq!(parse(""), Ok(Arguments::Help));
        assert_eq!(parse("serve --help"), Ok(Arguments::Help));
        assert_eq!(parse("worker"), Ok(Arguments::Worker));
    }

    #[test]
    fn platforms_are_understood_whether_or_not_this_build_has_them() {
        for (line, expected) in [
            ("--platform nitro", Platform::Nitro),
            ("--platform snp", Platform::Snp { vmpl: Vmpl::default() }),
            ("--vmpl 3 --platform snp", Platform::Snp { vmpl: Vmpl::new(3).unwrap() }),
            ("--platform simulated --vendor v", Platform::Simulated { vendor: "v".into() }),
        ] {
            let parsed = parse(&format!("serve --listen vsock:1 {line}"));
            let Ok(Arguments::Serve { platform, .. }) = parsed else { panic!("{parsed:?}") };
            assert_eq!(platform, expected);
        }
        assert!(help().ends_with(&format!(": {}\n", attester::built())));
    }

    #[test]
    fn every_mistake_is_told_in_one_line() {
        for (line, told) in [
            ("run", "\"run\" is not a command"),
            ("serve --platform simulated --vendor v", "--listen is missing"),
            ("serve --listen x --platform simulated --vendor v", "--listen: "),
            ("serve --listen vsock:1 --platform tdx", "not a platform"),
            ("serve --listen vsock:1 --platform simulated", "--vendor is missing"),
            ("serve --listen vsock:1 --platform simulated --vendor v --workers 0", "1 to 1024"),
            ("serve --listen vsock:1 --platform snp --vmpl 4", "0 to 3"),
            ("serve --listen vsock:1 --platform nitro --vmpl 0", "not an option"),
            ("serve --listen vsock:1 --platform nitro --vendor v", "not an option"),
            ("serve --listen", "--listen needs a value"),
            ("vendor", "needs a directory"),
            ("vendor a b", "is not expected here"),
            ("measure --vendor a --vendor b", "given twice"),
            ("measure --vendor a --listen b", "not an option"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(told) && !error.contains('\n'), "{line}: {error}");
            assert!(error.ends_with("see cloister-enclave --help"), "{error}");
        }
    }
}
