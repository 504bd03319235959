//! Several releases of one job: each names the one before.

use super::read::Released;

/// How much of a job's chain there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// One release, checked by itself.
    Single,
    /// The first so many.
    Beginning(usize),
    /// All.
    Complete,
}

/// An enclave takes one grant for each dataset, so all receipts of a transcript carry the same.
/// Releases sign none of them: an owner whose ledger was put back could grant again, and put
/// that into copies.
pub fn same_grants(releases: &[Released]) -> Result<(), String> {
    let grants =
        |one: &Released| one.checked.grants.iter().map(|grant| grant.id).collect::<Vec<_>>();
    let Some((first, rest)) = releases.split_first() else { return Ok(()) };
    match rest.iter().find(|one| grants(one) != grants(first)) {
        Some(other) => Err(format!(
            "the receipts {} and {} of one transcript carry different grants: an enclave takes one \
             for each dataset, so one of them was made afterwards",
            first.path.display(),
            other.path.display()
        )),
        None => Ok(()),
    }
}

/// Sorts releases by number, and drops what is there more than once, as under two names:
/// what is signed counts, and it is the same.
pub fn sort(releases: &mut Vec<Released>) {
    releases.sort_by_key(|one| (one.checked.release.value.number, one.checked.release.id));
    releases.dedup_by_key(|one| one.checked.release.id);
}

/// Checks that `releases`, sorted by number, are the first ones of the job, each once,
/// and that each names the one before. A single one is not compared with anything.
pub fn check(releases: &[Released], failures: &mut Vec<String>) -> Coverage {
    let links: Vec<Link> = releases.iter().map(Link::of).collect();
    if links.len() == 1 && links[0].of > 1 {
        return Coverage::Single;
    }
    failures.extend(broken(&links));
    if links.len() == links[0].of as usize {
        Coverage::Complete
    } else {
        Coverage::Beginning(links.len())
    }
}

/// What the chain is made of.
struct Link {
    number: u32,
    of: u32,
    id: String,
    previous: Option<String>,
}

impl Link {
    fn of(released: &Released) -> Self {
        let release = &released.checked.release;
        Self {
            number: release.value.number,
            of: release.value.of,
            id: release.id.to_string(),
            previous: release.value.previous.map(|id| id.to_string()),
        }
    }
}

/// The first place where the chain does not hold.
fn broken(links: &[Link]) -> Option<String> {
    for (expected, link) in (0_u32..).zip(links) {
        let number = link.number;
        if number < expected {
            return Some(format!("release {number} is there twice, and not the same"));
        }
        if number > expected {
            return Some(format!(
                "release {expected} is missing, so the chain cannot be followed to {number}: \
                 fetch it with `cloister follow`, or verify single releases one at a time"
            ));
        }
        let before = expected.checked_sub(1).map(|place| &links[place as usize].id);
        if link.previous.as_ref() != before {
            return Some(format!("release {number} does not follow on the one before it"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(number: u32, id: &str, previous: Option<&str>) -> Link {
        Link { number, of: 3, id: id.into(), previous: previous.map(Into::into) }
    }

    #[test]
    fn a_chain_is_followed_from_its_beginning() {
        let whole = [link(0, "a", None), link(1, "b", Some("a")), link(2, "c", Some("b"))];
        assert_eq!(broken(&whole), None);
        assert_eq!(broken(&whole[..2]), None);
        assert!(broken(&whole[1..]).unwrap().contains("release 0 is missing"));
        let gap = [link(0, "a", None), link(2, "c", Some("b"))];
        assert!(broken(&gap).unwrap().contains("release 1 is missing"));
        let twice = [link(0, "a", None), link(0, "x", None)];
        assert!(broken(&twice).unwrap().contains("twice"));
        let other = [link(0, "a", None), link(1, "b", Some("x"))];
        assert!(broken(&other).unwrap().contains("does not follow"));
    }
}
