//! Nothing altered is taken, and nothing half-written is ever visible.

mod common;

use std::{fs, path::Path, sync::Arc};

use cloister_host::store::{Store, StoreError};
use cloister_protocol::{Id, SigningKey, dataset::FileError};
use std::io::Write;

/// Every file below `root` that somebody could take for a stored one.
fn visible(root: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in ["datasets", "code", "public-sets", "releases"] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        names.extend(entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()));
    }
    names
}

fn open(root: &Path) -> Arc<Store> {
    Arc::new(Store::open(root).unwrap())
}

fn upload(
    store: &Arc<Store>,
    owner: &SigningKey,
    file: &[u8],
) -> Result<Id<cloister_protocol::dataset::DatasetManifest>, StoreError> {
    let mut upload = store.receive_dataset(owner.id())?;
    for piece in file.chunks(10_007) {
        upload.write(piece)?;
    }
    upload.finish().map(|stored| stored.id)
}

#[test]
fn takes_a_dataset_and_finds_it_again_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let (owner, _) = SigningKey::generate().unwrap();
    // Longer than what is held back, and longer than a piece of the hash.
    let (file, manifest) = common::sealed(&owner, owner.id(), 3_000_000);
    let id = upload(&open(root.path()), &owner, &file).unwrap();

    let store = open(root.path());
    let stored = store.dataset(&id).unwrap();
    assert_eq!(stored.manifest, manifest);
    assert_eq!(stored.proof.check().unwrap().id, id);
    let mut body = Vec::new();
    let sealed = stored.open_body().unwrap();
    std::io::Read::read_to_end(&mut std::io::Read::take(sealed, manifest.length), &mut body)
        .unwrap();
    assert_eq!(blake3::hash(&body).as_bytes()[..], manifest.body.0[..]);
    // The same again is the same file.
    assert_eq!(upload(&store, &owner, &file).unwrap(), id);
    assert_eq!(visible(root.path()), [id.to_string()]);
}

#[test]
fn datasets_of_every_awkward_length_are_taken() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (owner, _) = SigningKey::generate().unwrap();
    for length in [0, 1, 49_151, 49_156, 49_157, 1 << 20, (1 << 20) + 49_156, (1 << 20) + 49_157] {
        let (file, _) = common::sealed(&owner, owner.id(), length);
        upload(&store, &owner, &file).unwrap_or_else(|error| panic!("{length}: {error}"));
    }
}

#[test]
fn an_altered_or_shortened_file_is_refused_and_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (owner, _) = SigningKey::generate().unwrap();
    let (file, _) = common::sealed(&owner, owner.id(), 200_000);
    let refused = |bytes: &[u8]| upload(&store, &owner, bytes).unwrap_err().code();
    let flipped = |position: usize| {
        let mut bytes = file.clone();
        bytes[position] ^= 1;
        bytes
    };
    let body = file.len() - 200_000 - 400;
    for position in [body + 1000, body + 100_000, file.len() - 60_000] {
        assert_eq!(refused(&flipped(position)), "dataset-body", "byte {position}");
    }
    assert_eq!(refused(&flipped(0)), "dataset-layout", "magic");
    assert_eq!(refused(&flipped(16)), "dataset-layout", "version");
    assert_eq!(refused(&flipped(file.len() - 200)), "dataset-manifest", "manifest");
    for length in [0, 10, 21, 100, 5000, file.len() / 2, file.len() - 1] {
        assert!(upload(&store, &owner, &file[..length]).is_err(), "length {length}");
    }
    assert!(upload(&store, &owner, &[&file[..], b"x"].concat()).is_err());
    // Two chunks swapped: every byte is there, the order is not.
    let mut swapped = file.clone();
    swapped[body + 20_000..body + 60_000].rotate_left(20_000);
    assert_eq!(refused(&swapped), "dataset-body");

    assert!(visible(root.path()).is_empty());
    assert_eq!(fs::read_dir(root.path().join("incoming")).unwrap().count(), 0);
    assert!(store.datasets().is_empty());
    upload(&store, &owner, &file).unwrap();
}

