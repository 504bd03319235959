//! A world that is quick to make: a few synthetic patients, four columns, a trainer
//! written by hand, policies that fit, and jobs of a second.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{guests, world::World};

/// The table's description; the mean and the range of each feature are chosen so that
/// the enclave computes with the very numbers of the table.
pub const DATASET: &str = r#"name = "small"
unit = "patient"
max-rows-per-unit = 2

[[column]]
name = "patient"
role = "unit"
type = "text"

[[column]]
name = "size"
role = "feature"
type = "f64"
lower = -0.5
upper = 0.5
typical = 0.0

[[column]]
name = "shape"
role = "feature"
type = "f64"
lower = -0.5
upper = 0.5
typical = 0.0

[[column]]
name = "sick"
role = "label"
type = "i64"
lower = 0
upper = 1
"#;

/// Text of a job: how many rounds, and how far apart.
#[must_use]
pub fn job(rounds: u32, interval_ms: u32) -> String {
    format!(
        r#"purpose = "research"
code = "linear@1"
datasets = "all"
epsilon = 0.02
delta = 1e-5
rounds = {rounds}
clip = 1.0

[server]
rate = 0.5
momentum = 0.5
average-last = 2
scale = 1.0
clamp = 3.0

[schedule]
first-ms = {interval_ms}
interval-ms = {interval_ms}

[limits]
fuel = 25000
memory = 262144

[public-set]
table = "data/public.csv"
dataset = "data/dataset.toml"
"#
    )
}

/// Like [`job`], with a release before the first round that centres the features.
#[must_use]
pub fn centred_job(rounds: u32, interval_ms: u32) -> String {
    let centring = "[centring]\nclip = 1.0\nshare = \"1/5\"\n\n[server]";
    job(rounds, interval_ms).replacen("[server]", centring, 1)
}

/// Like [`job`], with a release after the last round about the owners' own rows.
#[must_use]
pub fn measured_job(rounds: u32, interval_ms: u32) -> String {
    let metrics = "[metrics]\nshare = \"1/10\"\n\n[server]";
    job(rounds, interval_ms).replacen("[server]", metrics, 1)
}

/// An empty folder for a world below the one that cargo gives to tests.
pub fn folder(temporary: &str, name: &str) -> Result<PathBuf> {
    let folder = Path::new(temporary).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} is in use", folder.display()))?;
    }
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// A world in which `owners` have sealed `units` synthetic patients each and approved the
/// trainer; nothing runs yet. Tables are in `data/`, owners' as `NAME.csv`: `change` sees
/// the text of each before it is sealed.
pub fn world(
    root: &Path,
    owners: &[&str],
    units: u32,
    change: &dyn Fn(&str, String) -> String,
) -> Result<World> {
    let world = World::create(root, owners, |_| {})?;
    let component = root.join("component.wasm");
    fs::write(&component, guests::for_everybody(guests::HONEST)?)?;
    let code = world.sign_code(&component, "linear")?;
    world.approve(&code)?;
    world.sign_policies(&policy)?;

    fs::create_dir_all(root.join("data"))?;
    fs::write(root.join("data/dataset.toml"), DATASET)?;
    for (seed, name) in owners.iter().chain(&["public"]).enumerate() {
        mock(&world, name, units, seed)?;
        let table = root.join(format!("data/{name}.csv"));
        fs::write(&table, change(name, fs::read_to_string(&table)?))?;
    }
    let data = root.join("data");
    world.seal(&|name| data.join(format!("{name}.csv")), &data.join("dataset.toml"))?;
    Ok(world)
}

/// `data/NAME.csv` with synthetic patients.
pub fn mock(world: &World, name: &str, units: u32, seed: usize) -> Result<()> {
    let (units, seed) = (units.to_string(), seed.to_string());
    let table = format!("data/{name}.csv");
    let dataset = ["--dataset", "data/dataset.toml"];
    let rows = ["--rows", units.as_str(), "--seed", seed.as_str(), "-o", table.as_str()];
    world.cloister(&[&["data", "mock"], &dataset[..], &rows[..]].concat()).map(drop)
}

/// Jobs on a few patients, and budget for as many jobs as a test wants.
fn policy(_: &str, text: String) -> String {
    text.replace("total = { epsilon = 2.0", "total = { epsilon = 20.0")
        .replace("minimum-units = 100", "minimum-units = 10")
}
