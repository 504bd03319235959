//! `JOB.toml`: a job as a person writes it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use cloister_privacy::{Accounting, Order, Share};
use serde::Deserialize;

use crate::{
    error::{Context, Error, Result, toml_error},
    files,
};

/// A job as a person writes it. Epsilon and delta are what all of it may cost; noise
/// follows from them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct JobText {
    /// What for, in the words that policies list.
    pub purpose: String,
    /// `NAME@VERSION`, or the path of a code file.
    pub code: String,
    /// Parameters of the code.
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    /// Whose data.
    pub datasets: Datasets,
    /// The most that the job may cost each person, with `delta`.
    pub epsilon: f64,
    /// The chance that epsilon is not kept, well below one over the people.
    pub delta: f64,
    /// Training rounds.
    pub rounds: u32,
    /// The L2 norm that each unit's update is clipped to, or each group's.
    pub clip: f64,
    /// How many groups of units have an update each; without it each unit has.
    pub groups: Option<u32>,
    /// The probability with which each unit takes part in a round; without it all do.
    pub sampling: Option<f64>,
    /// The order at which the owners' policies keep their accounts, if they do: sampling saves
    /// nothing but there.
    pub order: Option<u32>,
    /// Grid steps in that norm; at least 16 times the root of the model's size.
    #[serde(default = "default_steps")]
    pub steps: u64,
    /// Seed of the code's own randomness.
    #[serde(default)]
    pub seed: u64,
    /// How long brokers may grant for this job: "1h", "30m", "2d".
    #[serde(default = "default_validity")]
    pub valid_for: String,
    /// The release that centres the features, if wanted.
    pub centring: Option<CentringText>,
    /// The release about the owners' own rows, if wanted.
    pub metrics: Option<MetricsText>,
    /// What happens to each round's mean.
    pub server: ServerText,
    /// When releases happen.
    pub schedule: ScheduleText,
    /// What one call of the code may use.
    pub limits: LimitsText,
    /// Rows that are public, to measure the model on.
    pub public_set: Option<PublicSetText>,
}

/// All datasets that the host has, or a list of owners.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Datasets {
    /// `"all"`.
    Word(String),
    /// `["hospital-a", "hospital-b/dataset-name"]`.
    List(Vec<String>),
}

/// The centring release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentringText {
    /// The L2 norm that a unit's mean is clipped to.
    pub clip: f64,
    /// Its share of the budget, as a fraction: "1/5".
    pub share: String,
}

/// The metrics release.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsText {
    /// Its share of the budget, as a fraction: "1/10".
    pub share: String,
    /// The loss that counts as 1, as every larger one does.
    #[serde(default = "one_f64")]
    pub loss: f64,
}

/// The server's step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerText {
    /// The learning rate.
    pub rate: f64,
    /// The momentum.
    #[serde(default)]
    pub momentum: f64,
    /// How many last iterates the final model averages.
    #[serde(default = "one")]
    pub average_last: u32,
    /// What centred features are multiplied by.
    #[serde(default = "one_f64")]
    pub scale: f64,
    /// What features are then clamped to, plus and minus.
    pub clamp: f64,
}

/// When releases happen.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ScheduleText {
    /// Milliseconds from the start to the first release.
    pub first_ms: u64,
    /// Milliseconds between releases.
    pub interval_ms: u64,
}

/// What one call of the code may use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsText {
    /// Fuel.
    pub fuel: u64,
    /// Bytes.
    pub memory: u64,
}

/// A public table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicSetText {
    /// CSV or Parquet; relative to the job's file.
    pub table: PathBuf,
    /// Its description; relative to the job's file.
    pub dataset: PathBuf,
}

/// Enough for models of a million numbers.
fn default_steps() -> u64 {
    1 << 14
}

fn default_validity() -> String {
    "1h".to_owned()
}

fn one() -> u32 {
    1
}

fn one_f64() -> f64 {
    1.0
}

impl JobText {
    /// Reads a job.
    pub fn read(path: &Path) -> Result<Self> {
        let text = files::read_text(path)?;
        toml::from_str(&text).map_err(|error| toml_error(path, &text, &error))
    }

    /// How the account counts that the noise is planned for.
    pub fn accounting(&self) -> Result<Accounting> {
        let order = self.order.map(Order::new).transpose().doing("order")?;
        Ok(Accounting::of(order))
    }

