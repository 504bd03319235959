//! From `JOB.toml` and what it names to the job that is signed.

use cloister_protocol::{
    code::CodeManifest,
    dataset::{Column, Role},
    job::{CallLimits, Job, JobRole, PublicSet, Recipients, Schedule, ServerStep},
    signed::Verified,
};
use serde_bytes::ByteArray;

use super::{datasets::Chosen, plan::Planned, tables::Population, text::JobText};
use crate::{
    data::{Description, random},
    error::{Context, Error, Result},
};

/// What the text names, resolved.
pub struct Parts<'a> {
    /// The code.
    pub code: &'a Verified<CodeManifest>,
    /// The gates.
    pub planned: &'a Planned,
    /// The datasets.
    pub datasets: &'a [Chosen],
}

/// Compiles a job, valid from now on.
pub fn compile(text: &JobText, parts: &Parts<'_>, public_set: Option<PublicSet>) -> Result<Job> {
    parts.code.value.resolve(&text.parameters).doing("parameters")?;
    let now = u64::try_from(jiff::Timestamp::now().as_second()).doing("the system's clock")?;
    let job = Job {
        version: 1,
        job: ByteArray::new(random()?),
        purpose: text.purpose.clone(),
        role: JobRole::Both,
        code: parts.code.id,
        parameters: text.parameters.clone(),
        datasets: parts.datasets.iter().map(|chosen| chosen.dataset.clone()).collect(),
        rounds: text.rounds,
        gate: parts.planned.gate,
        centring: parts.planned.centring,
        metrics: parts.planned.metrics,
        server: ServerStep {
            rate: text.server.rate,
            momentum: text.server.momentum,
            average_last: text.server.average_last,
            scale: text.server.scale,
            clamp: text.server.clamp,
        },
        schedule: Schedule {
            first_ms: text.schedule.first_ms,
            interval_ms: text.schedule.interval_ms,
        },
        limits: CallLimits { fuel: text.limits.fuel, memory: text.limits.memory },
        cost: 0,
        seed: text.seed,
        recipients: Recipients::Anyone,
        public_set,
        not_after: now.saturating_add(text.validity()?),
    };
    // What it costs at all orders, whatever the account that it was planned for.
    let cost = job.charges().total().doing("the job's cost")?.as_pico();
    let job = Job { cost, ..job };
    job.validate().doing("the job")?;
    Ok(job)
}