#[test]
fn somebody_elses_dataset_is_refused_with_its_header() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (owner, _) = SigningKey::generate().unwrap();
    let (thief, _) = SigningKey::generate().unwrap();
    let (file, _) = common::sealed(&owner, owner.id(), 200_000);
    let mut upload = store.receive_dataset(thief.id()).unwrap();
    // Long before the body has come.
    let refused = upload.write(&file[..2000]).unwrap_err();
    assert!(matches!(refused, StoreError::Owner { .. }), "{refused}");
    // A header that claims the thief as its owner does not fit the owner's signature.
    let (mut forged, _) = common::sealed(&thief, thief.id(), 200_000);
    let manifest = file.len() - 1000;
    forged.truncate(manifest);
    forged.extend_from_slice(&file[manifest..]);
    let mut upload = store.receive_dataset(thief.id()).unwrap();
    upload.write(&forged).unwrap();
    assert!(matches!(upload.finish(), Err(StoreError::Dataset(FileError::Manifest(_)))));
}

#[test]
fn what_is_dropped_or_killed_in_the_middle_is_never_visible() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (owner, _) = SigningKey::generate().unwrap();
    let (file, _) = common::sealed(&owner, owner.id(), 200_000);
    let incoming = || fs::read_dir(root.path().join("incoming")).unwrap().count();

    let mut half = store.receive_dataset(owner.id()).unwrap();
    half.write(&file[..100_000]).unwrap();
    assert_eq!(incoming(), 1);
    drop(half);
    assert_eq!(incoming(), 0);

    // A process that is killed drops nothing: the next one tidies up.
    let mut half = store.receive_dataset(owner.id()).unwrap();
    half.write(&file).unwrap();
    std::mem::forget(half);
    let mut blob = store.receive_blob().unwrap();
    blob.write_all(b"half a release").unwrap();
    std::mem::forget(blob);
    assert_eq!(incoming(), 2);
    assert!(visible(root.path()).is_empty());
    let store = open(root.path());
    assert_eq!(incoming(), 0);
    assert!(store.datasets().is_empty());
}

#[test]
fn a_file_that_changed_on_the_disk_is_not_offered() {
    let root = tempfile::tempdir().unwrap();
    let (owner, _) = SigningKey::generate().unwrap();
    let (file, _) = common::sealed(&owner, owner.id(), 1000);
    let id = upload(&open(root.path()), &owner, &file).unwrap();
    let path = root.path().join("datasets").join(id.to_string());
    let mut bytes = fs::read(&path).unwrap();
    bytes[30] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(open(root.path()).dataset(&id).is_none());
    // Under another dataset's name it is not offered either.
    bytes[30] ^= 1;
    fs::write(root.path().join("datasets").join("0".repeat(128)), &bytes).unwrap();
    assert!(open(root.path()).datasets().is_empty());
}

#[test]
fn code_is_checked_when_it_comes_and_when_it_is_read() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (author, _) = SigningKey::generate().unwrap();
    let (file, id) = common::code(&author);
    assert_eq!(store.put_code(&file).unwrap(), id);
    assert!(store.has_code(&id));
    assert_eq!(store.code(&id).unwrap().unwrap().to_bytes(), file);

    for position in 0..file.len() {
        let mut bytes = file.clone();
        bytes[position] ^= 1;
        assert!(store.put_code(&bytes).is_err(), "byte {position}");
    }
    assert_eq!(store.put_code(b"").unwrap_err().code(), "empty");

    let path = root.path().join("code").join(id.to_string());
    fs::write(&path, b"damaged").unwrap();
    assert_eq!(store.code(&id).unwrap_err().code(), "code-file");
}

#[test]
fn public_sets_and_releases_are_named_by_what_they_are() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let set = store.put_public_set(b"rows").unwrap();
    assert_eq!(set.length, 4);
    assert_eq!(set.digest, cloister_protocol::Digest::of("public-set", &[b"rows"]));
    assert_eq!(store.public_set(&set.digest).unwrap().unwrap(), b"rows");

    let mut blob = store.receive_blob().unwrap();
    blob.write_all(b"a receipt").unwrap();
    let id = blob.publish().unwrap();
    assert_eq!(id.to_string(), blake3::hash(b"a receipt").to_hex().as_str());
    let (mut file, length) = store.open_blob(&id).unwrap();
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    assert_eq!((bytes.as_slice(), length), (b"a receipt".as_slice(), 9));
}
