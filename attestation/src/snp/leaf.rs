//! The certificate of the key that signed a report: whose key it is, as AMD's extensions say.
//!
//! "Versioned Chip Endorsement Key (VCEK) Certificate and KDS Interface Specification" (AMD
//! publication 57230), sections on the certificates' extensions.

use x509_parser::der_parser::der::parse_der_integer;
use x509_parser::der_parser::oid;
use x509_parser::der_parser::parse_der;
use x509_parser::oid_registry::Oid;
use x509_parser::parse_x509_certificate;

use super::report::SigningKey;
use super::{Product, Tcb};
use crate::certificate::common_name;

/// The parts of the TCB, by the last number of their object identifier.
const BOOTLOADER: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.1);
const TEE: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.2);
const SNP: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.3);
const MICROCODE: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.8);
const FMC: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.9);
const PRODUCT: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.2);
const CHIP: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.4);
const PROVIDER: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.5);

/// What a leaf says of its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endorsed {
    pub(super) product: Product,
    /// What firmware the key was derived for.
    pub(super) tcb: Tcb,
    /// A VCEK's chip.
    pub(super) chip: Option<Vec<u8>>,
    /// A VLEK's cloud provider.
    pub(super) provider: Option<String>,
}

/// By its subject, which kind of key a leaf certifies. Nothing is trusted for it.
pub(super) fn kind(common_name: &str) -> Option<SigningKey> {
    match common_name {
        "SEV-VCEK" => Some(SigningKey::Vcek),
        "SEV-VLEK" => Some(SigningKey::Vlek),
        _ => None,
    }
}

impl Endorsed {
    /// Reads the extensions of a leaf.
    ///
    /// # Errors
    ///
    /// What is wrong with which extension, in words.
    pub(super) fn read(der: &[u8]) -> Result<Self, String> {
        let (_, certificate) = parse_x509_certificate(der).map_err(|_| "no certificate")?;
        let find = |oid: &Oid<'_>, name: &str| {
            let mut found = certificate.extensions().iter().filter(|one| one.oid == *oid);
            match (found.next(), found.next()) {
                (found, None) => Ok(found.map(|extension| extension.value)),
                (_, Some(_)) => Err(format!("{name} twice")),
            }
        };
        let part = |oid, name: &str| find(&oid, name)?.map(|value| byte(value, name)).transpose();
        let needed = |oid, name: &str| part(oid, name)?.ok_or_else(|| format!("no {name}"));

        let kind = common_name(certificate.subject()).and_then(kind);
        let product = text(find(&PRODUCT, "product name")?, "product name")?;
        let product = Product::of_name(&product)
            .ok_or_else(|| format!("product {}", crate::text::quoted(&product)))?;
        let fmc = part(FMC, "fmc")?;
        if fmc.is_some() != (product == Product::Turin) {
            return Err(format!(
                "fmc is {}there for {product}",
                if fmc.is_some() { "" } else { "not " }
            ));
        }
        let tcb = Tcb {
            fmc,
            bootloader: needed(BOOTLOADER, "bootloader")?,
            tee: needed(TEE, "tee")?,
            snp: needed(SNP, "snp")?,
            microcode: needed(MICROCODE, "microcode")?,
        };
        let chip = find(&CHIP, "hwid")?.map(<[u8]>::to_vec);
        let provider =
            find(&PROVIDER, "csp id")?.map(|value| text(Some(value), "csp id")).transpose()?;
        match (kind, &chip, &provider) {
            (Some(SigningKey::Vcek), Some(chip), None)
                if chip.len() == product.chip_id_length() => {}
            (Some(SigningKey::Vcek), Some(chip), _) => {
                return Err(format!("a hwid of {} bytes in a VCEK for {product}", chip.len()));
            }
            (Some(SigningKey::Vcek), None, _) => return Err("a VCEK without hwid".to_owned()),
            (Some(SigningKey::Vlek), None, Some(_)) => {}
            (Some(SigningKey::Vlek), ..) => {
                return Err("a VLEK without csp id, or with hwid".into());
            }
            _ => return Err("neither a VCEK nor a VLEK".to_owned()),
        }
        Ok(Self { product, tcb, chip, provider })
    }
}

/// An `INTEGER` from 0 to 255 and nothing after it.
fn byte(der: &[u8], name: &str) -> Result<u8, String> {
    let wrong = || format!("{name} is no number from 0 to 255");
    let (rest, integer) = parse_der_integer(der).map_err(|_| wrong())?;
    let number = integer.as_u32().ok().and_then(|number| u8::try_from(number).ok());
    number.filter(|_| rest.is_empty()).ok_or_else(wrong)
}

/// An `IA5String` and nothing after it.
fn text(der: Option<&[u8]>, name: &str) -> Result<String, String> {
    let der = der.ok_or_else(|| format!("no {name}"))?;
    match parse_der(der) {
        Ok(([], object)) => match object.content.as_str() {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(format!("{name} is no text")),
        },
        _ => Err(format!("{name} is not DER")),
    }
}
