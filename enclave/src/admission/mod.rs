//! Everything about a job that is checked before any key is asked for.
//!
//! 1. [`Vetted::new`], from the offer alone: signatures, each object's own rules, and that
//!    they belong together. Only then are component and public set received, with the
//!    lengths that the signed objects say.
//! 2. [`Admitted::new`]: the component is the one signed, imports nothing else, and makes
//!    a model; the gate fits it; the cost is what the releases cost; releases and rounds
//!    fit into memory and time.
//!
//! Nothing of this depends on a row. What is not checked here is whose keys signed what:
//! that is the brokers' business, and they see the same objects in the transcript.

mod code;
mod limits;
mod offer;
mod schedule;
mod tables;

pub use limits::call_limits;
pub use offer::Vetted;
pub use schedule::{Extent, least_first, least_interval};

use cloister_protocol::job::Job;
use cloister_sandbox::{Compiled, Settings};

use crate::{
    refusal::{Code, Refused},
    rounds::{Plan, Pools, Workshop},
    rows::{self, Shape, Units},
};

/// A job that can be run as soon as its data is there.
pub struct Admitted {
    pub(crate) vetted: Vetted,
    pub(crate) compiled: Compiled,
    pub(crate) settings: Settings,
    pub(crate) plan: Plan,
}

impl Admitted {
    /// Checks what needs the component and the public set. It compiles the component and
    /// runs its `init` in a worker process, so it takes time and blocks.
    ///
    /// # Errors
    ///
    /// [`Refused`], with the code of the first check that fails.
    pub fn new(
        vetted: Vetted,
        component: &[u8],
        public_set: Vec<u8>,
        workshop: &Workshop,
    ) -> Result<Self, Refused> {
        // All populations have these columns, each from all its tables.
        let header = &vetted.joined[0].header;
        let job = &vetted.job.value;
        // 1. The public set, which decides how much a score may use.
        vetted.check_public_set(&public_set)?;
        let public = match job.public_set {
            Some(_) => {
                Some(rows::public(public_set, header).map_err(Refused::with(Code::PublicSetRows))?)
            }
            None => None,
        };
        // 2. The component, down to its first model.
        let shape = Shape::of(header);
        let (compiled, settings) = code::check(&vetted, component, &shape, public.as_ref())?;
        let mut pools = Pools::new(workshop, &compiled, &settings);
        let first_model = pools.first_model().map_err(code::no_model)?;
        drop(pools);
        // 3. The gate, and what it costs.
        let plan =
            Plan::new(job, shape, first_model, public).map_err(Refused::with(Code::GateInvalid))?;
        check_cost(job)?;
        // 4. Room and time.
        limits::check(job, &plan)?;
        limits::check_memory(&vetted, &plan, &settings, workshop)?;
        schedule::check(job, vetted.extent(), &plan, &settings, workshop.workers())?;
        Ok(Self { vetted, compiled, settings, plan })
    }

    /// What will run.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }
}

fn check_cost(job: &Job) -> Result<(), Refused> {
    let total = job.charges().total().map_err(Refused::with(Code::GateInvalid))?.as_pico();
    if total == job.cost {
        return Ok(());
    }
    let found = job.cost;
    let why = format!("the job says it costs {found} pico-rho; its releases cost {total}");
    Err(Refused::new(Code::CostMismatch, why))
}

/// Rows of a public set, which is one unit.
fn public_rows(public: Option<&Units>) -> u64 {
    public.and_then(|units| units.as_slice().first()).map_or(0, |unit| u64::from(unit.rows))
}
