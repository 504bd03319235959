//! What the queue remembers, and what it makes of a restart.

mod common;

use cloister_host::{
    queue::{Failure, JobState, Queue, QueueError, ReleaseRecord},
    store::BlobId,
};
use cloister_protocol::{Id, KeyId, Signed, job::Job};

const PATH: [JobState; 5] = [
    JobState::Queued,
    JobState::Preparing,
    JobState::Granting,
    JobState::Loading,
    JobState::Running,
];

fn open(folder: &tempfile::TempDir) -> Queue {
    Queue::open(&folder.path().join("queue.sqlite")).unwrap()
}

/// A job that was taken as far as `state`.
fn job_at(queue: &Queue, number: u8, state: JobState) -> (Id<Job>, KeyId) {
    let (signed, id, owner): (Signed<Job>, _, _) = common::imaginary_job(number);
    assert!(queue.submit(&id, &owner, &signed, 3).unwrap());
    let steps = PATH.windows(2).take_while(|step| step[0] != state);
    for step in steps {
        queue.advance(&id, step[0], step[1]).unwrap();
    }
    assert_eq!(queue.job(&id).unwrap().state, state);
    (id, owner)
}

fn release(number: u32) -> ReleaseRecord {
    let blob = |byte: u8| blake3::hash(&[byte]).to_hex().parse::<BlobId>().unwrap();
    ReleaseRecord { number, receipt: blob(1), tensors: blob(2) }
}

#[test]
fn a_restart_queues_again_what_was_not_granted_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let ids = PATH.map(|state| job_at(&queue, state as u8, state).0);
    queue.add_release(&ids[4], &release(0)).unwrap();
    drop(queue);

    let queue = open(&folder);
    let states = ids.map(|id| queue.job(&id).unwrap().state);
    let expected = [
        JobState::Queued,
        JobState::Queued,
        JobState::Granting,
        JobState::Loading,
        JobState::Running,
    ];
    assert_eq!(states, expected);
    let interrupted: Vec<_> = queue.interrupted().unwrap().iter().map(|job| job.id).collect();
    assert_eq!(interrupted, ids[2..]);
    assert_eq!(queue.next().unwrap().unwrap().id, ids[0]);
    assert_eq!(queue.job(&ids[4]).unwrap().releases, 1);
    assert_eq!(queue.release(&ids[4], 0).unwrap(), Some(release(0)));
    assert_eq!(queue.counts().unwrap(), (2, 3));
}

#[test]
fn the_same_job_twice_is_one_job() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let (signed, id, owner) = common::imaginary_job(1);
    assert!(queue.submit(&id, &owner, &signed, 3).unwrap());
    queue.fail(&id, &Failure::host("enclave-lost", "it went away")).unwrap();
    // Not even when it has ended: what was spent is not spent again by accident.
    assert!(!queue.submit(&id, &owner, &signed, 3).unwrap());
    assert_eq!(queue.job(&id).unwrap().state, JobState::Failed);
    assert_eq!(queue.job(&id).unwrap().job, signed);
    assert_eq!(queue.jobs_of(&owner).unwrap().len(), 1);
    let (_, _, stranger) = common::imaginary_job(2);
    assert!(queue.jobs_of(&stranger).unwrap().is_empty());
}

#[test]
fn a_cancelled_job_is_never_granted_and_a_granted_job_never_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let (early, _) = job_at(&queue, 1, JobState::Preparing);
    queue.cancel(&early).unwrap();
    let refused = queue.advance(&early, JobState::Preparing, JobState::Granting).unwrap_err();
    assert!(matches!(refused, QueueError::State { found: JobState::Failed, .. }), "{refused}");
    assert_eq!(queue.job(&early).unwrap().failure.unwrap().code, "cancelled");

    let (late, _) = job_at(&queue, 2, JobState::Granting);
    let refused = queue.cancel(&late).unwrap_err();
    assert!(matches!(refused, QueueError::State { found: JobState::Granting, .. }), "{refused}");
    assert_eq!(queue.job(&late).unwrap().state, JobState::Granting);
}

#[test]
fn the_first_reason_stays_and_an_ended_job_says_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let (id, _) = job_at(&queue, 1, JobState::Granting);
    let first =
        Failure { from: "broker a".into(), code: "cost-mismatch".into(), message: "m".into() };
    queue.fail(&id, &first).unwrap();
    queue.fail(&id, &Failure::host("enclave-lost", "later")).unwrap();
    queue.set_detail(&id, "still busy").unwrap();
    let job = queue.job(&id).unwrap();
    assert_eq!((job.failure, job.detail.as_str()), (Some(first), ""));
}

#[test]
fn releases_come_in_order_and_a_job_is_done_with_all_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let (id, _) = job_at(&queue, 1, JobState::Running);
    queue.add_release(&id, &release(0)).unwrap();
    queue.add_release(&id, &release(0)).unwrap();
    let skipped = queue.add_release(&id, &release(2)).unwrap_err();
    assert!(matches!(skipped, QueueError::Order { expected: 1, found: 2 }), "{skipped}");
    // Two of three are missing: the database itself refuses.
    assert!(queue.advance(&id, JobState::Running, JobState::Done).is_err());
    assert_eq!(queue.job(&id).unwrap().state, JobState::Running);
    queue.add_release(&id, &release(1)).unwrap();
    queue.add_release(&id, &release(2)).unwrap();
    queue.advance(&id, JobState::Running, JobState::Done).unwrap();
    assert_eq!(queue.job(&id).unwrap().releases, 3);
    assert_eq!(queue.release(&id, 3).unwrap(), None);
}

#[test]
fn waiting_jobs_run_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let (first, _) = job_at(&queue, 1, JobState::Queued);
    let (second, _) = job_at(&queue, 2, JobState::Queued);
    assert_eq!(queue.next().unwrap().unwrap().id, first);
    queue.cancel(&first).unwrap();
    assert_eq!(queue.next().unwrap().unwrap().id, second);
}

#[test]
fn everybody_who_waits_is_told_of_a_change() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder);
    let mut changes = queue.clone().changes();
    changes.mark_unchanged();
    let (id, _) = job_at(&queue, 1, JobState::Queued);
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    queue.job(&id).unwrap();
    assert!(!changes.has_changed().unwrap());
}

#[test]
fn a_queue_of_another_version_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(&folder));
    let path = folder.path().join("queue.sqlite");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 7).unwrap();
    drop(database);
    assert!(matches!(Queue::open(&path), Err(QueueError::Schema(7))));
}
