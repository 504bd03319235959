//! What the draft says beyond the facts: sentences of the documentation, word for word.
//!
//! An assessment promises nothing that the documentation does not. So these are quotes, and
//! tests compare them with the pages: whoever changes a page changes them here.

use serde_json::json;

use super::fact::{Fact, Source};

/// A sentence of a page.
pub(super) struct Quote {
    /// What it is about.
    what: &'static str,
    /// Its words, with single spaces.
    text: &'static str,
    /// The page.
    page: &'static str,
    /// The section of the page.
    section: &'static str,
}

const THREATS: &str = "docs/threat-model.md";
const PRIVACY: &str = "docs/privacy.md";

const CLIPPING: &str = "The gate clips the update's L2 norm to C, scales it to a grid of K steps, truncates toward \
     zero, checks in 128-bit integers that the sum of squares is at most K squared (zero \
     otherwise), and adds it to an integer sum.";
const NOISE: &str = "Each release is that sum plus exact discrete Gaussian noise (Canonne, Kamath, Steinke \
     2020) with sigma steps, from a ChaCha20 generator seeded by the system.";

/// Where the risks are from.
const NOT_DEFENDED: &str = "Not defended";

const fn quote(
    what: &'static str,
    text: &'static str,
    page: &'static str,
    section: &'static str,
) -> Quote {
    Quote { what, text, page, section }
}

/// What becomes of one person's rows, and what leaves.
pub(super) const PROCESSING: [Quote; 5] = [
    quote(
        "what code does",
        "A fresh instance of the component gets the model, this unit's rows and the parameters, \
         and returns one update.",
        PRIVACY,
        "What happens to one unit's rows",
    ),
    quote("what becomes of an update", CLIPPING, PRIVACY, "What happens to one unit's rows"),
    quote("what leaves", NOISE, PRIVACY, "What happens to one unit's rows"),
    quote(
        "what is public",
        "The units that an owner has and their number, the number of rows, the size of the \
         sealed file, and what `dataset.toml` declares: columns, bounds, typical values and the \
         most rows that one unit may have.",
        PRIVACY,
        "What is public",
    ),
    quote("who has releases", "whoever the policy names", THREATS, "Assets"),
];

/// What is not collected or shown.
pub(super) const NOT_SHOWN: [Quote; 5] = [
    quote(
        "who has rows",
        "the owner; the enclave that the owner's broker verified, for one job",
        THREATS,
        "Assets",
    ),
    quote(
        "who has a dataset's key",
        "the owner; that enclave, until the job ends",
        THREATS,
        "Assets",
    ),
    quote(
        "who has one person's update",
        "nobody: it exists inside the enclave only",
        THREATS,
        "Assets",
    ),
    quote(
        "inference",
        "Nothing is inferred from rows.",
        PRIVACY,
        "What happens to one unit's rows",
    ),
    quote(
        "what never depends on the data",
        "When releases happen; how many there are; their size and form; whether a job ends; what \
         the enclave says meanwhile (heartbeats, at fixed times).",
        PRIVACY,
        "What never depends on the data",
    ),
];

/// What is done about risks.
pub(super) const MEASURES: [Quote; 12] = [
    quote(
        "attestation: the broker trusts",
        "the vendor's root and the measurements in its policy; its own clock and disk",
        THREATS,
        "What each part trusts",
    ),
    quote(
        "attestation: another program, or one under another root",
        "denied, with the register that differs",
        THREATS,
        "Against the host",
    ),
    quote(
        "sealing: a file that was altered",
        "no row is used before the whole body has the hash that its owner signed",
        THREATS,
        "Against the host",
    ),
    quote(
        "confinement: training code",
        "signed and approved, and still treated as if it wanted to smuggle a row out.",
        THREATS,
        "Adversaries",
    ),
    quote(
        "confinement: code that escapes from WebAssembly",
        "it is in a process that may make ten system calls, without files, sockets, children or \
         executable memory; it can read the rows that workers share, and say of its units at \
         most what their updates could",
        THREATS,
        "Against the training code",
    ),
    quote("clipping", CLIPPING, PRIVACY, "What happens to one unit's rows"),
    quote("noise", NOISE, PRIVACY, "What happens to one unit's rows"),
    quote(
        "budget",
        "The owner's broker keeps the ledger, per population: it reserves, logs, and then \
         grants. What is reserved is spent, whatever happens to the job.",
        PRIVACY,
        "What it costs",
    ),
    quote(
        "budget: an older ledger",
        "A lost or older part of it is refused (`ledger.head` beside it says how far the log had \
         come); a whole home put back is not.",
        THREATS,
        NOT_DEFENDED,
    ),
    quote(
        "receipts: who claims more than a release shows",
        "the cost is computed again, models are replayed bit for bit, the final model is made \
         again",
        THREATS,
        "Against orchestrators, owners and recipients",
    ),
    quote(
        "what the claim is about",
        "Neighbouring inputs: which units an owner has, their number and the size of the sealed \
         file are public; one unit's rows are replaced by nothing.",
        THREATS,
        "The claim",
    ),
    quote(
        "the claim, and what it assumes",
        "For such inputs the releases of all jobs on a population satisfy the total in its \
         ledger (of zCDP, or of the Rényi divergence of the one order that its policy names), for \
         any training code, any model input, any collusion of the other owners and \
         any choice of who takes part, assuming that the TEE, wasmtime, the kernels and the \
         enclave binary are correct.",
        THREATS,
        "The claim",
    ),
];

