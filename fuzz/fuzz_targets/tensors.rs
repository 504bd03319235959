//! A file of released tensors, as a host hands it to an orchestrator or a verifier.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../cli/src/tensors.rs"]
#[allow(dead_code, reason = "the command line uses all of it")]
mod tensors;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = tensors::Tensors::read(bytes) {
        for (name, dtype, shape) in &read.outputs {
            let elements: u64 = shape.iter().product();
            let found = match dtype.as_str() {
                "F64" => read.f64s(name).map(<[f64]>::len),
                _ => read.i64s(name).map(<[i64]>::len),
            };
            assert_eq!(found.map(|found| found as u64), Some(elements));
        }
    }
});
