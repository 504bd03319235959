//! A canary row's bytes are searched for wherever a host or a broker could have left
//! them: in every file, and in their memory while a job runs and after it.
//!
//! That the search would find them is shown where they have to be: in the owner's own
//! table, in the enclave's memory while it computes, in a file and in a process in which
//! they were planted.

use std::{
    fs,
    os::unix::ffi::OsStrExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use cloister_tests::{
    Daemon, World, processes,
    search::{self, Needle, Searched},
    small,
};

const OWNERS: [&str; 2] = ["north", "south"];
/// Nobody else is called that.
const PATIENT: &str = "CANARY-PATIENT-6e1f0c2d";
/// Features that nobody else has. Without centring, and with the bounds of the small
/// world, code computes with these very numbers, rounded to singles.
const FEATURES: [&str; 2] = ["0.3918455628306172", "-0.2839172645531907"];
/// Long enough to look at every process several times.
const ROUNDS: u32 = 5;
const INTERVAL_MS: u32 = 1000;

/// What a search found where it must not, and how much was looked at.
#[derive(Default)]
struct Elsewhere {
    memory: Searched,
    looks: u32,
    /// Why the memory of some process could not be searched.
    skipped: Option<String>,
}

#[test]
fn a_canary_row_is_never_outside_the_enclave() -> Result<()> {
    let needles = needles()?;
    let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "canary")?;
    let mut world = small::world(&root, &OWNERS, 20, &|owner, table| {
        if owner == OWNERS[0] { with_canary(table) } else { table }
    })?;
    the_search_finds_what_is_planted(&root, &needles)?;
    fs::write(root.join("job.toml"), format!("groups = 7\n{}", small::job(ROUNDS, INTERVAL_MS)))?;
    world.start()?;
    world.push()?;

    // 1. Memory, while the job runs and when it is over.
    let mut elsewhere = Elsewhere::default();
    let mut inside = Searched::default();
    let mut job = start(&world, &root)?;
    while job.try_wait()?.is_none() {
        look_inside(&world, &needles, &mut inside);
        look_elsewhere(&world, &needles, &mut elsewhere);
    }
    ensure!(job.wait()?.success(), "the job failed; its log is in {}", root.display());
    look_elsewhere(&world, &needles, &mut elsewhere);
    let verified = &world.verify(&root.join("results"))?["jobs"][0]["releases_verified"];
    ensure!(*verified == ROUNDS, "{verified} releases verify");

    // 2. Files, of everybody but those that hold the table.
    drop(world);
    let files = search::in_files(&root, &["data", "planted"], &needles)?;
    ensure!(files.hits.is_empty(), "the canary is in files: {:?}", files.hits);
    let (host, log) = (root.join("node-1/queue.sqlite"), root.join("logs/host.log"));
    ensure!(host.is_file() && log.is_file(), "the host has moved its files: nothing was searched");

    ensure!(
        elsewhere.memory.hits.is_empty(),
        "the canary is in memory outside the enclave: {:?}",
        elsewhere.memory.hits
    );
    if let Some(why) = elsewhere.skipped {
        println!("SKIPPED: the memory of other processes cannot be searched: {why}");
        return Ok(());
    }
    ensure!(elsewhere.looks >= 3, "the job was over before its processes were searched");
    // Code computes row by row, so there at least the search has to find it.
    let computed = needles.iter().filter(|needle| needle.name == "a row of singles");
    for needle in computed {
        ensure!(
            inside.found(needle),
            "{} was not even found in the enclave ({} bytes searched): the search proves nothing",
            needle.name,
            inside.bytes
        );
    }
    let megabytes = |searched: &Searched| searched.bytes >> 20;
    println!(
        "searched {} MB of files, {} MB of memory in {} looks, {} MB of the enclave's: {:?}",
        megabytes(&files),
        megabytes(&elsewhere.memory),
        elsewhere.looks,
        megabytes(&inside),
        inside.hits
    );
    Ok(())
}

