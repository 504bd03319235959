//! The description of the processing: who, what for, which data, by what.

use cloister_broker::policy::{self as rules, Enclave};
use cloister_party::Role;
use cloister_protocol::{
    KeyId,
    dataset::{Column, Unit},
    job::Recipients,
};
use serde_json::{Map, Value, json};

use super::{
    fact::{Fact, Section, Source, quoted},
    record::{Code, Dataset, Record},
    words::{HOST, PROCESSING},
};
use crate::{enrol::fingerprint, ui, unit};

/// Who takes part.
pub(super) fn roles(record: &Record) -> Section {
    let policy = &record.policy.value;
    let home = record.home.id();
    let mut facts =
        vec![record.key_fact("owner, taken as controller of its data", home, Source::Home)];
    let orchestrators = policy.orchestrators.iter();
    facts.extend(orchestrators.map(|key| record.key_fact("orchestrator", key, record.of_policy())));
    if policy.orchestrators.is_empty() {
        let says = "nobody's jobs are accepted".to_owned();
        facts.push(Fact {
            what: "orchestrator",
            says,
            value: Value::Null,
            from: record.of_policy(),
        });
    }
    for peer in record.peers.with_role(Role::Host) {
        let from = Source::Enrolment(*peer.id().digest());
        facts.push(record.key_fact("host, taken as processor, not trusted", peer.id(), from));
    }
    facts.push(HOST.fact());
    let mut authors = Vec::new();
    for code in record.code.values() {
        let key = code.manifest.signer.id();
        if !authors.contains(&key) {
            authors.push(key);
            facts.push(record.key_fact("author of code", &key, code.from.clone()));
        }
    }
    let others = policy.cohort.owners.iter().filter(|key| *key != home);
    facts.extend(
        others.map(|key| {
            record.key_fact("other owner that may be in a job", key, record.of_policy())
        }),
    );
    let least = policy.cohort.minimum_owners;
    facts.push(Fact {
        what: "fewest owners in one job",
        says: least.to_string(),
        value: json!(least),
        from: record.of_policy(),
    });
    facts.extend(policy.recipients.iter().map(|recipients| {
        let says = match recipients {
            Recipients::Anyone => "anyone",
        };
        let value = json!(says);
        Fact {
            what: "recipients of releases",
            says: says.to_owned(),
            value,
            from: record.of_policy(),
        }
    }));
    Section {
        title: "Roles",
        asks: "Who decides, who processes, who receives (Art. 35(7)(a), Art. 4(7) to (9)).",
        facts,
        blanks: vec![
            "whether this owner decides alone, or together with others named here".to_owned(),
            "who is behind each fingerprint, with address and contact".to_owned(),
        ],
    }
}

/// What for, and until when.
pub(super) fn purposes(record: &Record) -> Section {
    let purposes = &record.policy.value.purposes;
    let mut facts = Vec::new();
    for purpose in &purposes.allowed {
        let (says, value) = (quoted(purpose), json!(purpose));
        facts.push(Fact { what: "purpose", says, value, from: record.of_policy() });
    }
    if purposes.allowed.is_empty() {
        let says = "none: nothing is granted".to_owned();
        facts.push(Fact { what: "purpose", says, value: Value::Null, from: record.of_policy() });
    }
    let until = ui::time(purposes.not_after);
    facts.push(Fact {
        what: "nothing is granted after",
        says: until.clone(),
        value: json!(until),
        from: record.of_policy(),
    });
    Section {
        title: "Purposes",
        asks: "What the data may be used for, in the words that jobs have to use (Art. 35(7)(a)).",
        facts,
        blanks: vec![
            "what each purpose means in full, and the interest that is pursued".to_owned(),
        ],
    }
}

/// Which data; what is declared, and no value of a row.
pub(super) fn data(record: &Record) -> Section {
    let population = &record.policy.value.population;
    let mut facts = vec![Fact {
        what: "people",
        says: quoted(population),
        value: json!(population),
        from: record.of_policy(),
    }];
    for dataset in &record.datasets {
        facts.push(dataset_fact(dataset));
        facts.extend(dataset.header.columns.iter().map(|column| column_fact(dataset, column)));
    }
    if record.datasets.is_empty() {
        let says = "none is sealed in this home".to_owned();
        facts.push(Fact { what: "dataset", says, value: Value::Null, from: Source::Home });
    }
    Section {
        title: "Data",
        asks: "Which data about whom. Bounds and typical values are declared in public; no value \
               of a row is shown here (Art. 35(7)(a)).",
        facts,
        blanks: vec![
            "where the data was collected, when, and what people were told then".to_owned(),
            "which columns are special categories of data (Art. 9)".to_owned(),
        ],
    }
}

