//! Which of a host's datasets a job is on. The host says which there are; what counts
//! is what their owners signed.

use std::collections::BTreeSet;

use cloister_party::Peers;
use cloister_protocol::{
    Digest, KeyId,
    dataset::{DatasetManifest, HeaderCore},
    job::JobDataset,
    release::DatasetProof,
};

use super::{tables, text::Datasets};
use crate::{
    error::{Context, Error, Result},
    host::ListedDataset,
    ui::printable,
};

/// A dataset as the host lists it, with the proof that was fetched for it.
#[derive(Clone, Debug)]
pub struct Offered {
    /// How its owner is called, see [`owner_name`].
    pub owner_name: String,
    /// Header and manifest.
    pub proof: DatasetProof,
}

/// A dataset of the job.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The owner's name.
    pub owner_name: String,
    /// What the job says about it.
    pub dataset: JobDataset,
    /// Its header.
    pub header: HeaderCore,
    /// Its manifest.
    pub manifest: DatasetManifest,
}

/// Those of a host's datasets that a job may use: of the others no proof is needed. It
/// goes by what the host says, and decides nothing: [`choose`] goes by the proofs.
pub fn wanted(
    wanted: &Datasets,
    listed: Vec<ListedDataset>,
    peers: &Peers,
) -> Result<Vec<ListedDataset>> {
    let words = match wanted {
        Datasets::Word(word) if word == "all" => return Ok(listed),
        Datasets::Word(word) => std::slice::from_ref(word),
        Datasets::List(list) => list.as_slice(),
    };
    let named = |one: ListedDataset| {
        // An owner that cannot be read is nobody's.
        let owner = KeyId::new(Digest::from_hex(&one.owner)?);
        Some((owner_name(peers, &owner, one.owner_name.clone()), one))
    };
    let listed: Vec<(String, ListedDataset)> = listed.into_iter().filter_map(named).collect();
    let fits = |word: &String, (owner, one): &(String, ListedDataset)| {
        let (wanted, name) = parts(word);
        owner == wanted && name.is_none_or(|name| one.name == name)
    };
    for word in words {
        if !listed.iter().any(|one| fits(word, one)) {
            return Err(nothing_of(word, listed.iter().map(|(owner, _)| owner.as_str())));
        }
    }
    let mut listed = listed;
    listed.retain(|one| words.iter().any(|word| fits(word, one)));
    Ok(listed.into_iter().map(|(_, one)| one).collect())
}

/// Picks the datasets that a job names, in its order, and checks what their owners
/// signed; of `"all"`, in the order of their owners' names. Tables of one population stand
/// where its first one does.
pub fn choose(wanted: &Datasets, mut offered: Vec<Offered>) -> Result<Vec<Chosen>> {
    offered.sort_by(|a, b| key(a).cmp(&key(b)));
    let (picked, words): (Vec<Offered>, &[String]) = match wanted {
        Datasets::Word(word) if word == "all" => (offered, &[]),
        Datasets::Word(word) => (pick(word, &offered)?, std::slice::from_ref(word)),
        Datasets::List(list) => {
            let picked: Result<Vec<_>> = list.iter().map(|word| pick(word, &offered)).collect();
            (picked?.into_iter().flatten().collect(), list)
        }
    };
    let named = |one: &Chosen| {
        let whole = (one.owner_name.as_str(), Some(one.header.name.as_str()));
        words.iter().any(|word| parts(word) == whole)
    };
    if picked.is_empty() {
        return Err(Error::failed(
            "the host has no dataset: owners upload theirs with `cloister data push`",
        ));
    }
    let chosen: Vec<Chosen> = picked.into_iter().map(check).collect::<Result<_>>()?;
    let chosen = tables::gather(chosen, named)?;
    tables::check(&chosen)?;
    Ok(chosen)
}

/// The name of a dataset's owner: the one that it is enrolled under here; if it is not,
/// the one that the host gives, unless somebody else is called that here; else the
/// beginning of its key's id.
pub fn owner_name(peers: &Peers, owner: &KeyId, by_host: Option<String>) -> String {
    if let Some(peer) = peers.by_id(owner) {
        return peer.name().to_string();
    }
    match by_host {
        Some(name) if peers.named(&name).is_none() => printable(&name),
        _ => owner.digest().short(),
    }
}

fn key(offered: &Offered) -> (&str, &str, &[u8]) {
    let Offered { owner_name, proof } = offered;
    (owner_name, &proof.header.name, proof.manifest.as_bytes())
}

/// The datasets of `OWNER`, or the one called `OWNER/NAME`.
fn pick(word: &str, offered: &[Offered]) -> Result<Vec<Offered>> {
    let (owner, name) = parts(word);
    let fits = |one: &&Offered| {
        one.owner_name == owner && name.is_none_or(|name| one.proof.header.name == name)
    };
    let picked: Vec<Offered> = offered.iter().filter(fits).cloned().collect();
    if picked.is_empty() {
        return Err(nothing_of(word, offered.iter().map(|one| one.owner_name.as_str())));
    }
    Ok(picked)
}

