//! One connection, one exchange.

use std::{future::Future, io, time::Duration};

use bytes::{Bytes, BytesMut};
use cloister_protocol::{cbor, limits};
use futures::{SinkExt, StreamExt};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::codec::{Framed, LengthDelimitedCodec, LengthDelimitedCodecError};

use crate::{LinkError, capped::Capped};

/// What a link can run over.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection that carries frames.
///
/// Waiting for the peer is bounded twice: each frame by the link's *patience*, the
/// exchange as a whole by its *deadline*, if one is set. When sending fails,
/// receiving still works: a peer that refuses in the middle of bulk data may have
/// said why before it stopped reading.
pub struct Link {
    framed: Framed<Capped<Box<dyn Socket>>, LengthDelimitedCodec>,
    patience: Duration,
    deadline: Option<Instant>,
    send_broken: bool,
    receive_broken: bool,
}

impl Link {
    /// A link over a connected socket on which any handshake is done.
    pub fn over(socket: impl Socket + 'static, patience: Duration) -> Self {
        let codec = LengthDelimitedCodec::builder()
            .length_field_length(4)
            .big_endian()
            .max_frame_length(limits::CONTROL_FRAME)
            .new_codec();
        let framed = Framed::new(Capped(Box::new(socket) as Box<dyn Socket>), codec);
        Self { framed, patience, deadline: None, send_broken: false, receive_broken: false }
    }

    /// Sets how long the peer may take for one frame.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Sets when the exchange has to be over, or removes that bound.
    pub fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    /// Sends one message as a control frame.
    pub async fn send<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), LinkError> {
        let body = cbor::encode(message);
        if body.len() > limits::CONTROL_FRAME {
            let (limit, found) = (limits::CONTROL_FRAME, body.len());
            return Err(LinkError::MessageTooLong { limit, found });
        }
        self.send_frame(body.into(), "sending a message").await
    }

    /// Receives one message. A connection closed before its first byte is
    /// [`LinkError::Closed`].
    pub async fn receive<T: Serialize + DeserializeOwned>(&mut self) -> Result<T, LinkError> {
        let body = self.receive_frame(limits::CONTROL_FRAME, "waiting for a message").await?;
        cbor::decode(&body, limits::CONTROL_FRAME).map_err(|error| {
            self.receive_broken = true;
            LinkError::Message(error)
        })
    }

    /// Ends the exchange in order: says that nothing more comes, then reads and drops
    /// what the peer still sends, until it closes or the patience runs out. Without
    /// this, a refusal sent while the peer was writing could be lost with the connection.
    pub async fn finish(mut self) {
        let patience = self.patience;
        let socket = self.framed.get_mut();
        let _ = timeout(patience, async {
            socket.shutdown().await?;
            let mut scratch = vec![0; 16 * 1024];
            while socket.read(&mut scratch).await? != 0 {}
            io::Result::Ok(())
        })
        .await;
    }

    pub(crate) async fn send_frame(
        &mut self,
        body: Bytes,
        doing: &'static str,
    ) -> Result<(), LinkError> {
        if self.send_broken {
            return Err(LinkError::Broken);
        }
        // Until the frame is out, dropping this future leaves the link broken.
        self.send_broken = true;
        self.framed.codec_mut().set_max_frame_length(limits::CONTROL_FRAME);
        let (patience, deadline) = (self.patience, self.deadline);
        let sending = self.framed.send(body);
        within(patience, deadline, doing, sending).await?.map_err(LinkError::Io)?;
        self.send_broken = false;
        Ok(())
    }

    pub(crate) async fn receive_frame(
        &mut self,
        limit: usize,
        doing: &'static str,
    ) -> Result<BytesMut, LinkError> {
        if self.receive_broken {
            return Err(LinkError::Broken);
        }
        self.receive_broken = true;
        self.framed.codec_mut().set_max_frame_length(limit);
        let (patience, deadline) = (self.patience, self.deadline);
        let next = within(patience, deadline, doing, self.framed.next()).await?;
        let body = match next {
            None => return Err(LinkError::Closed),
            Some(Err(error)) => return Err(refusal(error, limit)),
            Some(Ok(body)) => body,
        };
        self.receive_broken = false;
        Ok(body)
    }

    pub(crate) fn break_receiving(&mut self) {
        self.receive_broken = true;
    }

    pub(crate) fn break_sending(&mut self) {
        self.send_broken = true;
    }
}

/// Tells the codec's complaints apart from the socket's.
fn refusal(error: io::Error, limit: usize) -> LinkError {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<LengthDelimitedCodecError>());
    if inner.is_some() {
        return LinkError::FrameTooLong { limit };
    }
    match error.kind() {
        // The decoder reports bytes that remain at the end of the stream in this way.
        io::ErrorKind::Other | io::ErrorKind::UnexpectedEof => LinkError::Torn,
        _ => LinkError::Io(error),
    }
}

async fn within<T>(
    patience: Duration,
    deadline: Option<Instant>,
    doing: &'static str,
    work: impl Future<Output = T>,
) -> Result<T, LinkError> {
    let stall = Instant::now() + patience;
    match deadline {
        Some(deadline) if deadline < stall => {
            timeout_at(deadline, work).await.map_err(|_| LinkError::Deadline { doing })
        }
        _ => timeout_at(stall, work).await.map_err(|_| LinkError::Stalled { doing, patience }),
    }
}
