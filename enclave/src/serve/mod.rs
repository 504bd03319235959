//! The host's side of the enclave: connections, one exchange each.
//!
//! Every exchange is a task of its own. One that stalls, breaks off or panics ends
//! alone: what it has changed in the session it has changed as a whole, or not at all.
//! The rounds run on a thread that no connection belongs to.

mod desk;
mod exchange;
mod follow;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloister_link::{Link, Listener};
use tokio::sync::{Mutex, Semaphore};

use crate::{
    attester::Attester,
    events::{Event, emit},
    rounds::Workshop,
};
use desk::Desk;

/// How long a host may take for one frame.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Exchanges at once; more callers wait.
const EXCHANGES: usize = 64;

/// Everything that lives as long as the process.
pub struct Enclave {
    attester: Box<dyn Attester>,
    workshop: Arc<Workshop>,
    desk: Desk,
    /// Held while a job is admitted: compiling and `init` take memory and processors.
    admitting: Mutex<()>,
    exchanges: AtomicU64,
}

impl Enclave {
    /// An idle enclave.
    #[must_use]
    pub fn new(attester: Box<dyn Attester>, workshop: Workshop) -> Arc<Self> {
        let workshop = Arc::new(workshop);
        Arc::new(Self {
            attester,
            desk: Desk::new(Arc::clone(&workshop)),
            workshop,
            admitting: Mutex::new(()),
            exchanges: AtomicU64::new(0),
        })
    }

    /// Accepts connections for ever.
    pub async fn serve(self: Arc<Self>, mut listener: Listener) {
        emit(Event::Listening { workers: self.workshop.workers() });
        let places = Arc::new(Semaphore::new(EXCHANGES));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok(link) = listener.accept().await else {
                // The listener has waited a little already.
                continue;
            };
            let enclave = Arc::clone(&self);
            // A panic ends the task; the link is dropped with it, and the host sees that.
            tokio::spawn(async move {
                enclave.exchange(link).await;
                drop(place);
            });
        }
    }

    /// Serves one connection.
    pub async fn exchange(&self, link: Link) {
        let exchange = self.exchanges.fetch_add(1, Ordering::Relaxed);
        emit(Event::Connected { exchange });
        exchange::serve(self, link, exchange).await;
    }
}
