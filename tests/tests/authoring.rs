//! Trainers as authors make them: begun with `cloister code new`, built twice, and written
//! in languages other than Rust.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use cloister_privacy::{DiscreteGaussian, Gate};
use cloister_sandbox::{Limits, Pool, Settings, UnitRows, compile, package::componentize_any};
use cloister_tests::{Programs, guests, programs::output, small};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn folder(name: &str) -> Result<PathBuf> {
    small::folder(env!("CARGO_TARGET_TMPDIR"), name)
}

/// Runs `cloister` with `--json` in a folder: its exit code, and what it says.
fn cloister(folder: &Path, arguments: &[&str]) -> Result<(i32, Value)> {
    let mut command = Programs::find()?.cloister(folder, arguments);
    let ran = command.arg("--json").stdin(Stdio::null()).output()?;
    let code = ran.status.code().context("killed")?;
    let said = serde_json::from_slice(&ran.stdout)
        .with_context(|| format!("{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr)))?;
    Ok((code, said))
}

/// Builds a component; nothing where no Rust can.
fn build(folder: &Path, arguments: &[&str], what: &str) -> Result<Option<(i32, Value)>> {
    let (code, said) = cloister(folder, &[&["code", "build"], arguments].concat())?;
    let error = said["error"].as_str().unwrap_or_default();
    if error.contains("no Rust here builds WebAssembly") {
        println!("SKIPPED: {what}: {error}");
        return Ok(None);
    }
    ensure!(said["component"].is_string(), "{arguments:?}: {said}");
    Ok(Some((code, said)))
}

#[test]
fn a_new_trainer_builds_and_two_folders_give_one_digest() -> Result<()> {
    let folder = folder("new-trainer")?;
    let what = "building a new trainer twice";
    let (code, made) = cloister(&folder, &["code", "new", "my-trainer"])?;
    ensure!(code == 0 && made["folder"] == "my-trainer", "{made}");

    // 1. It builds, with nothing added.
    let Some((code, first)) = build(&folder, &["my-trainer", "-o", "first.wasm"], what)? else {
        return Ok(());
    };
    ensure!(code == 0 && first["name"] == "my-trainer", "{first}");
    let digest = first["component"].as_str().context("no digest")?;

    // 2. In another place it is the same, and nothing is written.
    let other = folder.join("of/an/owner");
    fs::create_dir_all(&other)?;
    for file in made["files"].as_array().context("no files")? {
        let path = Path::new(file.as_str().context("not a name")?);
        let to = other.join("source").join(path);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        fs::copy(folder.join("my-trainer").join(path), to)?;
    }
    let check = ["source", "--check"];
    let second = build(&other, &[&check[..], &[digest]].concat(), what)?;
    let (code, second) = second.context("built once only")?;
    ensure!(code == 0 && second["same"] == true, "{second}");
    ensure!(second["compiler"] == first["compiler"] && second["file"].is_null(), "{second}");
    ensure!(!other.join("component.wasm").exists(), "it was to be compared, not kept");

    // 3. Another source is told from it.
    let source = other.join("source/src/lib.rs");
    let text = fs::read_to_string(&source)?;
    fs::write(&source, text.replace("weight decay", "Weight decay"))?;
    let third = build(&other, &[&check[..], &[digest]].concat(), what)?;
    let (code, third) = third.context("built twice only")?;
    ensure!(code == 1 && third["same"] == false && third["expected"] == digest, "{third}");

    // 4. The made-up dataset is one.
    let mock = ["data", "mock", "--dataset", "my-trainer/dataset.toml", "--rows", "9", "-o", "m"];
    ensure!(cloister(&folder, &mock)?.0 == 0);
    Ok(())
}

#[test]
fn a_digest_that_differs_is_said_on_a_page_with_what_can_differ() -> Result<()> {
    let folder = folder("differs")?;
    fs::write(folder.join("hand.wasm"), guests::module(guests::HONEST)?)?;
    let (code, built) = cloister(&folder, &["code", "build", "hand.wasm", "-o", "c.wasm"])?;
    ensure!(code == 0, "{built}");
    let digest = built["component"].as_str().context("no digest")?;
    let page = |digest: &str, more: &[&str]| -> Result<_> {
        let arguments = [&["code", "build", "hand.wasm", "--check", digest], more].concat();
        let ran = Programs::find()?.cloister(&folder, &arguments).output()?;
        let text = |bytes| String::from_utf8(bytes);
        Ok((ran.status.code().context("killed")?, text(ran.stdout)?, text(ran.stderr)?))
    };
    let (code, out, _) = page(digest, &[])?;
    ensure!(code == 0 && out.contains("SAME") && !out.contains("DIFFERENT"), "{out}");

    let other = "0".repeat(128);
    let (code, out, err) = page(&other, &[])?;
    ensure!(code == 1 && err.is_empty(), "{code}: {err}");
    for part in ["DIFFERENT", digest, &other, "another commit", "compiler", "Cargo.lock"] {
        ensure!(out.contains(part), "no {part:?} in {out}");
    }
    let (code, out, err) = page(&other, &["--quiet"])?;
    ensure!(code == 1 && out.is_empty() && err.contains("DIFFERENT"), "{code}: {out}{err}");

    // The beginning of a digest is not one.
    for bad in [&digest[..32], "", "zz"] {
        let (code, out, err) = page(bad, &[])?;
        ensure!(code == 2 && out.is_empty() && err.contains("128 hexadecimal"), "{err}");
    }
    Ok(())
}

/// A clang that makes WebAssembly, with its linker, and make.
fn clang() -> Option<String> {
    let names = (16..40).rev().map(|version| format!("clang-{version}"));
    let mut names = std::env::var("CLANG").into_iter().chain(names).chain(["clang".to_owned()]);
    let answer = |name: &str, question: &str| {
        let mut command = Command::new(name);
        output(command.arg(question).stderr(Stdio::null())).unwrap_or_default()
    };
    answer("make", "--version").contains("Make").then_some(())?;
    names.find(|name| {
        let linker = answer(name, "--print-prog-name=wasm-ld");
        answer(name, "--print-targets").contains("wasm32") && Path::new(linker.trim()).is_absolute()
    })
}

/// The trainer in C as a core module; nothing where it cannot be built.
fn c_trainer(folder: &Path) -> Result<Option<PathBuf>> {
    let Some(clang) = clang() else {
        println!(
            "SKIPPED: a trainer in C: make, or clang with wasm-ld (clang-19 lld-19), is missing"
        );
        return Ok(None);
    };
    let module = folder.join("c-logistic.wasm");
    let mut make = Command::new("make");
    make.arg("--directory").arg(root().join("compute/trainers/c-logistic"));
    make.arg(format!("CLANG={clang}")).arg(format!("OUT={}", module.display()));
    output(&mut make)?;
    Ok(Some(module))
}

/// The trainer in Python as a core module; nothing where it cannot be built.
fn python_trainer(folder: &Path) -> Result<Option<PathBuf>> {
    if output(Command::new("python3").arg("--version")).is_err() {
        println!("SKIPPED: a trainer in Python: python3 is missing");
        return Ok(None);
    }
    let module = folder.join("py-logistic.wasm");
    let mut python = Command::new("python3");
    python.arg(root().join("compute/trainers/py-logistic/logistic.py")).arg(&module);
    python.env("PYTHONPATH", root().join("compute/python")).env("PYTHONDONTWRITEBYTECODE", "1");
    output(&mut python)?;
    Ok(Some(module))
}

const FEATURES: u32 = 5;
const TARGETS: u32 = 2;

/// Units of no row, of one and of some, in a fixed pattern.
fn units() -> Vec<UnitRows> {
    let mut state = 7u32;
    let mut number = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 - 0.5
    };
    let unit = |rows: u32, number: &mut dyn FnMut() -> f32| UnitRows {
        features: (0..rows * FEATURES).map(|_| number()).collect(),
        targets: (0..rows * TARGETS).map(|_| f32::from(u8::from(number() > 0.0))).collect(),
        rows,
        stream: 0,
    };
    [0, 1, 1, 3, 8].into_iter().map(|rows| unit(rows, &mut number)).collect()
}

/// What one round of these units releases, and the scores of public rows. The noise is
/// the same each time, so that releases are equal where sums are.
fn released(component: &Path, l2: f64, units: Vec<UnitRows>) -> Result<(Vec<i64>, Vec<f32>)> {
    let compiled = compile(&fs::read(component)?)?;
    let settings = Settings {
        limits: Limits::default(),
        params: vec![("l2".into(), l2)],
        seed: [3; 32],
        features: FEATURES,
        targets: TARGETS,
    };
    let mut command = Command::new(Programs::find()?.enclave());
    command.arg("worker");
    let mut pool = Pool::start(command, 1, &compiled, settings)?;
    ensure!(pool.model_shape() == (FEATURES + 1, TARGETS), "{:?}", pool.model_shape());
    pool.load(units)?;
    let count = (FEATURES + 1) * TARGETS;
    let model: Vec<f32> = (0..count).map(|i| (i as f32 - 5.0) / 8.0).collect();
    let gate = Gate::new(1.0, 1 << 20, model.len())?;
    let sum = pool.round(1, &model, &gate)?;
    let noised = sum.noise(&DiscreteGaussian::new(1)?, &mut ChaCha20Rng::seed_from_u64(5));
    let public: Vec<f32> = (0..4 * FEATURES).map(|i| (i as f32).sin()).collect();
    Ok((noised.values().to_vec(), pool.score(&model, &public)?))
}

#[test]
fn trainers_in_c_and_python_give_the_updates_of_the_one_in_rust() -> Result<()> {
    let folder = folder("languages")?;
    let source = root().join("compute/trainers/logistic").display().to_string();
    let what = "trainers in other languages beside the one in Rust";
    if build(&folder, &[&source, "-o", "rust"], what)?.is_none() {
        return Ok(());
    }
    let rust = |l2, units| released(&folder.join("rust"), l2, units);
    ensure!(rust(0.0, units())?.0 != rust(0.25, units())?.0, "the parameter changes nothing");
    ensure!(rust(0.0, units())?.0 != rust(0.0, vec![])?.0, "the units change nothing");

    let modules = [c_trainer(&folder)?, python_trainer(&folder)?];
    for module in modules.into_iter().flatten() {
        let name = module.display().to_string();
        let (code, said) = cloister(&folder, &["code", "build", &name, "-o", "other"])?;
        ensure!(code == 0, "{name}: {said}");
        for l2 in [0.0, 0.25] {
            let other = |units| released(&folder.join("other"), l2, units);
            ensure!(other(units())? == rust(l2, units())?, "{name}, l2 {l2}: other updates");
            for unit in units() {
                let alone = || vec![unit.clone()];
                ensure!(other(alone())? == rust(l2, alone())?, "{name}: {} rows", unit.rows);
            }
        }
    }
    Ok(())
}

#[test]
fn python_that_asks_about_rows_is_not_recorded() -> Result<()> {
    if output(Command::new("python3").arg("--version")).is_err() {
        println!("SKIPPED: what Python cannot record: python3 is missing");
        return Ok(());
    }
    for (update, says) in [
        ("if features.rows > 3: return model.copy()", "no `if` or `while`"),
        ("if features.rows == 0: return model.copy()", "no `if` or `while`"),
        ("for row in range(features.rows): pass", "no `if` or `while`"),
        ("if features.sum(): return model.copy()", "no `if` or `while`"),
        ("while features.rows: pass", "no `if` or `while`"),
        ("return model", "a tensor of its own"),
        ("self.kept = getattr(self, 'kept', features); return self.kept", "a tensor of its own"),
        ("features.scaled_add(features, features)", "where it does not belong"),
        ("return params['l3']", "'l3'"),
    ] {
        let program = format!(
            "import cloister\n\
             class Asks(cloister.Trainer):\n\
             \x20   def init(self, features, targets, params): return cloister.Tensor(1, features)\n\
             \x20   def score(self, model, features, params): return cloister.Tensor(1, 1)\n\
             \x20   def update(self, model, features, targets, params):\n\
             \x20       {update}\n\
             cloister.Module(Asks())\n"
        );
        let mut python = Command::new("python3");
        python.args(["-c", &program]).env("PYTHONDONTWRITEBYTECODE", "1");
        let ran = python.env("PYTHONPATH", root().join("compute/python")).output()?;
        let error = String::from_utf8(ran.stderr)?;
        ensure!(!ran.status.success() && error.contains(says), "{update}: {error}");
    }
    Ok(())
}

/// Names of the functions that a trainer may call, as `world.wit` has them.
fn of_the_world() -> Result<Vec<String>> {
    let world = fs::read_to_string(root().join("compute/wit/world.wit"))?;
    let mut names = Vec::new();
    for interface in ["interface tensors {", "interface random {"] {
        let (_, body) = world.split_once(interface).context(interface)?;
        let (body, _) = body.split_once("\n}").context(interface)?;
        let mut method = "";
        for line in body.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            match line.split_once(": func(") {
                Some((name, _)) => names.push(format!("{method}{name}")),
                None if line.starts_with("resource tensor") => method = "[method]tensor.",
                None if line == "}" => method = "",
                None if line.starts_with("constructor(") => {
                    names.push("[constructor]tensor".to_owned());
                }
                None => {}
            }
        }
    }
    names.push("[resource-drop]tensor".to_owned());
    Ok(names)
}

