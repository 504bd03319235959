//! Jobs from the page about trainers, run in memory.

use std::{collections::BTreeMap, fs};

use anyhow::{Context, Result, ensure};
use cloister_enclave::{
    admission::call_limits,
    boot::workshop,
    rounds::{Output, Plan, Pools, run},
    rows::{Shape, Units},
};
use cloister_privacy::{Accounting, BesideRequest, PlanRequest, Release, Sensitivity, Share};
use cloister_protocol::{
    Digest, Id,
    job::{
        CallLimits, Centring, Gate, GateMode, Job, JobDataset, JobRole, Recipients, Schedule,
        ServerStep,
    },
};
use cloister_sandbox::{Settings, UnitRows, compile, inspect};
use cloister_tests::Programs;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use serde::Deserialize;
use serde_bytes::ByteArray;

use crate::root;

/// A trainer's example in `docs/trainers.md`, as far as it changes what is learnt.
#[derive(Clone, Deserialize)]
pub struct Example {
    pub epsilon: f64,
    pub delta: f64,
    pub rounds: u32,
    pub clip: f64,
    #[serde(default = "usual_steps")]
    pub steps: u64,
    #[serde(default)]
    pub parameters: BTreeMap<String, f64>,
    #[serde(default)]
    pub centring: Option<CentringText>,
    pub server: Server,
    pub limits: CallLimits,
    /// The noise in steps, where a test wants less than `epsilon` does.
    #[serde(skip)]
    pub sigma: Option<u64>,
    /// Which noise.
    #[serde(skip)]
    pub noise: u8,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Server {
    pub rate: f64,
    #[serde(default)]
    pub momentum: f64,
    #[serde(default = "one")]
    pub average_last: u32,
    #[serde(default = "unscaled")]
    pub scale: f64,
    pub clamp: f64,
}

/// The release before the rounds.
#[derive(Clone, Deserialize)]
pub struct CentringText {
    pub clip: f64,
    /// Of the budget, as a fraction.
    pub share: String,
}

impl CentringText {
    fn share(&self) -> Result<Share> {
        let (numerator, denominator) = self.share.split_once('/').context("no fraction")?;
        Ok(Share::new(numerator.parse()?, denominator.parse()?)?)
    }
}

/// What a job left.
pub struct Trained {
    /// The mean of the last iterates.
    pub model: Vec<f64>,
    /// On the public rows, if there were any.
    pub accuracy: f64,
    /// All releases.
    pub outputs: Vec<Output>,
}

impl Example {
    /// The job in a trainer's section.
    pub fn of(trainer: &str) -> Result<Self> {
        let page = fs::read_to_string(root()?.join("docs/trainers.md"))?;
        let section = page
            .split("\n## ")
            .find(|section| section.lines().next() == Some(trainer))
            .with_context(|| format!("docs/trainers.md has no section {trainer}"))?;
        let code = |line: &&str| line.starts_with("    ") || line.is_empty();
        let job = section.lines().skip_while(|line| !line.starts_with("    code = "));
        let text: Vec<&str> = job.take_while(code).collect();
        Ok(toml::from_str(&text.join("\n"))?)
    }

    /// Runs the job with a component on these units. `first` replaces the code's own first
    /// model; `public` is scored.
    pub fn run(
        &self,
        component: &[u8],
        shape: &Shape,
        units: Vec<UnitRows>,
        first: Option<Vec<f32>>,
        public: Option<UnitRows>,
    ) -> Result<Trained> {
        let job = self.job(units.len() as u64)?;
        let rows = public.as_ref().map_or(1, |rows| u64::from(rows.rows));
        let settings = Settings {
            limits: call_limits(&job.limits, rows),
            params: self.parameters(component)?,
            seed: [1; 32],
            features: u32::try_from(shape.features.len())?,
            targets: u32::try_from(shape.targets.len())?,
        };
        let (compiled, workshop) =
            (compile(component)?, workshop(Programs::find()?.enclave(), Some(2))?);
        let mut pools = Pools::new(&workshop, &compiled, &settings);
        let first = first.map_or_else(|| pools.first_model(), Ok)?;
        let public = public.map(|rows| Units::from_rows(vec![rows]));
        let plan = Plan::new(&job, shape.clone(), first, public)?;
        let mut outputs: Vec<Output> = Vec::new();
        let mut rng = ChaCha20Rng::from_seed([7 + self.noise; 32]);
        let done = run(&plan, Units::from_rows(units), &mut pools, &mut rng, &mut outputs);
        ensure!(done.is_continue(), "the job ended early");
        let last = outputs.last().context("no release")?;
        let model = last.doubles("final_model").context("no model")?.to_vec();
        let accuracy = last.doubles("accuracy").map_or(f64::NAN, |accuracy| accuracy[0]);
        Ok(Trained { model, accuracy, outputs })
    }

    /// Every parameter that the code declares, as the job has it or by default.
    fn parameters(&self, component: &[u8]) -> Result<Vec<(String, f64)>> {
        let declared = inspect(component)?.parameters;
        for name in self.parameters.keys() {
            let known = declared.iter().any(|parameter| parameter.name == *name);
            ensure!(known, "the code has no parameter {name}");
        }
        let value = |parameter: cloister_sandbox::Parameter| {
            let value = *self.parameters.get(&parameter.name).unwrap_or(&parameter.default);
            ensure!(parameter.accepts(value), "{} cannot be {value}", parameter.name);
            Ok((parameter.name, value))
        };
        declared.into_iter().map(value).collect()
    }

    fn job(&self, units: u64) -> Result<Job> {
        let (epsilon, delta, rounds, steps) = (self.epsilon, self.delta, self.rounds, self.steps);
        let sensitivity = Sensitivity::Unit;
        let share = self.centring.as_ref().map(CentringText::share).transpose()?;
        let plan = PlanRequest {
            epsilon,
            delta,
            rounds,
            steps,
            sensitivity,
            sampling: None,
            accounting: Accounting::AllOrders,
            centring: share.map(|share| BesideRequest { steps, share }),
            metrics: None,
        };
        let plan = plan.solve()?;
        let sigma = |planned: Release| self.sigma.unwrap_or(planned.sigma_steps);
        let centring = self.centring.as_ref().zip(plan.centring);
        let centring = centring.map(|(text, release)| Centring {
            clip: text.clip,
            steps,
            sigma: sigma(release),
        });
        let nobody = Digest::of("test", &[]);
        let Server { rate, momentum, average_last, scale, clamp } = self.server;
        let job = Job {
            version: 1,
            job: ByteArray::new([1; 16]),
            purpose: "research".into(),
            role: JobRole::Both,
            code: Id::new(nobody),
            parameters: self.parameters.clone(),
            datasets: vec![JobDataset {
                manifest: Id::new(nobody),
                owner: Id::new(nobody),
                population: "patients".into(),
                units,
            }],
            rounds,
            gate: Gate { mode: GateMode::Unit, clip: self.clip, steps, sigma: sigma(plan.round) },
            centring,
            metrics: None,
            server: ServerStep { rate, momentum, average_last, scale, clamp },
            schedule: Schedule { first_ms: 100, interval_ms: 100 },
            limits: self.limits,
            cost: 0,
            seed: 0,
            recipients: Recipients::Anyone,
            public_set: None,
            not_after: 0,
        };
        job.validate()?;
        Ok(job)
    }
}

fn usual_steps() -> u64 {
    1 << 14
}

fn one() -> u32 {
    1
}

fn unscaled() -> f64 {
    1.0
}
