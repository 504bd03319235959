//! Two owners, their brokers, an enclave, and a host that a test plays.

use std::{fmt::Write as _, fs, path::Path, process::Command, sync::Arc};

use anyhow::{Context, Result, bail, ensure};
use cloister_host::{
    relay::{Attested, Broker, Material, RelayError, Source},
    store::StoredDataset,
};
use cloister_party::{Home, Role};
use cloister_protocol::{
    Signed, SigningKey,
    code::{CodeFile, CodeManifest, WORLD, component_digest},
    frames::{Offer, SessionState},
    job::Job,
    release::Receipt,
};
use cloister_tests::{
    World, guests, orders,
    played::{Charged, EnclaveProcess, PlayedHost, Ran, charged},
    small,
    tables::{DESCRIPTION, Table},
    world::LAB,
};

/// The owners; their brokers are asked in this order.
pub const OWNERS: [&str; 2] = ["alpha", "beta"];

/// Everything that the cases need.
pub struct Scene {
    pub world: World,
    pub host: PlayedHost,
    pub enclave: EnclaveProcess,
    pub lab: SigningKey,
    pub author: SigningKey,
    /// Code that both owners approved.
    pub code: CodeFile,
    /// One dataset of each owner: three whole chunks and a shorter one.
    pub datasets: Vec<Arc<StoredDataset>>,
    /// One more of each owner, with too few patients.
    pub few: Vec<Arc<StoredDataset>>,
    ledgers: Vec<Charged>,
    lines: Vec<[String; 3]>,
}

/// A session that an enclave has attested.
pub struct Session {
    pub material: Material,
    pub brokers: Vec<Broker>,
    pub attested: Attested,
}

impl Scene {
    pub async fn new() -> Result<Self> {
        let root = small::folder(env!("CARGO_TARGET_TMPDIR"), "hostile-host")?;
        let mut world = World::create(&root, &OWNERS, |_| {})?;
        world.sign_policies(&policy)?;
        fs::write(root.join("dataset.toml"), DESCRIPTION)?;
        let component = root.join("component.wasm");
        fs::write(&component, guests::for_everybody(guests::HONEST)?)?;
        let code = world.sign_code(&component, "honest")?;
        world.approve(&code)?;
        for index in 0..OWNERS.len() {
            world.start_broker(index)?;
        }
        let enclave =
            EnclaveProcess::start(&world, "enclave", &world.programs.enclave(), "vendor")?;
        let host = PlayedHost::new(&world)?;
        let (mut datasets, mut few) = (Vec::new(), Vec::new());
        for (seed, owner) in (1..).zip(OWNERS) {
            let table = Table { patients: 30, visits: 45, seed, marked: None };
            datasets.push(host.keep(&seal(&world, owner, "many", table)?)?);
            let table = Table { patients: 4, visits: 1, seed: seed + 10, marked: None };
            few.push(host.keep(&seal(&world, owner, "few", table)?)?);
        }
        let lab = Home::open_as(&root.join(LAB), Role::Orchestrator)?.signing_key()?;
        let author = Home::open_as(&root.join("author"), Role::Author)?.signing_key()?;
        let code = CodeFile::from_bytes(&fs::read(code)?)?;
        let (ledgers, lines) = (Vec::new(), Vec::new());
        let mut scene =
            Self { world, host, enclave, lab, author, code, datasets, few, ledgers, lines };
        scene.mark()?;
        scene.honest().await.context("the honest job, before any lie")?;
        Ok(scene)
    }

    /// A fresh honest job.
    pub fn material(&self) -> Result<Material> {
        self.material_of(|_| ())
    }

    /// A job that was changed before it was signed.
    pub fn material_of(&self, change: impl FnOnce(&mut Job)) -> Result<Material> {
        let mut job = orders::job(&self.code, &self.datasets)?;
        change(&mut job);
        orders::material(&job, &self.lab, &self.code, &self.datasets)
    }

    /// A job on other datasets.
    pub fn material_on(&self, datasets: &[Arc<StoredDataset>]) -> Result<Material> {
        orders::material(&orders::job(&self.code, datasets)?, &self.lab, &self.code, datasets)
    }

    /// A job with other code, signed by the author but approved by nobody.
    pub fn material_with(&self, component: Vec<u8>) -> Result<Material> {
        let manifest = CodeManifest {
            name: "other".into(),
            version: "1".into(),
            component: component_digest(&component),
            length: component.len() as u64,
            world: WORLD.into(),
            parameters: Vec::new(),
            output: "whatever".into(),
            source: None,
        };
        let code = CodeFile::new(Signed::sign(&manifest, &self.author)?, component);
        orders::material(&orders::job(&code, &self.datasets)?, &self.lab, &code, &self.datasets)
    }

    /// Offers a job to the enclave, with something changed in the offer.
    pub async fn attest(
        &self,
        material: Material,
        change: impl FnOnce(&mut Offer),
    ) -> Result<Session, RelayError> {
        self.attest_by(&self.enclave, material, change).await
    }

    /// The same, to another enclave.
    pub async fn attest_by(
        &self,
        enclave: &EnclaveProcess,
        material: Material,
        change: impl FnOnce(&mut Offer),
    ) -> Result<Session, RelayError> {
        let brokers = self.host.brokers(&material)?;
        let mut offer = self.host.offer(&material, &brokers).await?;
        change(&mut offer);
        let attested = self.host.attest(&enclave.address, offer, &material).await?;
        Ok(Session { material, brokers, attested })
    }

