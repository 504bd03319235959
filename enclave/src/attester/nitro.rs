//! AWS Nitro Enclaves: the Nitro Secure Module (NSM) signs attestation documents.
//!
//! The binding is the document's `user_data`. It covers the brokers' nonces, so the field
//! `nonce` stays empty, and so does `public_key`.

use std::{fs::File, os::fd::AsRawFd as _};

use aws_nitro_enclaves_nsm_api::{
    api::{ErrorCode, Request, Response},
    driver::nsm_process_request,
};
use thiserror::Error;

use super::{Attester, AttesterError, device::Device};

const DEVICE: Device = Device {
    platform: "nitro",
    path: "/dev/nsm",
    remedy: "run this program as its image in a Nitro enclave (`nitro-cli run-enclave`), with \
             the nsm driver in the image's kernel",
};

/// Asks the NSM for documents.
pub struct Nitro(File);

impl Nitro {
    /// Opens the NSM.
    ///
    /// # Errors
    ///
    /// [`AttesterError::Device`] if this is no Nitro enclave.
    pub fn open() -> Result<Self, AttesterError> {
        // Not the crate's `nsm_init`, which gives -1 for every error and tells only its log.
        let device = File::options().read(true).write(true).open(DEVICE.path);
        device.map(Self).map_err(|source| DEVICE.missing(source))
    }
}

impl Attester for Nitro {
    fn platform(&self) -> &'static str {
        "nitro"
    }

    fn evidence(&self, binding: &[u8; 64]) -> Result<Vec<u8>, AttesterError> {
        let response = nsm_process_request(self.0.as_raw_fd(), request(binding));
        let document = document(response);
        document.map_err(|error| AttesterError::Answer {
            platform: DEVICE.platform,
            source: error.into(),
        })
    }
}

/// Why an answer of the NSM is no document.
#[derive(Debug, Error)]
enum AnswerError {
    /// It refused.
    #[error("the Nitro Secure Module said {0:?}")]
    Refused(ErrorCode),
    /// It answered something else.
    #[error("the Nitro Secure Module answered another question")]
    Other,
}

fn request(binding: &[u8; 64]) -> Request {
    Request::Attestation { user_data: Some(binding.to_vec().into()), nonce: None, public_key: None }
}

/// The document, byte by byte as it came.
fn document(response: Response) -> Result<Vec<u8>, AnswerError> {
    match response {
        Response::Attestation { document } => Ok(document),
        Response::Error(code) => Err(AnswerError::Refused(code)),
        _ => Err(AnswerError::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binding_is_all_that_is_asked_for() {
        let Request::Attestation { user_data, nonce, public_key } = request(&[7; 64]) else {
            panic!("not a request for a document");
        };
        assert_eq!(user_data.unwrap().as_slice(), [7; 64]);
        assert!(nonce.is_none() && public_key.is_none());
    }

    #[test]
    fn a_document_is_passed_on_and_nothing_else_is() {
        let given = document(Response::Attestation { document: vec![0x84, 1, 2] });
        assert_eq!(given.unwrap(), [0x84, 1, 2]);
        let refused = document(Response::Error(ErrorCode::InputTooLarge)).unwrap_err();
        assert_eq!(refused.to_string(), "the Nitro Secure Module said InputTooLarge");
        let other = document(Response::LockPCR).unwrap_err();
        assert_eq!(other.to_string(), "the Nitro Secure Module answered another question");
    }

    #[test]
    fn a_machine_without_the_module_is_told_what_was_looked_for() {
        let Err(error) = Nitro::open() else { return };
        let told = error.to_string();
        assert!(told.contains("/dev/nsm") && told.contains("nitro-cli"), "{told}");
        assert!(!told.contains('\n'), "{told}");
    }

    /// The request goes nowhere, but the way there must not end the program.
    #[test]
    fn a_device_that_is_none_makes_no_evidence() {
        let error = Nitro(File::open("/dev/null").unwrap()).evidence(&[7; 64]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the platform nitro made no evidence: the Nitro Secure Module said InternalError"
        );
    }
}
