//! A socket whose single writes are never larger than vsock stacks bear.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use cloister_protocol::limits;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Passes everything on, but at most [`limits::SOCKET_WRITE`] bytes in one write.
/// (Vectored writes stay off, which is the trait's default.)
pub(crate) struct Capped<S>(pub(crate) S);

impl<S: AsyncWrite + Unpin> AsyncWrite for Capped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let capped = &bytes[..bytes.len().min(limits::SOCKET_WRITE)];
        Pin::new(&mut self.0).poll_write(cx, capped)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Capped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}
