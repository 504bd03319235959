//! `cloister jobs`: what a host has of an orchestrator's.

use std::path::PathBuf;

use clap::Args;
use cloister_party::{Home, Role};
use serde_json::json;

use crate::{
    error::{Error, Result},
    home,
    host::Host,
    ui::{Page, Report, printable, sentence},
};

/// List the jobs that an orchestrator submitted to a host
#[derive(Args, Debug)]
#[command(after_help = "Example:
  cloister jobs --home lab --host node-1")]
pub struct Jobs {
    /// The orchestrator's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The host, by the name it enrolled under
    #[arg(long, value_name = "NAME")]
    host: String,
}

impl Jobs {
    /// Lists the jobs.
    pub fn run(&self) -> Result<Report> {
        let home = Home::open_as(&self.home, Role::Orchestrator).map_err(Error::failed)?;
        let jobs = Host::new(home::host(&home, &self.host)?).jobs()?;
        let mut page = Page::new().title(format!("{} jobs on {}", jobs.len(), self.host));
        for job in &jobs {
            let why = job.refusal.as_ref().map_or(String::new(), |refusal| {
                format!(" ({}: {})", printable(&refusal.code), sentence(&refusal.message))
            });
            let state = printable(&job.state);
            let progress = format!("{state}, {} of {} releases{why}", job.releases, job.of);
            page = page.row(job.job.get(..16).unwrap_or(&job.job), progress);
        }
        Ok(Report::done(page, json!({ "jobs": jobs })))
    }
}
