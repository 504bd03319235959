//! Attacks that read rows out of the gradients of a network's first layer.
//!
//! Where a hidden number is above zero for one row of a batch alone, the gradient of the
//! weights into it is that row times a factor, and the gradient of its bias is the factor:
//! the quotient is the row. Nothing in the code is out of the ordinary: it is the first-party
//! perceptron, on real images.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cloister_sandbox::UnitRows;
use cloister_tests::trainers;

use crate::world::World;

/// Epsilon 1 at delta 1e-5 in each release alone: the noise in clip bounds.
const NOISE: f64 = 4.05;

const PIXELS: usize = 64;
const CLASSES: usize = 10;

/// Images of the table in `data/digits`: pixels from 0 to 1, as code gets them.
fn digits(count: usize) -> Result<Vec<UnitRows>> {
    let text = std::fs::read_to_string(trainers::root()?.join("data/digits/images.csv"))?;
    let image = |(stream, line): (usize, &str)| -> Result<UnitRows> {
        let numbers: Vec<f32> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let (pixels, classes) = numbers.split_at_checked(PIXELS).context("a short line")?;
        ensure!(classes.len() == CLASSES, "{} classes", classes.len());
        Ok(UnitRows {
            features: pixels.iter().map(|pixel| pixel / 16.0).collect(),
            targets: classes.to_vec(),
            rows: 1,
            stream: stream as u64,
        })
    };
    text.lines().skip(1).take(count).enumerate().map(image).collect()
}

/// A world in which the perceptron is trained; nothing where no Rust can build it.
fn perceptron(hidden: u32, rate: f64) -> Result<Option<World>> {
    let component = trainers::component("perceptron", env!("CARGO_TARGET_TMPDIR"))?;
    let (pixels, classes) = (u32::try_from(PIXELS)?, u32::try_from(CLASSES)?);
    let world = |component| {
        World::new(component, pixels, 0.5)
            .of_classes(classes)
            .with_parameter("hidden", hidden.into())
            .with_steps(1 << 14)
            .with_rate(rate)
    };
    Ok(component.map(world))
}

/// For each hidden number of each sum, the gradient of its weights over that of its bias.
fn quotients(sums: &[Vec<f64>], hidden: usize) -> Vec<Vec<f64>> {
    let mut found = Vec::new();
    for sum in sums {
        let (weights, biases) = sum.split_at(PIXELS * hidden);
        for (number, bias) in biases[..hidden].iter().enumerate() {
            // Rounded numbers say nothing where they nearly cancel.
            if bias.abs() > 1e-5 {
                found.push(
                    (0..PIXELS).map(|pixel| weights[pixel * hidden + number] / bias).collect(),
                );
            }
        }
    }
    found
}

/// The images among them: whole numbers from 0 to 16 in each pixel. Whoever attacks knows no
/// more than that.
fn read(quotients: &[Vec<f64>]) -> BTreeSet<Vec<u8>> {
    let pixel =
        |x: &f64| whole(16.0 * x).filter(|whole| (16.0 * x - f64::from(*whole)).abs() < 0.02);
    quotients.iter().filter_map(|quotient| quotient.iter().map(pixel).collect()).collect()
}

/// An image as the table has it.
fn pixels(unit: &UnitRows) -> Vec<u8> {
    unit.features.iter().filter_map(|x| whole(16.0 * f64::from(*x))).collect()
}

/// The pixel that is closest to a number.
fn whole(x: f64) -> Option<u8> {
    (0..=16).min_by(|a, b| (x - f64::from(*a)).abs().total_cmp(&(x - f64::from(*b)).abs()))
}

/// How far the closest quotient is from an image, in each pixel, once it is cut to what a
/// pixel can be.
fn distance(quotients: &[Vec<f64>], unit: &UnitRows) -> f64 {
    let apart = |quotient: &Vec<f64>| -> f64 {
        let pairs = quotient.iter().zip(&unit.features);
        pairs.map(|(x, y)| (x.clamp(0.0, 1.0) - f64::from(*y)).powi(2)).sum()
    };
    let least = quotients.iter().map(apart).fold(f64::INFINITY, f64::min);
    (least / PIXELS as f64).sqrt()
}

