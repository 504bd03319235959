//! The owner's key broker: challenge, appraise, reserve, log, grant.
//!
//! A broker holds the keys of its owner's sealed datasets. It verifies evidence
//! itself, holds each request against the owner's signed policy, charges the
//! population's budget, and only then seals the key to the enclave. Decisions are
//! pure ([`appraise`]); the [`ledger`] makes them last; the rest is a thin shell.
//!
//! | module | what it holds |
//! |---|---|
//! | [`policy`] | what an owner allows: TOML, its signed form, and in words |
//! | [`appraise`] | the decision, and every reason to refuse |
//! | [`ledger`] | nonces, the chained log, budgets, grants made |
//! | [`lock`] | one broker for each home |
//! | [`vault`] | keys and proofs of sealed datasets, approvals, the policy, in the owner's home |
//! | [`broker`] | the two requests, from bytes to bytes |
//! | [`service`] | the same over HTTPS |

#![forbid(unsafe_code)]

pub mod appraise;
pub mod broker;
pub mod ledger;
pub mod lock;
pub mod policy;
pub mod service;
pub mod vault;

#[cfg(test)]
mod scene;

pub use broker::{Broker, BrokerError};
pub use ledger::Ledger;
pub use lock::HomeLock;
pub use policy::Policy;
pub use vault::Vault;
