//! Kill -9 of brokers, host, enclave and workers, a hundred times, while jobs are
//! submitted and datasets uploaded one after another.
//!
//! Half of the kills come at random moments, half when the newest job is seen in a state
//! that was drawn at random. `CLOISTER_FAULTS_SEED` repeats the draws, though of course not
//! the moments.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use cloister_party::{Client, Home};
use cloister_tests::{
    Programs, World,
    accounts::{self, Account},
    holdings, processes, small,
    world::{HOST, LAB},
};
use rand_chacha::{
    ChaCha12Rng,
    rand_core::{Rng, SeedableRng},
};
use serde_json::Value;

const KILLS: usize = 100;
const OWNERS: [&str; 2] = ["north", "south"];
const ROUNDS: u32 = 4;
/// Centring, and the rounds.
const RELEASES: u64 = ROUNDS as u64 + 1;
/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Broker(usize),
    Host,
    Enclave,
    Worker,
}

#[test]
fn a_hundred_kills_lose_nothing_and_give_no_budget_back() -> Result<()> {
    let seed = seed()?;
    println!("CLOISTER_FAULTS_SEED={seed}");
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "faults")?;
    let mut world = small::world(&root, &OWNERS, 20, &|_, text| text)?;
    let text = small::centred_job(ROUNDS, 200);
    let text = text.replace("\"all\"", "[\"north/small\", \"south/small\"]");
    fs::write(root.join("job.toml"), text)?;
    let spares = seal_spares(&world)?;
    world.start()?;
    world.push()?;
    let account = |owner: &&str| Account::of(&root.join(owner), "patients");
    let mut accounts = OWNERS.iter().map(account).collect::<Result<Vec<_>>>()?;

    // 1. The storm.
    let stop = Arc::new(AtomicBool::new(false));
    let orders = submit_until(&stop, &world);
    let uploads = upload_until(&stop, &world, spares);
    let began = Instant::now();
    let stormed = storm(&mut world, &mut accounts, &mut random);
    stop.store(true, Ordering::Relaxed);
    let submitted = join(orders)?;
    let uploaded = join(uploads)?;
    let hits = stormed.with_context(|| format!("in the storm of seed {seed}"))?;
    let seconds = began.elapsed().as_secs();
    println!("{KILLS} kills in {seconds} s, by target and state of the newest job: {hits:?}");

    // 2. It ends. Every job does, and says how.
    world.start()?;
    let client = client(&root)?;
    let jobs = wait_for_the_end(&client)?;
    check_jobs(&jobs, &submitted)?;

    // 3. An honest job works, and so does everything that it rests on.
    let honest = root.join("honest");
    let ended = world.run(&root.join("job.toml"), &honest)?.output()?;
    ensure!(ended.status.success(), "after the storm: {}", complaint(&ended));
    ensure!(world.verify(&honest)?["jobs"][0]["releases_verified"] == RELEASES);

    // 4. Nothing is lost: uploads, jobs, releases.
    let jobs = wait_for_the_end(&client)?;
    check_datasets(&client, &uploaded)?;
    check_releases(&world, &client, &jobs)?;

    // 5. No budget came back, and none was spent twice.
    for account in &mut accounts {
        check_account(account, &jobs)?;
    }

    // 6. Nothing half-written is visible, and nothing is damaged.
    let host = root.join(HOST);
    drop(world);
    println!("{:?}", holdings::check(&host.join("store"))?);
    check_databases(&root)?;
    for home in OWNERS.map(|owner| root.join(owner)).iter().chain([&host]) {
        let left = holdings::unfinished(home)?;
        ensure!(left.is_empty(), "half-written files are visible: {left:?}");
    }
    Ok(())
}

fn seed() -> Result<u64> {
    match std::env::var("CLOISTER_FAULTS_SEED") {
        Ok(text) => text.parse().context("CLOISTER_FAULTS_SEED is not a number"),
        Err(_) => Ok(u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos())),
    }
}

