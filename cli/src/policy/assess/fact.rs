//! What the draft is made of: facts, each with what says so, and blanks.

use std::fmt;

use cloister_protocol::Digest;
use serde_json::{Value, json};

use crate::ui::printable;

/// A part of the assessment.
pub(super) struct Section {
    /// Its title.
    pub title: &'static str,
    /// What the regulation asks for with it.
    pub asks: &'static str,
    /// What is known.
    pub facts: Vec<Fact>,
    /// What a person has to say.
    pub blanks: Vec<String>,
}

/// One thing that is known.
pub(super) struct Fact {
    /// What it is about.
    pub what: &'static str,
    /// For people, in Markdown.
    pub says: String,
    /// For machines.
    pub value: Value,
    /// What says so.
    pub from: Source,
}

/// What says something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    /// The home itself: its identity and keys.
    Home,
    /// The enrolment of another party, accepted in this home.
    Enrolment(Digest),
    /// The signed policy.
    Policy(u64, Digest),
    /// An approval of code.
    Approval(Digest),
    /// The manifest of code, signed by its author.
    Code(Digest),
    /// The manifest of a sealed dataset.
    Dataset(Digest),
    /// The ledger as a whole, by its head.
    Ledger(Digest),
    /// One entry of it.
    Entry(u64, Digest),
    /// A receipt that verified, by its release.
    Receipt(Digest),
    /// The offline verification that was run.
    Verification,
    /// A page of the documentation, and its section.
    Page(&'static str, &'static str),
}

impl Section {
    /// The section for machines.
    pub(super) fn json(&self, number: usize) -> Value {
        let Self { title, asks, facts, blanks } = self;
        let facts: Vec<_> = facts.iter().map(Fact::json).collect();
        json!({
            "number": number,
            "title": title,
            "asks": asks,
            "facts": facts,
            "to_be_filled_in": blanks,
        })
    }
}

impl Fact {
    fn json(&self) -> Value {
        let Self { what, says: _, value, from } = self;
        json!({ "what": what, "value": value, "from": from.json() })
    }
}

impl Source {
    /// Its kind, and the whole digest of what has one.
    fn parts(&self) -> (&'static str, Option<&Digest>) {
        match self {
            Self::Home => ("home", None),
            Self::Enrolment(id) => ("enrolment", Some(id)),
            Self::Policy(_, id) => ("policy", Some(id)),
            Self::Approval(id) => ("approval", Some(id)),
            Self::Code(id) => ("code manifest", Some(id)),
            Self::Dataset(id) => ("dataset manifest", Some(id)),
            Self::Ledger(head) => ("ledger head", Some(head)),
            Self::Entry(_, digest) => ("ledger entry", Some(digest)),
            Self::Receipt(release) => ("receipt of release", Some(release)),
            Self::Verification => ("offline verification", None),
            Self::Page(..) => ("documentation", None),
        }
    }

    /// The line in which its whole digest can be looked up.
    pub(super) fn whole(&self) -> Option<String> {
        let (_, digest) = self.parts();
        Some(format!("{self}: {}", digest?))
    }

    fn json(&self) -> Value {
        let (kind, digest) = self.parts();
        let mut json = json!({ "kind": kind });
        if let Some(digest) = digest {
            json["id"] = json!(digest.to_hex());
        }
        match self {
            Self::Policy(version, _) => json["version"] = json!(version),
            Self::Entry(seq, _) => json["seq"] = json!(seq),
            Self::Page(page, section) => {
                json["page"] = json!(page);
                json["section"] = json!(section);
            }
            _ => {}
        }
        json
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.parts()) {
            (Self::Policy(version, id), _) => write!(f, "policy version {version} ({id:?})"),
            (Self::Entry(seq, digest), _) => write!(f, "ledger entry {seq} ({digest:?})"),
            (Self::Page(page, section), _) => write!(f, "{page}, {section:?}"),
            (_, (kind, Some(digest))) => write!(f, "{kind} {digest:?}"),
            (_, (kind, None)) => f.write_str(kind),
        }
    }
}

/// Somebody else's words in Markdown: as they are, and nothing but words.
pub(super) fn quoted(text: &str) -> String {
    let text = printable(text).replace('`', "'");
    if text.trim().is_empty() { "nothing".to_owned() } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_stay_words_when_an_assessment_quotes_them() {
        assert_eq!(quoted("a` [b](c)\n# d"), "`a' [b](c)\u{fffd}# d`");
        assert_eq!(quoted(" "), "nothing");
    }

    #[test]
    fn the_sources_of_an_assessment_can_be_looked_up() {
        let digest = Digest::of("test", &[]);
        let policy = Source::Policy(6, digest);
        assert_eq!(policy.to_string(), format!("policy version 6 ({})", digest.short()));
        assert_eq!(policy.json()["id"], digest.to_hex());
        assert!(policy.whole().unwrap().ends_with(&digest.to_hex()));
        assert_eq!(Source::Page("docs/privacy.md", "Groups").whole(), None);
    }
}
