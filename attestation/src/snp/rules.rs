//! Every rule that a report is held against, in the order of checking.

use crate::verdict::rules;

rules! {
    EVIDENCE_SIZE = "evidence.size",
        "A report has exactly 1184 bytes.",
        "Pass the report alone, decoded from hex or base64: not the firmware's response around it, not its certificates.";
    EVIDENCE_TABLE = "evidence.table",
        "The certificate table behind the report, if there is one, holds together.",
        "Pass the table as the host gave it, or the report alone and the certificates as collateral.";
    REPORT_ALGORITHM = "report.algorithm",
        "The report is signed by ECDSA on P-384 with SHA-384 (algorithm 1).",
        "Refuse the report: no SNP report is signed with another algorithm.";
    REPORT_SIGNING_KEY = "report.signing-key",
        "The report says which key signed it: the chip's (VCEK) or a cloud provider's (VLEK).",
        "Have the guest ask for a report signed by VCEK or VLEK: this one is signed by nobody.";
    REPORT_CHIP_KEY = "report.chip-key",
        "MASK_CHIP_KEY is not set: where it is, the signature is zeros.",
        "Have the host's operator clear MASK_CHIP_KEY in the SNP configuration.";
    REPORT_SIGNATURE_FORM = "report.signature-form",
        "r and s are 48 bytes each, little-endian, with zeros to the end of the report.",
        "Pass the report as the firmware made it.";
    COLLATERAL_LEAF = "collateral.leaf",
        "The collateral has the certificate of the kind of key that signed.",
        "Get the VCEK for this chip and its reported TCB from AMD, or the VLEK from the cloud provider, and add it to the collateral.";
    COLLATERAL_CHAIN = "collateral.chain",
        "The collateral has the certificates of the intermediate and the root that issued the leaf.",
        "Add AMD's certificate chain of this product: ASK and ARK, or for a VLEK ASVK and ARK.";
    ROOT_PINNED = "root.pinned",
        "The root is the pinned one of its product, compared by SHA-256 of its DER.",
        "Take AMD's own chain: anybody can make a root of the same name.";
    CHAIN_KIND = "chain.kind",
        "The intermediate is the one for this kind of key and this product.",
        "Take the chain of this product, for a VCEK the ASK and for a VLEK the ASVK.";
    ROOT_VALIDITY = "root.validity",
        "The root is valid at the time of verification.",
        "Check the verifier's clock.";
    ROOT_USAGE = "root.usage",
        "The root is a certificate authority that may sign certificates.",
        "Pin the root, not an intermediate or a leaf.";
    CHAIN_PATH = "chain.path",
        "Every certificate down to the leaf is signed by the one before, valid at the time of verification, and allowed to stand where it stands.",
        "Check the verifier's clock. VLEKs live a year and VCEKs seven: get a current one, and the chain that issued it.";
    CHAIN_CRL = "chain.crl",
        "Every revocation list of the root that is given is signed by it, and has neither root nor intermediate; one of them is current.",
        "Get the current revocation list. If it has the certificate, no chip under it is to be trusted any more.";
    CHAIN_USAGE = "chain.usage",
        "Key usage lets the intermediate sign certificates.",
        "Refuse the report: its key was not certified for signing it.";
    LEAF_KEY = "leaf.key",
        "The leaf's key is on P-384.",
        "Refuse the report: VCEKs and VLEKs are on P-384.";
    REPORT_SIGNATURE = "report.signature",
        "The leaf's key has signed the report, byte for byte as received.",
        "Compare chip and reported TCB with the certificate's: it may be another chip's or for other firmware. Else the report was changed.";
    REPORT_VERSION = "report.version",
        "The report has version 2, 3 or 5, whose fields this verifier knows.",
        "Update the verifier if AMD has introduced a version; else update the host's firmware.";
    REPORT_RESERVED = "report.reserved",
        "Fields that this version reserves are zero.",
        "Update the verifier: the fields may have a meaning that it does not know.";
    LEAF_EXTENSIONS = "leaf.extensions",
        "The leaf says product, TCB and chip (VCEK) or provider (VLEK), each once.",
        "Refuse the certificate: it is not as AMD specifies.";
    PRODUCT = "product",
        "Processor, leaf and root belong to one product.",
        "Take the chain of the product that the host is.";
    PRODUCT_ALLOWED = "product.allowed",
        "The policy accepts this product.",
        "Run on an accepted product, or add this one. A product on the deny-list (Milan, whose chip secrets are claimed to be extractable, arXiv 2605.12990) needs an allowance of its own.";
    CRL_REQUIRED = "chain.crl-required",
        "There is a current revocation list of the root, where the policy requires one.",
        "Add the current revocation list of this product to the collateral.";
    CHIP = "chip",
        "The report's chip id is the one that the VCEK is for, and zero under a VLEK.",
        "Get the VCEK of this chip. If the host masks chip ids (zeros), have its operator unmask them, or rely on the certificate's alone and say so.";
    CHIP_ALLOWED = "chip.allowed",
        "The chip is none that the policy revokes, and if the policy lists chips, one of them.",
        "Run on a listed chip, or list this one.";
    PROVIDER = "provider",
        "A VLEK, which a cloud provider uses on any of its chips, belongs to the provider that the policy names; and where it names one, a VLEK signed.",
        "Name the provider, or run where the chip's own key (VCEK) signs.";
    TCB_CERTIFICATE = "tcb.certificate",
        "The reported TCB is the one that the leaf's key was derived for, component by component.",
        "Get the certificate for the reported TCB: the host's firmware was updated since.";
    TCB_ORDER = "tcb.order",
        "Reported, committed and current TCB do not decrease, component by component.",
        "Refuse the report: no firmware reports more than it has.";
    TCB_REPORTED = "tcb.reported",
        "Every component of the reported TCB is at least the policy's.",
        "Have the host's operator update firmware or microcode, then get the certificate for the new TCB.";
    TCB_COMMITTED = "tcb.committed",
        "Every component of the committed TCB, which cannot be rolled back, is at least the policy's.",
        "Have the host's operator commit the updated firmware (SNP_COMMIT).";
    TCB_LAUNCH = "tcb.launch",
        "Every component of the TCB at launch is at least the policy's.",
        "Start the guest anew: it was launched, or migrated to this host, under older firmware.";
    FIRMWARE = "firmware",
        "Current and committed firmware are at least the policy's build.",
        "Have the host's operator update the SNP firmware.";
    MITIGATIONS = "mitigations",
        "The mitigations that the policy names are in force, at launch and now.",
        "Have the host's operator update the firmware, then start the guest anew.";
    POLICY_RESERVED = "policy.reserved",
        "Bit 17 of the guest policy is one, and the bits from 26 on are zero.",
        "Launch the guest with a policy that this verifier knows.";
    POLICY_DEBUG = "policy.debug",
        "The guest policy forbids debugging.",
        "Launch the guest without the DEBUG bit: with it the host reads and changes the guest's memory.";
    POLICY_MIGRATION = "policy.migration",
        "The guest policy forbids migration agents, and the report names none.",
        "Launch the guest without MIGRATE_MA: an agent is given the guest's secrets.";
    POLICY_CXL = "policy.cxl",
        "The guest policy forbids memory behind CXL devices.",
        "Launch the guest without CXL_ALLOW, or allow it and trust the devices.";
    POLICY_SMT = "policy.smt",
        "The guest policy forbids simultaneous multithreading.",
        "Launch the guest without the SMT bit, on a host that has it off.";
    POLICY_SINGLE_SOCKET = "policy.single-socket",
        "The guest policy demands a single socket.",
        "Launch the guest with SINGLE_SOCKET.";
    POLICY_AES256 = "policy.aes256",
        "The guest policy demands AES-256 XTS for memory.",
        "Launch the guest with MEM_AES_256_XTS.";
    POLICY_RAPL = "policy.rapl",
        "The guest policy demands that energy measurements are off.",
        "Launch the guest with RAPL_DIS.";
    POLICY_CIPHERTEXT = "policy.ciphertext",
        "The guest policy demands that ciphertext in memory is hidden from the host.",
        "Launch the guest with CIPHERTEXT_HIDING_DRAM, on a host that has it.";
    POLICY_PAGE_SWAP = "policy.page-swap",
        "The guest policy forbids that the host swaps or moves pages.",
        "Launch the guest with PAGE_SWAP_DISABLE.";
    POLICY_ABI = "policy.abi",
        "The guest policy demands at least the ABI version that the verifier's policy does.",
        "Launch the guest with a higher ABI_MAJOR and ABI_MINOR.";
    PLATFORM_SMT = "platform.smt",
        "Simultaneous multithreading is off on the host.",
        "Have the host's operator turn it off.";
    PLATFORM_TSME = "platform.tsme",
        "All of the host's memory is encrypted (TSME).",
        "Have the host's operator turn it on.";
    PLATFORM_ECC = "platform.ecc",
        "The host's memory corrects errors.",
        "Have the host's operator use ECC memory.";
    PLATFORM_RAPL = "platform.rapl",
        "Energy measurements are off on the host.",
        "Have the host's operator turn RAPL off.";
    PLATFORM_CIPHERTEXT = "platform.ciphertext",
        "Ciphertext in memory is hidden from the host.",
        "Have the host's operator turn ciphertext hiding on.";
    PLATFORM_ALIAS = "platform.alias",
        "The host's memory was checked for aliases since its last reset (BadRAM).",
        "Have the host's operator update the firmware to one that checks.";
    PLATFORM_TIO = "platform.tio",
        "Trusted I/O, which lets devices into the guest's memory, is off on the host.",
        "Have the host's operator turn SEV-TIO off, or do not require this.";
    VMPL = "vmpl",
        "The report was made at the privilege level that the policy names.",
        "Ask for the report at that level. One made at another may come from a paravisor or a less trusted part of the guest.";
    MEASUREMENT = "measurement",
        "The launch digest is that of an approved guest.",
        "Compare with the image's published measurements.toml: firmware, kernel, initial RAM disk, command line, number and model of vCPUs all count.";
    HOST_DATA = "host-data",
        "HOST_DATA, which the host chose at launch, is the policy's.",
        "Launch the guest with this host data.";
    ID_KEY = "id-key",
        "The guest's identity block was signed by the policy's key.",
        "Launch the guest with the identity block that this key has signed.";
    AUTHOR_KEY = "author-key",
        "The key of the identity block was signed by the policy's author; and if the report says that an author key was used, there is one.",
        "Launch the guest with the author's signature over the identity key.";
    IDENTITY = "identity",
        "Family, image and security version are the policy's. They count only with an approved identity key: hosts choose identity blocks.",
        "Launch the guest with the policy's identity block; pin the key that signs it.";
    HCL = "hcl",
        "REPORT_DATA is the digest of the runtime claims that Azure's paravisor wraps around the report.",
        "Get the blob again: report and runtime claims do not belong together.";
    NONCE = "nonce",
        "The report was made for this verifier: reports have no nonce and no time of their own, so the binding has to cover a nonce.",
        "Bind a nonce that the verifier chose, and compare the binding.";
    BINDING = "binding",
        "REPORT_DATA is the binding of this task: keys, job, code, data and policies.",
        "The guest attests another task, or the two sides disagree about a part of it: start the exchange again.";
}