    /// An honest job has to work: it ends in releases whose receipts verify, and costs
    /// each owner what it says.
    pub async fn honest(&mut self) -> Result<Ran> {
        let material = self.material()?;
        let ran = self.host.run(&self.enclave.address, &material).await?;
        let job = &material.job.value;
        ensure!(ran.releases.len() == job.releases() as usize, "releases are missing");
        for release in &ran.releases {
            let receipt = Receipt::from_bytes(&release.receipt)?.check(&release.tensors)?;
            ensure!(receipt.job.id == material.job.id, "a release of another job");
        }
        self.charged_since(job.cost)?;
        Ok(ran)
    }

    /// Remembers what the ledgers say now.
    pub fn mark(&mut self) -> Result<()> {
        self.ledgers = self.world.owners.iter().map(charged).collect::<Result<_>>()?;
        Ok(())
    }

    /// Each owner was charged this, in one grant, since the last mark.
    pub fn charged_since(&mut self, cost: u64) -> Result<()> {
        let before = self.ledgers.clone();
        self.mark()?;
        for (before, after) in before.iter().zip(&self.ledgers) {
            let expected = Charged { spent: before.spent + cost, grants: before.grants + 1 };
            ensure!(*after == expected, "{after:?} in the ledger, expected {expected:?}");
        }
        Ok(())
    }

    /// Nobody was charged anything since the last mark.
    pub fn nothing_charged(&self) -> Result<()> {
        for (owner, before) in self.world.owners.iter().zip(&self.ledgers) {
            let after = charged(owner)?;
            ensure!(after == *before, "{}: {after:?} in the ledger, was {before:?}", owner.name);
        }
        Ok(())
    }

    /// A lie was refused by this party with this code. Nothing was charged since the last
    /// mark, nothing runs, and the next honest job works.
    pub async fn refused<T>(
        &mut self,
        lie: &str,
        by: &Source,
        code: &str,
        outcome: Result<T, RelayError>,
    ) -> Result<String> {
        let message = expect(outcome, by, code).with_context(|| lie.to_owned())?;
        self.nothing_charged().with_context(|| lie.to_owned())?;
        let state = self.host.status(&self.enclave.address).await?.state;
        let quiet = !matches!(state, SessionState::Granted | SessionState::Running);
        ensure!(quiet, "{lie}: the enclave is {state:?}");
        self.honest().await.with_context(|| format!("the honest job after: {lie}"))?;
        self.line(lie, &by.to_string(), code);
        Ok(message)
    }

    /// A case that was checked.
    pub fn line(&mut self, lie: &str, by: &str, code: &str) {
        self.lines.push([lie.into(), by.into(), code.into()]);
    }

    /// All cases.
    pub fn table(&self) -> String {
        let mut text = format!("{:<62} {:<14} {}\n", "lie", "refused by", "code");
        for [lie, by, code] in &self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{lie:<62} {by:<14} {code}");
        }
        text
    }

    /// A new version of an owner's policy, which counts at once.
    pub fn new_policy(&self, owner: usize, change: &dyn Fn(String) -> String) -> Result<()> {
        let owner = &self.world.owners[owner];
        let path = owner.home.join("policy.toml");
        let text = fs::read_to_string(&path)?;
        let (before, rest) = text.split_once("version = ").context("no version in the policy")?;
        let (version, rest) = rest.split_once('\n').context("nothing after the version")?;
        let version: u64 = version.trim().parse()?;
        fs::write(&path, change(format!("{before}version = {}\n{rest}", version + 1)))?;
        self.world.cloister(&["policy", "sign", "--home", &owner.name]).map(drop)
    }
}

/// Runs a command that has to be refused, and returns what it complained about.
pub fn complaint(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(!output.status.success(), "{command:?} was not refused");
    Ok(String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout))
}

/// The broker of an owner.
pub fn broker(owner: usize) -> Source {
    Source::Broker(OWNERS[owner].into())
}

/// The outcome has to be a refusal by this party with this code; returns its sentence.
pub fn expect<T>(outcome: Result<T, RelayError>, by: &Source, code: &str) -> Result<String> {
    match outcome {
        Ok(_) => bail!("{by} accepted it; {code} was expected"),
        Err(RelayError::Refused { from, refusal }) if from == *by && refusal.code == code => {
            Ok(refusal.message)
        }
        Err(other) => bail!("{by} was expected to refuse with {code}; instead: {other}"),
    }
}

/// Seals a table as `NAME-WHICH.sealed`.
fn seal(world: &World, owner: &str, which: &str, table: Table) -> Result<std::path::PathBuf> {
    let name = format!("{owner}-{which}");
    let sealed = format!("{name}.sealed");
    fs::write(world.root.join(format!("{name}.csv")), table.csv())?;
    world.cloister(&[
        "data",
        "seal",
        &format!("{name}.csv"),
        "--dataset",
        "dataset.toml",
        "--home",
        owner,
        "-o",
        &sealed,
    ])?;
    Ok(Path::new(&world.root).join(sealed))
}

/// Both owners or none, fifty patients or none; budget for many jobs.
fn policy(_: &str, text: String) -> String {
    text.replace("total = { epsilon = 2.0", "total = { epsilon = 20.0")
        .replace("minimum-owners = 1", "minimum-owners = 2")
        .replace("minimum-units = 100", "minimum-units = 50")
}
