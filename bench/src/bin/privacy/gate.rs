//! The gate, and the sums behind it.

use anyhow::{Context, Result};
use cloister_bench::measure::{Row, Took, close, measure, timed};
use cloister_bench::throughput::Table;
use cloister_privacy::{DiscreteGaussian, Gate, IntegerSum, Piece};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::{Bench, plain};

/// The perceptron 784-128-10.
const LAYERS: [(usize, usize); 2] = [(784, 128), (128, 10)];

/// Its parameters, each layer with a bias for each column.
const DIMENSION: usize = (784 + 1) * 128 + (128 + 1) * 10;

/// Grid steps in the clip bound: the default of a job.
const STEPS: u64 = 16_384;

/// Units whose updates are at hand: as many as a worker takes at once.
const UNITS: usize = 48;

/// How often they are added in one run.
const TIMES: usize = 8;

/// One way to add all updates so many times: how long that took, and the sum.
type Way<'a> = Box<dyn FnMut(usize) -> Result<(Took, Vec<f64>)> + 'a>;

impl Bench<'_> {
    /// Updates that are written down.
    pub fn dense(&self) -> Result<Table> {
        let mut random = ChaCha12Rng::from_seed([7; 32]);
        let updates: Vec<_> = (0..UNITS).map(|_| uniform(DIMENSION, &mut random)).collect();
        let pieces: Vec<_> = updates.iter().map(|update| vec![Piece::Values(update)]).collect();
        let gate = gate(&pieces)?;
        self.table(
            ("dense", "updates that are written down"),
            vec![
                ("integer", "Gate::quantise, IntegerSum::add", integer(gate, &updates, false)),
                ("integer-again", "Gate::quantise_into, the same", integer(gate, &updates, true)),
                ("partial", "PartialSum::add", partial(gate, &pieces, 1)),
                ("plain", "plain sum of singles", plainly(&pieces, 1)),
            ],
        )
    }

    /// Updates of dense layers, of which nobody writes the elements down.
    pub fn outer(&self) -> Result<Table> {
        let mut random = ChaCha12Rng::from_seed([8; 32]);
        let units: Vec<_> = (0..UNITS)
            .map(|_| LAYERS.map(|(rows, columns)| [rows, columns].map(|n| uniform(n, &mut random))))
            .collect();
        let pieces: Vec<Vec<_>> =
            units.iter().map(|layers| layers.iter().flat_map(layer).collect()).collect();
        let gate = gate(&pieces)?;
        self.table(
            ("outer", "updates that are products"),
            vec![
                ("partial-48", "PartialSum::add_all, 48 units at once", partial(gate, &pieces, 48)),
                ("partial-1", "PartialSum::add, one by one", partial(gate, &pieces, 1)),
                ("plain-48", "plain sum of singles, 48 units at once", plainly(&pieces, 48)),
                ("plain-1", "plain sum of singles, one by one", plainly(&pieces, 1)),
            ],
        )
    }

    /// Measures ways whose sums are the same, but for truncation.
    fn table(
        &self,
        (id, work): (&'static str, &str),
        ways: Vec<(&str, &str, Way<'_>)>,
    ) -> Result<Table> {
        let (mut rows, mut expected) = (Vec::new(), None);
        for (id, what, mut way) in ways {
            let (_, sum) = way(1)?;
            close(&sum, expected.get_or_insert_with(|| sum.clone()), 0.05)
                .with_context(|| format!("{what}: another sum"))?;
            rows.push(Row {
                id: id.into(),
                what: what.into(),
                threads: 1,
                units: TIMES * UNITS * DIMENSION,
                run: Box::new(move || Ok(way(TIMES)?.0)),
            });
        }
        Ok(Table {
            work: format!("{work}, {DIMENSION} parameters"),
            id,
            counted: "parameters",
            rows: measure(rows, self.runs, &self.cores)?,
            left_out: Vec::new(),
            aims: Vec::new(),
        })
    }
}

/// The gradient of a layer with a bias.
fn layer([left, right]: &[Vec<f32>; 2]) -> [Piece<'_>; 2] {
    [Piece::Outer { left, right }, Piece::Values(right)]
}

/// Through the gate, each update in fresh memory or in that of the one before.
fn integer(gate: Gate, updates: &[Vec<f32>], again: bool) -> Way<'_> {
    Box::new(move |times| {
        let mut sum = gate.sum();
        let mut quantised = gate.quantise(&[]);
        let took = repeated(times, || {
            for update in updates {
                if again {
                    gate.quantise_into(update, &mut quantised);
                    sum.add(&quantised)?;
                } else {
                    sum.add(&gate.quantise(update))?;
                }
            }
            Ok(())
        })?;
        Ok((took, read(sum)?))
    })
}

/// As a worker does it.
fn partial<'a>(gate: Gate, updates: &'a [Vec<Piece<'a>>], at_once: usize) -> Way<'a> {
    let mut partial = gate.partial();
    Box::new(move |times| {
        partial.clear();
        let took = repeated(times, || {
            updates.chunks(at_once).try_for_each(|updates| Ok(partial.add_all(updates)?))
        })?;
        let (units, mut bytes) = (partial.units(), Vec::new());
        partial.drain_into(&mut bytes);
        let mut sum = gate.sum();
        sum.merge_partial(units, &bytes)?;
        Ok((took, read(sum)?))
    })
}

/// Without a gate.
fn plainly<'a>(updates: &'a [Vec<Piece<'a>>], at_once: usize) -> Way<'a> {
    let mut sums = vec![0.0; DIMENSION];
    Box::new(move |times| {
        sums.fill(0.0);
        let took = repeated(times, || {
            updates.chunks(at_once).for_each(|updates| plain::add(&mut sums, updates));
            Ok(())
        })?;
        Ok((took, sums.iter().copied().map(f64::from).collect()))
    })
}

/// How long some repetitions take.
fn repeated(times: usize, mut work: impl FnMut() -> Result<()>) -> Result<Took> {
    let ((), took) = timed(&[], || (0..times).try_for_each(|_| work()))?;
    Ok(took)
}

/// A gate that the largest of the updates just fits.
fn gate(updates: &[Vec<Piece<'_>>]) -> Result<Gate> {
    let norm = |update: &Vec<Piece<'_>>| update.iter().map(square_of).sum::<f64>().sqrt();
    let largest = updates.iter().map(norm).fold(0.0, f64::max);
    Ok(Gate::new(largest, STEPS, DIMENSION)?)
}

fn square_of(piece: &Piece<'_>) -> f64 {
    let square = |values: &[f32]| values.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>();
    match piece {
        Piece::Values(values) => square(values),
        Piece::Outer { left, right } => square(left) * square(right),
        Piece::Zeros(_) => 0.0,
    }
}

/// What is in a sum, in the update's units. The only way out is through noise; this bench has
/// nobody to protect and takes the least.
fn read(sum: IntegerSum) -> Result<Vec<f64>> {
    let noise = DiscreteGaussian::new(1)?;
    Ok(sum.noise(&noise, &mut ChaCha12Rng::from_seed([3; 32])).mean(1)?)
}

/// Numbers from -0.5 to 0.5.
fn uniform(count: usize, random: &mut ChaCha12Rng) -> Vec<f32> {
    (0..count).map(|_| (random.next_u32() >> 8) as f32 / (1 << 24) as f32 - 0.5).collect()
}
