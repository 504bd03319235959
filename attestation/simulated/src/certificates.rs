//! The contents of the three certificates.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, KeyUsagePurpose,
    SerialNumber, date_time_ymd,
};
use rustls_pki_types::UnixTime;

use crate::Error;

/// How long a leaf lives, like that of a Nitro enclave: three hours.
pub const LEAF_LIFETIME: Duration = Duration::from_hours(3);

/// How long root and intermediate live: ten years.
pub const VENDOR_LIFETIME: Duration = Duration::from_hours(3650 * 24);

/// How much earlier than its making a certificate starts to be valid; Nitro leaves have the
/// same three seconds.
pub const BACKDATING: Duration = Duration::from_secs(3);

/// The root: signs one intermediate.
pub(crate) fn root(now: UnixTime) -> Result<CertificateParams, Error> {
    authority("Cloister simulated root", 1, now)
}

/// The intermediate: signs leaves.
pub(crate) fn intermediate(now: UnixTime) -> Result<CertificateParams, Error> {
    authority(INTERMEDIATE_NAME, 0, now)
}

/// What the intermediate is called, and thus the issuer that its leaves name.
pub(crate) const INTERMEDIATE_NAME: &str = "Cloister simulated intermediate";

/// A leaf, with serial number 0 like the real ones, which some parsers refuse.
pub(crate) fn leaf(
    module_id: &str,
    now: UnixTime,
    lifetime: Duration,
) -> Result<CertificateParams, Error> {
    let mut params = named(module_id, now, lifetime)?;
    params.serial_number = Some(SerialNumber::from_slice(&[0]));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    Ok(params)
}

fn authority(name: &str, path_length: u8, now: UnixTime) -> Result<CertificateParams, Error> {
    let mut params = named(name, now, VENDOR_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    Ok(params)
}

fn named(name: &str, now: UnixTime, lifetime: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "SIMULATED, protects nothing");
    subject.push(DnType::CommonName, name);
    params.distinguished_name = subject;
    params.use_authority_key_identifier_extension = true;
    validity(&mut params, now, lifetime)?;
    Ok(params)
}

/// Sets a validity from three seconds before `now` to `lifetime` after it.
pub(crate) fn validity(
    params: &mut CertificateParams,
    now: UnixTime,
    lifetime: Duration,
) -> Result<(), Error> {
    // 9999-12-31T23:59:59Z, the last moment that GeneralizedTime has.
    const LAST: u64 = 253_402_300_799;
    let start = now.as_secs().saturating_sub(BACKDATING.as_secs());
    let end = now.as_secs().saturating_add(lifetime.as_secs());
    if start > LAST {
        return Err(Error::Time { what: "the present" });
    }
    if end > LAST {
        return Err(Error::Time { what: "the end of validity" });
    }
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(start);
    params.not_after = epoch + Duration::from_secs(end);
    Ok(())
}
