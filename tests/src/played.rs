//! The host, played by a test: the relay's steps in its hand, and an enclave process.
//!
//! Brokers and enclave are real and separate. Between any two steps the test holds plain
//! data and may do with it what a hostile host would.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use cloister_host::{
    relay::{self, Attested, Broker, Deadlines, Event, Material, RelayError},
    store::{Store, StoredDataset},
};
use cloister_link::Address;
use cloister_party::{Home, Role};
use cloister_protocol::{
    brokering::{Challenge, GrantRequest},
    dataset::FileLayout,
    frames::{Offer, Status},
    grant::SealedGrant,
};

use crate::{
    accounts::Account,
    daemon::{Daemon, free_address},
    world::{HOST, Owner, World},
};

/// An enclave as a separate process, and where it listens.
#[derive(Debug)]
pub struct EnclaveProcess {
    /// The process.
    pub daemon: Daemon,
    /// Its address.
    pub address: Address,
}

impl EnclaveProcess {
    /// Starts `program` with two workers, vouched for by the vendor in the world's folder
    /// `vendor`.
    pub fn start(world: &World, name: &str, program: &Path, vendor: &str) -> Result<Self> {
        let socket = free_address()?;
        let mut command = Command::new(program);
        command.current_dir(&world.root).args(["serve", "--listen", &format!("tcp:{socket}")]);
        command.args(["--platform", "simulated", "--vendor", vendor, "--workers", "2"]);
        let log = world.root.join("logs").join(format!("{name}.log"));
        let daemon = Daemon::start(name, &mut command, log, socket)?;
        let address = Address::Tcp { host: socket.ip().to_string(), port: socket.port() };
        Ok(Self { daemon, address })
    }
}

/// The host's side of everything, in a test's hands.
pub struct PlayedHost {
    home: Home,
    store: Arc<Store>,
    /// How long each exchange may take.
    pub deadlines: Deadlines,
}

/// A release, and when it came.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// The receipt's bytes.
    pub receipt: Vec<u8>,
    /// The safetensors file.
    pub tensors: Vec<u8>,
    /// When all of it was here.
    pub at: Instant,
}

/// A job that was run to its end.
pub struct Ran {
    /// What was attested.
    pub attested: Attested,
    /// The grants that were handed over.
    pub grants: Vec<SealedGrant>,
    /// When the last dataset was about to be sent: the rounds begin after that.
    pub before: Instant,
    /// The releases.
    pub releases: Vec<Arrived>,
}

impl PlayedHost {
    /// Plays the world's host, whose daemon should not run.
    pub fn new(world: &World) -> Result<Self> {
        let home = Home::open_as(&world.root.join(HOST), Role::Host)?;
        let store = Arc::new(Store::open(&world.root.join("played"))?);
        let deadlines = Deadlines { broker_retry: Duration::ZERO, ..Deadlines::default() };
        Ok(Self { home, store, deadlines })
    }

    /// Takes in a sealed file, as an honest host does when its owner brings it.
    pub fn keep(&self, sealed: &Path) -> Result<Arc<StoredDataset>> {
        let owner = FileLayout::read(File::open(sealed)?)?.header.owner;
        let mut upload = self.store.receive_dataset(owner)?;
        upload.write(&fs::read(sealed)?)?;
        Ok(upload.finish()?)
    }

    /// Step 2.
    pub fn brokers(&self, material: &Material) -> Result<Vec<Broker>, RelayError> {
        let peers = self.home.peers().map_err(|error| RelayError::Peers(error.to_string()))?;
        relay::brokers(&self.home, &peers, material)
    }

    /// Step 3, of one broker.
    pub async fn challenge(&self, broker: &Broker) -> Result<Challenge, RelayError> {
        relay::challenge(broker, self.deadlines.broker).await
    }

    /// Steps 3 and 4a: what an honest host would offer.
    pub async fn offer(
        &self,
        material: &Material,
        brokers: &[Broker],
    ) -> Result<Offer, RelayError> {
        let mut challenges = Vec::new();
        for broker in brokers {
            challenges.push((broker, self.challenge(broker).await?));
        }
        Ok(relay::offer(material, &challenges))
    }

    /// Step 4b, with the material's component.
    pub async fn attest(
        &self,
        enclave: &Address,
        offer: Offer,
        material: &Material,
    ) -> Result<Attested, RelayError> {
        let component = &material.code.component;
        relay::attest(enclave, offer, component, &material.public_set, &self.deadlines).await
    }

