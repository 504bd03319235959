//! Each party's own small certificate authority.
//!
//! A party has one authority, valid for ten years, and below it one certificate for
//! its service and one for calling others, each valid for two years. All keys are
//! P-384. Certificates are valid from the day before they were made, because clocks
//! differ. The authority may sign leaves only (path length 0), a service's
//! certificate cannot be used to call, and the other way round.

use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SanType, date_time_ymd,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::names::{PartyName, Role, ServiceAddress};

/// How long an authority is valid, in years. Its end means enrolling anew.
pub const AUTHORITY_YEARS: i16 = 10;
/// How long a service's or caller's certificate is valid, in years. `Home::renew_certificates` makes new ones.
pub const LEAF_YEARS: i16 = 2;

/// Why a certificate could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// The certificate library refused.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// The system's clock is outside the years that X.509 can say.
    #[error("a certificate cannot be made: the clock says {0}; set it")]
    Clock(Timestamp),
}

/// A certificate and its private key, in PEM.
pub struct Pair {
    /// The certificate.
    pub certificate: String,
    /// The key, PKCS#8.
    pub key: Zeroizing<String>,
}

/// A party's certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    params: CertificateParams,
}

impl Authority {
    /// Makes a new authority for a party.
    pub fn generate(
        role: Role,
        name: &PartyName,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        Self::new(role, name, KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?, now)
    }

    /// Takes up an authority by its private key in PEM. What it signs from then on
    /// chains to the certificate that was made at first.
    pub fn from_key(
        role: Role,
        name: &PartyName,
        key: &str,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        Self::new(role, name, KeyPair::from_pem(key)?, now)
    }

    fn new(
        role: Role,
        name: &PartyName,
        key: KeyPair,
        now: Timestamp,
    ) -> Result<Self, CertificateError> {
        let mut params = params(format!("cloister {role} {name}"), AUTHORITY_YEARS, now)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Ok(Self { issuer: Issuer::new(params.clone(), key), params })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> Result<Certificate, CertificateError> {
        Ok(self.params.self_signed(self.issuer.key())?)
    }

    /// The authority's private key, in PEM.
    #[must_use]
    pub fn key(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// A certificate for the service at `address`.
    pub fn server(
        &self,
        address: &ServiceAddress,
        now: Timestamp,
    ) -> Result<Pair, CertificateError> {
        let mut params = params(format!("service at {}", address.host()), LEAF_YEARS, now)?;
        params.subject_alt_names = alternative_names(address)?;
        self.leaf(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for calling others.
    pub fn client(&self, now: Timestamp) -> Result<Pair, CertificateError> {
        self.leaf(params("caller".into(), LEAF_YEARS, now)?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Pair, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Pair { certificate, key: Zeroizing::new(key.serialize_pem()) })
    }
}

fn params(name: String, years: i16, now: Timestamp) -> Result<CertificateParams, CertificateError> {
    let today = now.to_zoned(TimeZone::UTC).date();
    let first = today.checked_sub(1.day()).map_err(|_| CertificateError::Clock(now))?;
    let last = today.checked_add(years.years()).map_err(|_| CertificateError::Clock(now))?;
    if !(1970..=2900).contains(&first.year()) {
        return Err(CertificateError::Clock(now));
    }
    let midnight = |date: Date| {
        let (year, month, day) = (date.year(), date.month(), date.day());
        date_time_ymd(year.into(), month.unsigned_abs(), day.unsigned_abs())
    };
    let mut params = CertificateParams::default();
    params.not_before = midnight(first);
    params.not_after = midnight(last);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn alternative_names(address: &ServiceAddress) -> Result<Vec<SanType>, rcgen::Error> {
    if address.is_local() {
        return Ok(vec![
            SanType::DnsName("localhost".try_into()?),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ]);
    }
    Ok(vec![match address.ip() {
        Some(ip) => SanType::IpAddress(ip),
        None => SanType::DnsName(address.host().try_into()?),
    }])
}
