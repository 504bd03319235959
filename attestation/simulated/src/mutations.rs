//! Documents that are wrong in one way and correctly signed all the same.
//!
//! Three steps, each of which can be tampered with by changing public fields before the next:
//! a [`Plan`] of certificates, the [`Issued`] chain with the leaf's key, and a [`Draft`] of
//! one document, whose [`parts`](Draft::parts) are signed last.
//!
//! ```
//! # use std::time::Duration;
//! # use cloister_simulated::{Pcrs, UnixTime, mutations::{Plan, Value}};
//! # let now = UnixTime::since_unix_epoch(Duration::from_secs(1_767_225_600));
//! let chain = Plan::new(now)?.issue()?;
//! let mut draft = chain.draft(&[7; 64], None, &Pcrs::new(), 1)?;
//! draft.set("digest", Value::Text("SHA256".to_owned()));
//! let document = draft.sign()?;
//! # Ok::<(), cloister_simulated::Error>(())
//! ```

pub mod snp;

use std::time::Duration;

pub use ciborium::Value;
pub use rcgen;
use rcgen::{CertificateParams, Issuer};
use rustls_pki_types::UnixTime;

use crate::cose::{PROTECTED_ES384, encode, sign1};
use crate::key::{Key, P256, P384};
use crate::{Attester, Error, LEAF_LIFETIME, Pcrs, certificates};

/// The certificates that are to be made.
pub struct Plan {
    /// Contents of the root's certificate.
    pub root: CertificateParams,
    /// Contents of the intermediates' certificates, the root's own child first.
    pub intermediates: Vec<CertificateParams>,
    /// Contents of the leaf's certificate.
    pub leaf: CertificateParams,
    /// Give the leaf a P-256 key instead of a P-384 one.
    pub leaf_on_p256: bool,
}

impl Plan {
    /// Three certificates without a fault.
    ///
    /// # Errors
    ///
    /// [`Error::Time`] if `now` cannot be written into a certificate.
    pub fn new(now: UnixTime) -> Result<Self, Error> {
        Ok(Self {
            root: certificates::root(now)?,
            intermediates: vec![certificates::intermediate(now)?],
            leaf: certificates::leaf("simulated-mutation", now, LEAF_LIFETIME)?,
            leaf_on_p256: false,
        })
    }

    /// Signs the certificates, each by the one before.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] and [`Error::Certificate`] if keys or certificates could not be made.
    pub fn issue(self) -> Result<Issued, Error> {
        let root_key = Key::generate(&P384)?;
        let mut cabundle = vec![self.root.self_signed(&root_key)?.der().to_vec()];
        let mut issuer = (self.root, root_key);
        for params in self.intermediates {
            let key = Key::generate(&P384)?;
            let certificate = params.signed_by(&key, &Issuer::from_params(&issuer.0, &issuer.1))?;
            cabundle.push(certificate.der().to_vec());
            issuer = (params, key);
        }
        let key = Key::generate(if self.leaf_on_p256 { &P256 } else { &P384 })?;
        let leaf = self.leaf.signed_by(&key, &Issuer::from_params(&issuer.0, &issuer.1))?;
        Ok(Issued {
            root_der: cabundle[0].clone(),
            attester: Attester {
                module_id: "simulated-mutation".to_owned(),
                certificate: leaf.der().to_vec(),
                cabundle,
                key,
            },
        })
    }
}

/// Sets the validity of a certificate: three seconds before `now` to `lifetime` after it.
///
/// # Errors
///
/// [`Error::Time`] if a certificate cannot express it.
pub fn set_validity(
    params: &mut CertificateParams,
    now: UnixTime,
    lifetime: Duration,
) -> Result<(), Error> {
    certificates::validity(params, now, lifetime)
}

/// A chain, and the key of its leaf.
pub struct Issued {
    /// The root certificate in DER, to be trusted by the test.
    pub root_der: Vec<u8>,
    attester: Attester,
}

impl Issued {
    /// The certificates that documents carry as `cabundle`: root first.
    pub fn cabundle(&mut self) -> &mut Vec<Vec<u8>> {
        &mut self.attester.cabundle
    }

    /// The certificate that documents carry as `certificate`.
    pub fn certificate(&mut self) -> &mut Vec<u8> {
        &mut self.attester.certificate
    }

    /// A document without a fault, not signed yet.
    ///
    /// # Errors
    ///
    /// Those of [`Attester::document`].
    pub fn draft(
        &self,
        user_data: &[u8],
        nonce: Option<&[u8]>,
        pcrs: &Pcrs,
        timestamp_ms: u64,
    ) -> Result<Draft<'_>, Error> {
        Ok(Draft {
            key: &self.attester.key,
            tagged: false,
            protected: PROTECTED_ES384.to_vec(),
            unprotected: Value::Map(Vec::new()),
            fields: self.attester.fields(user_data, nonce, pcrs, timestamp_ms)?,
            payload: None,
        })
    }
}

/// A document before it is signed.
pub struct Draft<'a> {
    key: &'a Key,
    /// Put CBOR tag 18 in front.
    pub tagged: bool,
    /// The encoded protected header.
    pub protected: Vec<u8>,
    /// The unprotected header.
    pub unprotected: Value,
    /// The payload's fields, in order.
    pub fields: Vec<(Value, Value)>,
    /// The encoded payload, if it is not simply the fields.
    pub payload: Option<Vec<u8>>,
}

impl Draft<'_> {
    /// Replaces the field of that name, or adds it at the end.
    pub fn set(&mut self, name: &str, value: Value) {
        let name = Value::Text(name.to_owned());
        match self.fields.iter_mut().find(|(key, _)| *key == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name, value)),
        }
    }

    /// Removes the field of that name.
    pub fn remove(&mut self, name: &str) {
        let name = Value::Text(name.to_owned());
        self.fields.retain(|(key, _)| *key != name);
    }

    /// The payload as a definite-length CBOR map.
    #[must_use]
    pub fn encoded_fields(&self) -> Vec<u8> {
        encode(&Value::Map(self.fields.clone()))
    }

    /// Makes the payload a CBOR map of indefinite length, as documents since 2025 have.
    pub fn use_indefinite_length(&mut self) {
        let mut bytes = vec![0xbf];
        for (key, value) in &self.fields {
            bytes.extend(encode(key));
            bytes.extend(encode(value));
        }
        bytes.push(0xff);
        self.payload = Some(bytes);
    }

    /// Signs, and gives protected header, unprotected header, payload and signature.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if signing failed.
    pub fn parts(self) -> Result<Vec<Value>, Error> {
        let payload = match self.payload {
            Some(payload) => payload,
            None => encode(&Value::Map(self.fields)),
        };
        sign1(self.key, &self.protected, self.unprotected, payload)
    }

    /// Signs and encodes.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] if signing failed.
    pub fn sign(self) -> Result<Vec<u8>, Error> {
        let tagged = self.tagged;
        let document = Value::Array(self.parts()?);
        Ok(encode(&if tagged { Value::Tag(18, Box::new(document)) } else { document }))
    }
}

/// CBOR in memory, for tests that put parts together themselves.
#[must_use]
pub fn to_cbor(value: &Value) -> Vec<u8> {
    encode(value)
}