/// Names of the world that `cloister.h` declares, and what they are called in C.
fn of_the_header() -> Result<Vec<(String, String)>> {
    let header = fs::read_to_string(root().join("compute/c/cloister.h"))?;
    let mut names = Vec::new();
    for line in header.replace(")\n", ") ").lines() {
        let start = line.strip_prefix("TENSORS(\"").or_else(|| line.strip_prefix("RANDOM(\""));
        let Some((name, rest)) = start.and_then(|line| line.split_once("\")")) else { continue };
        let (declared, _) = rest.split_once('(').context("no declaration")?;
        let function = declared.split_whitespace().last().context("no name")?;
        names.push((name.to_owned(), function.to_owned()));
    }
    Ok(names)
}

#[test]
fn the_header_for_c_has_the_world_with_the_right_types() -> Result<()> {
    let mut world = of_the_world()?;
    let declared = of_the_header()?;
    let mut names: Vec<_> = declared.iter().map(|(name, _)| name.clone()).collect();
    world.sort();
    names.sort();
    ensure!(world == names, "compute/c/cloister.h has {names:?}\nand the world {world:?}");

    // Whoever makes components compares the type of each function that is used.
    let Some(clang) = clang() else {
        println!("SKIPPED: types in cloister.h: no clang for WebAssembly is here");
        return Ok(());
    };
    let folder = folder("header")?;
    let calls: Vec<_> =
        declared.iter().map(|(_, function)| format!("(uintptr_t)&{function}")).collect();
    let text = format!(
        r#"#include "cloister.h"
        static const description *describe(void) {{ return 0; }}
        static tensor trainer_init(uint32_t a, uint32_t b, params c) {{ return tensor_new(a, b); }}
        static tensor trainer_update(tensor a, rows b, params c) {{ return a; }}
        static tensor trainer_score(tensor a, tensor b, params c) {{ return a; }}
        __attribute__((export_name("all"))) uintptr_t all(void) {{ return {}; }}"#,
        calls.join(" ^ ")
    );
    let (source, module) = (folder.join("all.c"), folder.join("all.wasm"));
    fs::write(&source, text)?;
    let mut command = Command::new(clang);
    command.args(["--target=wasm32-unknown-unknown", "-O1", "-ffreestanding", "-nostdlib"]);
    command.arg("-I").arg(root().join("compute/c")).args(["-Wl,--no-entry", "-o"]);
    output(command.arg(&module).arg(&source))?;
    let module = fs::read(module)?;
    for (name, _) in &declared {
        let found = module.windows(name.len()).any(|window| window == name.as_bytes());
        ensure!(found, "{name} is not imported, so its type is not compared");
    }
    if let Err(error) = componentize_any(&module) {
        bail!("compute/c/cloister.h: {error}");
    }
    Ok(())
}
