//! Attacks on what leaves: each succeeds on plain sums of the same updates, and fails on what
//! the product releases.
//!
//! The attacker writes the training code, chooses every other patient's rows and knows them,
//! and reads all releases. Figures are printed; bounds leave room for chance that a fixed seed
//! does not need.

mod audit;
mod failures;
mod membership;
mod networks;
mod reading;
mod sampling;
mod statistics;
mod world;
