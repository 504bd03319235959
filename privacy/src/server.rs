//! What happens to releases afterwards: the server's step, momentum, averaging.
//!
//! This is post-processing: it sees noised means only, so it costs no privacy
//! and anybody can repeat it. It consists of additions, multiplications and
//! divisions in doubles, in the order written here, so that a verifier who
//! replays the released sums gets the final model bit for bit.
//!
//! With mean u, velocity v (zero at first) and model w, one step is
//!
//! ```text
//! v = momentum * v + u
//! w = w - rate * v
//! ```
//!
//! An update is a gradient: the model moves against it. A trainer that thinks in
//! differences of models emits the old one minus the new.

use std::collections::VecDeque;

use crate::Error;

/// The largest rate. With the largest clip bound, no step leaves the doubles.
pub const MAX_RATE: f64 = 1e30;

/// The most iterates that an average can take, a limit on the memory of a job.
pub const MAX_AVERAGE: u32 = 10_000;

/// The server's side of a job.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Server {
    rate: f64,
    momentum: f64,
    average_last: u32,
}

impl Server {
    /// A server that moves the model by `rate` times the (accumulated) mean, keeps
    /// `momentum` of its velocity, and whose final model is the mean of the last
    /// `average_last` iterates.
    ///
    /// # Errors
    ///
    /// [`Error::ServerParameter`] unless `rate` is above 0 and at most [`MAX_RATE`],
    /// `momentum` at least 0 and below 1, `average_last` from 1 to [`MAX_AVERAGE`].
    pub fn new(rate: f64, momentum: f64, average_last: u32) -> Result<Self, Error> {
        if !(rate > 0.0 && rate <= MAX_RATE) {
            return Err(Error::ServerParameter {
                name: "rate",
                found: rate,
                expected: "a number above 0 and at most 1e30",
            });
        }
        if !(0.0..1.0).contains(&momentum) {
            return Err(Error::ServerParameter {
                name: "momentum",
                found: momentum,
                expected: "at least 0 and below 1",
            });
        }
        if !(1..=MAX_AVERAGE).contains(&average_last) {
            return Err(Error::ServerParameter {
                name: "average_last",
                found: f64::from(average_last),
                expected: "1 (the last iterate alone) to 10000",
            });
        }
        Ok(Self { rate, momentum, average_last })
    }

    /// The factor of each step.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.rate
    }

    /// How much of the velocity a step keeps.
    #[must_use]
    pub fn momentum(&self) -> f64 {
        self.momentum
    }

    /// How many iterates the final model averages.
    #[must_use]
    pub fn average_last(&self) -> u32 {
        self.average_last
    }

    /// The state before the first round.
    ///
    /// # Errors
    ///
    /// [`Error::NotFinite`] if the initial model, which is public, is not finite.
    pub fn start(&self, initial: &[f32]) -> Result<ServerState, Error> {
        let model: Vec<f64> = initial.iter().map(|&w| f64::from(w)).collect();
        require_finite(&model)?;
        Ok(ServerState {
            server: *self,
            velocity: vec![0.0; model.len()],
            model,
            last: VecDeque::new(),
        })
    }
}

/// The model while a job runs. Everything in it follows from public releases.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerState {
    server: Server,
    model: Vec<f64>,
    velocity: Vec<f64>,
    /// The last iterates, oldest first; at most `average_last`.
    last: VecDeque<Vec<f64>>,
}

