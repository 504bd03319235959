//! What is trained, on which rows: synthetic, and the same for everybody.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use cloister_privacy::Gate;
use cloister_sandbox::UnitRows;

/// A model, rows, and the gate that sums go through.
pub struct Problem {
    pub shape: Shape,
    pub model: Vec<f32>,
    /// Row after row.
    pub features: Vec<f32>,
    /// Row after row.
    pub targets: Vec<f32>,
    pub gate: Gate,
}

/// Columns of the layers, from the features to the targets.
#[derive(Clone, Copy)]
pub struct Shape {
    pub features: usize,
    /// 0 for logistic regression, which has no layer between.
    pub hidden: usize,
    pub targets: usize,
}

pub const LOGISTIC: Shape = Shape { features: 30, hidden: 0, targets: 1 };
pub const PERCEPTRON: Shape = Shape { features: 784, hidden: 128, targets: 10 };

/// Grid steps in the clip bound: the default of a job.
pub const STEPS: u64 = 16_384;

impl Shape {
    /// Parameters of the model.
    pub fn parameters(self) -> usize {
        let Self { features, hidden, targets } = self;
        match hidden {
            0 => (features + 1) * targets,
            _ => (features + 1) * hidden + (hidden + 1) * targets,
        }
    }
}

impl Problem {
    /// Rows of clouds, one for each class, and a small random model.
    pub fn new(shape: Shape, rows: usize, clip: f64, steps: u64) -> Result<Self> {
        let mut noise = Noise(0x5eed);
        let Shape { features, hidden, targets } = shape;
        let classes = targets.max(2);
        let centres: Vec<f32> = (0..classes * features).map(|_| noise.next()).collect();
        let spread = 1.0 / (features as f32).sqrt();
        let mut problem = Self {
            shape,
            model: Vec::with_capacity(shape.parameters()),
            features: Vec::with_capacity(rows * features),
            targets: Vec::with_capacity(rows * targets),
            gate: Gate::new(clip, steps, shape.parameters())?,
        };
        for place in 0..shape.parameters() {
            let output = hidden > 0 && place >= (features + 1) * hidden;
            problem.model.push(noise.next() * if output { 0.3 } else { 2.0 * spread });
        }
        for row in 0..rows {
            let class = row % classes;
            let centre = &centres[class * features..][..features];
            problem.features.extend(centre.iter().map(|c| 0.5 * c + noise.next()));
            if targets == 1 {
                problem.targets.push(class as f32);
            } else {
                problem.targets.extend((0..targets).map(|target| f32::from(target == class)));
            }
        }
        Ok(problem)
    }

    pub fn rows(&self) -> usize {
        self.features.len() / self.shape.features
    }

    /// The rows as units of so many rows each.
    pub fn units(&self, rows_each: usize) -> Vec<UnitRows> {
        let features = self.features.chunks(rows_each * self.shape.features);
        let targets = self.targets.chunks(rows_each * self.shape.targets);
        (0_u64..)
            .zip(features.zip(targets))
            .map(|(stream, (features, targets))| UnitRows {
                features: features.to_vec(),
                targets: targets.to_vec(),
                rows: u32::try_from(rows_each).unwrap_or(u32::MAX),
                stream,
            })
            .collect()
    }

    /// Writes what a peer in another language reads.
    pub fn write(&self, folder: &Path) -> Result<()> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let Self { model, features, targets, .. } = self;
        for (name, numbers) in [("model", model), ("features", features), ("targets", targets)] {
            let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
            let file = folder.join(name).with_extension("f32");
            fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(())
    }
}

/// Numbers from -0.5 to 0.5, the same every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (self.0 >> 40) as f32 / (1 << 24) as f32 - 0.5
    }
}
