//! What the rounds of a job do, worked out before any row is there.

use cloister_privacy::{DiscreteGaussian, Error, Gate, NoisySum, Server, ServerState};
use cloister_protocol::job::{self, GateMode, Job};
use rand_core::CryptoRng;

use cloister_sandbox::UnitRows;

use super::{features::Standardise, metrics::Measured};
use crate::rows::{Shape, Units};

/// A job, ready to run: everything in it is public and has been checked.
pub struct Plan {
    pub(super) shape: Shape,
    pub(super) declared: job::Gate,
    pub(super) gate: Gate,
    pub(super) noise: DiscreteGaussian,
    pub(super) round_cost: u64,
    pub(super) centring: Option<Centring>,
    pub(super) metrics: Option<Measured>,
    pub(super) rounds: u32,
    pub(super) public: Option<Units>,
    server: Server,
    first_model: Vec<f32>,
    /// Units, and what a round's mean is over.
    pub(super) units: u64,
    pub(super) divisor: u64,
    scale: f64,
    clamp: f64,
}

/// The centring release.
pub struct Centring {
    pub(super) gate: Gate,
    pub(super) noise: DiscreteGaussian,
    pub(super) cost: u64,
    /// The gate as a release writes it.
    pub(super) declared: job::Gate,
}

impl Plan {
    /// The plan of a validated job for data of `shape`, from the code's first model.
    /// `public` is the evaluation set as one unit.
    ///
    /// # Errors
    ///
    /// The privacy crate's: the grid is too coarse for the model, the clip bound or the
    /// rate out of range, the first model not finite.
    pub fn new(
        job: &Job,
        shape: Shape,
        first_model: Vec<f32>,
        public: Option<Units>,
    ) -> Result<Self, Error> {
        let job::Gate { mode, clip, steps, sigma } = job.gate;
        let centring = |centring: job::Centring| {
            let declared = centring.gate();
            Ok(Centring {
                gate: Gate::new(declared.clip, declared.steps, shape.features.len())?,
                noise: DiscreteGaussian::new(declared.sigma)?,
                cost: declared.release().cost()?.as_pico(),
                declared,
            })
        };
        let centring = job.centring.map(centring).transpose()?;
        let metrics = job.metrics.map(|metrics| Measured::new(job, metrics)).transpose()?;
        let job::ServerStep { rate, momentum, average_last, scale, clamp } = job.server;
        let server = Server::new(rate, momentum, average_last)?;
        // Only to refuse a first model that is not finite; see `start`.
        server.start(&first_model)?;
        Ok(Self {
            gate: Gate::new(clip, steps, first_model.len())?,
            noise: DiscreteGaussian::new(sigma)?,
            round_cost: job.gate.release().cost()?.as_pico(),
            centring,
            metrics,
            rounds: job.rounds,
            declared: job.gate,
            units: job.units(),
            divisor: job.divisor(mode),
            shape,
            server,
            first_model,
            public,
            scale,
            clamp,
        })
    }

    /// Numbers in the model.
    #[must_use]
    pub fn dimension(&self) -> usize {
        self.gate.dimension()
    }

    /// How many iterates are averaged in the end.
    #[must_use]
    pub fn average_last(&self) -> u32 {
        self.server.average_last()
    }

    /// Whether the first release is the centring one.
    #[must_use]
    pub fn has_centring(&self) -> bool {
        self.centring.is_some()
    }

    /// How many units, or groups, the last release is about, if it is that of metrics.
    #[must_use]
    pub fn measured(&self) -> Option<u64> {
        self.metrics.as_ref().map(|measured| measured.divisor)
    }

    /// The evaluation set, as one unit.
    #[must_use]
    pub fn public(&self) -> Option<&Units> {
        self.public.as_ref()
    }

    pub(super) fn start(&self) -> ServerState {
        self.server.start(&self.first_model).expect("`new` has started from the same model")
    }

    /// What has an update of its own in each round: the units, or groups of them, chosen
    /// anew for each job by a secret.
    pub(super) fn contributions(&self, units: Units, rng: &mut impl CryptoRng) -> Units {
        match self.declared.mode {
            GateMode::Unit | GateMode::Sampled(_) => units,
            GateMode::Groups(groups) => {
                let mut secret = [0; 32];
                rng.fill_bytes(&mut secret);
                units.in_groups(groups, &secret)
            }
        }
    }

    /// Who takes part in a round, if not all do: each of so many by a coin of its own.
    pub(super) fn drawn(&self, units: u32, rng: &mut impl CryptoRng) -> Option<Vec<u32>> {
        match self.declared.mode {
            GateMode::Unit | GateMode::Groups(_) => None,
            GateMode::Sampled(rate) => {
                Some((0..units).filter(|_| rate.takes(rng.next_u32())).collect())
            }
        }
    }

    /// One server step, against the mean of the updates.
    pub(super) fn step(&self, state: &mut ServerState, noised: &NoisySum) {
        let step = state.apply(&mean(noised, self.divisor));
        step.expect("the mean of a noised sum of this model is accepted");
    }

    /// Units, or groups, as the code sees them once the centre is known, for who has rows of
    /// their own.
    #[must_use]
    pub fn standardised(
        &self,
        centre: &[f64],
        mut units: Units,
        rng: &mut impl CryptoRng,
    ) -> Vec<UnitRows> {
        let mut all = vec![0.0; self.shape.features.len()];
        all.iter_mut().zip(centre).for_each(|(all, centre)| *all = *centre);
        self.standardise(&all).apply(&mut units);
        self.contributions(units, rng).into_rows()
    }

    pub(super) fn standardise(&self, centre: &[f64]) -> Standardise {
        Standardise { centre: centre.to_vec(), scale: self.scale, clamp: self.clamp }
    }
}

/// The noised sum over the public number of a validated job's units or groups.
pub(super) fn mean(noised: &NoisySum, divisor: u64) -> Vec<f64> {
    noised.mean(divisor).expect("a validated job has units")
}
