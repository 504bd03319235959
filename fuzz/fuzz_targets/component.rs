//! A component that a host hands to the enclave: checked, and compiled if it passes.
#![no_main]

use cloister_sandbox::compile;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = compile(bytes);
});