/// A second dataset of each owner, to be uploaded while the host is killed.
fn seal_spares(world: &World) -> Result<Vec<(String, PathBuf)>> {
    let data = world.root.join("data");
    fs::write(data.join("spare.toml"), small::DATASET.replace("\"small\"", "\"spare\""))?;
    small::mock(world, "spare", 5000, 7)?;
    let seal = |owner: &str| {
        let sealed = world.root.join(format!("spare-{owner}.sealed"));
        let output = sealed.to_str().context("not UTF-8")?;
        world.cloister(&[
            "data",
            "seal",
            "data/spare.csv",
            "--dataset",
            "data/spare.toml",
            "--home",
            owner,
            "-o",
            output,
        ])?;
        Ok((owner.to_owned(), sealed))
    };
    OWNERS.iter().map(|owner| seal(owner)).collect()
}

/// Orders jobs one after another. Returns the ids of those that the host acknowledged,
/// with the exit code of the command that followed them.
fn submit_until(stop: &Arc<AtomicBool>, world: &World) -> JoinHandle<Result<Vec<(String, i32)>>> {
    let (stop, programs, root) = (Arc::clone(stop), world.programs.clone(), world.root.clone());
    thread::spawn(move || {
        let mut submitted = Vec::new();
        // Each job has a folder of its own: results of two jobs are not mixed.
        for number in 0.. {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let folder = format!("stormy/{number}");
            let arguments = [
                "run",
                "job.toml",
                "--home",
                LAB,
                "--host",
                HOST,
                "--trainers",
                ".",
                "-o",
                &folder,
                "--json",
            ];
            let ended = programs.cloister(&root, &arguments).output()?;
            let said = String::from_utf8_lossy(&ended.stdout);
            let mut lines =
                said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let id = lines.find_map(|line| line["job"].as_str().map(str::to_owned));
            match (id, ended.status.code()) {
                (Some(id), Some(code)) => submitted.push((id, code)),
                // The host is down at this moment.
                (None, Some(1)) => thread::sleep(Duration::from_millis(50)),
                _ => bail!("cloister run: {}", complaint(&ended)),
            }
        }
        Ok(submitted)
    })
}

/// Uploads datasets over and over. Returns the ids of those that the host acknowledged.
fn upload_until(
    stop: &Arc<AtomicBool>,
    world: &World,
    spares: Vec<(String, PathBuf)>,
) -> JoinHandle<Result<BTreeSet<String>>> {
    let (stop, programs, root) = (Arc::clone(stop), world.programs.clone(), world.root.clone());
    thread::spawn(move || {
        let mut uploaded = BTreeSet::new();
        for (owner, sealed) in spares.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let ended = upload(&programs, &root, owner, sealed)?;
            if ended.status.success() {
                let answer: Value = serde_json::from_slice(&ended.stdout)?;
                uploaded.insert(answer["id"].as_str().context("no id")?.to_owned());
            }
            thread::sleep(Duration::from_millis(300));
        }
        Ok(uploaded)
    })
}

fn upload(programs: &Programs, root: &Path, owner: &str, sealed: &Path) -> Result<Output> {
    let sealed = sealed.to_str().context("not UTF-8")?;
    let arguments = ["data", "push", sealed, "--home", owner, "--host", HOST, "--json"];
    Ok(programs.cloister(root, &arguments).output()?)
}

fn complaint(ended: &Output) -> String {
    format!("{}: {}", ended.status, String::from_utf8_lossy(&ended.stderr).trim())
}

fn join<T>(thread: JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|_| bail!("a thread of the test panicked"))
}

/// Kills, and starts again what nobody else does. Returns how often what was hit when.
fn storm(
    world: &mut World,
    accounts: &mut [Account],
    random: &mut ChaCha12Rng,
) -> Result<BTreeMap<(Target, String), u32>> {
    let client = client(&world.root)?;
    let mut hits = BTreeMap::new();
    for target in targets(random) {
        let state = moment(&client, random);
        let down = Duration::from_millis(random.next_u64() % 200);
        match target {
            Target::Broker(index) => {
                world.owners[index].broker = None;
                thread::sleep(down);
                world.start_broker(index)?;
                accounts[index].look()?;
            }
            Target::Host => {
                let host = world.host.take().context("the host does not run")?;
                let below = processes::below(host.id());
                drop(host);
                // The enclave goes with the host, and the workers with the enclave.
                processes::wait_until_gone(&below, Duration::from_secs(20))?;
                thread::sleep(down);
                world.start_host()?;
            }
            Target::Enclave => kill_one(world, "cloister-enclave", random)?,
            Target::Worker => kill_one(world, "cloister-enclave worker", random)?,
        }
        *hits.entry((target, state)).or_default() += 1;
    }
    Ok(hits)
}

