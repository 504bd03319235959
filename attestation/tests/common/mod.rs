//! A document without a fault, and hooks to give it one.
#![allow(dead_code)] // each test binary uses its own part

use std::time::Duration;

use cloister_attestation::nitro::{
    self, CertificateKey, Expectations, Pcr, PcrIndex, Reference, ReferenceValues, Roots,
};
use cloister_attestation::{Binding, Clock, Freshness, Nonce, UnixTime, Verdict};
use cloister_simulated::mutations::rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData, SanType,
};
use cloister_simulated::mutations::{Draft, Issued, Plan, Value, to_cbor};
use cloister_simulated::{Pcrs, pcr};

/// 2026-01-01T00:00:00Z.
pub const NOW: u64 = 1_767_225_600;
/// What the document vouches for.
pub const BINDING: [u8; 64] = [7; 64];
/// The nonce it was made for.
pub const NONCE: [u8; 32] = [6; 32];

/// The registers that the document has and the verifier approves.
const REGISTERS: [u8; 7] = [0, 1, 2, 3, 4, 5, 8];

type Hook<T> = Option<Box<dyn FnOnce(&mut T)>>;
type DraftHook = Box<dyn FnOnce(&mut Draft<'_>)>;

/// One document, and what is expected of it.
#[derive(Default)]
pub struct Case {
    plan: Hook<Plan>,
    chain: Hook<Issued>,
    draft: Vec<DraftHook>,
    parts: Hook<Vec<Value>>,
    bytes: Hook<Vec<u8>>,
    expectations: Hook<Expectations>,
    certificate: Option<Carried>,
    tpm: bool,
}

/// How a TLS certificate carries the document.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// The document names the certificate's key.
    Key,
    /// The document begins its user data with the key's digest.
    Digest,
    /// The document says nothing of the key.
    Nothing,
    /// There is no document.
    NoDocument,
    /// There are two.
    TwoDocuments,
}

impl Case {
    /// Without a fault.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the certificates before they are signed.
    pub fn on_plan(&mut self, change: impl FnOnce(&mut Plan) + 'static) {
        self.plan = Some(Box::new(change));
    }

    /// Changes the certificates after they are signed.
    pub fn on_chain(&mut self, change: impl FnOnce(&mut Issued) + 'static) {
        self.chain = Some(Box::new(change));
    }

