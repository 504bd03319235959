//! The tensors of a job's releases, and its model, by hand.

use cloister_privacy::{Gate as Grid, NoisySum, Server, ServerState};
use cloister_protocol::{
    Id,
    job::{Job, ServerStep},
    release::{Output, Stage},
};
use safetensors::{Dtype, tensor::TensorView};

use super::chain::Tampering;

pub const UNITS: u64 = 100;
pub const STEPS: u64 = 1024;
/// The loss that counts as 1 in metrics.
pub const LOSS: f64 = 0.25;

const FIRST_MODEL: [f32; 2] = [0.25, -1.1];
const CENTRE: [i64; 1] = [4321];
const SUMS: [[i64; 2]; 2] = [[12_345, -777], [-999, 31_415]];
/// Of 100 units: failed, clipped, accuracy, loss, each less one half.
const METRICS: [i64; 4] = [-50_000, -20_480, 46_000, -40_960];

pub struct Tensor {
    pub name: &'static str,
    dtype: Dtype,
    bytes: Vec<u8>,
}

impl Tensor {
    pub fn sums(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: "noised_sum", dtype: Dtype::I64, bytes }
    }

    pub fn floats(name: &'static str, values: &[f64], tampered: bool) -> Self {
        let mut bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        // The last bit of the first number.
        bytes[0] ^= u8::from(tampered);
        Self { name, dtype: Dtype::F64, bytes }
    }

    pub fn output(&self) -> Output {
        let dtype = format!("{:?}", self.dtype);
        Output { name: self.name.into(), dtype, shape: vec![self.bytes.len() as u64 / 8] }
    }
}

pub fn file(tensors: &[Tensor]) -> Vec<u8> {
    let view = |t: &Tensor| {
        let shape = vec![t.bytes.len() / 8];
        // The view borrows the bytes, which outlive it.
        (t.name.to_owned(), (t.dtype, shape, t.bytes.clone()))
    };
    let owned: Vec<_> = tensors.iter().map(view).collect();
    let views = owned.iter().map(|(name, (dtype, shape, bytes))| {
        (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}

fn mean(clip: f64, sum: &[i64]) -> Vec<f64> {
    let grid = Grid::new(clip, STEPS, sum.len()).unwrap();
    NoisySum::from_released(grid, sum.to_vec()).unwrap().mean(UNITS).unwrap()
}

fn start(step: &ServerStep) -> ServerState {
    Server::new(step.rate, step.momentum, step.average_last).unwrap().start(&FIRST_MODEL).unwrap()
}

/// What the releases hold: centring, two rounds, and metrics if they are asked for.
pub fn stages(step: &ServerStep, tampering: &Tampering) -> Vec<(Stage, Vec<Tensor>)> {
    let mut state = start(step);
    let mut stages = vec![(
        Stage::Centring,
        vec![
            Tensor::sums(&CENTRE),
            Tensor::floats("centre", &mean(8.0, &CENTRE), tampering.centre),
            Tensor::floats("first_model", state.model(), tampering.first_model),
        ],
    )];
    for (round, sum) in [(1, SUMS[0]), (2, SUMS[1])] {
        state.apply(&mean(0.5, &sum)).unwrap();
        let tampered = tampering.model && round == 1;
        let mut tensors =
            vec![Tensor::sums(&sum), Tensor::floats("model", state.model(), tampered)];
        if round == 2 {
            let averaged = state.averaged();
            tensors.push(Tensor::floats("final_model", &averaged, tampering.final_model));
        }
        tensors.push(Tensor::floats("accuracy", &[0.75], false));
        tensors.push(Tensor::floats("loss", &[0.2], false));
        stages.push((Stage::Round(round), tensors));
    }
    if tampering.measured {
        let mut means = mean(1.0, &METRICS).into_iter().map(|mean| mean + 0.5).collect::<Vec<_>>();
        means[3] *= LOSS;
        let metrics = Tensor::floats("metrics", &means, tampering.metrics);
        stages.push((Stage::Metrics, vec![Tensor::sums(&METRICS), metrics]));
    }
    stages
}

/// `model.safetensors` as `cloister run` leaves it, written down byte by byte.
pub fn model_file(step: &ServerStep, job: &Id<Job>) -> Vec<u8> {
    let mut state = start(step);
    for sum in &SUMS {
        state.apply(&mean(0.5, sum)).unwrap();
    }
    let metadata = format!(
        r#"{{"clamp":"3","code":"logistic@1","inputs":"{}","job":"{job}","scale":"10"}}"#,
        "clamp(scale * ((x - typical) / (upper - lower) - centre))"
    );
    let centre = r#"{"dtype":"F64","shape":[1],"data_offsets":[0,8]}"#;
    let model = r#"{"dtype":"F64","shape":[2],"data_offsets":[8,24]}"#;
    let mut header =
        format!(r#"{{"__metadata__":{metadata},"centre":{centre},"model":{model}}}"#).into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    let numbers = [mean(8.0, &CENTRE), state.averaged()].concat();
    let data: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}
