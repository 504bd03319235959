//! Tables of one population, which the enclave joins by unit.

use std::collections::BTreeSet;

use cloister_protocol::dataset::Joined;

use super::datasets::Chosen;
use crate::{
    error::{Context, Error, Result},
    ui::printable,
};

/// The tables of one population of a job.
pub struct Population<'a> {
    /// The owner's name.
    pub owner_name: &'a str,
    /// The tables, the base first.
    pub tables: &'a [Chosen],
    /// What is public of them together.
    pub joined: Joined,
}

/// Puts the tables of each population behind its first one, where the job has `named` each.
pub(super) fn gather(chosen: Vec<Chosen>, named: impl Fn(&Chosen) -> bool) -> Result<Vec<Chosen>> {
    let mut seen = BTreeSet::new();
    let mut gathered: Vec<Chosen> = Vec::new();
    for one in chosen {
        if !seen.insert(one.dataset.manifest) {
            let word = word(&one);
            return Err(Error::failed(format!("the job names {word:?} twice: name it once")));
        }
        match gathered.iter().rposition(|other| same_people(other, &one)) {
            None => gathered.push(one),
            Some(place) if named(&one) && named(&gathered[place]) => {
                gathered.insert(place + 1, one);
            }
            Some(place) => return Err(two(&gathered[place], &one)),
        }
    }
    Ok(gathered)
}

/// Which table is the base decides whose units count, so that is never guessed.
fn two(one: &Chosen, other: &Chosen) -> Error {
    Error::failed(format!(
        "{} has two datasets about population {:?}, {:?} and {:?}: name one, as in datasets = \
         [{:?}], or both to have them joined by unit, first the one whose units count, as in \
         datasets = [{:?}, {:?}]",
        one.owner_name,
        one.dataset.population,
        one.header.name,
        other.header.name,
        word(one),
        word(one),
        word(other),
    ))
}

/// The populations of gathered tables.
pub fn populations(chosen: &[Chosen]) -> Result<Vec<Population<'_>>> {
    chosen.chunk_by(same_people).map(Population::of).collect()
}

/// Whether all populations have the same columns, each from all its tables.
pub(super) fn check(chosen: &[Chosen]) -> Result<()> {
    let populations = populations(chosen)?;
    let Some(first) = populations.first() else { return Ok(()) };
    let same = |other: &&Population<'_>| other.joined.header.same_schema(&first.joined.header);
    match populations.iter().find(|other| !same(other)) {
        None => Ok(()),
        Some(other) => Err(Error::failed(format!(
            "the datasets of {} and {} have different columns or bounds: owners of one job seal \
             with one dataset.toml, and tables that are joined have its columns together, in its \
             order",
            first.owner_name, other.owner_name
        ))),
    }
}

impl<'a> Population<'a> {
    fn of(tables: &'a [Chosen]) -> Result<Self> {
        let owner_name = &tables[0].owner_name;
        let joined = Joined::of(tables.iter().map(|one| (&one.header, &one.manifest)));
        let names: Vec<_> = tables.iter().map(|one| printable(&one.header.name)).collect();
        let joined =
            joined.doing(format!("cannot join {} of {owner_name}", names.join(" and ")))?;
        Ok(Self { owner_name, tables, joined })
    }

    /// How many units it has, and of which tables if there are several.
    pub fn words(&self) -> String {
        let (units, name) = (self.joined.units, |one: &Chosen| printable(&one.header.name));
        match self.tables {
            [base, others @ ..] if !others.is_empty() => {
                let others: Vec<_> = others.iter().map(name).collect();
                format!("{units} units of {}, joined with {}", name(base), others.join(", "))
            }
            _ => format!("{units} units"),
        }
    }
}

fn same_people(one: &Chosen, other: &Chosen) -> bool {
    (&one.dataset.owner, &one.dataset.population)
        == (&other.dataset.owner, &other.dataset.population)
}

/// What a job calls it.
fn word(one: &Chosen) -> String {
    format!("{}/{}", one.owner_name, one.header.name)
}

#[cfg(test)]
mod tests {
    use cloister_protocol::SigningKey;

    use super::*;
    use crate::{
        data::Description,
        run::{
            datasets::{
                Offered, choose,
                tests::{changed, key, offered},
            },
            text::Datasets,
        },
    };

    fn list(words: &[&str]) -> Datasets {
        Datasets::List(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn refused(wanted: &Datasets, offered: &[Offered]) -> String {
        choose(wanted, offered.to_vec()).unwrap_err().to_string()
    }

    /// A table with one feature called after it, and one row of each unit.
    fn laboratory(owner: &str, name: &str, key: &SigningKey) -> Offered {
        changed(owner, name, key, |description| with_feature(description, name))
    }

    fn with_feature(description: &mut Description, name: &str) {
        description.columns.truncate(2);
        description.columns[1].name = format!("of {name}");
        description.max_rows_per_unit = 1;
    }

    #[test]
    fn the_same_people_are_joined_only_if_each_table_is_named() {
        let key = key();
        let offered = [offered("a", "x", &key), laboratory("a", "y", &key)];
        for wanted in [
            Datasets::Word("all".into()),
            Datasets::Word("a".into()),
            list(&["a"]),
            list(&["a/x", "a"]),
        ] {
            let error = refused(&wanted, &offered);
            let twice = error.contains("names \"a/x\" twice");
            assert!(twice || error.contains("[\"a/x\", \"a/y\"]"), "{error}");
        }
        assert_eq!(choose(&list(&["a/y"]), offered.to_vec()).unwrap().len(), 1);
        let chosen = choose(&list(&["a/y", "a/x"]), offered.to_vec()).unwrap();
        let [one] = &populations(&chosen).unwrap()[..] else { panic!("one population") };
        assert_eq!(one.words(), "2 units of y, joined with x");
        let names: Vec<_> = one.joined.header.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["id", "of y", "size", "sick"]);
    }

    #[test]
    fn tables_that_are_named_apart_stand_together() {
        let (ours, theirs) = (key(), key());
        let wide = changed("b", "wide", &theirs, |description| {
            let mut extra = description.columns[1].clone();
            extra.name = "of y".into();
            description.columns.insert(2, extra);
        });
        let offered = [offered("a", "x", &ours), wide, laboratory("a", "y", &ours)];
        let chosen = choose(&list(&["a/x", "b", "a/y"]), offered.to_vec()).unwrap();
        let names: Vec<_> = chosen.iter().map(|one| one.header.name.as_str()).collect();
        assert_eq!(names, ["x", "y", "wide"]);
        assert_eq!(populations(&chosen).unwrap().len(), 2);
        // The other way round, b's columns would have to be in another order.
        let error = refused(&list(&["a/y", "b", "a/x"]), &offered);
        assert!(error.contains("different columns or bounds"), "{error}");
    }

    #[test]
    fn what_cannot_be_joined_says_why() {
        let key = key();
        let same = [offered("a", "x", &key), offered("a", "y", &key)];
        let error = refused(&list(&["a/x", "a/y"]), &same);
        assert!(error.contains("cannot join x and y of a"), "{error}");
        let many = changed("a", "y", &key, |description| {
            with_feature(description, "y");
            description.max_rows_per_unit = 2;
        });
        let error = refused(&list(&["a/x", "a/y"]), &[offered("a", "x", &key), many]);
        assert!(error.contains("max-rows-per-unit = 1"), "{error}");
        let error = refused(&list(&["a/x", "a/x"]), &same);
        assert!(error.contains("names \"a/x\" twice"), "{error}");
    }
}
