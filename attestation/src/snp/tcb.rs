//! Trusted computing base versions: what firmware a chip runs, component by component.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Product;

/// The security version of each component. To be compared component by component: as one
/// number, a newer loader would hide older microcode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tcb {
    /// The firmware's own loader, on Turin only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// The secure processor's boot loader.
    pub bootloader: u8,
    /// The secure processor's operating system.
    pub tee: u8,
    /// The SNP firmware.
    pub snp: u8,
    /// Microcode of the cores.
    pub microcode: u8,
}

impl Tcb {
    /// Reads the eight bytes of a report, whose order depends on the product.
    pub(super) fn from_bytes(bytes: [u8; 8], product: Product) -> Self {
        match product {
            Product::Milan | Product::Genoa => {
                let [bootloader, tee, _, _, _, _, snp, microcode] = bytes;
                Self { fmc: None, bootloader, tee, snp, microcode }
            }
            Product::Turin => {
                let [fmc, bootloader, tee, snp, _, _, _, microcode] = bytes;
                Self { fmc: Some(fmc), bootloader, tee, snp, microcode }
            }
        }
    }

    /// Whether every component is at least that of `least`. A component that `least` has and
    /// this has not is too old.
    #[must_use]
    pub fn is_at_least(&self, least: &Self) -> bool {
        self.fmc >= least.fmc
            && self.bootloader >= least.bootloader
            && self.tee >= least.tee
            && self.snp >= least.snp
            && self.microcode >= least.microcode
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fmc) = self.fmc {
            write!(f, "fmc {fmc}, ")?;
        }
        let Self { bootloader, tee, snp, microcode, fmc: _ } = self;
        write!(f, "bootloader {bootloader}, tee {tee}, snp {snp}, microcode {microcode}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_differ_between_products() {
        let bytes = [1, 2, 3, 4, 5, 6, 7, 8];
        let genoa = Tcb::from_bytes(bytes, Product::Genoa);
        assert_eq!(genoa, Tcb { fmc: None, bootloader: 1, tee: 2, snp: 7, microcode: 8 });
        let turin = Tcb::from_bytes(bytes, Product::Turin);
        assert_eq!(turin, Tcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 8 });
    }

    #[test]
    fn one_older_component_is_too_old_however_new_the_others_are() {
        let least = Tcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 5 };
        let newer = Tcb { fmc: Some(9), bootloader: 9, tee: 9, snp: 9, microcode: 9 };
        assert!(least.is_at_least(&least) && newer.is_at_least(&least));
        for older in [
            Tcb { fmc: Some(0), ..newer },
            Tcb { fmc: None, ..newer },
            Tcb { bootloader: 1, ..newer },
            Tcb { tee: 2, ..newer },
            Tcb { snp: 3, ..newer },
            Tcb { microcode: 4, ..newer },
        ] {
            assert!(!older.is_at_least(&least), "{older}");
        }
    }
}