/// Which code and enclaves, and what leaves.
pub(super) fn processing(record: &Record) -> Section {
    let policy = &record.policy.value;
    let (mut facts, mut blanks) = (Vec::new(), Vec::new());
    for approval in &record.approvals {
        let (id, component) = (approval.value.code, approval.value.component);
        let counts =
            if policy.code.approvals { "" } else { "; the policy does not count approvals" };
        facts.push(Fact {
            what: "approved code",
            says: format!("code {:?}, component {component:?}{counts}", id.digest()),
            value: json!({
                "code": id.to_string(),
                "component": component.to_hex(),
                "counts": policy.code.approvals,
            }),
            from: Source::Approval(*approval.id.digest()),
        });
        if !record.code.contains_key(&id) {
            blanks.push(not_seen(&id.digest().short()));
        }
    }
    for component in &policy.code.components {
        facts.push(Fact {
            what: "approved component",
            says: format!("{component:?}"),
            value: json!({ "component": component.to_hex() }),
            from: record.of_policy(),
        });
        if !record.code.values().any(|code| code.manifest.value.component == *component) {
            blanks.push(not_seen(&component.short()));
        }
    }
    facts.extend(record.code.values().map(|code| code_fact(record, code)));
    let enclaves = rules::enclaves(&policy.enclaves);
    facts.extend(enclaves.iter().map(|one| enclave_fact(one, record.of_policy())));
    let age = policy.evidence_max_age;
    facts.push(Fact {
        what: "oldest proof of what an enclave runs",
        says: format!("{age} seconds"),
        value: json!(age),
        from: record.of_policy(),
    });
    facts.extend(PROCESSING.iter().map(super::words::Quote::fact));
    blanks.push("where the hosts stand, and who runs them".to_owned());
    Section {
        title: "Processing",
        asks: "Which code sees rows, in which enclaves, and what leaves (Art. 35(7)(a)).",
        facts,
        blanks,
    }
}

impl Record {
    /// A party, by its key.
    fn key_fact(&self, what: &'static str, key: &KeyId, from: Source) -> Fact {
        let value = json!({
            "name": self.name(key),
            "fingerprint": fingerprint(key),
            "key": key.to_string(),
        });
        Fact { what, says: self.party(key), value, from }
    }
}

fn dataset_fact(dataset: &Dataset) -> Fact {
    let Dataset { header, manifest, held } = dataset;
    let sizes = &manifest.value;
    let unit = match &header.unit {
        Unit::Row => "each row is a unit".to_owned(),
        Unit::Column(column) => format!("the unit is column {}", quoted(column)),
    };
    let withdrawn = if *held { "" } else { "; withdrawn, its key is not here" };
    Fact {
        what: "dataset",
        says: format!(
            "{}: {} units, {} rows, at most {} of one unit; {unit}{withdrawn}",
            quoted(&header.name),
            sizes.units,
            sizes.rows,
            sizes.max_rows_per_unit
        ),
        value: json!({
            "name": header.name,
            "id": manifest.id.to_string(),
            "units": sizes.units,
            "rows": sizes.rows,
            "max_rows_per_unit": sizes.max_rows_per_unit,
            "unit": unit::name(header),
            "key_held": held,
        }),
        from: Source::Dataset(*manifest.id.digest()),
    }
}

fn column_fact(dataset: &Dataset, column: &Column) -> Fact {
    let Column { name, role, kind, lower, upper, typical } = column;
    // Serde's names are those of dataset.toml.
    let word = |value: Value| value.as_str().unwrap_or_default().to_owned();
    let mut says = format!("{}: {}, {}", quoted(name), word(json!(role)), word(json!(kind)));
    if let (Some(lower), Some(upper)) = (lower, upper) {
        says = format!("{says}, from {lower} to {upper}");
    }
    if let Some(typical) = typical {
        says = format!("{says}, typical {typical}");
    }
    let mut value = json!(column);
    value["dataset"] = json!(dataset.manifest.id.to_string());
    Fact { what: "column", says, value, from: Source::Dataset(*dataset.manifest.id.digest()) }
}

fn code_fact(record: &Record, code: &Code) -> Fact {
    let Code { manifest, summary, from } = code;
    let (value, author) = (&manifest.value, manifest.signer.id());
    let named = format!("{}@{}", value.name, value.version);
    let mut says = format!(
        "{} (code {:?}, component {:?}), signed by {}; its update, it says: {}",
        quoted(&named),
        manifest.id.digest(),
        value.component,
        record.party(&author),
        quoted(&value.output)
    );
    if let Some(summary) = summary {
        says = format!("{says}; what it does, it says: {}", quoted(summary));
    }
    let approved = record.approves(manifest);
    if !approved {
        says.push_str("; **not approved now**");
    }
    Fact {
        what: "what the author says of code",
        says,
        value: json!({
            "name": value.name,
            "version": value.version,
            "code": manifest.id.to_string(),
            "component": value.component.to_hex(),
            "author": author.to_string(),
            "output": value.output,
            "summary": summary,
            "source": value.source,
            "approved": approved,
        }),
        from: from.clone(),
    }
}

fn not_seen(short: &str) -> String {
    format!("name, version, author and task of code {short}: give its file with --code")
}

fn enclave_fact(enclave: &Enclave, from: Source) -> Fact {
    let Enclave { section, name, marks } = enclave;
    let short = |(what, value): &(&str, String)| match value.get(..16) {
        Some(start) if value.len() > 32 || *what == "root" => format!("{what} {start}"),
        _ => format!("{what} {}", quoted(value)),
    };
    let shown: Vec<_> = marks.iter().map(short).collect();
    let bare = section.flag().is_some();
    let mut says = format!("{section}: {}, {}", quoted(name), shown.join(", "));
    if bare {
        says.push_str("; **whoever runs it can read the data**");
    }
    let marks: Map<_, _> =
        marks.iter().map(|(what, value)| ((*what).to_owned(), json!(value))).collect();
    let value = json!({
        "platform": section.name(),
        "name": name,
        "marks": marks,
        "protects_nothing": bare,
    });
    Fact { what: "enclave that may open the data", says, value, from }
}
