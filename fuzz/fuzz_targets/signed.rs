//! Everything that is signed, from whoever sends it. What can be read is written again as
//! the very same bytes: there are not two encodings of one object.
#![no_main]

use cloister_broker::ledger::GrantLog;
use cloister_party::Enrolment;
use cloister_protocol::{
    Kind, Signed,
    code::{CodeApproval, CodeFile, CodeManifest},
    dataset::DatasetManifest,
    grant::Grant,
    job::Job,
    release::{Receipt, Release},
    transcript::Transcript,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((transcript, id)) = Transcript::from_bytes(bytes) {
        assert_eq!(transcript.to_bytes(), bytes);
        assert_eq!(transcript.id(), id);
    }
    if let Ok(receipt) = Receipt::from_bytes(bytes) {
        assert_eq!(receipt.to_bytes(), bytes);
        let _ = receipt.check(&[]);
    }
    if let Ok(code) = CodeFile::from_bytes(bytes) {
        assert_eq!(code.to_bytes(), bytes);
        let _ = code.manifest.open_by_anyone();
    }
    open::<Job>(bytes);
    open::<CodeManifest>(bytes);
    open::<CodeApproval>(bytes);
    open::<DatasetManifest>(bytes);
    open::<Grant>(bytes);
    open::<Release>(bytes);
    open::<GrantLog>(bytes);
    let _ = Enrolment::open(&Signed::from_bytes(bytes.to_vec()));
});

/// An object is of one kind, and has one id.
fn open<T: Kind>(bytes: &[u8]) {
    let signed = Signed::<T>::from_bytes(bytes.to_vec());
    if let Ok(opened) = signed.open_by_anyone() {
        let again = signed.open_by(&opened.signer.id()).expect("it was signed by this key");
        assert_eq!(again.id, opened.id);
    }
}
