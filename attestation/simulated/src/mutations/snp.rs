//! SEV-SNP reports and AMD-like certificates that are wrong in one way and correctly signed
//! all the same.
//!
//! A [`Plan`] has the contents of three certificates, a revocation list and a report, all of
//! them public and to be changed before [`Plan::sign`].

use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaKeyPair,
};

/// Bytes of a report.
pub const REPORT: usize = 0x4a0;
/// Bytes of a report that are signed.
pub const SIGNED: usize = 0x2a0;

/// How a certificate is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA-PSS with SHA-384 and an explicit trailer field, as AMD's authorities are.
    PssExplicit,
    /// RSA-PSS with SHA-384 in DER, as AMD's leaves are.
    Pss,
    /// RSA-PSS with SHA-256.
    PssSha256,
    /// PKCS #1 version 1.5 with SHA-384.
    Pkcs1,
}

/// The two keys that sign certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority {
    /// The root's.
    Root,
    /// The intermediate's.
    Intermediate,
}

/// The contents of a certificate.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Common name of the subject.
    pub subject: String,
    /// Common name of the issuer.
    pub issuer: String,
    /// The serial number, as the contents of an `INTEGER`.
    pub serial: Vec<u8>,
    /// As `UTCTime` has it: `YYMMDDhhmmssZ`.
    pub validity: [&'static str; 2],
    /// Whether it is an authority, and for how many intermediates.
    pub authority: Option<Option<u8>>,
    /// The first byte of key usage, if it has one.
    pub key_usage: Option<u8>,
    /// AMD's extensions: the numbers after 1.3.6.1.4.1.3704.1, and the value.
    pub extensions: Vec<(Vec<u8>, Vec<u8>)>,
    /// Who signs it.
    pub signer: Authority,
    /// How.
    pub algorithm: Algorithm,
}

/// The contents of a revocation list.
#[derive(Clone, Debug)]
pub struct RevocationList {
    /// Common name of the issuer.
    pub issuer: String,
    /// An organisation in the issuer's name as well.
    pub organization: Option<&'static str>,
    /// Serial numbers of revoked certificates.
    pub revoked: Vec<Vec<u8>>,
    /// This update and the next one, as `UTCTime`.
    pub validity: [&'static str; 2],
    /// Who signs it.
    pub signer: Authority,
}

/// A report with all that it rests on, before anything is signed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The root's certificate.
    pub root: Certificate,
    /// The intermediate's certificate.
    pub intermediate: Certificate,
    /// The certificate of the key that signs the report.
    pub leaf: Certificate,
    /// Give the leaf a P-256 key.
    pub leaf_on_p256: bool,
    /// The root's revocation list.
    pub revocation_list: RevocationList,
    /// The report. Its signature is overwritten.
    pub report: Vec<u8>,
}

/// What was signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The root's certificate, in DER.
    pub root: Vec<u8>,
    /// The intermediate's.
    pub intermediate: Vec<u8>,
    /// The leaf's.
    pub leaf: Vec<u8>,
    /// The revocation list, in DER.
    pub revocation_list: Vec<u8>,
    /// The report.
    pub report: Vec<u8>,
}

impl Plan {
    /// A Genoa chip's report, version 3, without a fault: valid in 2026, with `report_data` and
    /// `measurement`.
    #[must_use]
    pub fn new(report_data: &[u8; 64], measurement: &[u8; 48]) -> Self {
        let authority = |subject: &str, serial, limit| Certificate {
            subject: subject.to_owned(),
            issuer: "ARK-Genoa".to_owned(),
            serial: vec![1, 0, serial],
            validity: ["220101000000Z", "470101000000Z"],
            authority: Some(limit),
            key_usage: Some(0x06),
            extensions: Vec::new(),
            signer: Authority::Root,
            algorithm: Algorithm::PssExplicit,
        };
        let number = |value: u8| {
            // An INTEGER is signed: numbers from 128 on get a zero in front.
            if value < 128 { vec![2, 1, value] } else { vec![2, 2, 0, value] }
        };
        let chip = [0xc5; 64];
        let leaf = Certificate {
            subject: "SEV-VCEK".to_owned(),
            issuer: "SEV-Genoa".to_owned(),
            serial: vec![0],
            validity: ["250101000000Z", "320101000000Z"],
            authority: None,
            key_usage: None,
            extensions: vec![
                (vec![1], vec![2, 1, 1]),
                (vec![2], [&[0x16, 5][..], b"Genoa"].concat()),
                (vec![3, 1], number(10)),
                (vec![3, 2], number(0)),
                (vec![3, 3], number(23)),
                (vec![3, 8], number(84)),
                (vec![4], chip.to_vec()),
            ],
            signer: Authority::Intermediate,
            algorithm: Algorithm::Pss,
        };
        let mut plan = Self {
            root: authority("ARK-Genoa", 0, None),
            intermediate: authority("SEV-Genoa", 1, Some(0)),
            leaf,
            leaf_on_p256: false,
            revocation_list: RevocationList {
                issuer: "ARK-Genoa".to_owned(),
                organization: None,
                revoked: Vec::new(),
                validity: ["251201000000Z", "261201000000Z"],
                signer: Authority::Root,
            },
            report: vec![0; REPORT],
        };
        let tcb = [10, 0, 0, 0, 0, 0, 23, 84];
        plan.set(0x000, &3_u32.to_le_bytes());
        plan.set(0x008, &0x3_0000_u64.to_le_bytes());
        plan.set(0x034, &1_u32.to_le_bytes());
        plan.set(0x038, &tcb);
        plan.set(0x040, &0x25_u64.to_le_bytes());
        plan.set(0x050, report_data);
        plan.set(0x090, measurement);
        plan.set(0x140, &[0x1d; 32]);
        plan.set(0x160, &[0xff; 32]);
        plan.set(0x180, &tcb);
        plan.set(0x188, &[0x19, 0x11, 0x01]);
        plan.set(0x1a0, &chip);
        plan.set(0x1e0, &tcb);
        plan.set(0x1e8, &[40, 55, 1, 0, 40, 55, 1, 0]);
        plan.set(0x1f0, &tcb);
        plan
    }

