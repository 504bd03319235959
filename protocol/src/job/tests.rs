use cloister_privacy::Accounting;

use super::*;

pub(crate) fn job() -> Job {
    let digest = Digest::of("test", &[]);
    Job {
        version: 1,
        job: ByteArray::new([1; 16]),
        purpose: "research".into(),
        role: JobRole::Both,
        code: Id::new(digest),
        parameters: BTreeMap::new(),
        datasets: vec![JobDataset {
            manifest: Id::new(digest),
            owner: Id::new(digest),
            population: "patients".into(),
            units: 5,
        }],
        rounds: 3,
        gate: Gate { mode: GateMode::Unit, clip: 1.0, steps: 1024, sigma: 4096 },
        centring: None,
        metrics: None,
        server: ServerStep { rate: 1.0, momentum: 0.0, average_last: 1, scale: 1.0, clamp: 3.0 },
        schedule: Schedule { first_ms: 100, interval_ms: 100 },
        limits: CallLimits { fuel: 10_000, memory: 1 << 20 },
        cost: 1,
        seed: 0,
        recipients: Recipients::Anyone,
        public_set: None,
        not_after: 0,
    }
}

#[test]
fn refuses_numbers_that_make_no_sense() {
    let refused = |mutate: fn(&mut Job)| {
        let mut job = job();
        mutate(&mut job);
        match job.validate() {
            Err(JobError::Number { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refused(|j| j.rounds = 0), "rounds");
    assert_eq!(refused(|j| j.gate.mode = GateMode::Groups(0)), "groups");
    assert_eq!(refused(|j| j.gate.mode = GateMode::Groups(6)), "groups");
    assert_eq!(refused(|j| j.gate.clip = f64::NAN), "clip");
    assert_eq!(refused(|j| j.gate.sigma = 0), "sigma");
    assert_eq!(refused(|j| j.gate.steps = 1), "steps");
    assert_eq!(refused(|j| j.server.momentum = 1.0), "server.momentum");
    assert_eq!(refused(|j| j.server.average_last = 4), "server.average_last");
    assert_eq!(refused(|j| j.server.rate = -1.0), "server.rate");
    assert_eq!(refused(|j| j.datasets[0].units = 0), "units");
    assert_eq!(refused(|j| j.schedule.interval_ms = 0), "schedule.interval_ms");
    let metrics = Metrics { loss: 1.0, steps: 1024, sigma: 4096 };
    for (field, wrong) in [
        ("metrics.loss", Metrics { loss: f64::INFINITY, ..metrics }),
        ("metrics.loss", Metrics { loss: 0.0, ..metrics }),
        ("metrics.steps", Metrics { steps: 31, ..metrics }),
        ("metrics.sigma", Metrics { sigma: 0, ..metrics }),
    ] {
        let job = Job { metrics: Some(wrong), ..job() };
        let found = match job.validate() {
            Err(JobError::Number { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert_eq!(found, field);
    }
    assert_eq!(refused(|j| j.limits.fuel = 0), "limits.fuel");
    assert_eq!(refused(|j| j.limits.memory = 0), "limits.memory");
}

#[test]
fn survives_encoding() {
    let sampled = GateMode::Sampled(Rate::nearest(0.25).unwrap());
    for mode in [GateMode::Unit, GateMode::Groups(5), sampled] {
        let mut job = job();
        job.gate.mode = mode;
        job.metrics = Some(Metrics { loss: 0.25, steps: 1024, sigma: 4096 });
        assert_eq!(job.validate(), Ok(()));
        let bytes = crate::cbor::encode(&job);
        assert_eq!(crate::cbor::decode::<Job>(&bytes, limits::SIGNED_OBJECT).unwrap(), job);
    }
}

#[test]
fn metrics_are_charged_last_and_by_what_contributes() {
    let mut job = job();
    let without = job.charges().total().unwrap().as_pico();
    let first = |job: &Job, releases| {
        let cost = job.charges().of_first(releases, Accounting::AllOrders);
        cost.unwrap().as_pico()
    };
    job.metrics = Some(Metrics { loss: 1.0, steps: 1024, sigma: 4096 });
    let each = without / 3;
    assert_eq!((job.charges().total().unwrap().as_pico(), job.releases()), (without + each, 4));
    assert_eq!(first(&job, 3), without);
    // Of all units, whoever takes part in which round.
    job.gate.mode = GateMode::Sampled(Rate::nearest(0.5).unwrap());
    let gate = job.metrics.unwrap().gate(job.gate.mode);
    assert_eq!((gate.mode, job.divisor(gate.mode)), (GateMode::Unit, 5));
    // Two clips: four times as much.
    job.gate.mode = GateMode::Groups(2);
    let [three, four] = [3, 4].map(|releases| first(&job, releases));
    assert_eq!(four - three, 4 * each);
}

#[test]
fn means_are_over_what_contributes() {
    let job = job();
    let sampled = GateMode::Sampled(Rate::nearest(0.6).unwrap());
    let modes = [GateMode::Unit, GateMode::Groups(2), sampled];
    assert_eq!(modes.map(|mode| job.divisor(mode)), [5, 2, 3]);
}
