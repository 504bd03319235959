//! Hostile trainers. Whatever one does to a patient's rows, that patient's update is zero,
//! everybody else's is what it was, and the job ends in noised releases at the same times
//! and of the same form. No budget comes back.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cloister_enclave::{
    admission::call_limits,
    boot,
    rounds::{self, Output, Plan, Pools},
    rows::{Shape, Units},
};
use cloister_host::{relay::Material, store::StoredDataset};
use cloister_party::{Home, Role};
use cloister_protocol::{
    Digest, Id, SigningKey,
    code::CodeFile,
    dataset::HeaderCore,
    job::{GateMode, Job, Schedule},
    release::{Output as Declared, Receipt, Stage},
};
use cloister_sandbox::{Settings, UnitRows, compile};
use cloister_tests::{
    Programs, World, guests, orders,
    played::{Arrived, Charged, EnclaveProcess, PlayedHost, Ran, charged},
    small,
    tables::{DESCRIPTION, Table},
    world::LAB,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const OWNERS: [&str; 2] = ["alpha", "beta"];
/// Wide, so that a busy machine's jitter is not taken for a slip.
const SCHEDULE: Schedule = Schedule { first_ms: 400, interval_ms: 400 };
/// A release comes this long after its time at most.
const JITTER: Duration = Duration::from_millis(200);
/// How often a machine that was busy may try again to be on time.
const ATTEMPTS: usize = 4;

/// Owners, brokers and one enclave, and the host in the test's hands.
struct Scene {
    world: World,
    host: PlayedHost,
    enclave: EnclaveProcess,
    lab: SigningKey,
    datasets: Vec<Arc<StoredDataset>>,
}

impl Scene {
    fn new() -> Result<Self> {
        let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "hostile-code")?;
        let mut world = World::create(&root, &OWNERS, |_| {})?;
        world.sign_policies(&|_, text| {
            text.replace("total = { epsilon = 2.0", "total = { epsilon = 20.0")
                .replace("minimum-units = 100", "minimum-units = 20")
        })?;
        fs::write(root.join("dataset.toml"), DESCRIPTION)?;
        for (seed, owner) in (1..).zip(OWNERS) {
            let table = Table { patients: 12, visits: 3, seed, marked: Some(4) };
            fs::write(root.join(format!("{owner}.csv")), table.csv())?;
        }
        world.seal(&|owner| root.join(format!("{owner}.csv")), Path::new("dataset.toml"))?;
        for index in 0..OWNERS.len() {
            world.start_broker(index)?;
        }
        let enclave =
            EnclaveProcess::start(&world, "enclave", &world.programs.enclave(), "vendor")?;
        let host = PlayedHost::new(&world)?;
        let datasets = world.owners.iter().map(|owner| host.keep(&owner.sealed));
        let datasets = datasets.collect::<Result<_>>()?;
        let lab = Home::open_as(&root.join(LAB), Role::Orchestrator)?.signing_key()?;
        Ok(Self { world, host, enclave, lab, datasets })
    }

    /// Signs a component as the author; both owners approve it.
    fn code(&self, name: &str, component: &[u8]) -> Result<CodeFile> {
        let path = self.world.root.join(format!("{name}.wasm"));
        fs::write(&path, component)?;
        let code = self.world.sign_code(&path, name)?;
        self.world.approve(&code)?;
        Ok(CodeFile::from_bytes(&fs::read(code)?)?)
    }

    fn material(&self, code: &CodeFile) -> Result<Material> {
        let mut job = orders::job(code, &self.datasets)?;
        job.schedule = SCHEDULE;
        orders::measure(&mut job, 1 << 15)?;
        orders::material(&job, &self.lab, code, &self.datasets)
    }

    fn charged(&self) -> Result<Vec<Charged>> {
        self.world.owners.iter().map(charged).collect()
    }

    /// Runs a job to its end, again if this machine was too busy to be on time; each run
    /// has to cost what it costs.
    async fn on_time(&self, code: &CodeFile) -> Result<Ran> {
        let mut late = String::new();
        for _ in 0..ATTEMPTS {
            let before = self.charged()?;
            let material = self.material(code)?;
            let ran = self.host.run(&self.enclave.address, &material).await?;
            let cost = material.job.value.cost;
            for (before, after) in before.iter().zip(self.charged()?) {
                let expected = Charged { spent: before.spent + cost, grants: before.grants + 1 };
                ensure!(after == expected, "{after:?} in a ledger, expected {expected:?}");
            }
            match punctual(ran.before, &ran.releases)? {
                Ok(()) => return Ok(ran),
                Err(why) => late = why,
            }
        }
        anyhow::bail!("{late}, {ATTEMPTS} times in a row")
    }
}