    /// Writes into the report.
    ///
    /// # Panics
    ///
    /// If it does not fit.
    pub fn set(&mut self, at: usize, bytes: &[u8]) {
        self.report[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Replaces, or with `None` removes, AMD's extension with these last numbers in the leaf.
    pub fn set_extension(&mut self, numbers: &[u8], value: Option<&[u8]>) {
        self.leaf.extensions.retain(|(at, _)| at != numbers);
        if let Some(value) = value {
            self.leaf.extensions.push((numbers.to_vec(), value.to_vec()));
        }
    }

    /// Makes it the report of a cloud provider's key (VLEK).
    pub fn under_vlek(&mut self) {
        self.set(0x048, &[1 << 2]);
        self.set(0x1a0, &[0; 64]);
        self.intermediate.subject = "SEV-VLEK-Genoa".into();
        self.leaf.subject = "SEV-VLEK".into();
        self.leaf.issuer.clone_from(&self.intermediate.subject);
        self.set_extension(&[4], None);
        self.set_extension(&[5], Some(&[&[0x16, 7][..], b"a cloud"].concat()));
    }

    /// Signs certificates, list and report.
    ///
    /// # Panics
    ///
    /// If ring refuses a key, which is one of ours.
    #[must_use]
    pub fn sign(&self) -> Signed {
        self.sign_with(&self.leaf_key())
    }

    /// Signs twice with one key of the leaf, the second time after a change.
    #[must_use]
    pub fn sign_twice(&mut self, change: impl FnOnce(&mut Self)) -> [Signed; 2] {
        let key = self.leaf_key();
        let first = self.sign_with(&key);
        change(self);
        [first, self.sign_with(&key)]
    }

    /// A new key of the leaf, in PKCS#8.
    fn leaf_key(&self) -> Vec<u8> {
        let (algorithm, _) = self.curve();
        let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new());
        key.expect("a key is made").as_ref().to_vec()
    }

    /// The algorithm of the leaf's key, and its object identifier.
    fn curve(&self) -> (&'static EcdsaSigningAlgorithm, &'static [u8]) {
        if self.leaf_on_p256 {
            (&ECDSA_P256_SHA256_FIXED_SIGNING, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7])
        } else {
            (&ECDSA_P384_SHA384_FIXED_SIGNING, &[0x2b, 0x81, 0x04, 0x00, 0x22])
        }
    }

    fn sign_with(&self, leaf_key: &[u8]) -> Signed {
        let random = SystemRandom::new();
        let (algorithm, curve) = self.curve();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, leaf_key, &random).expect("it is read");
        let leaf_key = spki(
            &[oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]), oid(curve)].concat(),
            key.public_key().as_ref(),
        );
        let mut report = self.report.clone();
        if !self.leaf_on_p256 && report.len() == REPORT {
            let signature = key.sign(&random, &report[..SIGNED]).expect("it signs");
            let (r, s) = signature.as_ref().split_at(48);
            for (number, at) in [(r, SIGNED), (s, SIGNED + 72)] {
                let little: Vec<u8> = number.iter().rev().copied().collect();
                report[at..at + 48].copy_from_slice(&little);
            }
        }
        Signed {
            root: self.root.sign(&authority_key(Authority::Root)),
            intermediate: self.intermediate.sign(&authority_key(Authority::Intermediate)),
            leaf: self.leaf.sign(&leaf_key),
            revocation_list: self.revocation_list.sign(),
            report,
        }
    }
}

