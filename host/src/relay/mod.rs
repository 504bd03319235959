//! One job's way between brokers and enclave, one function per step.
//!
//! ```text
//! 1. gather          job, code, datasets, public set          from the store
//! 2. brokers         whom to ask, by the datasets' owners     from the peers
//! 3. challenge       a nonce and the policy's digest          from each broker
//! 4. offer, attest   transcript and evidence                  from the enclave
//! 5. grant           sealed grants                            from each broker
//! 6. hand_over       the grants                               to the enclave
//! 7. load            each sealed body                         to the enclave
//! 8. follow          releases, as they fall due               from the enclave
//! ```
//!
//! Nothing here is trusted by anybody: whatever this code alters is noticed by a
//! broker or by the enclave. The steps are public and what passes between them is
//! plain data, so that a test can play a hostile host with them.

mod brokers;
mod deadlines;
mod enclave;
mod error;
mod follow;
mod material;

pub use brokers::{Broker, brokers, challenge, grant, grant_request, in_job_order};
pub use deadlines::Deadlines;
pub use enclave::{Attested, abandon, attest, hand_over, load, offer, status};
pub use error::{RelayError, Source};
pub use follow::{Event, Following, follow};
pub use material::Material;