/// `OWNER` or `OWNER/NAME`.
fn parts(word: &str) -> (&str, Option<&str>) {
    word.split_once('/').map_or((word, None), |(owner, name)| (owner, Some(name)))
}

fn nothing_of<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: BTreeSet<String> = known.map(printable).collect();
    let known: Vec<String> = known.into_iter().collect();
    let known = if known.is_empty() { "nobody's".to_owned() } else { known.join(", ") };
    Error::failed(format!("the host has no dataset of {word:?}, it has those of: {known}"))
}

fn check(offered: Offered) -> Result<Chosen> {
    let Offered { owner_name, proof } = offered;
    let manifest = proof.check().doing(format!("the dataset of {owner_name}"))?;
    let DatasetProof { header, .. } = proof;
    let dataset = JobDataset {
        manifest: manifest.id,
        owner: header.owner,
        population: header.population.clone(),
        units: manifest.value.units,
    };
    Ok(Chosen { owner_name, dataset, header, manifest: manifest.value })
}

#[cfg(test)]
pub mod tests {
    use cloister_protocol::{
        Signed, SigningKey,
        dataset::{BodyHash, DatasetManifest},
    };
    use serde_bytes::ByteArray;

    use super::*;

    pub fn offered(owner: &str, name: &str, key: &SigningKey) -> Offered {
        changed(owner, name, key, |_| ())
    }

    /// A dataset with something changed in its description.
    pub fn changed(
        owner: &str,
        name: &str,
        key: &SigningKey,
        change: impl FnOnce(&mut crate::data::Description),
    ) -> Offered {
        let mut description = crate::data::Description::of_test();
        name.clone_into(&mut description.name);
        description.max_rows_per_unit = 2;
        change(&mut description);
        let header = description.header([1; 16], key.id(), key.id(), "people".into());
        let manifest = DatasetManifest {
            header: header.digest(),
            length: 1,
            rows: 3,
            units: 2,
            max_rows_per_unit: description.max_rows_per_unit.into(),
            body: BodyHash(ByteArray::new([0; 32])),
        };
        let manifest = Signed::sign(&manifest, key).unwrap();
        Offered { owner_name: owner.into(), proof: DatasetProof { header, manifest } }
    }

    pub fn key() -> SigningKey {
        SigningKey::generate().unwrap().0
    }

    #[test]
    fn all_are_taken_in_the_order_of_names() {
        let list = vec![offered("b", "x", &key()), offered("a", "x", &key())];
        let chosen = choose(&Datasets::Word("all".into()), list).unwrap();
        let names: Vec<_> = chosen.iter().map(|one| one.owner_name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(chosen[0].dataset.units, 2);
    }

    #[test]
    fn named_ones_keep_their_order_and_must_exist() {
        let list = vec![offered("b", "x", &key()), offered("a", "x", &key())];
        let wanted = Datasets::List(vec!["b".into(), "a/x".into()]);
        let chosen = choose(&wanted, list.clone()).unwrap();
        assert_eq!(chosen[0].owner_name, "b");
        let error = choose(&Datasets::List(vec!["c".into()]), list).unwrap_err().to_string();
        assert!(error.contains("no dataset of \"c\", it has those of: a, b"), "{error}");
        let error = choose(&Datasets::Word("all".into()), vec![]).unwrap_err().to_string();
        assert!(error.contains("cloister data push"), "{error}");
    }

    #[test]
    fn proofs_of_others_are_not_fetched() {
        let listed = |owner: &str, name: &str| ListedDataset {
            id: format!("{owner}-{name}"),
            owner: Digest::of("test", &[owner.as_bytes()]).to_hex(),
            name: name.into(),
            owner_name: Some(owner.into()),
        };
        let all = || vec![listed("a", "x"), listed("b", "x"), listed("b", "y"), listed("c", "x")];
        let ids = |of: Datasets| {
            let wanted = wanted(&of, all(), &Peers::default()).unwrap();
            wanted.into_iter().map(|one| one.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(Datasets::Word("all".into())).len(), 4);
        assert_eq!(ids(Datasets::Word("b".into())), ["b-x", "b-y"]);
        assert_eq!(ids(Datasets::List(vec!["b/y".into(), "a".into()])), ["a-x", "b-y"]);
        let missing = Datasets::List(vec!["a".into(), "d".into()]);
        let error = wanted(&missing, all(), &Peers::default()).unwrap_err().to_string();
        assert!(error.contains("no dataset of \"d\", it has those of: a, b, c"), "{error}");
    }

    #[test]
    fn what_the_host_altered_is_refused() {
        let mut altered = offered("a", "x", &key());
        altered.proof.header.population = "others".into();
        assert!(choose(&Datasets::Word("all".into()), vec![altered]).is_err());
        let mut other = offered("b", "x", &key());
        other.proof = offered("b", "x", &key()).proof;
        other.proof.header.columns[1].upper = Some(99.0);
        assert!(choose(&Datasets::Word("all".into()), vec![other]).is_err());
    }
}
