//! Everything about one unit's update, for authors who try code on rows of their own.
//!
//! An enclave never asks: why a unit has no update is a fact about its rows. Builds of the
//! enclave leave this out.

use wasmtime::Trap;

use crate::tensors::{NotRecorded, Plan, TensorError};

/// What became of one unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Outcome {
    /// It has an update.
    Update,
    /// Its rows do not fit the job.
    DoesNotFit,
    /// The code panicked, or ran into an instruction that cannot be reached.
    Panicked,
    /// The fuel of one unit was spent.
    OutOfFuel,
    /// Calls were nested too deeply.
    StackOverflow,
    /// Tensors took more than their limit.
    OutOfMemory,
    /// A kernel was given shapes that do not fit.
    KernelShape,
    /// An index was out of range.
    KernelRange,
    /// An output was also an input, or read-only.
    KernelOutput,
    /// The update has another shape than the model.
    UpdateShape,
    /// The update has an element that is not finite.
    NotFinite,
    /// The code did something else that no code may.
    Trapped,
    /// The worker that ran it ended.
    Died,
}

/// By their numbers in answers of workers.
const OUTCOMES: [Outcome; 13] = [
    Outcome::Update,
    Outcome::DoesNotFit,
    Outcome::Panicked,
    Outcome::OutOfFuel,
    Outcome::StackOverflow,
    Outcome::OutOfMemory,
    Outcome::KernelShape,
    Outcome::KernelRange,
    Outcome::KernelOutput,
    Outcome::UpdateShape,
    Outcome::NotFinite,
    Outcome::Trapped,
    Outcome::Died,
];

/// One unit's update, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// What became of it.
    pub outcome: Outcome,
    /// The update, before the gate; empty if there is none.
    pub update: Vec<f32>,
    /// Fuel that was used.
    pub fuel: u64,
    /// Bytes of linear memory at the end.
    pub memory: u64,
}

/// How the updates of units of one number of rows are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Way {
    /// What the code asks for was recorded once, in so many operations, and is done for many
    /// units at once.
    Recorded(usize),
    /// Each has an instance, because the code calls this function, which shows it an element.
    Looks(&'static str),
    /// Each has an instance, because the code asks for more than is recorded.
    TooMuch,
    /// Each has an instance, because the code did this when it was given zeros.
    Fails(Outcome),
}

impl Way {
    /// What became of a recording.
    pub(crate) fn of(recorded: wasmtime::Result<Plan>) -> Self {
        match recorded {
            Ok(plan) => Self::Recorded(plan.len()),
            Err(error) => match error.downcast_ref::<NotRecorded>() {
                Some(NotRecorded::Look(name)) => Self::Looks(name),
                Some(NotRecorded::TooMuch) => Self::TooMuch,
                None => Self::Fails(Outcome::of_error(&error)),
            },
        }
    }
}

impl Outcome {
    pub(crate) fn number(self) -> u32 {
        let place = OUTCOMES.iter().position(|one| *one == self);
        place.and_then(|place| u32::try_from(place).ok()).unwrap_or(u32::MAX)
    }

    pub(crate) fn of_number(number: u32) -> Option<Self> {
        OUTCOMES.get(number as usize).copied()
    }

    /// What an error of a call is.
    pub(crate) fn of_error(error: &wasmtime::Error) -> Self {
        if let Some(error) = error.downcast_ref::<TensorError>() {
            return match error {
                TensorError::Shape => Self::KernelShape,
                TensorError::Range | TensorError::Unknown => Self::KernelRange,
                TensorError::Aliased | TensorError::ReadOnly | TensorError::NotReadOnly => {
                    Self::KernelOutput
                }
                TensorError::Limit => Self::OutOfMemory,
            };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::UnreachableCodeReached) => Self::Panicked,
            Some(Trap::OutOfFuel) => Self::OutOfFuel,
            Some(Trap::StackOverflow) => Self::StackOverflow,
            _ => Self::Trapped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_survives_its_number() {
        for outcome in OUTCOMES {
            assert_eq!(Outcome::of_number(outcome.number()), Some(outcome));
        }
        assert_eq!(Outcome::of_number(13), None);
    }
}