    /// Step 5b, of one broker.
    pub async fn grant(
        &self,
        broker: &Broker,
        request: GrantRequest,
    ) -> Result<Vec<SealedGrant>, RelayError> {
        Ok(relay::grant(broker, request, self.deadlines.broker).await?.grants)
    }

    /// Step 5, of all brokers.
    pub async fn grants(
        &self,
        material: &Material,
        brokers: &[Broker],
        attested: &Attested,
    ) -> Result<Vec<SealedGrant>, RelayError> {
        let request = relay::grant_request(material, attested);
        let mut answers = Vec::new();
        for broker in brokers {
            let answer = relay::grant(broker, request.clone(), self.deadlines.broker).await?;
            answers.push((broker, answer));
        }
        Ok(relay::in_job_order(answers))
    }

    /// Step 6.
    pub async fn hand_over(
        &self,
        enclave: &Address,
        attested: &Attested,
        grants: Vec<SealedGrant>,
    ) -> Result<(), RelayError> {
        relay::hand_over(enclave, attested.id, grants, &self.deadlines).await
    }

    /// Step 7, of one dataset, with any bytes for its body.
    pub async fn load(
        &self,
        enclave: &Address,
        attested: &Attested,
        index: u32,
        body: &[u8],
    ) -> Result<u32, RelayError> {
        let (mut source, length) = (body, body.len() as u64);
        relay::load(enclave, attested.id, index, &mut source, length, &self.deadlines).await
    }

    /// Step 7: the sealed body of a dataset, as it was brought.
    pub fn body(dataset: &StoredDataset) -> Result<Vec<u8>, RelayError> {
        use std::io::Read as _;
        let mut body = Vec::new();
        dataset.open_body()?.take(dataset.manifest.length).read_to_end(&mut body)?;
        Ok(body)
    }

    /// Step 8: all releases from `from` on.
    pub async fn follow(
        &self,
        enclave: &Address,
        attested: &Attested,
        from: u32,
    ) -> Result<Vec<Arrived>, RelayError> {
        let mut following = relay::follow(enclave, attested.id, from, &self.deadlines).await?;
        let mut releases = Vec::new();
        loop {
            match following.next().await? {
                Event::Heartbeat => {}
                Event::Release { receipt_length, tensors_length, .. } => {
                    let (mut receipt, mut tensors) = (Vec::new(), Vec::new());
                    following.take(receipt_length, &mut receipt).await?;
                    following.take(tensors_length, &mut tensors).await?;
                    releases.push(Arrived { receipt, tensors, at: Instant::now() });
                }
                Event::Ended => return Ok(releases),
            }
        }
    }

    /// What the enclave says it is doing.
    pub async fn status(&self, enclave: &Address) -> Result<Status, RelayError> {
        relay::status(enclave, self.deadlines.frame).await
    }

    /// Makes the enclave forget a transcript.
    pub async fn abandon(&self, enclave: &Address, attested: &Attested) -> Result<(), RelayError> {
        relay::abandon(enclave, attested.id, &self.deadlines).await
    }

    /// Every step, as an honest host does them.
    pub async fn run(&self, enclave: &Address, material: &Material) -> Result<Ran, RelayError> {
        let brokers = self.brokers(material)?;
        let offer = self.offer(material, &brokers).await?;
        let attested = self.attest(enclave, offer, material).await?;
        let grants = self.grants(material, &brokers, &attested).await?;
        self.hand_over(enclave, &attested, grants.clone()).await?;
        let before = self.load_all(enclave, material, &attested).await?;
        let releases = self.follow(enclave, &attested, 0).await?;
        Ok(Ran { attested, grants, before, releases })
    }

    /// Step 7, of all datasets; returns when the last one was about to be sent.
    pub async fn load_all(
        &self,
        enclave: &Address,
        material: &Material,
        attested: &Attested,
    ) -> Result<Instant, RelayError> {
        let mut before = Instant::now();
        for (index, dataset) in (0..).zip(&material.datasets) {
            let body = Self::body(dataset)?;
            before = Instant::now();
            self.load(enclave, attested, index, &body).await?;
        }
        Ok(before)
    }
}

/// What an owner's ledger says about its population.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// In pico-rho.
    pub spent: u64,
    /// How many times something was reserved.
    pub grants: usize,
}

/// Reads an owner's ledger, and checks its chain, while the broker runs or not.
pub fn charged(owner: &Owner) -> Result<Charged> {
    let home = Home::open_as(&owner.home, Role::Owner)?;
    let population = home.identity().population.clone().context("an owner has a population")?;
    let mut account = Account::of(&owner.home, &population)?;
    let grants = account.look()?.len();
    Ok(Charged { spent: account.spent(), grants })
}
