//! The throw-away vendor: a root, and the intermediate that issues leaves.

use std::fmt::Write as _;
use std::time::Duration;

use rcgen::Issuer;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::{PemObject, SectionKind};
use zeroize::Zeroizing;

use crate::key::{Key, P384};
use crate::{Attester, Error, certificates};

/// A vendor of simulated enclaves.
///
/// It keeps the root's certificate, the intermediate's certificate and the intermediate's
/// private key. The root's private key is dropped as soon as it has signed the intermediate.
/// No `Debug` and no `Clone`: it holds a key.
pub struct Vendor {
    root: Vec<u8>,
    intermediate: Vec<u8>,
    key: Key,
}

impl Vendor {
    /// Makes a new vendor whose certificates are valid for
    /// [`VENDOR_LIFETIME`](crate::VENDOR_LIFETIME) from `now`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the system has no randomness, [`Error::Time`] if `now` cannot be
    /// written into a certificate.
    pub fn generate(now: UnixTime) -> Result<Self, Error> {
        let root_key = Key::generate(&P384)?;
        let root_params = certificates::root(now)?;
        let root = root_params.self_signed(&root_key)?;

        let key = Key::generate(&P384)?;
        let intermediate = certificates::intermediate(now)?
            .signed_by(&key, &Issuer::from_params(&root_params, &root_key))?;
        Ok(Self { root: root.der().to_vec(), intermediate: intermediate.der().to_vec(), key })
    }

    /// The root certificate in DER: what a policy has to name to accept this vendor.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// The root certificate in PEM.
    #[must_use]
    pub fn root_pem(&self) -> String {
        let mut text = String::new();
        pem_section(&mut text, CERTIFICATE, &self.root);
        text
    }

    /// Everything needed to [restore](Self::from_pem) this vendor: root, intermediate and the
    /// intermediate's private key, as three PEM sections. Secret: keep it in a file that only
    /// its owner can read.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(4096));
        pem_section(&mut text, CERTIFICATE, &self.root);
        pem_section(&mut text, CERTIFICATE, &self.intermediate);
        pem_section(&mut text, PRIVATE_KEY, self.key.pkcs8());
        text
    }

    /// Restores a vendor from what [`to_pem`](Self::to_pem) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Pem`] if the text is not two certificates and the key of the second.
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
            let (kind, der) = section.map_err(|error| Error::Pem {
                expected: "two certificates and a private key",
                found: error.to_string(),
            })?;
            let der = Zeroizing::new(der);
            match kind {
                SectionKind::Certificate => certificates.push(der.to_vec()),
                SectionKind::PrivateKey => keys.push(der),
                other => {
                    return Err(Error::Pem {
                        expected: "two certificates and a private key",
                        found: format!("a section of another kind ({other:?})"),
                    });
                }
            }
        }
        let found = format!("{} certificates and {} keys", certificates.len(), keys.len());
        let ([root, intermediate], [pkcs8]) = (certificates.as_slice(), keys.as_mut_slice()) else {
            return Err(Error::Pem { expected: "two certificates and a private key", found });
        };
        let key = Key::from_pkcs8(std::mem::take(pkcs8), &P384)?;
        let belongs = intermediate.windows(key.public().len()).any(|window| window == key.public());
        if !belongs {
            return Err(Error::Pem {
                expected: "the private key of the second certificate",
                found: "another private key".to_owned(),
            });
        }
        Ok(Self { root: root.clone(), intermediate: intermediate.clone(), key })
    }

    /// Issues a leaf, valid for `lifetime` from `now` (hardware uses
    /// [`LEAF_LIFETIME`](crate::LEAF_LIFETIME)), with a fresh key.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if the system has no randomness, [`Error::Time`] if the validity cannot
    /// be written into a certificate.
    pub fn leaf(&self, now: UnixTime, lifetime: Duration) -> Result<Attester, Error> {
        let key = Key::generate(&P384)?;
        let module_id = module_id(&key);
        // An issuer's name and key are all that a leaf takes over from it.
        let issuer = certificates::intermediate(now)?;
        let leaf = certificates::leaf(&module_id, now, lifetime)?
            .signed_by(&key, &Issuer::from_params(&issuer, &self.key))?;
        Ok(Attester {
            module_id,
            certificate: leaf.der().to_vec(),
            cabundle: vec![self.root.clone(), self.intermediate.clone()],
            key,
        })
    }
}

const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";

/// A name for one simulated enclave, in the form of `i-...-enc...`, from its public key.
pub(crate) fn module_id(key: &Key) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.public());
    let mut name = String::from("simulated-enc");
    for byte in &digest.as_ref()[..8] {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// Appends one PEM section (RFC 7468).
fn pem_section(text: &mut String, label: &str, der: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let _ = writeln!(text, "-----BEGIN {label}-----");
    for line in der.chunks(48) {
        for group in line.chunks(3) {
            let bits = group.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte))
                << (8 * (3 - group.len()));
            for position in 0..4 {
                if position <= group.len() {
                    let index = bits >> (18 - 6 * position) & 63;
                    text.push(char::from(ALPHABET[index as usize]));
                } else {
                    text.push('=');
                }
            }
        }
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {label}-----");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: u64 = 1_767_225_600;

    fn now() -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(NOW))
    }

    #[test]
    fn pem_text_restores_the_same_vendor() {
        let vendor = Vendor::generate(now()).unwrap();
        let restored = Vendor::from_pem(&vendor.to_pem()).unwrap();
        assert_eq!(restored.root, vendor.root);
        assert_eq!(restored.intermediate, vendor.intermediate);
        assert_eq!(restored.key.public(), vendor.key.public());
        let root =
            rustls_pki_types::CertificateDer::from_pem_slice(vendor.root_pem().as_bytes()).unwrap();
        assert_eq!(root.as_ref(), vendor.root_der());
    }

    #[test]
    fn pem_text_with_a_part_missing_is_refused() {
        let vendor = Vendor::generate(now()).unwrap();
        let refused = Vendor::from_pem(&vendor.root_pem()).err().unwrap();
        assert!(refused.to_string().contains("1 certificates and 0 keys"), "{refused}");
    }

    #[test]
    fn pem_text_with_the_key_of_another_vendor_is_refused() {
        let ours = Vendor::generate(now()).unwrap();
        let theirs = Vendor::generate(now()).unwrap();
        let mut text = String::new();
        pem_section(&mut text, CERTIFICATE, &ours.root);
        pem_section(&mut text, CERTIFICATE, &ours.intermediate);
        pem_section(&mut text, PRIVATE_KEY, theirs.key.pkcs8());
        assert!(Vendor::from_pem(&text).is_err());
    }

    #[test]
    fn pem_pads_as_rfc_4648_says() {
        for (bytes, expected) in
            [(&b"f"[..], "Zg=="), (b"fo", "Zm8="), (b"foo", "Zm9v"), (b"foob", "Zm9vYg==")]
        {
            let mut text = String::new();
            pem_section(&mut text, "X", bytes);
            assert_eq!(text.lines().nth(1), Some(expected));
        }
    }

    #[test]
    fn times_that_certificates_cannot_express_are_refused() {
        let late = UnixTime::since_unix_epoch(Duration::from_secs(253_402_300_799));
        assert!(matches!(Vendor::generate(late), Err(Error::Time { .. })));
    }
}
