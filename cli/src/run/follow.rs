//! `cloister follow`: going on with a job that was submitted before.

use std::path::PathBuf;

use clap::Args;
use cloister_party::{Home, Role};

use super::{results::Results, resume, watch::Watch};
use crate::{
    error::{Error, Result},
    home,
    host::Host,
    interrupt,
    ui::{Report, Ui},
};

/// Digits of a whole id.
const ID: usize = 128;

/// Follow a job that was submitted before, and fetch its releases
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister follow 3f2a0c... --home lab --host node-1 -o results")]
pub struct Follow {
    /// The job's id, whole or its beginning
    job: String,
    /// The orchestrator's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The host, by the name it enrolled under
    #[arg(long, value_name = "NAME")]
    host: String,
    /// Where the releases go [default: job-ID]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The delta at which the cost is shown
    #[arg(long, default_value_t = 1e-5)]
    delta: f64,
}

impl Follow {
    /// Follows the job to its end.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        let home = Home::open_as(&self.home, Role::Orchestrator).map_err(Error::failed)?;
        let host = Host::new(home::host(&home, &self.host)?);
        let id = self.find(&host)?;
        let short = format!("job-{}", id.get(..16).unwrap_or(&id));
        let folder = self.output.clone().unwrap_or_else(|| PathBuf::from(short));
        Results::of_job(&folder, &id)?.prepare()?;
        let resume = resume::line(&id, &self.home, &self.host, &folder, self.delta);
        interrupt::say(resume.clone());
        let (host, delta) = (&host, self.delta);
        Watch { host, id: &id, folder: &folder, delta, resume: &resume }.run(ui)
    }

    /// The whole id. Only the newest jobs are listed; a whole id finds older ones, too.
    fn find(&self, host: &Host) -> Result<String> {
        if self.job.len() == ID {
            return Ok(host.job(&self.job)?.job);
        }
        let jobs = host.jobs()?;
        let mut fitting = jobs.iter().filter(|job| job.job.starts_with(&self.job));
        match (fitting.next(), fitting.next()) {
            (Some(job), None) => Ok(job.job.clone()),
            (None, _) => Err(Error::failed(format!(
                "{} lists no job {:?} of yours: `cloister jobs` shows the newest, older ones \
                 need the whole id",
                self.host, self.job
            ))),
            (Some(_), Some(_)) => Err(Error::usage(format!(
                "several jobs begin with {:?}: give more of the id",
                self.job
            ))),
        }
    }
}