impl ServerState {
    /// Takes one round's [mean](crate::NoisySum::mean) and moves the model.
    ///
    /// # Errors
    ///
    /// [`Error::WrongLength`] or [`Error::NotFinite`]; the state is then as it was.
    /// The mean of a [`NoisySum`](crate::NoisySum) of the model's dimension is
    /// always accepted, whatever its values.
    pub fn apply(&mut self, mean: &[f64]) -> Result<(), Error> {
        if mean.len() != self.model.len() {
            return Err(Error::WrongLength { expected: self.model.len(), found: mean.len() });
        }
        require_finite(mean)?;
        let Server { rate, momentum, .. } = self.server;
        for ((w, v), &u) in self.model.iter_mut().zip(&mut self.velocity).zip(mean) {
            *v = momentum * *v + u;
            *w -= rate * *v;
        }
        // Keep the room of the iterate that falls out of the window.
        let mut iterate = if self.last.len() == self.server.average_last as usize {
            self.last.pop_front().unwrap_or_default()
        } else {
            Vec::new()
        };
        iterate.clone_from(&self.model);
        self.last.push_back(iterate);
        Ok(())
    }

    /// The current iterate, in doubles.
    #[must_use]
    pub fn model(&self) -> &[f64] {
        &self.model
    }

    /// The current iterate as the next round's code gets it: each weight rounded
    /// to the nearest single.
    #[must_use]
    pub fn model_f32(&self) -> Vec<f32> {
        to_singles(&self.model)
    }

    /// The mean of the last iterates, as many as there are up to `average_last`:
    /// added oldest to newest, then divided by their number. Before the first step
    /// it is the initial model.
    #[must_use]
    pub fn averaged(&self) -> Vec<f64> {
        let mut iterates = self.last.iter();
        let Some(oldest) = iterates.next() else {
            return self.model.clone();
        };
        let mut total = oldest.clone();
        for iterate in iterates {
            for (t, &w) in total.iter_mut().zip(iterate) {
                *t += w;
            }
        }
        let count = self.last.len() as f64;
        for t in &mut total {
            *t /= count;
        }
        total
    }

    /// [`averaged`](Self::averaged), each weight rounded to the nearest single: the
    /// model that a job leaves.
    #[must_use]
    pub fn averaged_f32(&self) -> Vec<f32> {
        to_singles(&self.averaged())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "models are singles")]
fn to_singles(weights: &[f64]) -> Vec<f32> {
    weights.iter().map(|&w| w as f32).collect()
}

