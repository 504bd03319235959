//! The logistic trainer, built here and run in workers, against arithmetic done here.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use cloister_privacy::Gate;
use cloister_sandbox::package::componentize;
use cloister_sandbox::package::toolchain::{Toolchain, build_guest};
use cloister_sandbox::{ParameterKind, Pool, Settings, UnitRows, compile, inspect};

use crate::support::{command, settings};

/// The trainer as a component, or nothing where no Rust can build it.
pub fn trainer() -> Option<&'static [u8]> {
    static TRAINER: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    let trainer = TRAINER.get_or_init(|| {
        if let Err(error) = Toolchain::find() {
            println!("SKIPPED: tests of the logistic trainer: {error}");
            return None;
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let guests = std::env::var_os("CLOISTER_GUEST_TARGET")
            .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests"), PathBuf::from);
        let module = build_guest(&root.join("compute/trainers/logistic"), &guests).unwrap();
        Some(componentize(&std::fs::read(module).unwrap()).unwrap())
    });
    trainer.as_deref()
}

pub fn pool(features: u32, l2: f64, workers: usize) -> Option<Pool> {
    let compiled = compile(trainer()?).unwrap();
    let settings = Settings { params: vec![("l2".into(), l2)], ..settings(features) };
    Some(Pool::start(command("worker"), workers, &compiled, settings).unwrap())
}

/// Rows of two clouds, in a fixed pattern.
pub fn clouds(units: u32, features: u32, rows: u32) -> Vec<UnitRows> {
    let mut state = 12345u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..units)
        .map(|unit| {
            let target = (unit % 2) as f32;
            let count = (rows * features) as usize;
            UnitRows {
                features: (0..count).map(|_| noise() + 0.6 * (target - 0.5)).collect(),
                targets: vec![target; rows as usize],
                rows,
                stream: 0,
            }
        })
        .collect()
}

/// The gradient in double precision.
fn gradient(model: &[f32], unit: &UnitRows, features: usize, l2: f64) -> Vec<f64> {
    let mut gradient: Vec<f64> = model.iter().map(|weight| l2 * f64::from(*weight)).collect();
    for (row, target) in unit.features.chunks(features).zip(&unit.targets) {
        let inputs: Vec<f64> = row.iter().copied().chain([1.0]).map(f64::from).collect();
        let score: f64 = inputs.iter().zip(model).map(|(x, w)| x * f64::from(*w)).sum();
        let error = 1.0 / (1.0 + (-score).exp()) - f64::from(*target);
        for (slot, x) in gradient.iter_mut().zip(&inputs) {
            *slot += error * x / f64::from(unit.rows);
        }
    }
    gradient
}

pub fn updates_equal_native_arithmetic() {
    let features = 30;
    for l2 in [0.0, 0.25] {
        let Some(mut pool) = pool(features, l2, 2) else {
            return;
        };
        assert_eq!(pool.model_shape(), (features + 1, 1));
        assert!(pool.init_model().iter().all(|weight| *weight == 0.0));
        let model: Vec<f32> = (0..=features).map(|i| (i as f32 - 15.0) / 20.0).collect();
        let mut units = clouds(20, features, 1);
        units.extend(clouds(20, features, 7));
        let check = |unit: usize, found: &[f32]| {
            let expected = gradient(&model, &units[unit], features as usize, l2);
            for (found, expected) in found.iter().zip(expected) {
                let difference = (f64::from(*found) - expected).abs();
                assert!(difference < 1e-5, "unit {unit}: {found} is not {expected}");
            }
        };
        pool.load(units.clone()).unwrap();
        for unit in 0..40 {
            let examined = pool.examine(0, &model, unit).unwrap();
            assert_eq!(examined.update.len(), 31);
            check(unit as usize, &examined.update);
        }
        // A unit without rows says nothing.
        pool.load(vec![UnitRows::default()]).unwrap();
        assert_eq!(pool.examine(1, &model, 0).unwrap().update, vec![0.0; 31]);
    }
}

pub fn training_separates_two_clouds() {
    let features = 30;
    let Some(mut pool) = pool(features, 0.0, 2) else {
        return;
    };
    let units = clouds(200, features, 1);
    let mut model = pool.init_model().to_vec();
    let count = units.len() as f64;
    pool.load(units).unwrap();
    let gate = Gate::new(8.0, 1 << 16, model.len()).unwrap();
    for step in 0..20 {
        let sum = pool.round(step, &model, &gate).unwrap();
        let rate = 2.0 * gate.clip() / gate.steps() as f64 / count;
        for (weight, sum) in model.iter_mut().zip(sum.values()) {
            #[expect(clippy::cast_possible_truncation, reason = "models are singles")]
            let step = (rate * *sum as f64) as f32;
            *weight -= step;
        }
    }
    let public = clouds(300, features, 1);
    let rows: Vec<f32> = public.iter().flat_map(|unit| unit.features.clone()).collect();
    let scores = pool.score(&model, &rows).unwrap();
    assert_eq!(scores.len(), 300);
    let right = scores
        .iter()
        .zip(&public)
        .filter(|(score, unit)| (**score > 0.5) == (unit.targets[0] > 0.5))
        .count();
    assert!(right > 285, "{right} of 300");
}

pub fn the_component_describes_itself() {
    let Some(component) = trainer() else { return };
    let description = inspect(component).unwrap();
    assert_eq!(description.name, "logistic");
    let [l2] = &description.parameters[..] else {
        panic!("{description:?}");
    };
    assert_eq!((l2.name.as_str(), l2.kind), ("l2", ParameterKind::Real));
    assert!(l2.accepts(0.5) && !l2.accepts(-1.0) && !l2.accepts(f64::NAN));
}
