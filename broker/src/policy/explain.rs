//! A policy in words, for the person who answers for the data.

use std::fmt::{self, Write as _};

use cloister_protocol::{KeyId, job::Recipients};

use super::{Amount, Enclave, Policy};

/// Says in plain words what the policy allows: for a data-protection officer.
#[must_use]
pub fn explain(policy: &Policy) -> String {
    let mut page = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut page, policy);
    page
}

fn write(page: &mut String, policy: &Policy) -> fmt::Result {
    let Policy {
        format: _,
        id,
        version,
        population,
        budget,
        purposes,
        code,
        orchestrators,
        recipients,
        cohort,
        per_row,
        evidence_max_age,
        enclaves,
    } = policy;
    let named = id.as_ref().map_or(String::new(), |id| format!(" {id:?}"));
    writeln!(page, "Policy{named}, version {version}, for the data about: {population}\n")?;

    writeln!(page, "What the data may be used for")?;
    let list: Vec<_> = purposes.allowed.iter().map(|purpose| format!("{purpose:?}")).collect();
    writeln!(page, "  Jobs that state one of these purposes: {}.", or_none(&list))?;
    writeln!(page, "  Nothing is granted after {}.", time(purposes.not_after))?;
    writeln!(page, "  Jobs are accepted from: {}.\n", or_none(&keys(orchestrators)))?;

    writeln!(page, "What can become known about one person")?;
    for (whom, budget) in
        [("By all jobs together, for ever", &budget.total), ("By one job at most", &budget.per_job)]
    {
        let Amount { epsilon, delta, rho } = budget;
        writeln!(page, "  {whom}: epsilon {epsilon} at delta {delta:e} (rho {rho}).")?;
        writeln!(page, "    That is: but for a chance of {delta:e}, the odds of any guess about")?;
        writeln!(page, "    a person change by a factor of {} at most.", odds(*epsilon))?;
    }
    if let Some(order) = budget.order {
        writeln!(
            page,
            "  It is counted at order {order} of Rényi divergence, for good: a job whose"
        )?;
        writeln!(page, "  rounds look at a random part of the people costs less.")?;
    }
    writeln!(page, "  What was spent never comes back. When the total is spent, the broker")?;
    writeln!(page, "  grants nothing more on these people, whatever file they are in.")?;
    let unit = if *per_row {
        "Datasets may protect each row by itself. That protects a person only if nobody has \
         two rows."
    } else {
        "All rows of one person are protected together."
    };
    writeln!(page, "  {unit}\n")?;

    writeln!(page, "What leaves")?;
    writeln!(page, "  Only sums over many units, with noise that hides any single one.")?;
    let list: Vec<_> = recipients
        .iter()
        .map(|recipients| match recipients {
            Recipients::Anyone => "anyone".to_owned(),
        })
        .collect();
    writeln!(page, "  They may be read by: {}.\n", or_none(&list))?;

    writeln!(page, "In whose company")?;
    let (least, of) = (cohort.minimum_owners, cohort.owners.len());
    writeln!(page, "  A job needs at least {least} of these {of} owners, and no others:")?;
    writeln!(page, "    {}.", or_none(&keys(&cohort.owners)))?;
    writeln!(page, "  It needs at least {} units in all.\n", cohort.minimum_units)?;

    writeln!(page, "Which code may see rows, inside the enclave only")?;
    let list: Vec<_> = code.components.iter().map(|id| format!("{}...", id.short())).collect();
    writeln!(page, "  Components named here: {}.", or_none(&list))?;
    let also = if code.approvals { "Also" } else { "Not" };
    writeln!(page, "  {also} code for which this owner signed an approval.\n")?;

    writeln!(page, "Which enclaves may hold the key, each for one job")?;
    let mut unprotected = false;
    for enclave in super::enclaves::enclaves(enclaves) {
        let allows = enclave.allows();
        let allows = allows.map_or_else(String::new, |what| format!(", although it allows {what}"));
        let Enclave { section, name, .. } = enclave;
        writeln!(page, "  On {section}: {name:?}{allows}.")?;
        unprotected |= section.flag().is_some();
    }
    let revoked = enclaves.revoked();
    if !revoked.is_empty() {
        let (images, signers) = (revoked.images.len(), revoked.signers.len());
        let chips = revoked.chips.len();
        writeln!(page, "  Revoked: {images} images, {signers} signers, {chips} chips.")?;
    }
    writeln!(page, "  Their proof of what they run may be {evidence_max_age} seconds old.")?;
    if !enclaves.snp_references().is_empty() {
        writeln!(
            page,
            "  Proofs of AMD SEV-SNP have no time; they answer this broker's question."
        )?;
    }
    if unprotected {
        writeln!(page, "\n  WARNING: whoever runs some of these enclaves can read the data.")?;
    }
    Ok(())
}

/// Epsilon multiplies odds by e to its power at most; rounded up to a tenth.
#[must_use]
pub fn odds(epsilon: f64) -> String {
    let odds = epsilon.exp();
    if odds < 100.0 { format!("{:.1}", (odds * 10.0).ceil() / 10.0) } else { "over 100".to_owned() }
}

fn keys(keys: &[KeyId]) -> Vec<String> {
    keys.iter().map(|key| format!("{}...", key.digest().short())).collect()
}

fn or_none(list: &[String]) -> String {
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}

/// A time as people read it, in UTC.
fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    time.map_or_else(|| format!("second {seconds}"), |time| time.to_string())
}