/// A quarter for each kind of process, shuffled.
fn targets(random: &mut ChaCha12Rng) -> Vec<Target> {
    let mut targets: Vec<Target> = (0..KILLS)
        .map(|kill| match kill % 4 {
            0 => Target::Broker(kill / 4 % OWNERS.len()),
            1 => Target::Host,
            2 => Target::Enclave,
            _ => Target::Worker,
        })
        .collect();
    for last in (1..targets.len()).rev() {
        let other = usize::try_from(random.next_u64()).unwrap_or_default() % (last + 1);
        targets.swap(last, other);
    }
    targets
}

/// Waits for a random moment, or until the newest job is in a random state. Returns the
/// state as it was last seen.
fn moment(client: &Client, random: &mut ChaCha12Rng) -> String {
    let (choice, wait) = (random.next_u64(), random.next_u64());
    let states = ["preparing", "granting", "loading", "running"];
    let pause = Duration::from_millis(wait % 600);
    if choice % 2 == 0 {
        thread::sleep(pause);
        return newest(client).unwrap_or_else(|| "unknown".into());
    }
    let wanted = states[usize::from(choice.to_be_bytes()[0]) % states.len()];
    let deadline = Instant::now() + Duration::from_millis(1500);
    loop {
        let state = newest(client).unwrap_or_else(|| "unknown".into());
        if state == wanted || Instant::now() > deadline {
            thread::sleep(pause / 20);
            return state;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn newest(client: &Client) -> Option<String> {
    let jobs: Vec<Value> = client.get_json("/v1/jobs").ok()?;
    Some(jobs.last()?["state"].as_str()?.to_owned())
}

/// Kills one process of this kind below the host; waits for one if there is none.
fn kill_one(world: &World, kind: &str, random: &mut ChaCha12Rng) -> Result<()> {
    let host = world.host.as_ref().context("the host does not run")?.id();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = processes::of_kind(host, kind);
        if !found.is_empty() {
            let choice = usize::try_from(random.next_u64()).unwrap_or_default() % found.len();
            return processes::kill(found[choice]);
        }
        ensure!(Instant::now() < deadline, "no {kind} has run for {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn client(root: &Path) -> Result<Client> {
    let home = Home::open(&root.join(LAB))?;
    Ok(Client::new(&home, &home.peer(HOST)?)?)
}

/// All jobs, once none of them goes on.
fn wait_for_the_end(client: &Client) -> Result<Vec<Value>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let jobs: Vec<Value> = client.get_json("/v1/jobs")?;
        let on = |job: &&Value| job["state"] != "done" && job["state"] != "failed";
        let Some(job) = jobs.iter().find(on) else { return Ok(jobs) };
        ensure!(Instant::now() < deadline, "a job does not end: {job}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// Every acknowledged job is known, and ended with all its releases or with a reason.
fn check_jobs(jobs: &[Value], submitted: &[(String, i32)]) -> Result<()> {
    let mut ends = BTreeMap::<String, u32>::new();
    for job in jobs {
        let refusal = &job["refusal"];
        let text = |name: &str| refusal[name].as_str().unwrap_or_default().to_owned();
        if job["state"] == "done" {
            ensure!(job["releases"] == RELEASES && refusal.is_null(), "{job}");
        } else {
            ensure!(!text("code").is_empty() && text("message").len() > 20, "no reason: {job}");
        }
        *ends.entry(format!("{} {}", job["state"], text("code"))).or_default() += 1;
    }
    for (id, code) in submitted {
        let job = jobs.iter().find(|job| job["job"] == *id);
        let job = job.with_context(|| format!("job {id} was acknowledged and is lost"))?;
        ensure!(*code != 0 || job["state"] == "done", "followed to a good end: {job}");
    }
    println!("{} jobs, {} of them acknowledged: {ends:?}", jobs.len(), submitted.len());
    ensure!(submitted.len() >= 10, "too few jobs were submitted to show anything");
    Ok(())
}

fn check_datasets(client: &Client, uploaded: &BTreeSet<String>) -> Result<()> {
    let listed: Vec<Value> = client.get_json("/v1/datasets")?;
    let listed: BTreeSet<&str> = listed.iter().filter_map(|one| one["id"].as_str()).collect();
    ensure!(listed.len() == 2 * OWNERS.len(), "{} datasets are listed", listed.len());
    for id in uploaded {
        ensure!(listed.contains(id.as_str()), "dataset {id} was acknowledged and is lost");
    }
    Ok(())
}

/// Every release that the host says it has is there and verifies, those of failed jobs too.
fn check_releases(world: &World, client: &Client, jobs: &[Value]) -> Result<()> {
    let all = world.root.join("all-releases");
    let mut count = 0;
    let mut folders = Vec::new();
    for job in jobs {
        let id = job["job"].as_str().context("no id")?;
        let releases = job["releases"].as_u64().context("no releases")?;
        if releases > 0 {
            let folder = all.join(&id[..32]);
            fs::create_dir_all(&folder)?;
            for number in 0..releases {
                for (what, ending) in [("receipt", "receipt"), ("tensors", "safetensors")] {
                    let path = format!("/v1/jobs/{id}/releases/{number}/{what}");
                    let bytes = client.get_bytes(&path, 1 << 24)?;
                    fs::write(folder.join(format!("release-{number:03}.{ending}")), bytes)?;
                }
            }
            folders.push(folder.to_str().context("not UTF-8")?.to_owned());
        }
        count += releases;
    }
    let mut arguments = vec!["verify", "--trust", "measurements.toml", "--json"];
    arguments.extend(folders.iter().map(String::as_str));
    let verdict: Value = serde_json::from_str(&world.cloister(&arguments)?)?;
    let verified = verdict["jobs"].as_array().context("no jobs")?.iter();
    let verified: u64 = verified.filter_map(|job| job["releases_verified"].as_u64()).sum();
    ensure!(verified == count, "{verified} of {count} releases verify");
    println!("{count} releases of {} jobs verify", folders.len());
    Ok(())
}

/// Each job was charged once at most, under the transcript that the host noted, and each
/// job with a release was.
fn check_account(account: &mut Account, jobs: &[Value]) -> Result<()> {
    let reservations = account.look()?;
    let by_job = accounts::by_job(&reservations)?;
    let mut charged = 0;
    for job in jobs {
        let id = job["job"].as_str().context("no id")?;
        let reservation = by_job.get(id);
        if let Some(reservation) = reservation {
            charged += 1;
            let noted = job["transcript"].as_str().unwrap_or_default();
            ensure!(noted == reservation.transcript.to_string(), "{job}");
        }
        ensure!(reservation.is_some() || job["releases"] == 0, "released for nothing: {job}");
    }
    ensure!(charged == by_job.len(), "a job was charged that the host does not know");
    let costs: u64 = reservations.iter().map(|one| one.cost).sum();
    ensure!(costs == account.spent(), "{costs} pico-rho reserved, {} spent", account.spent());
    println!("{charged} of {} jobs were charged, {costs} pico-rho in all", jobs.len());
    Ok(())
}

/// What `SQLite` itself says about the databases that were killed.
fn check_databases(root: &Path) -> Result<()> {
    let ledgers = OWNERS.map(|owner| root.join(owner).join("ledger.sqlite"));
    for path in ledgers.iter().chain([&root.join(HOST).join("queue.sqlite")]) {
        let database = rusqlite::Connection::open(path)?;
        let says: String =
            database.pragma_query_value(None, "integrity_check", |row| row.get(0))?;
        ensure!(says == "ok", "{}: {says}", path.display());
    }
    Ok(())
}