/// The canary as it could look anywhere.
fn needles() -> Result<Vec<Needle>> {
    let mut needles = vec![Needle::new("the patient's id", PATIENT.as_bytes())];
    let [first, second] = FEATURES.map(str::parse::<f64>);
    let doubles = [first?, second?];
    for (index, (text, double)) in FEATURES.iter().zip(doubles).enumerate() {
        let digits = text.trim_start_matches('-');
        needles.push(Needle::new(&format!("feature {index} in decimals"), digits.as_bytes()));
        let bytes = double.to_le_bytes();
        needles.push(Needle::new(&format!("feature {index} as a double"), &bytes));
    }
    // Four bytes could be anywhere by chance. In a row both features are neighbours, in a
    // column the feature is its own, as the patient has two equal rows.
    #[expect(clippy::cast_possible_truncation, reason = "code computes in singles")]
    let [first, second] = doubles.map(|double| (double as f32).to_le_bytes());
    needles.push(Needle::new("a row of singles", &[first, second].concat()));
    needles.push(Needle::new("a column of singles", &[first, first].concat()));
    Ok(needles)
}

fn with_canary(table: String) -> String {
    let [first, second] = FEATURES;
    let row = format!("{PATIENT},{first},{second},1\n");
    table + &row + &row
}

/// Positive controls: the owner's table, a file, a process.
fn the_search_finds_what_is_planted(root: &Path, needles: &[Needle]) -> Result<()> {
    let table = search::in_files(&root.join("data"), &[], needles)?;
    let texts = needles.iter().filter(|needle| needle.bytes.is_ascii());
    for needle in texts {
        ensure!(table.found(needle), "{} is not found in the owner's table", needle.name);
    }
    ensure!(table.hits.iter().all(|hit| hit.starts_with("north.csv")), "{:?}", table.hits);

    let planted: Vec<u8> =
        needles.iter().flat_map(|needle| [&needle.bytes[..], b"|"].concat()).collect();
    fs::create_dir(root.join("planted"))?;
    fs::write(root.join("planted/file"), [&vec![0; 70_000][..], &planted].concat())?;
    let file = search::in_files(&root.join("planted"), &[], needles)?;
    for needle in needles {
        ensure!(file.found(needle), "{} is not found in a file that has it", needle.name);
    }

    ensure!(!planted.contains(&0), "a canary with zeros cannot be an environment variable");
    let mut holder = Command::new("sleep")
        .arg("60")
        .env("PLANTED", std::ffi::OsStr::from_bytes(&planted))
        .spawn()
        .context("cannot start `sleep`")?;
    let searched = wait_for(|| {
        let searched = search::in_memory(holder.id(), needles).ok()?;
        needles.iter().all(|needle| searched.found(needle)).then_some(())
    });
    let denied = search::in_memory(holder.id(), needles).err();
    holder.kill()?;
    holder.wait()?;
    match (searched, denied) {
        // If it may not be read, the rest of the test says what it could not do.
        (Some(()), _) | (None, Some(_)) => Ok(()),
        (None, None) => bail!("the canary is not found in the memory of a process that has it"),
    }
}

fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = look();
        if found.is_some() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn start(world: &World, root: &Path) -> Result<Child> {
    let log = fs::File::create(root.join("logs/run.log"))?;
    let mut command = world.run(&root.join("job.toml"), &root.join("results"))?;
    Ok(command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?)
}

/// The enclave's processes. They come and go; what cannot be read now is read next time.
fn look_inside(world: &World, needles: &[Needle], inside: &mut Searched) {
    let host = world.host.as_ref().map(Daemon::id);
    for kind in ["cloister-enclave", "cloister-enclave worker"] {
        for process in host.iter().flat_map(|host| processes::of_kind(*host, kind)) {
            if let Ok(searched) = search::in_memory(process, needles) {
                inside.join(searched);
            }
        }
    }
}

/// Host and brokers.
fn look_elsewhere(world: &World, needles: &[Needle], elsewhere: &mut Elsewhere) {
    let brokers = world.owners.iter().filter_map(|owner| owner.broker.as_ref());
    for daemon in world.host.iter().chain(brokers) {
        match search::in_memory(daemon.id(), needles) {
            Ok(mut searched) => {
                for hit in &mut searched.hits {
                    *hit = format!("{} {hit}", daemon.name);
                }
                elsewhere.memory.join(searched);
            }
            Err(why) => elsewhere.skipped = Some(format!("{}: {why}", daemon.name)),
        }
    }
    elsewhere.looks += 1;
}