/// What an attack got out of sums of `units`: which of them exactly, how many images that
/// nobody has, and how well distances tell these units from others.
struct Got {
    exact: usize,
    invented: usize,
    closest: f64,
    area: f64,
}

fn attack(sums: &[Vec<f64>], hidden: usize, units: &[UnitRows], others: &[UnitRows]) -> Got {
    let quotients = quotients(sums, hidden);
    let (read, all) = (read(&quotients), units.iter().map(pixels).collect::<BTreeSet<_>>());
    let exact = read.intersection(&all).count();
    let far = |units: &[UnitRows]| -> Vec<f64> {
        units.iter().map(|unit| distance(&quotients, unit)).collect()
    };
    let (theirs, strangers) = (far(units), far(others));
    let closer = theirs.iter().flat_map(|x| strangers.iter().map(move |y| x < y));
    let area = closer.clone().filter(|closer| *closer).count() as f64 / closer.count() as f64;
    let closest = theirs.iter().copied().fold(f64::INFINITY, f64::min);
    Got { exact, invented: read.len() - exact, closest, area }
}

/// SRATTA (Marchand et al. 2023): sums over all patients, as secure aggregation has them, of
/// many rounds. In each, other hidden numbers are above zero for one image alone.
#[test]
fn single_images_from_sums_of_many_rounds() -> Result<()> {
    const HIDDEN: u32 = 256;
    const ROUNDS: u32 = 40;
    const IMAGES: usize = 32;
    let Some(world) = perceptron(HIDDEN, 2.0)? else { return Ok(()) };
    let all = digits(IMAGES + 200)?;
    let (units, others) = all.split_at(IMAGES);
    let plain = attack(&world.plain_sums(units, ROUNDS)?, HIDDEN as usize, units, others);
    let releases = world.releases(units.to_vec(), ROUNDS, NOISE, 11)?;
    let gated = attack(&releases, HIDDEN as usize, units, others);
    println!(
        "SRATTA: {ROUNDS} plain sums give {} of {IMAGES} images exactly ({} invented); as many \
         releases, each at epsilon 1, give {}: the closest quotient is off by {:.2} in each pixel, \
         and images are told from others with AUC {:.3} (plain: {:.3})",
        plain.exact, plain.invented, gated.exact, gated.closest, gated.area, plain.area
    );
    ensure!(plain.exact >= 12, "the attack does not work on plain sums: {}", plain.exact);
    ensure!(gated.exact == 0 && gated.closest > 0.1, "{} images, {}", gated.exact, gated.closest);
    ensure!((0.3..0.7).contains(&gated.area), "images are recognised: AUC {}", gated.area);
    Ok(())
}

/// Inversion of one sum over a batch of eight, by a layer that is wide enough.
#[test]
fn a_batch_from_the_gradients_of_a_dense_layer() -> Result<()> {
    const HIDDEN: u32 = 1024;
    const IMAGES: usize = 8;
    let Some(world) = perceptron(HIDDEN, 1e-30)? else { return Ok(()) };
    let all = digits(IMAGES + 200)?;
    let (units, others) = all.split_at(IMAGES);
    let plain = attack(&world.plain_sums(units, 1)?, HIDDEN as usize, units, others);
    let release = world.releases(units.to_vec(), 1, NOISE, 12)?;
    let gated = attack(&release, HIDDEN as usize, units, others);
    println!(
        "dense layer: a plain sum gives {} of {IMAGES} images exactly ({} invented); a release \
         gives {}: the closest quotient is off by {:.2} in each pixel, AUC {:.3} (plain: {:.3})",
        plain.exact, plain.invented, gated.exact, gated.closest, gated.area, plain.area
    );
    ensure!(plain.exact == IMAGES, "the attack does not work on plain sums: {}", plain.exact);
    ensure!(gated.exact == 0 && gated.closest > 0.1, "{} images, {}", gated.exact, gated.closest);
    ensure!((0.2..0.8).contains(&gated.area), "images are recognised: AUC {}", gated.area);
    Ok(())
}
