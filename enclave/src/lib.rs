//! The program inside the TEE: it checks a job, opens the grants, runs the rounds,
//! and releases noised sums. Everything that it trusts is in its dependency tree.
//!
//! | module | what it does |
//! |---|---|
//! | [`boot`] | arguments, platform, and the first lines of `main` |
//! | [`attester`] | evidence of the platform |
//! | [`admission`] | everything about a job that is checked before a key is asked for |
//! | [`session`] | one type for each state of a job |
//! | [`rows`] | from a sealed body to the rows of each unit |
//! | [`rounds`] | units in, noised releases out |
//! | [`release`] | released tensors and their signed receipts |
//! | [`serve`] | the host's connections |
//! | [`refusal`] | every reason that the host is ever told |
//! | [`events`] | every line that is ever logged |
//!
//! The host is the adversary, and so is the code that runs. What each sees of the rows
//! goes through [`rounds`] alone.

#![forbid(unsafe_code)]

pub mod admission;
pub mod attester;
pub mod boot;
pub mod events;
pub mod refusal;
pub mod release;
pub mod rounds;
pub mod rows;
pub mod serve;
pub mod session;