impl Certificate {
    fn sign(&self, key: &[u8]) -> Vec<u8> {
        let mut extensions = Vec::new();
        if let Some(limit) = self.authority {
            let limit = limit.map_or_else(Vec::new, |limit| tlv(2, &[limit]));
            let value = sequence(&[&[1, 1, 0xff][..], &limit].concat());
            extensions.push(extension(&[0x55, 0x1d, 19], true, &value));
        }
        if let Some(bits) = self.key_usage {
            extensions.push(extension(&[0x55, 0x1d, 15], true, &[3, 2, 1, bits]));
        }
        for (numbers, value) in &self.extensions {
            let amd = [&[0x2b, 6, 1, 4, 1, 0x9c, 0x78, 1][..], numbers].concat();
            extensions.push(extension(&amd, false, value));
        }
        let [from, until] = self.validity.map(|time| tlv(0x17, time.as_bytes()));
        let contents = [
            tlv(0xa0, &[2, 1, 2]),
            tlv(2, &self.serial),
            self.algorithm.identifier(),
            name(&self.issuer),
            sequence(&[from, until].concat()),
            name(&self.subject),
            key.to_vec(),
            tlv(0xa3, &sequence(&extensions.concat())),
        ];
        signed(&contents.concat(), self.signer, self.algorithm)
    }
}

impl RevocationList {
    fn sign(&self) -> Vec<u8> {
        let [this, next] = self.validity.map(|time| tlv(0x17, time.as_bytes()));
        let revoked: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|serial| sequence(&[tlv(2, serial), this.clone()].concat()))
            .collect();
        let revoked = if revoked.is_empty() { Vec::new() } else { sequence(&revoked) };
        let number = extension(&[0x55, 0x1d, 20], false, &[2, 1, 1]);
        let organization = self.organization.map_or_else(Vec::new, |name| {
            let attribute = sequence(&[oid(&[0x55, 4, 10]), tlv(0x0c, name.as_bytes())].concat());
            tlv(0x31, &attribute)
        });
        let contents = [
            vec![2, 1, 1],
            Algorithm::PssExplicit.identifier(),
            sequence(&[organization, name_attribute(&self.issuer)].concat()),
            this,
            next,
            revoked,
            tlv(0xa0, &sequence(&number)),
        ];
        signed(&contents.concat(), self.signer, Algorithm::PssExplicit)
    }
}

impl Algorithm {
    fn identifier(self) -> Vec<u8> {
        const PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10];
        const MGF1: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 8];
        let sha: &[u8] =
            &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, if self == Self::PssSha256 { 1 } else { 2 }];
        if self == Self::Pkcs1 {
            let sha384_rsa = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12]);
            return sequence(&[sha384_rsa, vec![5, 0]].concat());
        }
        let hash = sequence(&[oid(sha), vec![5, 0]].concat());
        let mask = sequence(&[oid(MGF1), hash.clone()].concat());
        let salt = if self == Self::PssSha256 { 32 } else { 48 };
        let mut parameters =
            [tlv(0xa0, &hash), tlv(0xa1, &mask), tlv(0xa2, &[2, 1, salt])].concat();
        if self == Self::PssExplicit {
            parameters.extend(tlv(0xa3, &[2, 1, 1]));
        }
        sequence(&[oid(PSS), sequence(&parameters)].concat())
    }
}

fn authority(of: Authority) -> RsaKeyPair {
    let der: &[u8] = match of {
        Authority::Root => include_bytes!("../../keys/root.der"),
        Authority::Intermediate => include_bytes!("../../keys/intermediate.der"),
    };
    RsaKeyPair::from_der(der).expect("a key of ours is read")
}

fn authority_key(of: Authority) -> Vec<u8> {
    let rsa = [oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), vec![5, 0]].concat();
    spki(&rsa, authority(of).public_key().as_ref())
}

fn signed(contents: &[u8], signer: Authority, algorithm: Algorithm) -> Vec<u8> {
    let contents = sequence(contents);
    let key = authority(signer);
    let padding: &dyn ring::signature::RsaEncoding = match algorithm {
        Algorithm::PssExplicit | Algorithm::Pss => &RSA_PSS_SHA384,
        Algorithm::PssSha256 => &RSA_PSS_SHA256,
        Algorithm::Pkcs1 => &RSA_PKCS1_SHA384,
    };
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(padding, &SystemRandom::new(), &contents, &mut signature).expect("it signs");
    let bits = tlv(3, &[&[0][..], &signature].concat());
    sequence(&[contents, algorithm.identifier(), bits].concat())
}

fn spki(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    sequence(&[sequence(algorithm), tlv(3, &[&[0][..], key].concat())].concat())
}

fn name(common: &str) -> Vec<u8> {
    sequence(&name_attribute(common))
}

fn name_attribute(common: &str) -> Vec<u8> {
    let attribute = sequence(&[oid(&[0x55, 4, 3]), tlv(0x0c, common.as_bytes())].concat());
    tlv(0x31, &attribute)
}

fn extension(of: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let critical: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&oid(of)[..], critical, &tlv(4, value)].concat())
}

fn oid(contents: &[u8]) -> Vec<u8> {
    tlv(6, contents)
}

fn sequence(contents: &[u8]) -> Vec<u8> {
    tlv(0x30, contents)
}

/// Tag, length, value of DER, for lengths below 65536.
fn tlv(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let [.., high, low] = length.to_be_bytes();
    let mut der = vec![tag];
    match length {
        0..128 => der.push(low),
        128..256 => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend(contents);
    der
}