/// Whether each release came at its time; none may come before it.
fn punctual(before: Instant, releases: &[Arrived]) -> Result<Result<(), String>> {
    let interval = Duration::from_millis(SCHEDULE.interval_ms);
    let first = Duration::from_millis(SCHEDULE.first_ms);
    for (number, release) in (0..).zip(releases) {
        let due = before + first + interval * number;
        let early = due.saturating_duration_since(release.at);
        ensure!(early < Duration::from_millis(2), "release {number} came {early:?} too early");
        // From the first release on, so that loading is not counted.
        let due = releases[0].at + interval * number;
        let off = release
            .at
            .saturating_duration_since(due)
            .max(due.saturating_duration_since(release.at));
        if off > JITTER {
            return Ok(Err(format!("release {number} came {off:?} off its time")));
        }
    }
    Ok(Ok(()))
}

/// What a release looks like from outside.
#[derive(Debug, PartialEq)]
struct Form {
    number: u32,
    of: u32,
    stage: Stage,
    cost: u64,
    divisor: u64,
    outputs: Vec<Declared>,
    bytes: usize,
}

/// The forms of releases whose receipts verify.
fn forms(releases: &[Arrived]) -> Result<Vec<Form>> {
    let form = |arrived: &Arrived| {
        let checked = Receipt::from_bytes(&arrived.receipt)?.check(&arrived.tensors)?;
        let release = checked.release.value;
        Ok(Form {
            number: release.number,
            of: release.of,
            stage: release.stage,
            cost: release.cost,
            divisor: release.divisor,
            outputs: release.outputs,
            bytes: arrived.tensors.len(),
        })
    };
    releases.iter().map(form).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_trainers_end_in_the_same_form_at_the_same_times() -> Result<()> {
    let mut scene = Scene::new()?;
    let honest = scene.code("honest", &guests::for_everybody(guests::HONEST)?)?;
    let honest = scene.on_time(&honest).await.context("the honest trainer")?;
    let expected = forms(&honest.releases)?;
    let found = expected.len();
    ensure!(found == 4, "a centring release, two rounds and metrics, not {found}");

    let mut cases = Vec::new();
    for (name, hostile) in guests::HOSTILE {
        // What costs most time is tried on every patient, all else on the marked one.
        let costly = matches!(*name, "loop" | "slow-kernels" | "all-linear-memory" | "trap");
        if costly {
            cases.push((format!("{name}-everybody"), guests::for_everybody(hostile)?));
        }
        if !costly || *name == "trap" {
            cases.push(((*name).to_owned(), guests::for_the_marked(hostile)?));
        }
    }
    for (name, component) in &cases {
        let code = scene.code(name, component)?;
        let ran = scene.on_time(&code).await.with_context(|| name.clone())?;
        ensure!(forms(&ran.releases)? == expected, "{name}: the releases have another form");
        verified(&scene, name, &ran.releases)?;
    }

    // Nothing gives budget back: not forgetting the job, not the end of the enclave, not
    // a new start of the brokers.
    let before = scene.charged()?;
    let code = scene.code("last", &guests::for_the_marked("unreachable")?)?;
    let material = scene.material(&code)?;
    let brokers = scene.host.brokers(&material)?;
    let offer = scene.host.offer(&material, &brokers).await?;
    let attested = scene.host.attest(&scene.enclave.address, offer, &material).await?;
    let grants = scene.host.grants(&material, &brokers, &attested).await?;
    scene.host.hand_over(&scene.enclave.address, &attested, grants).await?;
    scene.host.abandon(&scene.enclave.address, &attested).await?;
    scene.enclave.daemon.kill();
    for index in 0..OWNERS.len() {
        scene.world.owners[index].broker = None;
        scene.world.start_broker(index)?;
    }
    let cost = material.job.value.cost;
    for (before, after) in before.iter().zip(scene.charged()?) {
        let expected = Charged { spent: before.spent + cost, grants: before.grants + 1 };
        ensure!(after == expected, "{after:?} in a ledger, expected {expected:?}");
    }
    Ok(())
}

/// `cloister verify` accepts the releases.
fn verified(scene: &Scene, name: &str, releases: &[Arrived]) -> Result<()> {
    let folder = scene.world.root.join(format!("releases-{name}"));
    fs::create_dir_all(&folder)?;
    for (number, release) in releases.iter().enumerate() {
        fs::write(folder.join(format!("release-{number:03}.receipt")), &release.receipt)?;
        fs::write(folder.join(format!("release-{number:03}.safetensors")), &release.tensors)?;
    }
    let verdict = scene.world.verify(&folder)?;
    ensure!(verdict["accepted"] == true, "{name}: not accepted: {verdict}");
    Ok(())
}

/// The rounds of one job, in this process, with real workers and known noise.
struct Bench {
    programs: Programs,
    job: Job,
    header: HeaderCore,
}

impl Bench {
    fn new() -> Result<Self> {
        let header = orders::header(["size", "shape"].map(str::to_owned));
        let code = Id::new(Digest::of("test", &[]));
        let job = orders::job_on(code, vec![orders::nobodys(20)])?;
        Ok(Self { programs: Programs::find()?, job, header })
    }

    /// All releases: with the same noise, they are equal if the integer sums are.
    fn run(&self, component: &[u8], units: Vec<UnitRows>, workers: usize) -> Result<Vec<Output>> {
        let compiled = compile(component)?;
        let settings = Settings {
            limits: call_limits(&self.job.limits, 0),
            params: Vec::new(),
            seed: [1; 32],
            features: 2,
            targets: 1,
        };
        let workshop = boot::workshop(self.programs.enclave(), Some(workers))?;
        let mut pools = Pools::new(&workshop, &compiled, &settings);
        let model = pools.first_model()?;
        let plan = Plan::new(&self.job, Shape::of(&self.header), model, None)?;
        let mut rng = ChaCha20Rng::from_seed([9; 32]);
        let mut outputs = Vec::new();
        let units = Units::from_rows(units);
        let done = rounds::run(&plan, units, &mut pools, &mut rng, &mut outputs);
        ensure!(done.is_continue(), "the rounds were ended");
        Ok(outputs)
    }
}

/// The patient that hostile trainers are after.
const MARKED: usize = 7;

fn units() -> Vec<UnitRows> {
    let unit = |number: usize| {
        let x = |k: usize| ((number * 7 + k * 3) % 11) as f32 / 11.0 - 0.5;
        let rows = 1 + number % 3;
        let label = if number == MARKED { guests::MARK } else { (number % 2) as f32 };
        UnitRows {
            features: (0..2 * rows).map(x).collect(),
            targets: vec![label; rows],
            rows: u32::try_from(rows).unwrap_or(1),
            stream: number as u64,
        }
    };
    (0..20).map(unit).collect()
}

#[test]
fn the_next_patients_update_is_untouched() -> Result<()> {
    let mut bench = Bench::new()?;
    let zero = guests::for_the_marked(guests::ZERO)?;
    let honest = guests::for_the_marked(guests::HONEST)?;
    let mut without = units();
    without.remove(MARKED);

    // With centring, which sees all patients: the marked one's update is zero.
    let expected = bench.run(&zero, units(), 1)?;
    ensure!(expected != bench.run(&honest, units(), 1)?, "the marked patient changes nothing");
    // Without centring, it is as if the marked patient were not there at all.
    let centring = bench.job.centring.take();
    let expected_without = bench.run(&honest, without, 1)?;
    bench.job.centring = centring;

    for (name, hostile) in guests::HOSTILE {
        let hostile = guests::for_the_marked(hostile)?;
        for workers in [1, 2] {
            let found = bench.run(&hostile, units(), workers)?;
            ensure!(
                found == expected,
                "{name}, {workers} workers: another patient's update changed"
            );
        }
        let centring = bench.job.centring.take();
        let found = bench.run(&hostile, units(), 2)?;
        bench.job.centring = centring;
        ensure!(found == expected_without, "{name}: not as if the patient were not there");
    }
    Ok(())
}

/// What a group says that has the marked patient in it, or not.
const TURNS: &str = "
    (call $fill (local.get $out) (f32.const 1e6))
    (block $end (loop $each
      (br_if $end (i32.ge_u (local.get $i) (call $rows (local.get $targets))))
      (if (f32.eq (call $get (local.get $targets) (local.get $i) (i32.const 0)) (f32.const 0.5))
        (then (call $fill (local.get $out) (f32.const -1e6))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $each)))";

/// One patient can turn its whole group: that is why groups cost four times as much. Beside
/// its own, no group changes, and there are as many.
#[test]
fn in_groups_a_patient_moves_the_sum_by_two_clips_at_most() -> Result<()> {
    let mut bench = Bench::new()?;
    (bench.job.gate.mode, bench.job.centring) = (GateMode::Groups(6), None);
    orders::price(&mut bench.job)?;
    let hostile = guests::for_everybody(TURNS)?;
    let mut without = units();
    without.remove(MARKED);
    let [with, without] =
        [bench.run(&hostile, units(), 2)?, bench.run(&hostile, without, 1)?].map(|outputs| {
            assert_eq!(outputs[0].divisor, 6, "the mean is over groups");
            outputs[0].tensors[0].whole().map(<[i64]>::to_vec)
        });
    // The noise is the same in both.
    let (with, without) = (with.context("no sum")?, without.context("no sum")?);
    let square = with.iter().zip(&without).map(|(a, b)| (a - b).pow(2)).sum::<i64>();
    let (moved, steps) = ((square as f64).sqrt(), bench.job.gate.steps as f64);
    println!("one patient moved the sum by {moved:.1} steps; a clip has {steps}");
    ensure!(moved > 1.9 * steps, "the attack does not work: {moved} of {steps} steps");
    ensure!(moved <= 2.0 * steps, "{moved} steps are more than two clips of {steps}");
    Ok(())
}

/// Whatever fails for a patient is one step of one number of that patient's, in the last release
/// alone, and is charged for.
#[test]
fn a_failure_is_one_number_of_that_patient_alone() -> Result<()> {
    let mut bench = Bench::new()?;
    orders::measure(&mut bench.job, 1 << 15)?;
    let sum = |output: &Output| output.tensors[0].whole().map(<[i64]>::to_vec);
    let zero = bench.run(&guests::for_the_marked(guests::ZERO)?, units(), 1)?;
    let steps = i64::try_from(bench.job.metrics.context("no metrics")?.steps)?;
    let (last, before) = zero.split_last().context("no releases")?;
    let mut expected = sum(last).context("no sum")?;
    expected[0] += steps;
    for (name, hostile) in guests::HOSTILE {
        let found = bench.run(&guests::for_the_marked(hostile)?, units(), 2)?;
        let (last, found) = found.split_last().context("no releases")?;
        ensure!(found == before, "{name}: another release changed");
        ensure!(sum(last).as_ref() == Some(&expected), "{name}: not one failure");
    }
    Ok(())
}

/// A patient turns its group's failure as it turns its update. With what one patient is charged
/// for, that would be too cheap: two clips are charged.
#[test]
fn in_groups_a_patient_moves_metrics_by_two_clips_at_most() -> Result<()> {
    let mut bench = Bench::new()?;
    (bench.job.gate.mode, bench.job.centring) = (GateMode::Groups(6), None);
    orders::measure(&mut bench.job, 1 << 15)?;
    let trap = TURNS.replace("(call $fill (local.get $out) (f32.const -1e6))", "unreachable");
    let hostile = guests::for_everybody(&trap)?;
    let mut without = units();
    without.remove(MARKED);
    let metrics = |units| -> Result<_> {
        let last = bench.run(&hostile, units, 2)?.pop().context("no releases")?;
        let cost = last.gate.release().cost()?.as_pico();
        ensure!((last.stage, last.cost) == (Stage::Metrics, cost), "{last:?}");
        let by_unit = cloister_privacy::Zcdp::of_gaussian(last.gate.steps, last.gate.sigma)?;
        ensure!(cost.abs_diff(4 * by_unit.as_pico()) <= 4, "not of two clips: {cost}");
        Ok((last.gate.steps, last.tensors[0].whole().context("no sum")?.to_vec()))
    };
    let ((steps, with), (_, without)) = (metrics(units())?, metrics(without)?);
    let square = with.iter().zip(&without).map(|(a, b)| (a - b).pow(2)).sum::<i64>();
    let moved = (square as f64).sqrt() / steps as f64;
    println!("one patient moved the metrics of its group by {moved:.3} clips");
    ensure!((1.0..=2.0).contains(&moved), "{moved} clips");
    Ok(())
}
