//! Third state: the data keys are here, the data is not.

use std::sync::Arc;

use cloister_protocol::{
    Signed, SigningKey, Verified,
    dataset::{ChunkError, DataKey, DatasetManifest, HeaderCore},
    grant::Grant,
    transcript::TranscriptId,
};

use super::{Attested, Loaded};
use crate::{
    admission::Admitted,
    refusal::{Code, Refused},
    release::{Foundation, Notary},
    rows::{self, BodyError, BodyReader, RowsError, Table},
};

/// A session whose grants are open.
pub struct Granted {
    admitted: Admitted,
    id: TranscriptId,
    transcript: Vec<u8>,
    evidence: Vec<u8>,
    signing: SigningKey,
    grants: Vec<Signed<Grant>>,
    places: Vec<Place>,
}

/// One dataset of the job.
enum Place {
    /// Its key is here, its rows are not. At most one exchange holds the second pointer.
    Awaited(Arc<DataKey>),
    /// Its rows are here, its key is erased.
    Complete(Table),
}

impl Granted {
    pub(super) fn new(
        attested: Attested,
        keys: Vec<Arc<DataKey>>,
        grants: Vec<Signed<Grant>>,
    ) -> Self {
        // The key that grants are sealed to has done its work.
        let Attested { admitted, id, transcript, evidence, hpke: _, signing } = attested;
        let places = keys.into_iter().map(Place::Awaited).collect();
        Self { admitted, id, transcript, evidence, signing, grants, places }
    }

    /// The transcript.
    #[must_use]
    pub fn id(&self) -> TranscriptId {
        self.id
    }

    /// How many datasets are still to come.
    #[must_use]
    pub fn missing(&self) -> u32 {
        let missing = self.places.iter().filter(|place| matches!(place, Place::Awaited(_)));
        u32::try_from(missing.count()).unwrap_or(u32::MAX)
    }

    /// Begins to load the dataset in a place, apart from the session: a host that stalls
    /// in the middle holds up nothing else.
    ///
    /// # Errors
    ///
    /// [`Code::LoadIndex`], [`Code::LoadAgain`], [`Code::LoadBusy`], [`Code::BodyLength`],
    /// [`Code::BodyMemory`].
    pub fn begin(&self, index: u32, length: u64) -> Result<Loading, Refused> {
        let place = usize::try_from(index).ok().and_then(|index| self.places.get(index));
        let key = match place {
            None => {
                let why = format!("no dataset {index}: the job has {}", self.places.len());
                return Err(Refused::new(Code::LoadIndex, why));
            }
            Some(Place::Complete(_)) => {
                let why = format!("dataset {index} is complete: load the others");
                return Err(Refused::new(Code::LoadAgain, why));
            }
            Some(Place::Awaited(key)) if Arc::strong_count(key) > 1 => {
                let why = format!("dataset {index} is being loaded: end that exchange first");
                return Err(Refused::new(Code::LoadBusy, why));
            }
            Some(Place::Awaited(key)) => Arc::clone(key),
        };
        let vetted = &self.admitted.vetted;
        let manifest = vetted.manifests[index as usize].clone();
        let header = vetted.offer.datasets[index as usize].header.clone();
        let expected = manifest.value.length;
        if length != expected {
            return Err(body_refused(BodyError::Length { expected, found: length }));
        }
        let alone = vetted.is_alone(index as usize);
        let reader = BodyReader::new(key, manifest.value.header, &manifest.value);
        Ok(Loading { index, header, manifest, alone, reader: reader.map_err(body_refused)? })
    }

    /// Puts a complete dataset into its place; its key is erased.
    pub fn complete(&mut self, loaded: LoadedDataset) {
        self.places[loaded.index as usize] = Place::Complete(loaded.table);
    }

    /// The next state, once no dataset is missing.
    ///
    /// # Errors
    ///
    /// The session as it was, if some are.
    pub fn loaded(self) -> Result<Loaded, Box<Self>> {
        if self.missing() > 0 {
            return Err(Box::new(self));
        }
        let Self { admitted, id, transcript, evidence, signing, grants, places } = self;
        let vetted = admitted.vetted;
        let mut tables = places.into_iter().filter_map(|place| match place {
            Place::Complete(table) => Some(table),
            Place::Awaited(_) => None,
        });
        let populations = vetted.job.value.populations();
        let tables = populations.map(|places| tables.by_ref().take(places.len()).collect());
        let tables: Vec<Vec<Table>> = tables.collect();
        let foundation = Foundation {
            transcript_id: id,
            transcript,
            evidence,
            job_id: vetted.job.id,
            of: vetted.job.value.releases(),
            job: vetted.offer.job,
            code: vetted.offer.code,
            datasets: vetted.offer.datasets,
            grants,
        };
        Ok(Loaded {
            notary: Notary::new(foundation, signing),
            schedule: vetted.job.value.schedule,
            plan: admitted.plan,
            compiled: admitted.compiled,
            settings: admitted.settings,
            tables,
        })
    }
}

/// A dataset that is coming in.
pub struct Loading {
    index: u32,
    header: HeaderCore,
    manifest: Verified<DatasetManifest>,
    /// Whether it is the only table of its population.
    alone: bool,
    reader: BodyReader,
}

/// A dataset whose hash matched, grouped by unit. Only [`Loading::finish`] makes one.
pub struct LoadedDataset {
    index: u32,
    table: Table,
}

impl Loading {
    /// Takes the next bytes of the sealed body.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the dataset may then be loaded again from its beginning.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        self.reader.take(bytes).map_err(body_refused)
    }

    /// Compares the whole body with what the owner signed, and only then reads rows.
    /// It computes for as long as the data is large.
    ///
    /// # Errors
    ///
    /// [`Refused`]; the dataset may then be loaded again from its beginning.
    pub fn finish(self) -> Result<LoadedDataset, Refused> {
        let plaintext = self.reader.finish().map_err(body_refused)?;
        let table = rows::table(plaintext, &self.header, &self.manifest.value);
        let table = table.map_err(rows_refused)?;
        let table = if self.alone { table.alone() } else { table };
        Ok(LoadedDataset { index: self.index, table })
    }
}

fn body_refused(error: BodyError) -> Refused {
    let code = match error {
        BodyError::Length { .. } => Code::BodyLength,
        BodyError::Chunk(ChunkError::Commitment) => Code::BodyCommitment,
        BodyError::Chunk(ChunkError::AfterLast) => Code::BodyAfterLast,
        BodyError::Chunk(ChunkError::Truncated(_)) => Code::BodyTruncated,
        BodyError::Chunk(_) => Code::BodyChunk,
        BodyError::Hash => Code::BodyHash,
        BodyError::Memory(_) => Code::BodyMemory,
    };
    Refused::new(code, error)
}

/// Two codes and no more: which rule a dataset's rows broke is for its owner to find.
fn rows_refused(error: RowsError) -> Refused {
    match error {
        RowsError::Stream | RowsError::Columns => Refused::new(
            Code::DatasetFormat,
            "the dataset's plaintext is not an Arrow IPC stream with the header's columns: its owner has to seal it again",
        ),
        RowsError::NullUnit | RowsError::Counts => Refused::new(
            Code::DatasetRows,
            "the dataset's rows are not as its manifest says, or lack unit ids: its owner has to seal it again",
        ),
    }
}
