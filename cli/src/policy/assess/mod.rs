//! `cloister policy assess`: the draft of a data-protection impact assessment.
//!
//! Filled from what is signed, never from what is hoped: `policy.toml` is not read, and
//! neither is anything that does not verify. Each fact says where it is from, and what no
//! signature says is left to a person, as a blank.

mod account;
mod describe;
mod fact;
mod markdown;
mod record;
mod results;
mod words;

use std::{
    fs::File,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use clap::Args;
use cloister_broker::policy as rules;
use serde_json::{Value, json};

use self::{
    fact::{Section, quoted},
    markdown::TITLE,
    record::Record,
    words::{DECISIONS, MEASURES},
};
use super::{OfHome, loud};
use crate::{
    error::{Context, Error, Result},
    files::Draft,
    ui::{self, Report},
};

/// Draft a data-protection impact assessment from what is signed
///
/// The draft (GDPR, Article 35(7)) has the processing and its purposes, necessity and
/// proportionality, risks and measures, each fact with where it is from. What no signature
/// says is marked as a blank, to be filled in by the person who answers for the assessment.
/// Receipts count if they verify under the enclaves of the signed policy, and are in the
/// ledger.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  cloister policy assess --home hospital-a
  cloister policy assess --home hospital-a --results results \\
      --code logistic@1.code -o draft.md")]
pub struct Assess {
    #[command(flatten)]
    of: OfHome,
    /// A folder of releases, to be verified offline (repeatable)
    #[arg(long, value_name = "DIR")]
    results: Vec<PathBuf>,
    /// A file of signed code: approvals do not carry what its author says (repeatable)
    #[arg(long, value_name = "FILE")]
    code: Vec<PathBuf>,
    /// The file to write; assessment.md in the home by default
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace an older draft, with everything that was filled in
    #[arg(long)]
    force: bool,
}

impl Assess {
    /// Writes the draft.
    pub(super) fn run(&self) -> Result<Report> {
        let home = &self.of.home;
        // 1. What is known.
        let record = Record::read(home, &self.code, &self.results)?;
        let notes = notes(&record);
        let sections = sections(&record)?;
        let blanks: usize = sections.iter().map(|section| section.blanks.len()).sum();
        // 2. The file.
        let path = self.output.clone().unwrap_or_else(|| home.join("assessment.md"));
        let text = markdown::render(&about(&record), &notes, &sections);
        write(&path, text.as_bytes(), self.force)?;
        // 3. What was done.
        let (policy, counted) = (record.of_policy(), &record.results);
        let (jobs, not_counted) = (record.reservations().count(), counted.not_counted.len());
        let page = loud(&notes)
            .good(format!("Drafted {}", path.display()))
            .row("policy", &policy)
            .row("ledger", format!("head {:?}", record.account.head))
            .row("jobs granted", jobs)
            .row("jobs verified", counted.jobs.len())
            .row("blanks", format!("{blanks}, each marked [to be filled in: ...]"))
            .text("It is a draft: a person fills in the blanks, and answers for all of it.");
        let sections: Vec<_> =
            (1..).zip(&sections).map(|(number, section)| section.json(number)).collect();
        let json = json!({
            "home": home,
            "file": path,
            "draft": true,
            "policy": {
                "version": record.policy.value.version,
                "id": record.policy.id.to_string(),
            },
            "ledger_head": record.account.head.to_hex(),
            "jobs_verified": counted.jobs.len(),
            "receipts_not_counted": not_counted,
            "notes": notes,
            "sections": Value::Array(sections),
        });
        Ok(Report::done(page, json))
    }
}

/// What it is about, in one paragraph.
fn about(record: &Record) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let policy = &record.policy.value;
    format!(
        "Home of {}, data about {}; {}; ledger of {} entries, head {:?}; drafted {}.",
        record.home.name(),
        quoted(&policy.population),
        record.of_policy(),
        record.account.entries.len(),
        record.account.head,
        ui::time(now)
    )
}

/// The sections, in their order.
fn sections(record: &Record) -> Result<Vec<Section>> {
    Ok(vec![
        describe::roles(record),
        describe::purposes(record),
        describe::data(record),
        describe::processing(record),
        account::necessity(record)?,
        account::jobs(record)?,
        Section {
            title: "Measures",
            asks: "What is done about the risks, in the words of the section that explains it \
                   (Art. 35(7)(d)).",
            facts: MEASURES.iter().map(words::Quote::fact).collect(),
            blanks: vec!["measures of the organisation: access, training, incidents".to_owned()],
        },
        Section {
            title: "Residual risks",
            asks: "What the measures do not cover: the whole list of the threat model \
                   (Art. 35(7)(c)).",
            facts: words::risks().collect(),
            blanks: vec![
                "for each of these: how likely it is here, how severe for the people concerned, \
                 and who accepts it"
                    .to_owned(),
                "other risks to the rights and freedoms of these people".to_owned(),
            ],
        },
        Section {
            title: "What a person decides",
            asks: "Nothing that is signed answers these.",
            facts: Vec::new(),
            blanks: DECISIONS.map(str::to_owned).into(),
        },
    ])
}

/// What must not be overlooked.
fn notes(record: &Record) -> Vec<String> {
    let policy = &record.policy.value;
    let mut notes = rules::warnings(policy);
    if let Some(newest) = record.account.newest_policy().filter(|newest| *newest > policy.version) {
        notes.push(format!(
            "Version {newest} of the policy was in force, and this draft is of an older one: \
             nothing is granted under it."
        ));
    }
    if record.account.spent > policy.budget.total.rho {
        notes.push("More was spent than this policy allows.".to_owned());
    }
    if record.strange_approvals > 0 {
        let count = record.strange_approvals;
        notes.push(format!("Approvals not signed by this owner, which do not count: {count}."));
    }
    let count = record.results.not_counted.len();
    if count > 0 {
        notes.push(format!("Receipts that are not counted, with the reason below: {count}."));
    }
    notes
}

/// Writes the draft; with `force`, over an older one, but over nothing else.
fn write(path: &Path, text: &[u8], force: bool) -> Result<()> {
    if force && path.exists() {
        let mut start = Vec::new();
        let mut file = File::open(path).with_path(path)?.take(TITLE.len() as u64);
        file.read_to_end(&mut start).with_path(path)?;
        if start != TITLE.as_bytes() {
            return Err(Error::failed(format!(
                "{} is not a draft of this command: name another file with -o",
                path.display()
            )));
        }
    }
    let mut draft = Draft::begin(path, &[], force)?;
    draft.write_all(text).with_path(path)?;
    draft.commit()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_assessment_replaces_nothing_but_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("assessment.md");
        write(&path, TITLE.as_bytes(), false).unwrap();
        let error = write(&path, b"", false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        write(&path, TITLE.as_bytes(), true).unwrap();
        fs::write(&path, "theirs").unwrap();
        let error = write(&path, TITLE.as_bytes(), true).unwrap_err().to_string();
        assert!(error.contains("not a draft of this command"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }
}
