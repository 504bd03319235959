//! Kernel calls of a component: any, in any order, with any handles, shapes and numbers. The
//! component is one interpreter, and its program are the job's parameters; what its rows hold
//! it does not look at unless the program says so, so that calls are recorded as well.
#![no_main]

mod calls;

use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex};

use cloister_sandbox::package::{componentize, embed_world};
use cloister_sandbox::{Limits, Settings, Trial, compile};
use libfuzzer_sys::fuzz_target;

use calls::{CALLS, check, import};

/// Numbers of a call: which, three slots, two sizes, two numbers.
const ROW: usize = 8;
/// Bytes of a parameter in the component's memory: pointer and length of its name, the value.
const PARAM: usize = 16;
const DIMENSION: usize = 12;

/// A piece of text that calls `name` if the row says so.
fn case(number: usize, (name, takes, gives): (&str, &str, &str)) -> String {
    let mut call = format!("(call $\"{name}\"");
    for kind in takes.chars() {
        match kind {
            'a' | 'b' | 'c' => write!(call, " (i32.load (local.get ${kind}))"),
            'p' => write!(call, " (i32.and (local.get $i) (i32.const 1))"),
            'q' => write!(call, " (i32.and (local.get $j) (i32.const 1))"),
            _ => write!(call, " (local.get ${kind})"),
        }
        .expect("a string takes text");
    }
    call.push(')');
    let call = match gives {
        "h" => format!("(i32.store (local.get $a) {call})"),
        "" => call,
        _ => format!("(drop {call})"),
    };
    format!("(if (i32.eq (local.get $op) (i32.const {number})) (then {call}))\n")
}

fn module() -> String {
    let imports: String = CALLS.iter().map(|(a, b, c)| import(a, b, c)).collect();
    let cases: String = CALLS.iter().enumerate().map(|(n, call)| case(n, *call)).collect();
    let join = CALLS.len();
    let at = |column: usize| {
        format!(
            "(f32.demote_f64 (f64.load offset={} (i32.add (local.get $params) (local.get $row))))",
            PARAM * column + 8
        )
    };
    let whole = |column: usize| format!("(i32.trunc_sat_f32_u {})", at(column));
    let slot = |column: usize| {
        format!("(i32.shl (i32.and {} (i32.const 15)) (i32.const 2))", whole(column))
    };
    // Name, version, summary, parameters, model, scores: pointers and lengths.
    let mut record = String::new();
    for number in [1088_u32, 4, 1092, 5, 1088, 4, 0, 0, 1088, 4, 1088, 4] {
        for byte in number.to_le_bytes() {
            write!(record, "\\{byte:02x}").expect("a string takes text");
        }
    }
    format!(
        r#"(module
  {imports}
  (import "cloister:compute/tensors@1.0.0" "join" (func $join (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 32768))
  (data (i32.const 1024) "{record}")
  (data (i32.const 1088) "fuzz1.0.0")
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (global.get $heap)
    (global.set $heap (i32.add (global.get $heap) (local.get 3))))
  (func (export "describe") (result i32) (i32.const 1024))
  (func (export "init") (param i32 i32 i32 i32) (result i32)
    (call $"[constructor]tensor" (i32.const 3) (i32.const 4)))
  (func (export "update") (param $model i32) (param $features i32) (param $targets i32)
                          (param $params i32) (param $count i32) (result i32)
    (local $row i32) (local $rows i32) (local $op i32) (local $a i32) (local $b i32)
    (local $c i32) (local $i i32) (local $j i32) (local $x f32) (local $y f32)
    (i32.store (i32.const 0) (local.get $model))
    (i32.store (i32.const 4) (local.get $features))
    (i32.store (i32.const 8) (local.get $targets))
    (loop $fill
      (i32.store (i32.add (i32.const 12) (local.get $i))
        (call $"[constructor]tensor" (i32.const 3) (i32.const 4)))
      (local.set $i (i32.add (local.get $i) (i32.const 4)))
      (br_if $fill (i32.lt_u (local.get $i) (i32.const 52))))
    (local.set $rows (i32.mul (local.get $count) (i32.const {PARAM})))
    (block $end (loop $each
      (br_if $end (i32.ge_u (local.get $row) (local.get $rows)))
      (local.set $op {op}) (local.set $a {a}) (local.set $b {b}) (local.set $c {c})
      (local.set $i {i}) (local.set $j {j}) (local.set $x {x}) (local.set $y {y})
      {cases}
      (if (i32.eq (local.get $op) (i32.const {join})) (then
        (i32.store (local.get $a) (call $join (i32.and (local.get $b) (i32.const 60))
          (i32.and (local.get $i) (i32.const 3))))))
      (local.set $row (i32.add (local.get $row) (i32.const {step})))
      (br $each)))
    (call $"[resource-drop]tensor" (i32.load (i32.const 0)))
    (call $"[resource-drop]tensor" (i32.load (i32.const 4)))
    (call $"[resource-drop]tensor" (i32.load (i32.const 8)))
    (i32.load (i32.const 12)))
  (func (export "score") (param i32 i32 i32 i32) (result i32) (unreachable))
)"#,
        step = ROW * PARAM,
        op = whole(0),
        a = slot(1),
        b = slot(2),
        c = slot(3),
        i = whole(4),
        j = whole(5),
        x = at(6),
        y = at(7),
    )
}

static TRIAL: LazyLock<Mutex<Trial>> = LazyLock::new(|| {
    let module = wat::parse_str(module()).expect("the interpreter is text");
    let component = componentize(&embed_world(&module).expect("a world")).expect("a component");
    let limits = Limits { fuel_per_unit: 2_000_000, tensor_bytes: 1 << 20, ..Limits::default() };
    let settings = Settings { limits, params: Vec::new(), seed: [1; 32], features: 8, targets: 1 };
    let trial = Trial::new(&compile(&component).expect("it compiles"), settings);
    Mutex::new(trial.expect("it has a model"))
});

const NUMBERS: [f32; 10] =
    [0.0, 1.0, -1.0, 0.5, 1e30, 1e-30, f32::INFINITY, f32::NAN, f32::MAX, -3.0];

/// Three rows of a unit, from the `first` number on.
fn unit(first: usize) -> (Vec<f32>, Vec<f32>) {
    let numbers = NUMBERS.iter().cycle().skip(first);
    (numbers.clone().take(24).copied().collect(), numbers.take(3).copied().collect())
}

fuzz_target!(|bytes: &[u8]| {
    let mut params = Vec::new();
    for row in bytes.chunks_exact(ROW).take(64) {
        params.extend(row[..6].iter().map(|byte| f64::from(*byte)));
        params.extend(
            row[6..].iter().map(|byte| f64::from(NUMBERS[usize::from(*byte) % NUMBERS.len()])),
        );
    }
    let mut trial = TRIAL.lock().expect("nobody has panicked");
    trial.set_params(params.into_iter().map(|value| (String::new(), value)).collect());

    assert_eq!(trial.dimension(), DIMENSION);
    check(&mut trial, &[unit(0), unit(7), unit(13)]);
});
