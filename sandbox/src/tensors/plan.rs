//! What compute code does with a unit, when that is the same for all units of one shape.
//!
//! Code holds handles, so most code never sees a number of a unit: it says which kernels run
//! on which tensors. Such code is run once for each number of rows, on rows of zeros, and
//! what it asks for is recorded. The [`Plan`] is then applied to each unit, without an
//! instance: the same kernels in the same order, each unit with tensors and a random stream
//! of its own. The update has the same bits, and nothing can go from unit to unit, because
//! the code that made the plan was never given a unit.
//!
//! Code that looks at an element ends its recording there, and gets a fresh instance for each
//! unit. Whether it looks cannot depend on the unit either: until it does, it has seen shapes
//! and parameters alone.

use super::ops::Op;
use super::{Tensor, TensorError, Tensors};
use crate::random::Stream;

/// Most units at once. More gain nothing: the model is then read seldom enough.
const MOST: usize = 48;

/// All that code asked for while it was given zeros.
pub(crate) struct Plan {
    ops: Vec<Op>,
    /// The tensor that holds the update then.
    update: u32,
    bytes: usize,
    most_at_once: usize,
}

/// A plan that is being made.
pub(crate) struct Recording {
    ops: Vec<Op>,
    bytes: usize,
    most: usize,
}

/// Why a recording ended early.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotRecorded {
    /// This function shows the code an element, and what it does then may depend on it.
    #[error("`{0}` shows the code what it is given")]
    Look(&'static str),
    /// It asks for more than is recorded.
    #[error("what the code does is too much to record")]
    TooMuch,
}

impl Recording {
    /// Records up to so many bytes.
    pub(crate) fn new(most: usize) -> Self {
        Self { ops: Vec::new(), bytes: 0, most }
    }

    pub(super) fn push(&mut self, op: Op) -> Result<(), NotRecorded> {
        self.bytes += op.bytes();
        if self.bytes > self.most {
            return Err(NotRecorded::TooMuch);
        }
        self.ops.push(op);
        Ok(())
    }

    /// The plan, if `update` is what the code returned, and `tensors` what it left.
    pub(crate) fn finish(self, update: u32, tensors: &Tensors) -> Plan {
        // So that several units never need more than one may.
        let most_at_once = tensors.limit() / tensors.most_used().max(1);
        let most_at_once = most_at_once.clamp(1, MOST);
        Plan { ops: self.ops, update, bytes: self.bytes, most_at_once }
    }
}

impl Plan {
    /// Does for some units what was recorded, and gives their updates. The tensors of each
    /// are its model, features and targets, with the shapes and in the order of the
    /// recording, and nothing else.
    pub(crate) fn apply(
        &self,
        mut units: Vec<(Tensors, Stream)>,
    ) -> Result<Vec<Tensor>, TensorError> {
        for op in &self.ops {
            if let Op::Product(product) = op
                && product.apply_to_all(&mut units)?
            {
                continue;
            }
            for (tensors, random) in &mut units {
                op.check(tensors)?;
                op.apply(tensors, random)?;
            }
        }
        units.iter_mut().map(|(tensors, _)| tensors.remove(self.update)).collect()
    }

