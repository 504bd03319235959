//! What is signed in an owner's home, verified: the policy, approvals, datasets, the ledger.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use cloister_broker::{
    Ledger, Vault,
    ledger::{Entry, Reservation},
    policy::Policy,
};
use cloister_party::{Home, Peers, Role};
use cloister_protocol::{
    Digest, Id, KeyId, Verified, cbor,
    code::{CodeApproval, CodeFile, CodeManifest},
    dataset::{DatasetManifest, HeaderCore},
    limits,
    release::DatasetProof,
};
use cloister_sandbox::inspect;

use super::{
    fact::Source,
    results::{self, Results},
};
use crate::{
    budget::Balance,
    enrol::fingerprint,
    error::{Context, Error, Result},
    files,
    run::trainers,
};

/// A header and a manifest.
const PROOF: u64 = 2 * limits::SIGNED_OBJECT as u64;

/// Everything that a draft is filled from.
pub(super) struct Record {
    pub home: Home,
    pub peers: Peers,
    pub policy: Verified<Policy>,
    /// The approvals that this owner signed.
    pub approvals: Vec<Verified<CodeApproval>>,
    /// How many files among them are not signed by this owner, and count for nothing.
    pub strange_approvals: usize,
    pub datasets: Vec<Dataset>,
    /// What authors say about code, where a manifest was seen.
    pub code: BTreeMap<Id<CodeManifest>, Code>,
    pub account: Balance,
    pub results: Results,
}

/// A dataset that was sealed in this home.
pub(super) struct Dataset {
    pub header: HeaderCore,
    pub manifest: Verified<DatasetManifest>,
    /// Whether its key is here still: without it, it is withdrawn.
    pub held: bool,
}

/// What an author says about code.
pub(super) struct Code {
    pub manifest: Verified<CodeManifest>,
    /// What the component itself says it does, if it was given.
    pub summary: Option<String>,
    /// Where the manifest was seen.
    pub from: Source,
}

impl Record {
    /// Reads and verifies everything.
    pub(super) fn read(path: &Path, code: &[PathBuf], folders: &[PathBuf]) -> Result<Self> {
        let home = Home::open_as(path, Role::Owner).map_err(Error::failed)?;
        let vault = Vault::new(path);
        // 1. The policy that is in force: the signed one, never the text.
        let policy = vault.policy(home.id()).map_err(Error::failed)?;
        let population = home.identity().population.as_ref();
        if population != Some(&policy.value.population) {
            return Err(Error::failed(format!(
                "{}: its policy is about {:?}, and this home is not: write and sign one about the \
                 population in identity.toml",
                path.display(),
                policy.value.population
            )));
        }
        // 2. What was approved and sealed.
        let signed = vault.approvals().map_err(Error::failed)?;
        let mut approvals: Vec<_> =
            signed.iter().filter_map(|one| one.open_by(home.id()).ok()).collect();
        let strange_approvals = signed.len() - approvals.len();
        approvals.sort_by_key(|one| one.id);
        let datasets = datasets(&home)?;
        // 3. What was spent.
        let ledger = Ledger::open(&vault.ledger(), *home.id()).map_err(Error::failed)?;
        let account = Balance::read(&ledger, &policy.value)?;
        // 4. What came of it.
        let results = results::read(&home, &policy.value, &account, folders)?;
        let code = manifests(code, &results)?;
        let peers = home.peers().map_err(Error::failed)?;
        Ok(Self {
            home,
            peers,
            policy,
            approvals,
            strange_approvals,
            datasets,
            code,
            account,
            results,
        })
    }

    /// Where facts of the policy are from.
    pub(super) fn of_policy(&self) -> Source {
        Source::Policy(self.policy.value.version, *self.policy.id.digest())
    }

    /// A party by name where it is enrolled here, and by fingerprint in any case.
    pub(super) fn party(&self, key: &KeyId) -> String {
        let print = fingerprint(key);
        match self.name(key) {
            Some(name) => format!("{name} ({print})"),
            None => format!("{print}, not enrolled in this home"),
        }
    }

    /// The name of a party that is enrolled here, or of this one.
    pub(super) fn name(&self, key: &KeyId) -> Option<String> {
        if key == self.home.id() {
            return Some(self.home.name().to_string());
        }
        self.peers.by_id(key).map(|peer| peer.name().to_string())
    }

    /// Whether the policy lets this code see rows, by its component or by an approval.
    pub(super) fn approves(&self, code: &Verified<CodeManifest>) -> bool {
        let (policy, component) = (&self.policy.value.code, code.value.component);
        let approval = |one: &Verified<CodeApproval>| {
            one.value.code == code.id && one.value.component == component
        };
        policy.components.contains(&component)
            || policy.approvals && self.approvals.iter().any(approval)
    }

    /// The reservations on this home's people, oldest first.
    pub(super) fn reservations(&self) -> impl Iterator<Item = (&Entry, &Digest, &Reservation)> {
        self.account.reservations(&self.policy.value)
    }
}

/// The datasets whose public part is in the home.
fn datasets(home: &Home) -> Result<Vec<Dataset>> {
    let folder = home.file("data");
    let mut paths = Vec::new();
    match fs::read_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        entries => {
            for entry in entries.with_path(&folder)? {
                paths.push(entry.with_path(&folder)?.path());
            }
        }
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "proof"));
    paths.sort();
    let read = |path: &PathBuf| {
        let bytes = files::read(path, PROOF)?;
        let proof: DatasetProof = cbor::decode(&bytes, bytes.len()).with_path(path)?;
        let manifest = proof.check().with_path(path)?;
        if proof.header.owner != *home.id() {
            return Err(Error::failed(format!(
                "{}: a dataset of another owner; take it out of this home",
                path.display()
            )));
        }
        let held = path.with_extension("key").exists();
        Ok(Dataset { header: proof.header, manifest, held })
    };
    paths.iter().map(read).collect()
}

/// The manifests in the files of code that were given, and in receipts that count.
fn manifests(files: &[PathBuf], results: &Results) -> Result<BTreeMap<Id<CodeManifest>, Code>> {
    let mut code = BTreeMap::new();
    for job in &results.jobs {
        let (manifest, from) = (job.code.clone(), Source::Receipt(job.last()));
        code.insert(manifest.id, Code { manifest, summary: None, from });
    }
    for path in files {
        let trainers::Code { bytes, manifest } = trainers::read(path)?;
        let component = CodeFile::from_bytes(&bytes).with_path(path)?.component;
        let summary = Some(inspect(&component).with_path(path)?.summary);
        let from = Source::Code(*manifest.id.digest());
        code.insert(manifest.id, Code { manifest, summary, from });
    }
    Ok(code)
}
