//! Adding a key to the text of a policy, keeping what its owner wrote.

use cloister_protocol::KeyId;
use serde::Deserialize;
use toml::Spanned;

/// A list of keys in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// `[cohort] owners`.
    Owners,
    /// `[orchestrators] keys`.
    Orchestrators,
}

/// Why a key was not added.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The policy cannot be read.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// The version is as large as can be.
    #[error("version cannot be counted up")]
    Version,
    /// The list is written in a way that this does not understand.
    #[error("the key cannot be added to this list; write it there by hand: {0}")]
    Shape(KeyId),
}

#[derive(Deserialize)]
struct Document {
    policy: Version,
    orchestrators: Keys,
    cohort: Owners,
}

#[derive(Deserialize)]
struct Version {
    version: Spanned<u64>,
}

#[derive(Deserialize)]
struct Keys {
    keys: Spanned<Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
struct Owners {
    owners: Spanned<Vec<Spanned<String>>>,
}

impl Document {
    fn list(&self, list: List) -> &Spanned<Vec<Spanned<String>>> {
        match list {
            List::Owners => &self.cohort.owners,
            List::Orchestrators => &self.orchestrators.keys,
        }
    }

    fn has(&self, list: List, key: &str) -> bool {
        self.list(list).get_ref().iter().any(|found| found.get_ref().trim() == key)
    }
}

/// Adds `key` to a list, under a comment, and counts the version up. A key that is there
/// already changes nothing.
pub fn allow(text: &str, list: List, key: &KeyId, comment: &str) -> Result<String, EditError> {
    let document: Document = toml::from_str(text)?;
    let hex = key.to_string();
    if document.has(list, &hex) {
        return Ok(text.to_owned());
    }
    let version = &document.policy.version;
    let next = version.get_ref().checked_add(1).ok_or(EditError::Version)?;

    // From the last change to the first, so that places stay right.
    let found = document.list(list);
    let close = found.span().end.checked_sub(1).ok_or(EditError::Shape(*key))?;
    let line = text[..close].rfind('\n').map_or(0, |newline| newline + 1);
    let own_line = text[line..close].trim().is_empty();
    let entry = format!("    # {comment}\n    \"{hex}\",\n");
    let mut changes =
        vec![if own_line { (line..line, entry) } else { (close..close, format!("\n{entry}")) }];
    if let Some(last) = found.get_ref().last() {
        let end = last.span().end;
        if !has_comma(&text[end..close]) {
            changes.push((end..end, ",".to_owned()));
        }
    }
    changes.push((version.span(), next.to_string()));
    changes.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut changed = text.to_owned();
    for (place, with) in changes {
        changed.replace_range(place, &with);
    }

    // What was meant is what is there now, or nothing is changed.
    let after: Document = toml::from_str(&changed).map_err(|_| EditError::Shape(*key))?;
    let more = document.list(list).get_ref().len() + 1;
    if after.has(list, &hex) && after.list(list).get_ref().len() == more {
        Ok(changed)
    } else {
        Err(EditError::Shape(*key))
    }
}

/// Whether a comma follows, comments apart.
fn has_comma(text: &str) -> bool {
    text.lines().any(|line| line.split('#').next().is_some_and(|code| code.contains(',')))
}

#[cfg(test)]
mod tests {
    use cloister_protocol::Digest;

    use super::*;

    fn text(owners: &str, keys: &str) -> String {
        format!(
            "# mine\n[policy]\nversion = 3 # counted\n[orchestrators]\nkeys = {keys}\n\
             [cohort]\nowners = {owners} # end\nminimum-owners = 1\n"
        )
    }

    fn key(name: &str) -> KeyId {
        KeyId::new(Digest::of("test", &[name.as_bytes()]))
    }

    #[test]
    fn keys_are_added_to_lists_of_any_shape() {
        for (owners, count) in [
            ("[]", 0),
            ("[\"a\"]", 1),
            ("[\"a\", \"b\",]", 2),
            ("[\n    \"a\", # me, myself\n    # him\n    \"b\"\n]", 2),
            ("[\n    \"a\" # me, myself\n]", 1),
            ("[\n    \"a\",\n    # later\n]", 1),
        ] {
            let before = text(owners, "[]");
            let after = allow(&before, List::Owners, &key("x"), "owner x").unwrap();
            let document: Document = toml::from_str(&after).unwrap();
            assert_eq!(document.cohort.owners.get_ref().len(), count + 1, "{after}");
            assert_eq!(*document.policy.version.get_ref(), 4);
            for comment in before.lines().filter_map(|line| line.split_once('#')) {
                assert!(after.contains(comment.1), "{after}");
            }
            assert!(after.contains("    # owner x\n"));
            // The same key again changes nothing, another one is added.
            assert_eq!(allow(&after, List::Owners, &key("x"), "owner x").unwrap(), after);
            assert!(allow(&after, List::Owners, &key("y"), "owner y").is_ok());
        }
    }

    #[test]
    fn lists_are_not_mixed_up() {
        let after = allow(&text("[]", "[]"), List::Orchestrators, &key("x"), "lab").unwrap();
        let document: Document = toml::from_str(&after).unwrap();
        assert!(document.has(List::Orchestrators, &key("x").to_string()));
        assert!(document.cohort.owners.get_ref().is_empty());
        assert!(allow("[policy]\nversion = 1\n", List::Owners, &key("x"), "x").is_err());
    }

    #[test]
    fn the_template_can_be_edited() {
        let template = cloister_broker::policy::template(&cloister_broker::policy::Template {
            owner: key("me"),
            name: "me",
            population: "people",
            not_after: "2030-01-01",
        });
        let once = allow(&template, List::Owners, &key("x"), "owner x").unwrap();
        let twice = allow(&once, List::Orchestrators, &key("y"), "orchestrator y").unwrap();
        let document: Document = toml::from_str(&twice).unwrap();
        assert_eq!(document.cohort.owners.get_ref().len(), 2);
        assert_eq!(document.orchestrators.keys.get_ref().len(), 1);
        let comments = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
        assert_eq!(comments(&template), comments(&twice));
    }
}
