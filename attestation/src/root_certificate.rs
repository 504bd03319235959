//! The root of a simulated vendor, as people write it.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_bytes::{ByteBuf, Bytes};

use crate::nitro::{RootError, Roots};

/// The root certificate of a simulated vendor. PEM (or the base64 of its DER) in
/// human-readable formats, DER in others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootCertificate {
    der: Vec<u8>,
    roots: Roots,
}

impl RootCertificate {
    /// Takes a simulated vendor's root in DER.
    ///
    /// # Errors
    ///
    /// Those of [`Roots::simulated`].
    pub fn from_der(der: impl Into<Vec<u8>>) -> Result<Self, RootError> {
        let der = der.into();
        let roots = Roots::simulated(&der)?;
        Ok(Self { der, roots })
    }

    /// Takes a simulated vendor's root in PEM, or in the base64 of its DER.
    ///
    /// # Errors
    ///
    /// Those of [`Roots::simulated`].
    pub fn from_text(text: &str) -> Result<Self, RootError> {
        use base64::Engine as _;
        let text = text.trim();
        let der = if text.starts_with("-----BEGIN") {
            let mut certificates = CertificateDer::pem_slice_iter(text.as_bytes());
            match (certificates.next(), certificates.next()) {
                (Some(Ok(only)), None) => only.to_vec(),
                _ => return Err(RootError::NotACertificate),
            }
        } else {
            base64::engine::general_purpose::STANDARD
                .decode(text)
                .map_err(|_| RootError::NotACertificate)?
        };
        Self::from_der(der)
    }

    /// The certificate in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(&self.der);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for (position, character) in text.chars().enumerate() {
            if position > 0 && position % 64 == 0 {
                pem.push('\n');
            }
            pem.push(character);
        }
        pem.push_str("\n-----END CERTIFICATE-----\n");
        pem
    }

    /// The root, to be trusted as simulated.
    #[must_use]
    pub fn roots(&self) -> Roots {
        self.roots
    }
}

impl Serialize for RootCertificate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_pem())
        } else {
            Bytes::new(&self.der).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RootCertificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Self::from_text(&String::deserialize(deserializer)?)
        } else {
            Self::from_der(ByteBuf::deserialize(deserializer)?.into_vec())
        }
        .map_err(de::Error::custom)
    }
}
