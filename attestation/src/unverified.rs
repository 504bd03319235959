//! What evidence says of itself, before anything is verified.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{nitro, snp};

/// What evidence says of itself: not to be relied on, only to be shown. All text is safe to
/// log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    /// What it has the form of.
    pub form: &'static str,
    /// Its fields, by name.
    pub fields: Vec<(String, String)>,
}

impl Unverified {
    /// Reads evidence of any known form. None if it has none of them.
    #[must_use]
    pub fn read(evidence: &[u8]) -> Option<Self> {
        snp::unverified(evidence).or_else(|| nitro::unverified(evidence))
    }

    pub(crate) fn new(form: &'static str) -> Self {
        Self { form, fields: Vec::new() }
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.fields.push((name.into(), value.to_string()));
        self
    }
}

impl Serialize for Unverified {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
