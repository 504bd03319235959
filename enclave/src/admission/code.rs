//! The component: the one signed, with the imports allowed, and able to make a model.

use cloister_protocol::{Digest, job::Job};
use cloister_sandbox::{Compiled, OfferError, PoolError, Settings, compile};

use super::{Vetted, call_limits, public_rows};
use crate::{
    refusal::{Code, Refused},
    rows::{Shape, Units},
};

/// Checks and compiles the component. None of its code runs.
pub(super) fn check(
    vetted: &Vetted,
    component: &[u8],
    shape: &Shape,
    public: Option<&Units>,
) -> Result<(Compiled, Settings), Refused> {
    let (job, code) = (&vetted.job.value, &vetted.code.value);
    code.check_component(component).map_err(Refused::with(Code::CodeComponent))?;
    let compiled = compile(component).map_err(refused)?;
    let params = code.resolve(&job.parameters).map_err(Refused::with(Code::CodeParameters))?;
    let count = |columns: usize| {
        u32::try_from(columns).map_err(|_| Refused::new(Code::JobInvalid, "too many columns"))
    };
    let settings = Settings {
        limits: call_limits(&job.limits, public_rows(public)),
        params,
        seed: seed(job),
        features: count(shape.features.len())?,
        targets: count(shape.targets.len())?,
    };
    Ok((compiled, settings))
}

fn refused(error: OfferError) -> Refused {
    let code = match error {
        OfferError::ForbiddenImport { .. } | OfferError::ImportType { .. } => Code::CodeImport,
        OfferError::Runtime { .. } => Code::Internal,
        _ => Code::CodeStructure,
    };
    Refused::new(code, error)
}

/// Why there is no first model. `init` sees public things only, so its error may be told.
pub(super) fn no_model(error: PoolError) -> Refused {
    let code = match error {
        PoolError::Start(_) | PoolError::NoWorkers => Code::Internal,
        _ => Code::CodeInit,
    };
    Refused::new(code, error)
}

/// The seed of the code's own random streams: public, and the job's alone.
fn seed(job: &Job) -> [u8; 32] {
    let digest = Digest::of("code-seed", &[&job.seed.to_be_bytes()]);
    let mut seed = [0; 32];
    seed.copy_from_slice(&digest.as_bytes()[..32]);
    seed
}
