//! The daemon of a node operator: it holds what is sealed, runs an enclave, and
//! carries messages between owners' brokers, the enclave and orchestrators.
//!
//! Nobody trusts it. It never holds a key that opens data, and a test makes sure
//! that it does not even refer to the code that could. What it does promise to those
//! who use it: nothing half-written is ever visible, every exchange has a deadline,
//! and every job ends in `done` or in `failed` with a reason.
//!
//! | module | what it does |
//! |---|---|
//! | [`config`] | `host.toml` |
//! | [`store`] | sealed datasets, code, public sets, releases, as files |
//! | [`queue`] | jobs and their states, in `SQLite` |
//! | [`launch`] | starts the enclave and keeps it up |
//! | [`relay`] | one job's way between brokers and enclave, step by step |
//! | [`runner`] | takes one job at a time from the queue to its end |
//! | [`api`] | what owners, authors and orchestrators ask, over mutual TLS |
//! | [`daemon`] | the parts, put together |

#![forbid(unsafe_code)]

pub mod api;
pub mod config;
pub mod daemon;
pub mod launch;
pub mod queue;
pub mod relay;
pub mod runner;
pub mod store;

pub use api::Api;
pub use config::{ConfigError, HostConfig};
pub use daemon::HostError;
pub use runner::Runner;

/// Runs `work` where it may block on the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        // Nobody aborts these tasks, so this is a panic of `work`: it goes on here.
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