/// The description of a public set with its columns in the order of the first population's,
/// whose tables may have been joined. Refuses one whose columns do not mean what those mean.
pub fn in_order(public: &Description, first: &Population<'_>) -> Result<Description> {
    let header = &first.joined.header;
    let trained = |columns: &[Column]| {
        columns.iter().filter(|column| column.role != Role::Unit).cloned().collect::<Vec<_>>()
    };
    let of_set = public.header([0; 16], header.owner, header.broker, header.population.clone());
    let mut public = public.clone();
    // The order of features, and of targets, is the code's: only how they mix may differ.
    if of_set.same_schema(header) {
        let place = |column: &Column| header.columns.iter().position(|other| other == column);
        public.columns.sort_by_key(place);
    }
    if trained(&public.columns) == trained(&header.columns) {
        return Ok(public);
    }
    Err(Error::failed(format!(
        "the public set's description has other columns or bounds than the datasets of {}: use \
         the dataset.toml that the owners sealed with; of tables that are joined, one with the \
         columns of all",
        first.owner_name
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cloister_protocol::{
        Digest, Id, SigningKey,
        code::{Parameter, WORLD},
        dataset::{BodyHash, DatasetManifest},
        job::JobDataset,
    };

    use super::*;
    use crate::run::{
        plan, tables,
        text::{MetricsText, tests::job as text},
    };

    fn code() -> Verified<CodeManifest> {
        let manifest = CodeManifest {
            name: "logistic".into(),
            version: "1".into(),
            component: Digest::of("test", &[]),
            length: 1,
            world: WORLD.into(),
            parameters: vec![Parameter { name: "l2".into(), lower: 0.0, upper: 1.0, default: 0.0 }],
            output: "gradient".into(),
            source: None,
        };
        let (key, _) = SigningKey::generate().unwrap();
        Verified { value: manifest, id: Id::new(Digest::of("test", &[])), signer: *key.public() }
    }

    fn chosen() -> Chosen {
        let (key, _) = SigningKey::generate().unwrap();
        let header = Description::of_test().header([1; 16], key.id(), key.id(), "people".into());
        let dataset = JobDataset {
            manifest: Id::new(Digest::of("test", &[])),
            owner: key.id(),
            population: "people".into(),
            units: 250,
        };
        let manifest = DatasetManifest {
            header: header.digest(),
            length: 1,
            rows: 250,
            units: 250,
            max_rows_per_unit: 1,
            body: BodyHash(ByteArray::new([0; 32])),
        };
        Chosen { owner_name: "a".into(), dataset, header, manifest }
    }

    #[test]
    fn the_job_says_what_was_planned() {
        let (code, planned, datasets) = (code(), plan::plan(&text()).unwrap(), [chosen()]);
        let parts = Parts { code: &code, planned: &planned, datasets: &datasets };
        let job = compile(&text(), &parts, None).unwrap();
        assert_eq!(job.cost, planned.plan.total.as_pico());
        assert_eq!(job.gate.sigma, planned.plan.round.sigma_steps);
        assert_eq!(job.charges().total().unwrap(), planned.plan.total);
        assert_eq!(job.units(), 250);
        let mut measured = text();
        measured.metrics = Some(MetricsText { share: "1/10".into(), loss: 0.25 });
        let planned = plan::plan(&measured).unwrap();
        let parts = Parts { code: &code, planned: &planned, datasets: &datasets };
        let job = compile(&measured, &parts, None).unwrap();
        let metrics = job.metrics.unwrap();
        assert_eq!(job.charges().total().unwrap().as_pico(), job.cost);
        assert_eq!(
            (metrics.loss, metrics.sigma),
            (0.25, planned.plan.metrics.unwrap().sigma_steps)
        );
        assert_eq!(job.releases(), 26);
        let parts = Parts { planned: &plan::plan(&text()).unwrap(), ..parts };
        let again = compile(&text(), &parts, None).unwrap();
        assert_ne!(job.job, again.job);
    }

    #[test]
    fn parameters_and_numbers_are_checked() {
        let (code, planned, datasets) = (code(), plan::plan(&text()).unwrap(), [chosen()]);
        let parts = Parts { code: &code, planned: &planned, datasets: &datasets };
        let mut wrong = text();
        wrong.parameters = BTreeMap::from([("l1".to_owned(), 0.5)]);
        let error = compile(&wrong, &parts, None).unwrap_err().to_string();
        assert!(error.contains("no parameter \"l1\""), "{error}");
        let mut wrong = text();
        wrong.server.average_last = 25;
        let error = compile(&wrong, &parts, None).unwrap_err().to_string();
        assert!(error.contains("server.average_last"), "{error}");
    }

    #[test]
    fn a_public_set_needs_the_datasets_columns() {
        let chosen = [chosen()];
        let populations = tables::populations(&chosen).unwrap();
        let mut public = Description::of_test();
        assert!(in_order(&public, &populations[0]).is_ok());
        assert!(in_order(&public.clone().without_unit(), &populations[0]).is_ok());
        // A label that stands elsewhere, as in a wide table beside joined ones, is moved.
        public.columns.swap(1, 2);
        let ordered = in_order(&public, &populations[0]).unwrap();
        assert_eq!(ordered.columns, Description::of_test().columns);
        public.columns[2].upper = Some(11.0);
        let error = in_order(&public, &populations[0]).unwrap_err().to_string();
        assert!(error.contains("other columns or bounds"), "{error}");
    }
}
