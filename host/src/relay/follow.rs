//! Step 8: releases, as they fall due.

use std::io::{self, Write};

use cloister_link::{Address, LinkError};
use cloister_protocol::{
    frames::{Reply, Request},
    limits,
    transcript::TranscriptId,
};

use super::{Deadlines, RelayError, enclave::Exchange};

/// What comes while following.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The enclave lives.
    Heartbeat,
    /// A release; its receipt and then its tensors have to be taken, in this order,
    /// by [`Following::take`].
    Release {
        /// Its number.
        number: u32,
        /// Bytes of the receipt.
        receipt_length: u64,
        /// Bytes of the safetensors file.
        tensors_length: u64,
    },
    /// There are no more releases.
    Ended,
}

/// An exchange in which releases arrive.
pub struct Following {
    exchange: Exchange,
}

/// Step 8: asks for the releases from number `from` on.
pub async fn follow(
    enclave: &Address,
    transcript: TranscriptId,
    from: u32,
    deadlines: &Deadlines,
) -> Result<Following, RelayError> {
    let mut exchange = Exchange::open(enclave, deadlines.frame, "following the rounds").await?;
    exchange.send(&Request::Follow { transcript, from }).await?;
    Ok(Following { exchange })
}

impl Following {
    /// Waits for what comes next, at most as long as one frame may take.
    pub async fn next(&mut self) -> Result<Event, RelayError> {
        let reply = self.exchange.link.receive().await;
        match reply.map_err(|source| self.exchange.lost(source))? {
            Reply::Heartbeat => Ok(Event::Heartbeat),
            Reply::Ended => Ok(Event::Ended),
            Reply::Release { number, receipt_length, tensors_length } => {
                self.check("a receipt", receipt_length, limits::RECEIPT as u64)?;
                self.check("tensors", tensors_length, limits::TENSORS)?;
                Ok(Event::Release { number, receipt_length, tensors_length })
            }
            other => Err(self.exchange.refusal_or_unexpected(other)),
        }
    }

    /// Takes `length` bytes that a release announced and writes them to `to`, a frame
    /// of at most 28 KiB at a time.
    pub async fn take<W: Write>(&mut self, length: u64, to: &mut W) -> Result<(), RelayError> {
        let taken = self
            .exchange
            .link
            .receive_bulk(length, limits::TENSORS, |frame| to.write_all(frame).map_err(Taken::from))
            .await;
        taken.map_err(|error| match error {
            Taken::Link(source) => self.exchange.lost(source),
            Taken::Io(error) => RelayError::Io(error),
        })
    }

    fn check(&self, what: &'static str, found: u64, limit: u64) -> Result<(), RelayError> {
        if found <= limit {
            return Ok(());
        }
        tracing::error!(what, found, limit, "release-too-large");
        Err(self.exchange.lost(LinkError::BulkTooLong { limit, found }))
    }
}

/// Either side of passing bytes on may fail.
enum Taken {
    Link(LinkError),
    Io(io::Error),
}

impl From<LinkError> for Taken {
    fn from(error: LinkError) -> Self {
        Self::Link(error)
    }
}

impl From<io::Error> for Taken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
