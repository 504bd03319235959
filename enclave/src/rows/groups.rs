//! Units in groups, for code that needs the rows of several at once.

use cloister_protocol::digest::Hasher;
use cloister_sandbox::UnitRows;
use zeroize::Zeroize;

use super::{Units, units::number};

impl Units {
    /// So many groups, which hold the rows of their units one after the other. A unit's group
    /// follows from its own stream and the secret alone: whichever other units there are, it
    /// is in the same one. Some may be empty.
    #[must_use]
    pub fn in_groups(self, groups: u32, secret: &[u8; 32]) -> Self {
        let group = |unit: &UnitRows| {
            let mut hasher = Hasher::new("unit-group");
            hasher.field(secret);
            hasher.field(&unit.stream.to_be_bytes());
            // Of 2^64, so that no group is likelier than another by anything that matters.
            usize::try_from(number(hasher) % u64::from(groups.max(1))).unwrap_or(0)
        };
        // Room for each group, exactly, so that rows are never moved.
        let places: Vec<_> = self.as_slice().iter().map(group).collect();
        let mut sizes = vec![[0_usize; 2]; groups as usize];
        for (unit, place) in self.as_slice().iter().zip(&places) {
            let [features, targets] = &mut sizes[*place];
            *features += unit.features.len();
            *targets += unit.targets.len();
        }
        let room = |(stream, [features, targets]): (u64, &[usize; 2])| UnitRows {
            features: Vec::with_capacity(*features),
            targets: Vec::with_capacity(*targets),
            rows: 0,
            stream,
        };
        let mut all: Vec<_> = (0..).zip(&sizes).map(room).collect();
        for (mut unit, place) in self.into_rows().into_iter().zip(places) {
            let to = &mut all[place];
            to.features.extend_from_slice(&unit.features);
            to.targets.extend_from_slice(&unit.targets);
            to.rows += unit.rows;
            unit.features.zeroize();
            unit.targets.zeroize();
        }
        Self::from_rows(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(count: u16) -> Vec<UnitRows> {
        let unit = |i: u16| UnitRows {
            features: vec![f32::from(i); 2 * usize::from(i % 3 + 1)],
            targets: vec![f32::from(i); usize::from(i % 3 + 1)],
            rows: u32::from(i % 3 + 1),
            stream: u64::from(i) << 40,
        };
        (0..count).map(unit).collect()
    }

    /// Which units are in which group.
    fn members(units: Vec<UnitRows>, groups: u32, secret: u8) -> Vec<Vec<f32>> {
        let grouped = Units::from_rows(units).in_groups(groups, &[secret; 32]);
        let numbers = |group: &UnitRows| {
            assert_eq!(group.features.len(), 2 * group.rows as usize);
            assert_eq!(group.targets.len(), group.rows as usize);
            let mut numbers = group.targets.clone();
            numbers.dedup();
            numbers
        };
        grouped.as_slice().iter().map(numbers).collect()
    }

    #[test]
    fn each_unit_is_in_one_group_and_all_rows_are_kept() {
        let groups = members(units(500), 16, 1);
        assert_eq!(groups.len(), 16);
        let mut all = groups.concat();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..500_u16).map(f32::from).collect::<Vec<_>>());
        assert!(groups.iter().all(|group| (10..60).contains(&group.len())), "{groups:?}");
    }

    /// Taking a unit away changes its own group and no other.
    #[test]
    fn a_units_group_follows_from_the_unit_alone() {
        let before = members(units(60), 8, 1);
        let mut less = units(60);
        less.remove(20);
        less.reverse();
        for (before, mut after) in before.into_iter().zip(members(less, 8, 1)) {
            after.reverse();
            let without: Vec<_> = before.iter().copied().filter(|unit| *unit != 20.0).collect();
            assert_eq!(after, without);
        }
    }

    #[test]
    fn another_secret_makes_other_groups_and_some_are_empty() {
        assert_ne!(members(units(60), 8, 1), members(units(60), 8, 2));
        let groups = members(units(3), 50, 1);
        assert_eq!(groups.len(), 50);
        assert!(groups.iter().filter(|group| group.is_empty()).count() >= 47);
    }
}