    /// The public table and its description, relative to the folder of the job's file.
    pub fn public_paths(&self, job: &Path) -> Option<(PathBuf, PathBuf)> {
        let folder = job.parent().unwrap_or(Path::new(""));
        self.public_set.as_ref().map(|set| (folder.join(&set.table), folder.join(&set.dataset)))
    }

    /// Seconds that brokers may grant for this job.
    pub fn validity(&self) -> Result<u64> {
        let refuse = || {
            let found = &self.valid_for;
            Error::failed(format!("valid-for = {found:?}: write a duration as \"1h\" or \"30m\""))
        };
        let span: jiff::SignedDuration = match self.valid_for.parse() {
            Ok(span) => span,
            // Days have 24 hours here, which a bare duration does not say.
            Err(_) => days(&self.valid_for).ok_or_else(refuse)?,
        };
        let seconds = u64::try_from(span.as_secs()).map_err(|_| refuse())?;
        if seconds == 0 { Err(refuse()) } else { Ok(seconds) }
    }
}

fn days(text: &str) -> Option<jiff::SignedDuration> {
    let count: i64 = text.trim().strip_suffix('d')?.trim().parse().ok()?;
    count.checked_mul(24).map(jiff::SignedDuration::from_hours)
}

impl CentringText {
    /// The share as the privacy crate takes it.
    pub fn share(&self) -> Result<Share> {
        share("centring.share", &self.share)
    }
}

impl MetricsText {
    /// The share as the privacy crate takes it.
    pub fn share(&self) -> Result<Share> {
        share("metrics.share", &self.share)
    }
}

fn share(field: &str, text: &str) -> Result<Share> {
    let parts = text.split_once('/');
    let number = |text: &str| text.trim().parse::<u32>().ok();
    let numbers = parts.and_then(|(top, bottom)| Some((number(top)?, number(bottom)?)));
    match numbers.map(|(top, bottom)| Share::new(top, bottom)) {
        Some(Ok(share)) => Ok(share),
        Some(Err(error)) => Err(Error::failed(format!("{field}: {error}"))),
        None => Err(Error::failed(format!("{field} = {text:?}: write a fraction as \"1/5\""))),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub const TEXT: &str = r#"
        purpose = "research"
        code = "logistic@1"
        datasets = "all"
        epsilon = 1.0
        delta = 1e-5
        rounds = 24
        clip = 0.35
        [centring]
        clip = 8.0
        share = "1/5"
        [server]
        rate = 11.0
        average-last = 12
        scale = 10.0
        clamp = 3.0
        [schedule]
        first-ms = 500
        interval-ms = 200
        [limits]
        fuel = 1_000_000
        memory = 4_194_304
    "#;

    pub fn job() -> JobText {
        toml::from_str(TEXT).unwrap()
    }

    #[test]
    fn reads_a_job_and_its_defaults() {
        let job = job();
        assert_eq!(job.datasets, Datasets::Word("all".into()));
        assert_eq!(job.steps, 1 << 14);
        assert_eq!(job.validity().unwrap(), 3600);
        assert_eq!(job.centring.unwrap().share().unwrap(), Share::FIFTH);
        assert!(job.metrics.is_none(), "nobody is charged for what was not asked for");
        let metrics = TEXT.replace("[server]", "[metrics]\nshare = \"1/10\"\n[server]");
        let metrics = toml::from_str::<JobText>(&metrics).unwrap().metrics.unwrap();
        assert_eq!((metrics.share().unwrap(), metrics.loss), (Share::new(1, 10).unwrap(), 1.0));
    }

    #[test]
    fn durations_and_shares_are_checked() {
        let mut job = job();
        for (text, seconds) in [("30m", 1800), ("2d", 172_800), ("1h 30m", 5400), ("90s", 90)] {
            text.clone_into(&mut job.valid_for);
            assert_eq!(job.validity().unwrap(), seconds, "{text}");
        }
        for text in ["", "0s", "-1h", "soon"] {
            text.clone_into(&mut job.valid_for);
            assert!(job.validity().unwrap_err().to_string().contains("write a duration"));
        }
        let mut centring = job.centring.unwrap();
        for text in ["0.2", "1/0", "5/5", "a/b"] {
            text.clone_into(&mut centring.share);
            assert!(centring.share().is_err(), "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_refused() {
        let error = toml::from_str::<JobText>(&TEXT.replace("clip = 8.0", "clip = 8\nsigma = 1"));
        assert!(error.unwrap_err().to_string().contains("sigma"));
    }
}
