//! The sampler of discrete Gaussians.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use cloister_bench::measure::{Row, measure, timed};
use cloister_bench::python::Python;
use cloister_bench::throughput::{Aim, Table};
use cloister_privacy::DiscreteGaussian;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rand_chacha::{ChaCha12Rng, ChaCha20Rng};

use crate::Bench;

/// Samples in a run of ours.
const SAMPLES: usize = 1_000_000;

/// Samples in a run of a peer that takes seconds for a million.
const PEER_SAMPLES: usize = 20_000;

impl Bench<'_> {
    /// A table for one sigma.
    pub fn noise(&self, id: &'static str, sigma: u64) -> Result<Table> {
        let mut rows = vec![
            ours::<ChaCha20Rng>("chacha20", "Cloister, ChaCha20", sigma)?,
            ours::<ChaCha12Rng>("chacha12", "Cloister, ChaCha12", sigma)?,
        ];
        let mut left_out = Vec::new();
        match &self.python {
            Ok(python) => {
                rows.push(self.open_dp("opendp", "OpenDP", sigma, python)?);
                rows.push(self.open_dp(
                    "opendp-lists",
                    "OpenDP, lists without noise",
                    0,
                    python,
                )?);
            }
            Err(reason) => left_out.push(format!("OpenDP: {reason}")),
        }
        let mut table = Table {
            work: format!("discrete Gaussians of sigma {sigma}"),
            id,
            counted: "samples",
            rows: measure(rows, self.runs, &self.cores)?,
            left_out,
            aims: Vec::new(),
        };
        for id in ["chacha20", "chacha12"] {
            let each = table.rate(id).map(|rate| 1e6 / rate);
            let what = format!("{id}, seconds a million");
            table.aims.extend(each.map(|each| Aim::at_most(what, 0.1, each)));
        }
        Ok(table)
    }

    fn open_dp(&self, id: &str, what: &str, sigma: u64, python: &Python) -> Result<Row<'static>> {
        let arguments = ["opendp_peer.py", &sigma.to_string(), &PEER_SAMPLES.to_string()];
        let mut peer = python.start(&arguments, self.folder, 1, &self.cores)?;
        check(peer.sum.iter().copied().map(f64::from), PEER_SAMPLES, sigma)
            .with_context(|| peer.about.clone())?;
        println!("{id}, sigma {sigma}: {}", peer.about);
        let run = Box::new(move || peer.run());
        Ok(Row { id: id.into(), what: what.into(), threads: 1, units: PEER_SAMPLES, run })
    }
}

/// Our sampler on a generator.
fn ours<R: Rng + SeedableRng<Seed = [u8; 32]> + 'static>(
    id: &str,
    what: &str,
    sigma: u64,
) -> Result<Row<'static>> {
    let noise = DiscreteGaussian::new(sigma)?;
    let mut random = R::from_seed([5; 32]);
    let mut samples = vec![0; SAMPLES];
    samples.fill_with(|| noise.sample(&mut random));
    check(samples.iter().map(|sample| *sample as f64), SAMPLES, sigma).context(what.to_owned())?;
    let run = move || {
        let ((), took) = timed(&[], || {
            samples.fill_with(|| noise.sample(&mut random));
            black_box(&samples);
            Ok(())
        })?;
        Ok(took)
    };
    Ok(Row { id: id.into(), what: what.into(), threads: 1, units: SAMPLES, run: Box::new(run) })
}

/// That so many samples have the mean and the variance of the distribution, to within six
/// standard deviations of each.
fn check(samples: impl Iterator<Item = f64> + Clone, count: usize, sigma: u64) -> Result<()> {
    let (n, sigma) = (count as f64, sigma as f64);
    let found = samples.clone().count();
    ensure!(found == count, "{found} samples, not {count}");
    let mean = samples.clone().sum::<f64>() / n;
    let variance = samples.map(|x| x * x).sum::<f64>() / n;
    ensure!(
        mean.abs() <= 6.0 * sigma / n.sqrt()
            && (variance - sigma * sigma).abs() <= 6.0 * sigma * sigma * (2.0 / n).sqrt(),
        "a mean of {mean} and a variance of {variance}, for a sigma of {sigma}"
    );
    Ok(())
}
