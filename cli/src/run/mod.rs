//! `cloister run`: from a job's TOML to its last release.

pub mod compile;
pub mod datasets;
pub mod follow;
pub mod jobs;
pub mod metrics;
pub mod model;
pub mod plan;
mod results;
mod resume;
mod table;
pub mod tables;
pub mod text;
pub mod trainers;
mod watch;

use std::path::PathBuf;

use clap::Args;
use cloister_party::{ClientError, Home, Role};
use cloister_protocol::{Signed, job::PublicSet};
use serde_json::json;

use crate::{
    data::{Description, public_set},
    error::{Context, Error, Result},
    files, home,
    host::Host,
    interrupt,
    ui::{Page, Report, Ui},
    unit,
};
use compile::Parts;
use datasets::Offered;
use results::Results;
use watch::Watch;

pub use text::JobText;

/// Run a job on a host and fetch its releases
///
/// Plans the noise from the job's epsilon and delta, signs the job, submits it, and
/// follows it: a table on a terminal, plain lines elsewhere, an object for each release
/// with --json. Leaves every release with its receipt, and the final model.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister run job.toml --home lab --host node-1
  cloister run job.toml --home lab --host node-1 -o results --json
  cloister run job.toml --home lab --host node-1 -o results --force")]
pub struct Run {
    /// The job
    job: PathBuf,
    /// The orchestrator's home
    #[arg(long, value_name = "DIR")]
    home: PathBuf,
    /// The host, by the name it enrolled under
    #[arg(long, value_name = "NAME")]
    host: String,
    /// Where code files are [default: beside this program, and trainers/ there]
    #[arg(long, value_name = "DIR", env = "CLOISTER_TRAINERS")]
    trainers: Option<PathBuf>,
    /// Where the releases go [default: the job's name without .toml]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Remove another job's releases from that folder
    #[arg(long)]
    force: bool,
}

impl Run {
    /// Submits the job and follows it to its end.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        // 1. Everything that can be wrong here is found before anything is sent.
        let text = JobText::read(&self.job)?;
        let folder = self.output.clone().unwrap_or_else(|| self.job.with_extension(""));
        if folder == self.job {
            return Err(Error::usage("say where the releases go with -o DIR"));
        }
        let results = Results::of_new_job(&folder, self.force)?;
        let home = Home::open_as(&self.home, Role::Orchestrator).map_err(Error::failed)?;
        let key = home.signing_key().map_err(Error::failed)?;
        let code = trainers::find(&text.code, self.trainers.as_deref(), &self.job)?;
        let planned = plan::plan(&text)?;
        let mut public = match text.public_paths(&self.job) {
            None => None,
            Some((table, description)) => {
                let description = Description::read(&description)?;
                let (bytes, _) = public_set(&table, description.clone())?;
                Some((table, description, bytes))
            }
        };
        let host = Host::new(home::host(&home, &self.host)?);

        // 2. The datasets, by what their owners signed.
        let peers = home.peers().map_err(Error::failed)?;
        let mut offered = Vec::new();
        for listed in datasets::wanted(&text.datasets, host.datasets()?, &peers)? {
            let proof = host.proof(&listed.id)?;
            let owner_name = datasets::owner_name(&peers, &proof.header.owner, listed.owner_name);
            offered.push(Offered { owner_name, proof });
        }
        let chosen = datasets::choose(&text.datasets, offered)?;
        let populations = tables::populations(&chosen)?;
        if let Some((table, description, bytes)) = &mut public {
            let ordered = compile::in_order(description, &populations[0])?;
            if ordered.columns != description.columns {
                (*bytes, _) = public_set(table, ordered)?;
            }
        }
        let set = public.as_ref().map(|(_, _, bytes)| PublicSet {
            digest: cloister_protocol::Digest::of("public-set", &[bytes]),
            length: bytes.len() as u64,
        });
        let parts = Parts { code: &code.manifest, planned: &planned, datasets: &chosen };
        let job = compile::compile(&text, &parts, set)?;
        let each = unit::for_each(chosen.iter().map(|one| &one.header));
        let mut page = plan::page(&planned, &job, &text, each)?;
        for one in &populations {
            page = page.row(one.owner_name, one.words());
        }
        ui.page(&page.blank());

        // 3. Sign and submit.
        let signed = Signed::sign(&job, &key).doing("cannot sign the job")?;
        host.put_code(&code.bytes)?;
        if let Some((_, _, bytes)) = &public {
            host.put_public_set(bytes)?;
        }
        results.prepare()?;
        let file = folder.join(results::JOB);
        files::write(&file, signed.as_bytes())?;
        let id = match host.submit(&signed) {
            Ok(id) => id,
            Err(error) => {
                // A job that was refused is none. One without an answer may be one.
                if matches!(error, ClientError::Refused { .. }) {
                    let _ = std::fs::remove_file(&file);
                }
                return Err(Error::failed(error));
            }
        };
        let resume = resume::line(&id, &self.home, &self.host, &folder, text.delta);
        if ui.json {
            ui.json_line(&json!({ "event": "submitted", "job": id, "resume": resume }));
        } else {
            ui.page(&Page::new().text("Submitted; Ctrl-C leaves it running.").blank());
            interrupt::say(resume.clone());
        }

        // 4. Follow.
        let (host, delta) = (&host, text.delta);
        Watch { host, id: &id, folder: &folder, delta, resume: &resume }.run(ui)
    }
}