    /// How many units it may be applied to at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.most_at_once
    }

    /// How many operations it has.
    #[cfg(feature = "examine")]
    pub(crate) fn len(&self) -> usize {
        self.ops.len()
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::super::kernels;
    use super::super::ops::{Change, Combine, Product};
    use super::super::{BASE_BYTES, Shared};
    use super::*;
    use crate::random::StreamId;

    const LIMIT: usize = 1 << 20;

    /// A number of a program: small, and sometimes one that spreads.
    fn number(random: &mut ChaCha8Rng) -> f32 {
        let usual = (random.next_u32() % 19) as f32 / 4.0 - 2.0;
        [usual, usual, usual, 0.0, -0.0, 1e30, f32::NAN, f32::INFINITY]
            [random.next_u32() as usize % 8]
    }

    fn any_op(random: &mut ChaCha8Rng) -> Op {
        let mut below = |most: u32| random.next_u32() % most;
        let [x, y, a] = [below(9), below(9), below(9)];
        let (rows, columns, offset) = (below(12), below(12), below(4));
        let transpose = [below(4) == 0, below(4) == 0];
        let (kind, which) = (below(18), below(6));
        let (beta, value) = ([0.0, 0.0, 0.0, 0.5][below(4) as usize], number(random));
        let alpha = if which < 4 { 1.0 } else { value };
        match kind {
            0 => Op::Drop(x),
            1 | 2 => Op::Zeros { rows, columns },
            3 => Op::Set { x, row: offset, column: offset, value },
            4 => Op::Write { x, offset, values: vec![value; which as usize].into() },
            5 => Op::View { x: which % 3, offset, rows, columns },
            6 => Op::Slice { x, first: offset, rows: which },
            7 => Op::SliceColumns { x, first: offset, columns: which },
            8 => Op::AppendColumn { x, value },
            9 => Op::Join([x, y].into()),
            10 => Op::Change([Change::Relu, Change::Softmax, Change::Exp][offset as usize % 3], x),
            11 => Op::Combine { how: Combine::Axpy(value), x, y },
            12 => Op::Combine { how: [Combine::Add, Combine::Mul][offset as usize % 2], x, y },
            13 => Op::Combine { how: Combine::With(kernels::relu_backward), x, y },
            14 => Op::Uniform { x, low: -1.0, high: 1.0 },
            // What fits: rows of a unit's own by the model, and by the model transposed.
            15 | 16 => {
                let [a, c, by_transposed] =
                    [[1, 3, 0], [2, 3, 0], [6, 3, 0], [5, 7, 1]][offset as usize];
                let transpose = [false, by_transposed == 1];
                Op::Product(Product { transpose, alpha, a, b: 0, beta, c, vector: false })
            }
            _ => Op::Product(Product {
                transpose,
                alpha,
                a: x,
                b: y,
                beta,
                c: a,
                vector: which == 5,
            }),
        }
    }

    fn unit(seed: u64, model: &Arc<[f32]>) -> (Tensors, Stream) {
        let random = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = Tensors::new(LIMIT);
        let mut values =
            |count: usize| (0..count).map(|_| number(random)).collect::<Vec<f32>>().into();
        let (features, targets) = (values(24), values(24));
        for (rows, columns, values) in
            [(6, 4, Arc::clone(model)), (4, 6, features), (4, 6, targets)]
        {
            tensors.insert(Tensor::shared(rows, columns, Shared::new(values))).unwrap();
        }
        for (rows, columns) in [(4, 4), (1, 4), (6, 4), (4, 6), (6, 6), (10, 10)] {
            tensors.zeros(rows, columns).unwrap();
        }
        (tensors, Stream::new([3; 32], StreamId::Unit { round: 1, stream: seed }))
    }

    /// All elements of what is left, whatever they are.
    fn bits(unit: &mut (Tensors, Stream)) -> Vec<Vec<u32>> {
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect();
        (0..16).map(|id| unit.0.values(id).map(bits).unwrap_or_default()).collect()
    }

    /// Programs of any operations: what they do to several units at once has the bits of
    /// what they do to each alone, and fails for all or none.
    #[test]
    fn units_at_once_are_what_they_are_alone() {
        let model: Arc<[f32]> = (0..24_u8).map(|i| f32::from(i) / 5.0 - 2.0).collect();
        let (mut done, mut together) = (0, 0);
        for seed in 0..20_000 {
            let random = &mut ChaCha8Rng::seed_from_u64(seed);
            let ops: Vec<_> = (0..8).map(|_| any_op(random)).collect();
            let mut alone: Vec<_> = (0..3).map(|place| unit(seed + place, &model)).collect();
            let mut all: Vec<_> = (0..3).map(|place| unit(seed + place, &model)).collect();
            for op in ops {
                let one = |(tensors, random): &mut (Tensors, Stream)| {
                    op.check(tensors)?;
                    op.apply(tensors, random)
                };
                let results: Vec<_> = alone.iter_mut().map(one).collect();
                assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{op:?} {results:?}");
                if let (Op::Product(product), true) = (&op, results[0].is_ok()) {
                    let at_once = product.apply_to_all(&mut all).unwrap();
                    together += u32::from(at_once);
                    if at_once {
                        continue;
                    }
                }
                for unit in &mut all {
                    assert_eq!(one(unit), results[0]);
                }
                done += u32::from(results[0].is_ok());
            }
            for (alone, all) in alone.iter_mut().zip(&mut all) {
                assert_eq!(bits(alone), bits(all), "seed {seed}");
            }
        }
        assert!(done > 50_000 && together > 500, "{done} done, {together} together");
    }

    #[test]
    fn each_unit_has_its_own_random_numbers() {
        let model: Arc<[f32]> = [1.0; 24].into();
        let op = Op::Uniform { x: 3, low: 0.0, high: 1.0 };
        let plan = Plan { ops: vec![op], update: 3, bytes: 0, most_at_once: 2 };
        let updates = plan.apply(vec![unit(1, &model), unit(2, &model), unit(1, &model)]).unwrap();
        let updates: Vec<_> = updates.into_iter().map(Tensor::into_values).collect();
        assert_eq!(updates[0], updates[2]);
        assert_ne!(updates[0], updates[1]);
    }

    #[test]
    fn units_at_once_never_need_more_than_one_may() {
        for (elements, most) in
            [(0, MOST), (LIMIT / 4 / 10, 9), (LIMIT / 8, 1), (LIMIT / 4 - 99, 1)]
        {
            let mut tensors = Tensors::new(LIMIT);
            let made = tensors.zeros(1, u32::try_from(elements).unwrap()).unwrap();
            // What was there for a while counts, too.
            tensors.remove(made).unwrap();
            let plan = Recording::new(1 << 10).finish(0, &tensors);
            assert_eq!(plan.most_at_once(), most, "{elements}");
            assert!(plan.most_at_once() * (4 * elements + BASE_BYTES) <= LIMIT);
        }
    }

    #[test]
    fn what_a_recording_holds_is_counted() {
        let mut recording = Recording::new(1 << 10);
        let write = || Op::Write { x: 0, offset: 0, values: vec![0.0; 100].into() };
        assert_eq!(recording.push(write()), Ok(()));
        assert_eq!(recording.push(write()), Ok(()));
        assert_eq!(recording.push(write()), Err(NotRecorded::TooMuch));
    }
}
