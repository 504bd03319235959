//! `cloister code test`: a trainer on rows of one's own, as an enclave would run it.

use std::{
    ops::ControlFlow,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Args;
use cloister_enclave::{
    admission::call_limits,
    rounds::{self, Outlet, Output, Plan, Pools, Workshop},
    rows::{self, Shape, Units},
};
use cloister_protocol::{
    Digest, Id, SigningKey, Verified,
    code::CodeManifest,
    dataset::{DatasetManifest, HeaderCore},
    job::{Job, JobDataset},
    limits,
};
use cloister_sandbox::{Settings, compile, inspect};
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use serde_json::{Value, json};

use super::{
    examine::{self, Findings},
    recorded::Ways,
    sign,
};
use crate::{
    data::{Description, check::Outside, random, stream::stream},
    error::{Context, Error, Result},
    files, interrupt,
    run::{
        compile::{self as job, Parts},
        datasets::Chosen,
        metrics::Measured,
        plan::{self, Planned},
        text::JobText,
    },
    ui::{self, Page, Report, Ui},
};

/// Try a trainer on a table of your own, in the workers and the gate of the enclave
///
/// Trains on the table with a job's noise and shows what nobody sees of other people's rows:
/// the loss of each round, what the updates' norms are and what the clip takes off them, how
/// many units have no update and why, fuel and memory; and whether the code is recorded, which
/// is fast, or what it looks at. The rows have to be yours, or
/// synthetic: `cloister data mock` makes some.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister code test --dataset dataset.toml --data mock.csv
  cloister code test component.wasm --dataset dataset.toml --data patients.csv --job job.toml
  cloister code test --dataset dataset.toml --data mock.csv --rounds 50 --clip 0.2 --json")]
pub struct Test {
    /// The component, as `cloister code build` makes it
    #[arg(default_value = "component.wasm")]
    component: PathBuf,
    /// The description of the table: columns, roles, bounds
    #[arg(long, value_name = "TOML")]
    dataset: PathBuf,
    /// The table, .csv or .parquet
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// The job to try: parameters, clip, server, limits; a plain one if it is not said
    #[arg(long, value_name = "JOB.TOML")]
    job: Option<PathBuf>,
    /// Instead of the job's: how many rounds
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// Instead of the job's: the norm that updates are clipped to
    #[arg(long, value_name = "NORM")]
    clip: Option<f64>,
    /// Instead of the job's: what all rounds may cost a unit
    #[arg(long, value_name = "EPSILON")]
    epsilon: Option<f64>,
    /// Instead of the job's: the server's learning rate
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// Instead of the job's: a parameter of the code (repeatable)
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    parameters: Vec<(String, f64)>,
    /// Worker processes
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// The same seed gives the same noise: for trying out only
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// The program's name for itself as a worker.
pub const WORKER: &str = "sandbox-worker";

/// What is tried if no job is named.
const PLAIN: &str = r#"
    purpose = "a test"
    code = "a-test@1"
    datasets = "all"
    epsilon = 4.0
    delta = 1e-5
    rounds = 24
    clip = 1.0
    server = { rate = 1.0, average-last = 6, clamp = 1e6 }
    schedule = { first-ms = 1000, interval-ms = 1000 }
    limits = { fuel = 10_000_000, memory = 16_777_216 }
"#;

impl Test {
    /// Trains, and shows everything.
    pub fn run(&self, ui: Ui) -> Result<Report> {
        // 1. The same things that an enclave is given.
        let text = self.text()?;
        let planned = plan::plan(&text)?;
        let table = Own::read(&self.data, &self.dataset, ui)?;
        let component = files::read(&self.component, limits::COMPONENT)?;
        let code = manifest(&component).with_path(&self.component)?;
        let compiled = compile(&component).with_path(&self.component)?;
        let chosen = [table.chosen()];
        let parts = Parts { code: &code, planned: &planned, datasets: &chosen };
        let job = job::compile(&text, &parts, None)?;
        let shape = Shape::of(&table.header);
        let settings = Settings {
            limits: call_limits(&job.limits, table.manifest.rows),
            params: code.value.resolve(&job.parameters).doing("parameters")?,
            seed: [0; 32],
            features: count(shape.features.len())?,
            targets: count(shape.targets.len())?,
        };

        // 2. The rounds.
        let program = std::env::current_exe().doing("cannot find this program")?;
        let workshop = Workshop::new(self.workers, u64::MAX, move || {
            let mut command = std::process::Command::new(&program);
            command.arg(WORKER);
            command
        });
        let mut pools = Pools::new(&workshop, &compiled, &settings);
        let first_model = pools.first_model().doing("the code's first model")?;
        let plan = Plan::new(&job, shape, first_model.clone(), Some(table.all()?));
        let plan = plan.doing("the job does not fit the code")?;
        let mut shown = Shown::new(ui, job.rounds)?;
        let mut noise = ChaCha20Rng::seed_from_u64(self.seed);
        let ended = rounds::run(&plan, table.units()?, &mut pools, &mut noise, &mut shown);
        shown.bar.finish_and_clear();
        if ended.is_break() {
            shown.interrupted.check()?;
        }
        drop(pools);

        // 3. What each unit says, at the first model and at the last.
        let units = plan.standardised(&shown.centre, table.units()?, &mut noise);
        let ways = Ways::find(&compiled, &settings, &units)?;
        let mut findings = Vec::new();
        let mut pool = workshop.pool(1, &compiled, &settings).doing("a worker")?;
        pool.load(units).doing("the rows")?;
        let last = shown.model.as_deref().unwrap_or(&first_model);
        for (when, round, model) in [("first", 1, &first_model[..]), ("last", job.rounds, last)] {
            let found = examine::all(&mut pool, round, model, job.gate.clip, ui, || {
                shown.interrupted.check()
            })?;
            findings.push((when, found));
        }
        report(&Tried { text, planned, job, code, table, shown, ways, findings })
    }

    fn text(&self) -> Result<JobText> {
        let mut text = match &self.job {
            Some(path) => JobText::read(path)?,
            None => toml::from_str(PLAIN).doing("the plain job")?,
        };
        text.rounds = self.rounds.unwrap_or(text.rounds);
        text.clip = self.clip.unwrap_or(text.clip);
        text.epsilon = self.epsilon.unwrap_or(text.epsilon);
        text.server.rate = self.rate.unwrap_or(text.server.rate);
        text.server.average_last = text.server.average_last.min(text.rounds);
        text.parameters.extend(self.parameters.iter().cloned());
        Ok(text)
    }
}

fn parameter(text: &str) -> std::result::Result<(String, f64), String> {
    let parts = text.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
    let (name, value) = parts.ok_or("write it as name=0.5")?;
    Ok((name.to_owned(), value))
}

fn count(columns: usize) -> Result<u32> {
    u32::try_from(columns).doing("the number of columns")
}

/// What `cloister code sign` would sign.
fn manifest(component: &[u8]) -> Result<Verified<CodeManifest>> {
    let about = inspect(component).map_err(Error::failed)?;
    let value = sign::manifest(component, &about);
    let signer = *SigningKey::generate().doing("a key")?.0.public();
    Ok(Verified { id: Id::new(value.component), value, signer })
}

/// The table, as it would be sealed.
struct Own {
    header: HeaderCore,
    manifest: DatasetManifest,
    plaintext: Vec<u8>,
}

impl Own {
    fn read(table: &Path, dataset: &Path, ui: Ui) -> Result<Self> {
        let description = Description::read(dataset)?;
        let nobody = Id::new(Digest::of("a test", &[]));
        let header = description.header(random()?, nobody, nobody, "a-test".into());
        header.validate().with_path(dataset)?;
        let interrupted = interrupt::Flag::listen()?;
        let bar = ui.bar(0, "reading");
        let go_on = || interrupted.check();
        let (plaintext, streamed) =
            stream(table, &description, Outside::Refuse, &bar, go_on, Vec::new())?;
        bar.finish_and_clear();
        let manifest = DatasetManifest {
            header: header.digest(),
            length: plaintext.len() as u64,
            rows: streamed.counts.rows,
            units: streamed.counts.units,
            max_rows_per_unit: description.max_rows_per_unit.into(),
            body: cloister_protocol::dataset::BodyHash(serde_bytes::ByteArray::new([0; 32])),
        };
        Ok(Self { header, manifest, plaintext })
    }

    fn units(&self) -> Result<Units> {
        let table = rows::grouped(self.plaintext.clone(), &self.header, &self.manifest);
        Ok(table.doing("the table")?.into_units())
    }

    /// All rows, to measure the model on.
    fn all(&self) -> Result<Units> {
        rows::public(self.plaintext.clone(), &self.header).doing("the table")
    }

    fn chosen(&self) -> Chosen {
        let dataset = JobDataset {
            manifest: Id::new(Digest::of("a test", &[])),
            owner: self.header.owner,
            population: self.header.population.clone(),
            units: self.manifest.units,
        };
        let (header, manifest) = (self.header.clone(), self.manifest.clone());
        Chosen { owner_name: "you".into(), dataset, header, manifest }
    }
}

/// One round, as an author sees it.
struct Round {
    number: u32,
    loss: f64,
    accuracy: f64,
    took: Duration,
}

/// Takes releases, and keeps what is shown of them.
struct Shown {
    bar: indicatif::ProgressBar,
    interrupted: interrupt::Flag,
    last: Instant,
    centre: Vec<f64>,
    rounds: Vec<Round>,
    model: Option<Vec<f32>>,
    metrics: Option<Vec<f64>>,
}

impl Shown {
    fn new(ui: Ui, rounds: u32) -> Result<Self> {
        let (bar, interrupted) = (ui.bar(rounds.into(), "training"), interrupt::Flag::listen()?);
        let (last, rounds) = (Instant::now(), Vec::new());
        let (centre, model, metrics) = (Vec::new(), None, None);
        Ok(Self { bar, interrupted, last, centre, rounds, model, metrics })
    }
}

impl Outlet for Shown {
    #[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
    fn release(&mut self, output: Output) -> ControlFlow<()> {
        let took = self.last.elapsed();
        self.last = Instant::now();
        if let Some(centre) = output.doubles("centre") {
            self.centre = centre.to_vec();
        }
        if let cloister_protocol::release::Stage::Round(number) = output.stage {
            let first = |name: &str| {
                output.doubles(name).and_then(|values| values.first().copied()).unwrap_or(f64::NAN)
            };
            let (loss, accuracy) = (first("loss"), first("accuracy"));
            self.rounds.push(Round { number, loss, accuracy, took });
            self.bar.set_position(number.into());
        }
        if let Some(metrics) = output.doubles("metrics") {
            self.metrics = Some(metrics.to_vec());
        }
        if let Some(model) = output.doubles("final_model") {
            self.model = Some(model.iter().map(|value| *value as f32).collect());
        }
        if self.interrupted.check().is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }
}

/// Everything there is to say.
struct Tried {
    text: JobText,
    planned: Planned,
    job: Job,
    code: Verified<CodeManifest>,
    table: Own,
    shown: Shown,
    ways: Ways,
    findings: Vec<(&'static str, Findings)>,
}

fn report(tried: &Tried) -> Result<Report> {
    let Tried { text, planned, job, code, table, shown, ways, findings } = tried;
    let epsilon = planned.plan.total.epsilon_upper(text.delta).doing("the cost")?;
    let mut page = Page::new()
        .good(format!("{} trained {} rounds on {} units", code.value.name, job.rounds, job.units()))
        .row("rows", table.manifest.rows)
        .row("component", ui::bytes(code.value.length))
        .row("cost", format!("epsilon {epsilon:.4} at delta {:e} for each unit", text.delta))
        .blank()
        .title("Rounds: loss and accuracy on these rows, noise included");
    let rounds = &shown.rounds;
    let step = rounds.len().div_ceil(12).max(1);
    for round in rounds.iter().filter(|r| r.number as usize % step == 1 % step || last(r, rounds)) {
        let Round { number, loss, accuracy, took } = round;
        let ms = took.as_secs_f64() * 1e3;
        page = page.row(
            format!("round {number}"),
            format!("loss {loss:.4}, accuracy {accuracy:.4}, {ms:.1} ms"),
        );
    }
    let measured = shown.metrics.as_ref().and_then(|metrics| Measured::new(job, metrics));
    if let Some(measured) = &measured {
        page = measured.rows(page.blank().title("Metrics, as they would be released"));
    }
    page = page.blank().append(ways.page());
    let mut json_findings = serde_json::Map::new();
    for (when, found) in findings {
        page = page.blank().append(found.page(when, job.gate.clip, job.limits.fuel));
        json_findings.insert((*when).to_owned(), found.json());
    }
    let rounds: Vec<Value> = rounds
        .iter()
        .map(|r| {
            json!({
                "round": r.number,
                "loss": finite(r.loss),
                "accuracy": finite(r.accuracy),
                "ms": r.took.as_secs_f64() * 1e3,
            })
        })
        .collect();
    let page = page
        .blank()
        .loud("This page is about single rows: it is for whoever they belong to.")
        .next("cloister code sign COMPONENT --name NAME --version 1 --home AUTHOR");
    let json = json!({
        "code": code.value.name,
        "component": code.value.component.to_hex(),
        "units": job.units(),
        "rows": table.manifest.rows,
        "epsilon": epsilon,
        "delta": text.delta,
        "rounds": rounds,
        "ways": ways.json(),
        "metrics": measured.as_ref().map(Measured::json),
        "updates": json_findings,
    });
    Ok(Report::done(page, json))
}

fn last(round: &Round, rounds: &[Round]) -> bool {
    rounds.last().is_some_and(|last| last.number == round.number)
}

fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}