/// What the host is, in the draft's section on roles.
pub(super) const HOST: Quote =
    quote("host: trusts", "nobody; is trusted by nobody", THREATS, "What each part trusts");

/// Everything that is not defended, as the page lists it.
pub(super) const RISKS: [&str; 12] = [
    "**Side channels inside the machine.** What the host learns by watching memory pages, \
     caches, ciphertexts or single steps while malicious code signals to it. This is worst on \
     SEV-SNP: a policy for it should require named authors and reviewed, reproducibly built \
     code.",
    "**Physical attacks** on memory buses and packages.",
    "**That a job ran**, when, on which datasets, with how many units.",
    "**A patient present at several owners**: the loss composes, once for each.",
    "**Poisoning** by an owner who seals invented rows.",
    "**Denial of service**: a host can always refuse to run a job. What was reserved for it \
     stays spent.",
    "**A broker restored from an old backup** may serve an older ledger. A lost or older part \
     of it is refused (`ledger.head` beside it says how far the log had come); a whole home \
     put back is not. The log is hash-chained and each grant carries its head, so a release \
     proves the rollback: once it is shown one that it has forgotten, the broker grants nothing \
     until a copy is back that has it. Before that it cannot know.",
    "**Lateness.** Releases leave at fixed times as long as the machine keeps up with the \
     fuel that admission allowed for. A host that starves the enclave makes a release late, \
     and code that signals through its run time can decide by how much. The interval then \
     doubles for the rest of the job, so that the lateness of a whole job has no more \
     outcomes than there are doublings; it is not zero. The constants that admission counts \
     with were measured on one machine with code written to be slow (`sandbox/src/fuel.rs`); \
     subnormal numbers on other processors, the handling of rows and code after the last look \
     at its fuel were allowed for by estimate, not measured.",
    "**Load.** Heartbeats and answers to status requests come from the same machine as the \
     rounds, and a hypervisor sees which processors are idle. This is a side channel like \
     those above, worst for code that burns fuel on purpose. In rounds that sample units it also \
     shows how many take part, or whether one does, on which what sampling saves rests.",
    "**What a manifest says is public**: the number of rows and units of a dataset, and the \
     size of its file. The most rows that one unit may have is declared, not counted.",
    "**The simulated platform** protects nothing: its root is made on the spot. It exists to \
     run the same code path without hardware, and everything that rests on it says so.",
    "**Signatures are classical.** Recorded traffic stays secret from a later quantum \
     computer; a quantum computer at the time of a job could forge.",
];

/// What a person has to decide in any case.
pub(super) const DECISIONS: [&str; 9] = [
    "the legal basis of the processing (Art. 6), and what permits it for special categories of \
     data (Art. 9), if these are such",
    "the advice of the data-protection officer, and what became of it (Art. 35(2))",
    "the views of the people concerned or of those who speak for them, or why they were not \
     asked (Art. 35(9))",
    "how long the sealed files, the releases and the receipts are kept, and who deletes them",
    "how people are informed, and how they use their rights (Art. 12 to 22)",
    "the contract with each host (Art. 28), the arrangement between controllers who decide \
     together (Art. 26), and transfers to other countries (Art. 44 to 49)",
    "whether the supervisory authority has to be consulted (Art. 36)",
    "the date on which this is reviewed, and what brings that forward (Art. 35(11))",
    "who answers for this assessment, with date and signature",
];

impl Quote {
    /// The quote as a fact.
    pub(super) fn fact(&self) -> Fact {
        let Self { what, text, page, section } = *self;
        Fact { what, says: text.to_owned(), value: json!(text), from: Source::Page(page, section) }
    }
}

/// The risks as facts.
pub(super) fn risks() -> impl Iterator<Item = Fact> {
    RISKS.iter().map(|text| quote("not defended", text, THREATS, NOT_DEFENDED).fact())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: [(&str, &str); 2] = [
        (THREATS, include_str!("../../../../docs/threat-model.md")),
        (PRIVACY, include_str!("../../../../docs/privacy.md")),
    ];

    /// A section of a page, without the sections below it.
    fn section(page: &str, name: &str) -> String {
        let text = PAGES.iter().find(|(path, _)| *path == page).unwrap().1;
        let lines = text.lines().skip_while(|line| line.trim_start_matches('#').trim() != name);
        let body = lines.skip(1).take_while(|line| !line.starts_with('#'));
        body.collect::<Vec<_>>().join("\n")
    }

    fn one_line(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn an_assessment_says_what_the_pages_say_and_no_more() {
        let all = PROCESSING.iter().chain(&NOT_SHOWN).chain(&MEASURES).chain([&HOST]);
        for Quote { what, text, page, section: name } in all {
            let found = one_line(&section(page, name));
            assert!(found.contains(text), "{what}: {page}, {name:?} does not say {text:?}");
        }
    }

    #[test]
    fn the_risks_of_an_assessment_are_all_that_the_page_lists() {
        let page = section(THREATS, NOT_DEFENDED);
        let items = format!("\n{}", page.trim());
        let listed: Vec<_> = items.split("\n- ").skip(1).map(one_line).collect();
        assert_eq!(listed, RISKS);
    }

    #[test]
    fn an_assessment_quotes_with_the_place_of_the_quote() {
        let fact = HOST.fact();
        assert_eq!(fact.from, Source::Page(THREATS, "What each part trusts"));
        assert_eq!(fact.value, fact.says);
        assert_eq!(risks().count(), RISKS.len());
    }
}
