//! `cloister run`: from a job's TOML to its last release.

mod compile;
mod datasets;
pub mod follow;
pub mod jobs;
pub mod model;
mod plan;
mod table;
mod text;
pub mod trainers;
mod watch;

use std::path::PathBuf;

use clap::Args;
use cloister_party::{Home, Role};
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
  cloister run job.toml --home lab --host node-1 -o results --json")]
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
}

impl Run {
    /// Submits the job and follows it to its end.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        // 1. Everything that can be wrong here is found before anything is sent.
        let text = JobText::read(&self.job)?;
        let home = Home::open_as(&self.home, Role::Orchestrator).map_err(Error::failed)?;
        let key = home.signing_key().map_err(Error::failed)?;
        let code = trainers::find(&text.code, self.trainers.as_deref(), &self.job)?;
        let planned = plan::plan(&text)?;
        let public = match text.public_paths(&self.job) {
            None => None,
            Some((table, description)) => {
                let description = Description::read(&description)?;
                let (bytes, _) = public_set(&table, description.clone())?;
                Some((description, bytes))
            }
        };
        let host = Host::new(home::host(&home, &self.host)?);

        // 2. The datasets, by what their owners signed.
        let peers = home.peers().map_err(Error::failed)?;
        let mut offered = Vec::new();
        for listed in host.datasets()? {
            let proof = host.proof(&listed.id)?;
            let owner_name = datasets::owner_name(&peers, &proof.header.owner, listed.owner_name);
            offered.push(Offered { owner_name, proof });
        }
        let chosen = datasets::choose(&text.datasets, offered)?;
        let set = public.as_ref().map(|(description, bytes)| {
            compile::same_columns(description, &chosen[0])?;
            Ok::<_, Error>(PublicSet {
                digest: cloister_protocol::Digest::of("public-set", &[bytes]),
                length: bytes.len() as u64,
            })
        });
        let parts = Parts { code: &code.manifest, planned: &planned, datasets: &chosen };
        let job = compile::compile(&text, &parts, set.transpose()?)?;
        let each = unit::for_each(chosen.iter().map(|one| &one.header));
        let mut page = plan::page(&planned, &job, text.delta, each)?;
        for one in &chosen {
            page = page.row(&one.owner_name, format!("{} units", one.dataset.units));
        }
        ui.page(&page.blank());

        // 3. Sign and submit.
        let signed = Signed::sign(&job, &key).doing("cannot sign the job")?;
        let folder = self.output.clone().unwrap_or_else(|| self.job.with_extension(""));
        if folder == self.job {
            return Err(Error::usage("say where the releases go with -o DIR"));
        }
        std::fs::create_dir_all(&folder).with_path(&folder)?;
        files::write(&folder.join("job.cloister"), signed.as_bytes())?;
        host.put_code(&code.bytes)?;
        if let Some((_, bytes)) = &public {
            host.put_public_set(bytes)?;
        }
        let id = host.submit(&signed)?;
        if ui.json {
            ui.json_line(&json!({ "event": "submitted", "job": id }));
        } else {
            let resume = format!(
                "cloister follow {id} --home {} --host {} -o {}",
                self.home.display(),
                self.host,
                folder.display()
            );
            ui.page(&Page::new().text("Submitted; Ctrl-C leaves it running.").blank());
            interrupt::say(resume);
        }

        // 4. Follow.
        let watch = Watch { host: &host, id: &id, folder: &folder, delta: text.delta };
        watch.run(ui)
    }
}
