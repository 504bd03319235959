//! One job, from `queued` to `done`.

use std::{future::Future, time::Duration};

use cloister_link::Address;
use cloister_protocol::{grant::SealedGrant, transcript::TranscriptId};
use tokio::{
    fs::File,
    time::{Instant, sleep},
};

use super::{Runner, Stop};
use crate::{
    launch::Backoff,
    queue::{Failure, JobRecord, JobState},
    relay::{self, Attested, Broker, Material, RelayError},
};

/// How often a broker's unusable answer is asked for again.
const ANSWERS: u32 = 5;

/// A job that its enclave vouches for, and for which nothing was charged yet.
struct Offered {
    material: Material,
    /// The sealed bodies, read to their end and found whole.
    bodies: Vec<std::fs::File>,
    brokers: Vec<Broker>,
    attested: Attested,
}

impl Runner {
    /// Takes a queued job through every step. On any error the enclave is asked to
    /// forget the transcript.
    pub(super) async fn drive(&self, job: &JobRecord) -> Result<(), Stop> {
        let id = job.id;
        tracing::info!(job = id.digest().short(), releases = job.of, "job-begins");
        let (enclave, generation) = self.enclave_up(job).await?;
        self.on_queue(move |q| q.advance(&id, JobState::Queued, JobState::Preparing)).await?;

        let (home, store, signed) = (self.home.clone(), self.store.clone(), job.job.clone());
        self.say(job, "reading the sealed data".to_owned()).await?;
        let (material, bodies, brokers) = crate::blocking(move || {
            let material = Material::gather(&store, &signed)?;
            let bodies = material.open_bodies()?;
            let peers = home.peers().map_err(|error| RelayError::Peers(error.to_string()))?;
            let brokers = relay::brokers(&home, &peers, &material)?;
            Ok::<_, RelayError>((material, bodies, brokers))
        })
        .await?;
        self.make_room(&enclave, generation).await?;
        let attested = self.attest(job, &enclave, generation, &material, &brokers).await?;
        let transcript = attested.id;
        let offered = Offered { material, bodies, brokers, attested };
        let ended = self.spend(job, &enclave, generation, offered).await;
        if ended.is_err()
            && let Err(error) = relay::abandon(&enclave, transcript, &self.deadlines).await
        {
            tracing::debug!(%error, "not-abandoned");
        }
        ended
    }

    async fn enclave_up(&self, job: &JobRecord) -> Result<(Address, u64), Stop> {
        match self.enclave.up(Duration::ZERO).await {
            Ok(up) => return Ok(up),
            Err(why) => self.say(job, format!("waiting for the enclave: {why}")).await?,
        }
        let patience = self.deadlines.enclave;
        self.enclave.up(patience).await.map_err(|why| {
            let message = format!("no enclave for {patience:?}: {why}");
            Stop::Failure(Failure::host("enclave-down", message))
        })
    }

    /// Challenges from all brokers, then evidence from the enclave.
    async fn attest(
        &self,
        job: &JobRecord,
        enclave: &Address,
        generation: u64,
        material: &Material,
        brokers: &[Broker],
    ) -> Result<Attested, Stop> {
        let within = self.deadlines.broker;
        let mut challenges = Vec::new();
        for broker in brokers {
            let challenge = self.until_reached(job, || relay::challenge(broker, within)).await?;
            challenges.push((broker, challenge));
        }
        let offer = relay::offer(material, &challenges);
        let (component, public_set) = (&material.code.component, &material.public_set);
        let attested = relay::attest(enclave, offer, component, public_set, &self.deadlines).await;
        if let Err(error) = &attested
            && error.is_enclave_lost()
        {
            self.replace(generation, error).await;
        }
        Ok(attested?)
    }

    /// From the first grant on: budget may be spent.
    async fn spend(
        &self,
        job: &JobRecord,
        enclave: &Address,
        generation: u64,
        offered: Offered,
    ) -> Result<(), Stop> {
        let Offered { material, bodies, brokers, attested } = offered;
        let (id, transcript) = (job.id, attested.id);
        self.on_queue(move |queue| {
            queue.set_transcript(&id, &transcript)?;
            // A job that was cancelled in the meantime stops here, before any charge.
            queue.advance(&id, JobState::Preparing, JobState::Granting)
        })
        .await?;
        let grants = self.grants(job, &material, &brokers, &attested).await?;
        relay::hand_over(enclave, transcript, grants, &self.deadlines).await?;
        self.on_queue(move |q| q.advance(&id, JobState::Granting, JobState::Loading)).await?;
        self.load(job, enclave, transcript, &material, bodies).await?;
        self.on_queue(move |q| q.advance(&id, JobState::Loading, JobState::Running)).await?;
        self.receive(job, enclave, generation, transcript).await
    }

    /// One broker after the other, so that where one refuses the next is not charged.
    async fn grants(
        &self,
        job: &JobRecord,
        material: &Material,
        brokers: &[Broker],
        attested: &Attested,
    ) -> Result<Vec<SealedGrant>, Stop> {
        let request = relay::grant_request(material, attested);
        let within = self.deadlines.broker;
        let mut answers = Vec::new();
        for broker in brokers {
            let ask = || relay::grant(broker, request.clone(), within);
            answers.push((broker, self.until_reached(job, ask).await?));
        }
        Ok(relay::in_job_order(answers))
    }

    async fn load(
        &self,
        job: &JobRecord,
        enclave: &Address,
        transcript: TranscriptId,
        material: &Material,
        bodies: Vec<std::fs::File>,
    ) -> Result<(), Stop> {
        let of = material.datasets.len();
        for (index, (dataset, body)) in (0..).zip(material.datasets.iter().zip(bodies)) {
            self.say(job, format!("loading dataset {} of {of}", index + 1)).await?;
            let (mut body, length) = (File::from_std(body), dataset.manifest.length);
            relay::load(enclave, transcript, index, &mut body, length, &self.deadlines).await?;
        }
        Ok(())
    }

    /// Repeats a request to a broker that is not there, or has just been killed, for
    /// as long as the deadlines allow. Requests are made so that repeating is safe.
    async fn until_reached<T, F>(&self, job: &JobRecord, ask: impl Fn() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<T, RelayError>>,
    {
        let end = Instant::now() + self.deadlines.broker_retry;
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut unusable = 0;
        loop {
            let error = match ask().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match &error {
                RelayError::BrokerUnreachable { .. } => {}
                RelayError::BrokerAnswer { .. } if unusable < ANSWERS => unusable += 1,
                _ => return Err(error.into()),
            }
            let wait = backoff.wait();
            if Instant::now() + wait > end {
                return Err(error.into());
            }
            self.say(job, format!("trying again: {error}")).await?;
            sleep(wait).await;
        }
    }

    pub(super) async fn say(&self, job: &JobRecord, detail: String) -> Result<(), Stop> {
        let id = job.id;
        tracing::debug!(job = id.digest().short(), detail, "job-detail");
        Ok(self.on_queue(move |queue| queue.set_detail(&id, &detail)).await?)
    }
}
