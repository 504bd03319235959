//! The main job: three hospitals, the breast-cancer table, one logistic regression.
//!
//! The demo runs it once, `cargo xtask bench utility` on many splits of the table. Its
//! hyper-parameters were fixed before any run on these patients; `docs/utility.md` has the
//! reasons and what came out.

/// The owners, whose tables are `NAME.csv`.
pub const HOSPITALS: [&str; 3] = ["hospital-a", "hospital-b", "hospital-c"];
/// What the job may cost each patient, at [`DELTA`].
pub const EPSILON: f64 = 1.0;
/// Well below one over the number of patients.
pub const DELTA: f64 = 1e-5;
/// Training rounds; a centring release comes before them.
pub const ROUNDS: u32 = 24;

/// Time for each release. Admission asks for 0.43 s of two processors, which is what the
/// enclave takes if it may: one worker for each.
#[must_use]
pub fn interval_ms() -> u32 {
    match std::thread::available_parallelism() {
        Ok(processors) if processors.get() == 1 => 1000,
        _ => 500,
    }
}

/// The job as a person writes it. Its tables are in `folder`, as seen from the job's file.
#[must_use]
pub fn job(datasets: &str, folder: &str) -> String {
    let interval_ms = interval_ms();
    format!(
        r#"purpose = "breast-cancer-research"
code = "logistic@1"
datasets = {datasets}
epsilon = {EPSILON:?}
delta = {DELTA:?}
rounds = {ROUNDS}
clip = 0.35

[centring]
clip = 0.8
share = "1/5"

[server]
rate = 11.0
average-last = 12
scale = 10.0
clamp = 3.0

[schedule]
first-ms = {interval_ms}
interval-ms = {interval_ms}

[limits]
fuel = 25000
memory = 262144

[public-set]
table = "{folder}/public.csv"
dataset = "{folder}/dataset.toml"
"#
    )
}

/// The hospitals' policy, from the template's text: this purpose, this total, all three
/// hospitals or nobody.
#[must_use]
pub fn policy(text: &str, total_epsilon: f64) -> String {
    [
        (r#"allowed = ["research"]"#, r#"allowed = ["breast-cancer-research"]"#.to_owned()),
        ("total = { epsilon = 2.0", format!("total = {{ epsilon = {total_epsilon:?}")),
        ("minimum-owners = 1", "minimum-owners = 3".to_owned()),
        ("minimum-units = 100", "minimum-units = 300".to_owned()),
    ]
    .into_iter()
    .fold(text.to_owned(), |text, (from, to)| text.replace(from, &to))
}
