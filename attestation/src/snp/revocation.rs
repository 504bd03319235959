//! The root's revocation lists: whether root and intermediate are on one.
//!
//! AMD's lists are issued by the root (ARK). Leaves are not on them: the serial number of each
//! is 0. A policy revokes chips itself.

use rustls_pki_types::UnixTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::{pss, rules};
use crate::cache::Validity;
use crate::text;
use crate::verdict::Checks;

const EXPECTED: &str = "a current list of the root, without root and intermediate";

/// The lists whose issuer has exactly the root's name.
pub(super) fn lists_of<'a>(root: &[u8], lists: &'a [Vec<u8>]) -> Vec<&'a [u8]> {
    let Ok((_, root)) = parse_x509_certificate(root) else { return Vec::new() };
    let of_root = |der: &&[u8]| {
        CertificateRevocationList::from_der(der)
            .is_ok_and(|(_, list)| list.issuer().as_raw() == root.subject().as_raw())
    };
    lists.iter().map(Vec::as_slice).filter(of_root).collect()
}

/// Says that there is no list.
pub(super) fn none(checks: &mut Checks) {
    checks.opt_out(&rules::CHAIN_CRL, EXPECTED, "no revocation list of this root");
}

/// Says that the lists were checked before.
pub(super) fn known(checks: &mut Checks) {
    checks.pass(&rules::CHAIN_CRL, EXPECTED, "neither is revoked");
}

/// Checks every list, of which there is at least one. Gives until when they say that nothing
/// is revoked.
pub(super) fn check(
    lists: &[&[u8]],
    root: &[u8],
    intermediate: &[u8],
    now: UnixTime,
    checks: &mut Checks,
) -> Option<Validity> {
    match current(lists, root, intermediate, now) {
        Ok(validity) => {
            checks.pass(&rules::CHAIN_CRL, EXPECTED, "neither is revoked");
            Some(validity)
        }
        Err(found) => {
            checks.judge(&rules::CHAIN_CRL, false, EXPECTED, found);
            None
        }
    }
}

/// A list that has ended revokes as well as a current one does: nothing comes off a list. But
/// only a current one says that nothing has been added.
fn current(
    lists: &[&[u8]],
    root: &[u8],
    intermediate: &[u8],
    now: UnixTime,
) -> Result<Validity, String> {
    let parsed =
        |der| parse_x509_certificate(der).map(|(_, one)| one).map_err(|_| "no certificate");
    let (root, intermediate): (X509Certificate<'_>, X509Certificate<'_>) =
        (parsed(root)?, parsed(intermediate)?);
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let mut latest: Option<Validity> = None;
    for der in lists {
        let (_, list) = CertificateRevocationList::from_der(der).map_err(|_| "no list")?;
        if !pss::signed(&root, list.tbs_cert_list.as_ref(), &list.signature_value.data) {
            return Err("a list that the root has not signed".to_owned());
        }
        if list.extensions().iter().any(|extension| extension.critical) {
            return Err("a list with a critical extension that this verifier does not know".into());
        }
        for revoked in list.iter_revoked_certificates() {
            if revoked.extensions().iter().any(|extension| extension.critical) {
                return Err(
                    "an entry with a critical extension that this verifier does not know".into()
                );
            }
            for (what, certificate) in [("intermediate", &intermediate), ("root", &root)] {
                if *revoked.serial() == certificate.tbs_certificate.serial {
                    return Err(format!("a list on which the {what} is"));
                }
            }
        }
        let Some(next) = list.next_update() else {
            return Err("a list that does not say when the next one is due".to_owned());
        };
        let validity = Validity { from: list.last_update().timestamp(), until: next.timestamp() };
        // One that is current before any that is not, and then the one for longest.
        let rank = |one: Validity| ((one.from..=one.until).contains(&now), one.until);
        if latest.is_none_or(|latest| rank(latest) < rank(validity)) {
            latest = Some(validity);
        }
    }
    let moment = |at: i64| text::time(u64::try_from(at).unwrap_or(0));
    match latest {
        Some(latest) if now > latest.until => {
            Err(format!("a list whose successor was due at {}", moment(latest.until)))
        }
        Some(latest) if now < latest.from => {
            Err(format!("a list that is made only at {}", moment(latest.from)))
        }
        Some(latest) => Ok(latest),
        None => Err("no list".to_owned()),
    }
}
