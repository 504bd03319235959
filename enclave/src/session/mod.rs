//! The heart of the enclave: one type for each state of a job, each consuming the one
//! before.
//!
//! [`Offered`] -> [`Attested`] -> [`Granted`] -> [`Loaded`] -> [`Released`]
//!
//! There is no other way to make them, so code that would attest to an unchecked job,
//! train before every whole hash matched, or sign a transcript's releases twice does not
//! compile:
//!
//! - keys are made in [`Offered::attest`], and the transcript's digest is what is attested;
//! - data keys exist in [`Granted`] only, each until its dataset is complete;
//! - rows are reachable in [`Loaded`] only, and [`Loaded::run`] consumes them;
//! - the signing key is in [`Loaded`]'s notary, which signs each release once.
//!
//! Rows cannot be used before all of them were compared with what was signed:
//!
//! ```compile_fail,E0599
//! # use cloister_enclave::{rounds::Workshop, session::{Granted, Progress}};
//! # use {std::sync::mpsc::Receiver, tokio::sync::watch::Sender};
//! fn early(session: Granted, shop: &Workshop, to: &Sender<Progress>, stop: &Receiver<()>) {
//!     session.run(shop, to, stop);
//! }
//! ```
//!
//! and a transcript is executed once:
//!
//! ```compile_fail,E0382
//! # use cloister_enclave::{rounds::Workshop, session::{Loaded, Progress}};
//! # use {std::sync::mpsc::Receiver, tokio::sync::watch::Sender};
//! fn twice(session: Loaded, shop: &Workshop, to: &Sender<Progress>, stop: &Receiver<()>) {
//!     session.run(shop, to, stop);
//!     session.run(shop, to, stop);
//! }
//! ```
//!
//! The same, once, does compile:
//!
//! ```
//! # use cloister_enclave::{rounds::Workshop, session::{Loaded, Progress}};
//! # use {std::sync::mpsc::Receiver, tokio::sync::watch::Sender};
//! fn once(session: Loaded, shop: &Workshop, to: &Sender<Progress>, stop: &Receiver<()>) {
//!     session.run(shop, to, stop);
//! }
//! ```

mod attested;
mod granted;
mod loaded;
mod offered;

pub use attested::Attested;
pub use granted::{Granted, LoadedDataset, Loading};
pub use loaded::{Ending, Loaded, Progress, Released};
pub use offered::Offered;
