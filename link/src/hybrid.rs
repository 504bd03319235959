//! The hybrid handshake: how a Unix socket stands in for vsock.
//!
//! Who connects writes `CONNECT port\n`; the other side answers `OK n\n`, where `n`
//! is a port it chose for this side. Both lines are read byte by byte, so that
//! nothing of the first frame is taken with them.

use cloister_protocol::frames;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::LinkError;

/// The longest line of the handshake: a word, a blank, ten digits, a newline, and room.
const LINE: usize = 32;

/// The side that connects.
pub(crate) async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
) -> Result<(), LinkError> {
    let line = format!("CONNECT {}\n", frames::PORT);
    socket.write_all(line.as_bytes()).await.map_err(LinkError::Io)?;
    let answer = read_line(socket, "`OK n`").await?;
    match answer.strip_prefix("OK ").map(str::parse::<u32>) {
        Some(Ok(_)) => Ok(()),
        _ => Err(LinkError::Handshake { expected: "`OK n`".into(), found: answer }),
    }
}

/// The enclave's side, when no hypervisor answers for it.
pub(crate) async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
) -> Result<(), LinkError> {
    let expected = format!("CONNECT {}", frames::PORT);
    let found = read_line(socket, &expected).await?;
    if found != expected {
        return Err(LinkError::Handshake { expected, found });
    }
    let line = format!("OK {}\n", frames::PORT);
    socket.write_all(line.as_bytes()).await.map_err(LinkError::Io)
}

async fn read_line<S: AsyncRead + Unpin>(
    socket: &mut S,
    expected: &str,
) -> Result<String, LinkError> {
    let mut line = Vec::new();
    let mut ended = false;
    while line.len() < LINE {
        let mut byte = [0];
        if socket.read(&mut byte).await.map_err(LinkError::Io)? == 0 {
            break;
        }
        if byte[0] == b'\n' {
            ended = true;
            break;
        }
        line.push(byte[0]);
    }
    let found = String::from_utf8_lossy(&line).into_owned();
    if !ended {
        return Err(LinkError::Handshake { expected: expected.to_owned(), found });
    }
    Ok(found)
}