    /// Changes the document before it is signed.
    pub fn on_draft(&mut self, change: impl FnOnce(&mut Draft<'_>) + 'static) {
        self.draft.push(Box::new(change));
    }

    /// Changes the registers before they are signed.
    pub fn on_registers(&mut self, change: impl FnOnce(&mut Vec<(Value, Value)>) + 'static) {
        self.on_draft(|draft| {
            let name = Value::Text("pcrs".into());
            let pcrs = draft.fields.iter_mut().find(|(key, _)| *key == name);
            change(pcrs.unwrap().1.as_map_mut().unwrap());
        });
    }

    /// Changes the four parts after signing.
    pub fn on_parts(&mut self, change: impl FnOnce(&mut Vec<Value>) + 'static) {
        self.parts = Some(Box::new(change));
    }

    /// Changes the bytes after signing.
    pub fn on_bytes(&mut self, change: impl FnOnce(&mut Vec<u8>) + 'static) {
        self.bytes = Some(Box::new(change));
    }

    /// Changes what the verifier expects.
    pub fn on_expectations(&mut self, change: impl FnOnce(&mut Expectations) + 'static) {
        self.expectations = Some(Box::new(change));
    }

    /// Approves only these registers.
    pub fn approve(&mut self, registers: &'static [u8]) {
        self.on_expectations(|expectations| {
            let reference = Reference::new("mutated", approved(registers)).unwrap();
            expectations.reference = ReferenceValues::production(reference);
        });
    }

    /// The document's bytes, and what is expected.
    pub fn document(self) -> (Vec<u8>, Expectations) {
        let mut plan = Plan::new(now()).unwrap();
        apply(self.plan, &mut plan);
        let mut chain = plan.issue().unwrap();
        let roots = Roots::simulated(&chain.root_der).unwrap();
        apply(self.chain, &mut chain);

        let pcrs: Pcrs = REGISTERS.iter().map(|&index| (index, pcr(&[index]))).collect();
        let mut draft = chain.draft(&BINDING, Some(&NONCE), &pcrs, NOW * 1000).unwrap();
        for change in self.draft {
            change(&mut draft);
        }
        let tagged = draft.tagged;
        let mut parts = draft.parts().unwrap();
        apply(self.parts, &mut parts);
        let mut bytes = to_cbor(&Value::Array(parts));
        if tagged {
            bytes.insert(0, 0xd2);
        }
        apply(self.bytes, &mut bytes);

        let reference = Reference::new("approved enclave", approved(&REGISTERS)).unwrap();
        let mut expectations = Expectations {
            roots,
            clock: Clock::at(now()),
            freshness: Freshness::Nonce(Nonce::new(NONCE).unwrap()),
            binding: Binding::Exactly(BINDING),
            reference: ReferenceValues::production(reference),
        };
        apply(self.expectations, &mut expectations);
        (bytes, expectations)
    }

    /// Puts the document into a TLS certificate.
    pub fn in_certificate(&mut self, carried: Carried) {
        self.certificate = Some(carried);
    }

    /// Makes it an instance's document, and verifies it as such.
    pub fn of_instance(&mut self) {
        self.tpm = true;
        self.on_draft(|draft| {
            for (key, _) in &mut draft.fields {
                if *key == Value::Text("pcrs".into()) {
                    *key = Value::Text("nitrotpm_pcrs".into());
                }
            }
        });
    }

    /// Verifies it as an instance's.
    fn verify_instance(self) -> Verdict {
        let (document, expectations) = self.document();
        let Expectations { roots, clock, freshness, binding, reference: _ } = expectations;
        let reference = vec![nitro::tpm::Reference::new("instance", approved(&[4, 5])).unwrap()];
        let expectations = nitro::tpm::Expectations { roots, clock, freshness, binding, reference };
        nitro::tpm::verify(&document, &expectations)
    }

    /// Verifies it in its certificate.
    fn verify_carried(mut self, carried: Carried) -> Verdict {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let public = key.subject_public_key_info();
        let digest = ring::digest::digest(&ring::digest::SHA384, &public);
        let user_data = [digest.as_ref(), &[0; 16]].concat();
        match carried {
            Carried::Digest => {
                let expected = user_data.clone();
                self.on_draft(|draft| draft.set("user_data", Value::Bytes(user_data)));
                self.on_expectations(|e| e.binding = Binding::UserData(expected));
            }
            Carried::Nothing => {}
            _ => self.on_draft(|draft| draft.set("public_key", Value::Bytes(public))),
        }
        let (document, expectations) = self.document();
        let name = format!("{}.enclave.example", hex::encode(document));
        let names = match carried {
            Carried::NoDocument => vec!["enclave.example".to_owned()],
            Carried::TwoDocuments => vec![name.clone(), name],
            _ => vec!["enclave.example".to_owned(), name],
        };
        let mut params = CertificateParams::default();
        params.subject_alt_names =
            names.into_iter().map(|name| SanType::DnsName(name.try_into().unwrap())).collect();
        let certificate = params.self_signed(&key).unwrap();
        nitro::verify_certificate(certificate.der(), &expectations, CertificateKey::Vouched)
    }

    /// Verifies it.
    pub fn verify(self) -> Verdict {
        if self.tpm {
            return self.verify_instance();
        }
        if let Some(carried) = self.certificate {
            return self.verify_carried(carried);
        }
        let (document, expectations) = self.document();
        nitro::verify(&document, &expectations)
    }

    /// The signature of a document like this one, under another key.
    pub fn signature(self) -> Vec<u8> {
        let (document, _) = self.document();
        document[document.len() - 96..].to_vec()
    }
}

fn apply<T>(hook: Hook<T>, value: &mut T) {
    if let Some(change) = hook {
        change(value);
    }
}

/// The registers of the document that are at these indices.
pub fn approved(indices: &[u8]) -> nitro::Pcrs {
    indices
        .iter()
        .map(|&index| {
            let value = Pcr::new(pcr(&[index])).unwrap();
            (PcrIndex::new(index).unwrap(), value)
        })
        .collect()
}

/// The root of a vendor of the same name.
pub fn other_root() -> Roots {
    let other = Plan::new(now()).unwrap().issue().unwrap();
    Roots::simulated(&other.root_der).unwrap()
}

/// Seconds since 1970, as a time.
pub fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// When the document was made.
pub fn now() -> UnixTime {
    at(NOW)
}

/// The bytes of a byte string.
pub fn bytes(value: &mut Value) -> &mut Vec<u8> {
    value.as_bytes_mut().unwrap()
}

/// The field of that name.
pub fn field<'a>(payload: &'a Value, name: &str) -> &'a Value {
    let fields = payload.as_map().unwrap();
    let found = fields.iter().find(|(key, _)| key.as_text() == Some(name));
    &found.unwrap().1
}
