//! Every rule that a Nitro document is held against, in the order of checking.

use crate::verdict::rules;

rules! {
    CERTIFICATE_DOCUMENT = "certificate.document",
        "A TLS certificate that is given instead of a document has one document among its DNS names.",
        "Pass the enclave's own certificate in DER, not the chain above it and not a load balancer's.";
    EVIDENCE_SIZE = "evidence.size",
        "A document is 1 to 16384 bytes.",
        "Pass the bytes of one attestation document, decoded from hex or base64.";
    COSE_STRUCTURE = "cose.structure",
        "A document is a COSE_Sign1: a CBOR array of four, with tag 18 or none.",
        "Pass the document as the enclave made it, not a certificate, a token or a wrapper around it.";
    COSE_TRAILING = "cose.trailing",
        "Nothing follows the COSE_Sign1.",
        "Find out who appended bytes on the way, and pass the document alone.";
    COSE_ALGORITHM = "cose.algorithm",
        "The protected header says ES384 (algorithm -35), and it alone counts.",
        "Refuse the document: no Nitro document is signed with another algorithm.";
    COSE_CRITICAL = "cose.critical",
        "The protected header marks nothing as critical that this verifier does not know.",
        "Update the verifier if AWS has introduced a critical header; else refuse the document.";
    COSE_UNPROTECTED = "cose.unprotected",
        "The unprotected header, which nobody signs, is empty.",
        "Find out who wrote into it on the way: no Nitro document has anything there.";
    COSE_SIGNATURE_SIZE = "cose.signature-size",
        "An ES384 signature is 96 bytes: r and s, 48 each.",
        "Pass the raw signature, not its DER encoding.";
    PAYLOAD_SIZE = "payload.size",
        "The signed payload is 1 to 16384 bytes.",
        "Pass an attached payload: a detached one proves nothing here.";
    PAYLOAD_STRUCTURE = "payload.structure",
        "The payload is one CBOR map of at most 64 fields, none of them twice, nested at most 16 deep.",
        "Refuse the document: two verifiers could read it differently.";
    PAYLOAD_KIND = "payload.kind",
        "The payload is of the kind that is expected: an enclave's, or an instance's NitroTPM document, which carries nitrotpm_pcrs. Neither is ever taken for the other.",
        "Verify an instance's NitroTPM document as such, and an enclave's as such.";
    PAYLOAD_CERTIFICATES = "payload.certificates",
        "certificate and 1 to 6 entries of cabundle are there, each of 1 to 1024 bytes.",
        "Have the enclave ask for a new document; this one lost its certificates.";
    ROOT_PINNED = "root.pinned",
        "The first certificate of cabundle is the pinned root, compared by SHA-256 of its DER.",
        "Check which platform made the document: simulated evidence needs its root in the policy, and is never AWS's.";
    ROOT_VALIDITY = "root.validity",
        "The root is valid at the time of verification.",
        "Check the verifier's clock. A simulated root that has expired has to be made anew.";
    ROOT_USAGE = "root.usage",
        "The root is a certificate authority that may sign certificates, and a chain of this length.",
        "Pin the root, not an intermediate or a leaf.";
    CHAIN_PATH = "chain.path",
        "Every certificate down to the leaf is signed by the one before, valid at the time of verification, and allowed to stand where it stands.",
        "Leaves live three hours: ask for a new document, and check the verifier's clock.";
    CHAIN_ORDER = "chain.order",
        "The chain uses every certificate of cabundle, in order.",
        "Refuse the document: certificates were added, repeated or mixed.";
    CHAIN_USAGE = "chain.usage",
        "Key usage lets intermediates sign certificates and the leaf sign documents.",
        "Refuse the document: the key was not certified for signing it.";
    LEAF_KEY = "leaf.key",
        "The leaf's key is on P-384.",
        "Refuse the document: Nitro signs with P-384 only.";
    COSE_SIGNATURE = "cose.signature",
        "The leaf's key has signed header and payload, byte for byte as received.",
        "Get the document again: it was changed or damaged after it was signed.";
    FIELD_MODULE_ID = "field.module_id",
        "module_id is text of 1 to 256 bytes.",
        "Refuse the document: it is not as AWS specifies.";
    FIELD_DIGEST = "field.digest",
        "digest is SHA384, the hash that PCRs are made with.",
        "Update the verifier if AWS has introduced another hash; else refuse the document.";
    FIELD_TIMESTAMP = "field.timestamp",
        "timestamp is a whole number of milliseconds, greater than 0.",
        "Refuse the document: its age cannot be told.";
    FIELD_PCRS = "field.pcrs",
        "pcrs has 1 to 32 entries, index below 32, none twice, each of 32, 48 or 64 bytes.",
        "Refuse the document: it is not as AWS specifies.";
    FIELD_PUBLIC_KEY = "field.public_key",
        "public_key is absent, null, or 1 to 1024 bytes.",
        "Have the enclave leave it out, or pass a shorter key.";
    FIELD_USER_DATA = "field.user_data",
        "user_data is absent, null, or at most 1024 bytes.",
        "Have the enclave pass a digest instead.";
    FIELD_NONCE = "field.nonce",
        "nonce is absent, null, or at most 1024 bytes.",
        "Have the enclave pass the nonce as bytes, as it was sent.";
    DEBUG = "debug",
        "PCR0, PCR1 and PCR2 are there and not all zero: the enclave was not started in debug mode.",
        "Start the enclave without --debug-mode. Only a debug section in the policy accepts one, and it proves nothing about the code.";
    PCRS_IMAGE = "pcrs.image",
        "PCR0 (image), PCR1 (kernel) and PCR2 (application) are those of an approved enclave.",
        "Compare with the image's published measurements.toml: a mistyped value, another version, or code nobody approved.";
    PCRS_SIGNER = "pcrs.signer",
        "PCR8 (certificate that signed the image) is the approved one.",
        "Sign the image with the approved key, or approve this signer.";
    PCRS_DEPLOYMENT = "pcrs.deployment",
        "PCR3 (role of the instance) and PCR4 (instance) are the approved ones.",
        "Run on the approved instance and role, or approve these.";
    PCRS_OTHER = "pcrs.other",
        "All other PCRs that the policy names have the approved values.",
        "Compare with what the enclave measures into these registers at run time.";
    PCRS_TPM = "pcrs.tpm",
        "The registers of an instance's TPM that the policy names have the approved values.",
        "Compare with what the image boots: boot loader, kernel and command line all count.";
    TIME_AGE = "time.age",
        "The document is not older than the policy allows.",
        "Ask the enclave for a new document.";
    TIME_SKEW = "time.skew",
        "The document is not from the future, apart from the drift that the policy allows.",
        "Check the clocks of the verifier and of the enclave's host.";
    NONCE = "nonce",
        "The document was made for this verifier's nonce.",
        "Send a new nonce and ask for a new document: this one is for somebody else or replayed.";
    CERTIFICATE_KEY = "certificate.key",
        "A document in a TLS certificate vouches for the certificate's key.",
        "Have the enclave put the key, or its SHA-2 digest, into the document. Without it the certificate may be anybody's who has seen the document.";
    BINDING = "binding",
        "user_data is the binding of this task: keys, job, code, data and policies.",
        "The enclave attests another task, or the two sides disagree about a part of it: start the exchange again.";
}