fn require_finite(values: &[f64]) -> Result<(), Error> {
    match values.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(Error::NotFinite { index, found: values[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Gate, NoisySum};

    #[test]
    fn a_plain_step_goes_against_the_mean_by_the_rate() {
        let mut state = Server::new(0.5, 0.0, 1).unwrap().start(&[1.0, 2.0]).unwrap();
        assert_eq!(state.averaged(), [1.0, 2.0]);
        state.apply(&[-2.0, 4.0]).unwrap();
        assert_eq!(state.model(), [2.0, 0.0]);
        state.apply(&[-2.0, 4.0]).unwrap();
        assert_eq!(state.model(), [3.0, -2.0]);
        assert_eq!(state.averaged(), [3.0, -2.0]);
        assert_eq!(state.model_f32(), [3.0, -2.0]);
    }

    #[test]
    fn momentum_accumulates() {
        let mut state = Server::new(1.0, 0.5, 1).unwrap().start(&[0.0]).unwrap();
        let mut seen = vec![];
        for mean in [-8.0, 0.0, 0.0, -4.0] {
            state.apply(&[mean]).unwrap();
            seen.push(state.model()[0]);
        }
        // Velocities -8, -4, -2, -5.
        assert_eq!(seen, [8.0, 12.0, 14.0, 19.0]);
    }

    #[test]
    fn the_average_is_over_the_last_iterates_only() {
        let mut state = Server::new(1.0, 0.0, 3).unwrap().start(&[100.0]).unwrap();
        let mut averages = vec![];
        for mean in [100.0, -3.0, -3.0, -3.0, -3.0] {
            state.apply(&[mean]).unwrap();
            averages.push(state.averaged()[0]);
        }
        // Iterates 0, 3, 6, 9, 12; the initial 100 is not one.
        assert_eq!(averages, [0.0, 1.5, 3.0, 6.0, 9.0]);
        assert_eq!(state.averaged_f32(), [9.0]);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for (rate, momentum, average_last) in [
            (0.0, 0.0, 1),
            (-1.0, 0.0, 1),
            (f64::NAN, 0.0, 1),
            (f64::INFINITY, 0.0, 1),
            (1.0, -0.1, 1),
            (1.0, 1.0, 1),
            (1.0, f64::NAN, 1),
            (1.0, 0.0, 0),
            (1.0, 0.0, MAX_AVERAGE + 1),
        ] {
            assert!(
                matches!(
                    Server::new(rate, momentum, average_last),
                    Err(Error::ServerParameter { .. })
                ),
                "{rate} {momentum} {average_last}"
            );
        }
    }

    #[test]
    fn what_is_no_mean_leaves_the_state_as_it_was() {
        let server = Server::new(1.0, 0.5, 2).unwrap();
        assert!(matches!(server.start(&[0.0, f32::NAN]), Err(Error::NotFinite { index: 1, .. })));
        let mut state = server.start(&[1.0, 2.0]).unwrap();
        state.apply(&[1.0, 1.0]).unwrap();
        let before = state.clone();
        assert_eq!(state.apply(&[1.0]), Err(Error::WrongLength { expected: 2, found: 1 }));
        assert_eq!(
            state.apply(&[1.0, f64::INFINITY]),
            Err(Error::NotFinite { index: 1, found: f64::INFINITY })
        );
        assert_eq!(state, before);
    }

    #[test]
    fn the_most_extreme_releases_stay_finite() {
        let gate = Gate::new(crate::gate::MAX_CLIP, 16, 1).unwrap();
        let sum = NoisySum::from_released(gate, vec![i64::MAX]).unwrap();
        let server = Server::new(MAX_RATE, 1.0 - f64::EPSILON, 5).unwrap();
        let mut state = server.start(&[f32::MAX]).unwrap();
        for _ in 0..1000 {
            state.apply(&sum.mean(1).unwrap()).unwrap();
        }
        assert!(state.averaged()[0].is_finite());
    }

    proptest! {
        /// A verifier that starts from the released sums gets the same bits.
        #[test]
        fn a_replay_is_bit_for_bit(
            sums in prop::collection::vec(prop::array::uniform3(-1_i64 << 40..1 << 40), 1..20),
            rate in 1e-3_f64..100.0,
            momentum in 0.0_f64..0.99,
            average_last in 1_u32..8,
        ) {
            let gate = Gate::new(0.35, 1024, 3).unwrap();
            let run = || {
                let server = Server::new(rate, momentum, average_last).unwrap();
                let mut state = server.start(&[0.1, 0.2, 0.3]).unwrap();
                for sum in &sums {
                    let sum = NoisySum::from_released(gate, sum.to_vec()).unwrap();
                    state.apply(&sum.mean(455).unwrap()).unwrap();
                }
                let bits = |w: &f64| w.to_bits();
                (
                    state.model().iter().map(bits).collect::<Vec<_>>(),
                    state.averaged().iter().map(bits).collect::<Vec<_>>(),
                )
            };
            prop_assert_eq!(run(), run());
            // And the average is what its definition says, iterate by iterate.
            let server = Server::new(rate, momentum, 1).unwrap();
            let mut state = server.start(&[0.1, 0.2, 0.3]).unwrap();
            let mut iterates = vec![];
            for sum in &sums {
                let sum = NoisySum::from_released(gate, sum.to_vec()).unwrap();
                state.apply(&sum.mean(455).unwrap()).unwrap();
                iterates.push(state.model().to_vec());
            }
            let kept = &iterates[iterates.len().saturating_sub(average_last as usize)..];
            let expected: Vec<u64> = (0..3)
                .map(|i| {
                    let mut total = kept[0][i];
                    for iterate in &kept[1..] {
                        total += iterate[i];
                    }
                    (total / kept.len() as f64).to_bits()
                })
                .collect();
            prop_assert_eq!(run().1, expected);
        }
    }
}
