//! A small world of real processes, for the end-to-end tests and the demo.
//!
//! [`world::World`] sets up owners, an author, an orchestrator and a host with the
//! commands that a person would type, and starts their daemons. Everything is under
//! one folder; dropping the world ends its processes.

pub mod accounts;
pub mod breast_cancer;
pub mod daemon;
pub mod guests;
pub mod holdings;
pub mod memory;
pub mod orders;
pub mod played;
pub mod processes;
pub mod programs;
pub mod search;
pub mod small;
pub mod tables;
pub mod trainers;
pub mod world;

pub use daemon::Daemon;
pub use programs::Programs;
pub use world::{Owner, World};
