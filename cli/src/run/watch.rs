//! Following a job: fetching its releases as they come.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use cloister_protocol::{
    limits,
    release::{CheckedReceipt, Receipt, Stage},
};
use serde_json::json;

use super::{metrics::Measured, model, table::Table};
use crate::verify::cost;
use crate::{
    error::{Context, Error, Result},
    files,
    host::{Host, JobStatus},
    tensors::Tensors,
    ui::{self, Page, Report, Ui},
    unit,
};

/// How long a host may be away before following ends.
const PATIENCE: Duration = Duration::from_mins(1);

/// A job that is followed.
pub struct Watch<'a> {
    /// Where it runs.
    pub host: &'a Host,
    /// Its id.
    pub id: &'a str,
    /// Where its releases go.
    pub folder: &'a Path,
    /// The delta at which costs are shown.
    pub delta: f64,
    /// The command line that goes on from here.
    pub resume: &'a str,
}

/// A release that was fetched.
pub struct Fetched {
    /// The receipt, whole and checked against itself.
    pub checked: CheckedReceipt,
    /// Its tensors.
    pub tensors: Tensors,
}

impl Watch<'_> {
    /// Fetches every release, and ends with the job.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        let mut table = Table::new(ui);
        let started = Instant::now();
        let mut last: Option<Fetched> = None;
        let mut centring: Option<Fetched> = None;
        let mut measured: Option<Measured> = None;
        let mut have = 0;
        let status = loop {
            let status = self.patiently(|| self.host.wait(self.id, have))?;
            table.state(&status);
            for number in have..status.releases {
                let fetched = self.fetch(number)?;
                let epsilon = cost::epsilon(&fetched.checked, number + 1, self.delta)
                    .doing("the job's cost")?;
                table.release(&fetched, epsilon, started.elapsed());
                let stage = fetched.checked.release.value.stage;
                match stage {
                    Stage::Centring => centring = Some(fetched),
                    Stage::Round(_) => last = Some(fetched),
                    Stage::Metrics => {
                        let job = &fetched.checked.job.value;
                        measured = Measured::of(job, stage, &fetched.tensors);
                    }
                }
            }
            have = status.releases.max(have);
            if status.ended() {
                break status;
            }
        };
        table.end();
        if status.state == "failed" {
            return Err(refused(&status));
        }
        let last = last.ok_or_else(|| Error::failed("the job ended without a model"))?;
        all_came(have, last.checked.release.value.of)?;
        self.finish(&last, centring.as_ref(), measured.as_ref(), have, started.elapsed())
    }

    /// Asks the host until it answers, or for as long as patience lasts.
    fn patiently<T>(&self, ask: impl Fn() -> Result<Option<T>>) -> Result<T> {
        let since = Instant::now();
        loop {
            if let Some(answer) = ask()? {
                return Ok(answer);
            }
            if since.elapsed() > PATIENCE {
                return Err(Error::failed(format!(
                    "the host has not answered for {} s; the job may still run: `{}` goes on \
                     from here",
                    PATIENCE.as_secs(),
                    self.resume
                )));
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn fetch(&self, number: u32) -> Result<Fetched> {
        let (receipt, tensors) = self.patiently(|| self.host.release(self.id, number))?;
        let what = format!("release {number} as the host sent it");
        let parsed = Receipt::from_bytes(&receipt).doing(&what)?;
        let checked = parsed.check(&tensors).doing(&what)?;
        let release = &checked.release.value;
        if release.number != number || checked.job.id.to_string() != self.id {
            return Err(Error::failed(format!("{what} is one of another number or job")));
        }
        let stem = self.folder.join(format!("release-{number:03}"));
        files::write(&stem.with_extension("receipt"), &receipt)?;
        files::write(&stem.with_extension("safetensors"), &tensors)?;
        let tensors = Tensors::read(&tensors).doing(&what)?;
        Ok(Fetched { checked, tensors })
    }

    fn finish(
        &self,
        last: &Fetched,
        centring: Option<&Fetched>,
        measured: Option<&Measured>,
        releases: u32,
        time: Duration,
    ) -> Result<Report> {
        let path = self.folder.join(model::NAME);
        let centring = centring.map(|fetched| &fetched.tensors);
        let model = model::bytes(&last.checked, &last.tensors, centring)?;
        debug_assert!(model.len() as u64 <= limits::TENSORS);
        files::write(&path, &model)?;
        let job = &last.checked.job.value;
        let spent = cost::epsilon(&last.checked, releases, self.delta).doing("the cost")?;
        let accuracy = last.tensors.scalar("accuracy");
        let (delta, seconds) = (self.delta, time.as_secs_f64());
        let verify = format!("cloister verify {} --trust measurements.toml", self.folder.display());
        let each = unit::for_each(last.checked.datasets.iter().map(|(header, _)| header));
        let mut page = Page::new()
            .blank()
            .good("Done.")
            .row_if("accuracy", accuracy.map(|a| format!("{a:.4} on the public set")));
        if let Some(measured) = measured {
            page = measured.rows(page);
        }
        let page = page
            .row("cost", format!("epsilon {spent:.4} at delta {delta:e}, {each}"))
            .row("model", path.display())
            .next(verify);
        let json = json!({
            "event": "done",
            "job": self.id,
            "releases": releases,
            "rounds": job.rounds,
            "units": job.units(),
            "accuracy": accuracy,
            "metrics": measured.map(Measured::json),
            "epsilon": spent,
            "delta": self.delta,
            "seconds": seconds,
            "model": path,
            "verified": false,
        });
        Ok(Report::done(page, json))
    }
}

/// The refusal's sentence.
fn refused(status: &JobStatus) -> Error {
    match &status.refusal {
        Some(refusal) => {
            let message = ui::sentence(&refusal.message);
            Error::failed(format!("the job failed: {message} ({})", ui::printable(&refusal.code)))
        }
        None => Error::failed("the job failed, and the host does not say why"),
    }
}

/// A host that says that a job is done has all its releases: all were paid for, and what the
/// last one says is not to be left out.
fn all_came(have: u32, of: u32) -> Result<()> {
    if have == of {
        return Ok(());
    }
    Err(Error::failed(format!(
        "the host says that the job is done, and has {have} of its {of} releases: all of them were \
         paid for; ask its operator for the others"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_withholds_a_release_is_not_believed() {
        assert!(all_came(26, 26).is_ok());
        for have in [0, 25, 27] {
            let error = all_came(have, 26).unwrap_err().to_string();
            assert!(error.contains(&format!("has {have} of its 26 releases")), "{error}");
        }
    }
}
