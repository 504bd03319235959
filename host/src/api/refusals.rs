//! Errors of the parts below, as refusals.

use axum::http::{Method, StatusCode, Uri};
use cloister_party::Refused;

use crate::{
    queue::{Failure, QueueError},
    store::StoreError,
};

/// The store's complaint, with the status that fits it.
pub(super) fn store(error: &StoreError) -> Refused {
    let status = match error {
        StoreError::Io(_) => StatusCode::INTERNAL_SERVER_ERROR,
        StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        StoreError::Owner { .. } => StatusCode::FORBIDDEN,
        StoreError::Aborted => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    refuse(status, error.code(), error.to_string())
}

/// The queue's complaint, with the status that fits it.
pub(super) fn queue(error: &QueueError) -> Refused {
    let (status, code) = match error {
        QueueError::Full => (StatusCode::TOO_MANY_REQUESTS, "queue-full"),
        QueueError::Unknown(_) => (StatusCode::NOT_FOUND, "job-unknown"),
        QueueError::State { .. } => (StatusCode::CONFLICT, "job-state"),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "queue"),
    };
    refuse(status, code, error.to_string())
}

/// What the host itself has to say.
pub(super) fn host(status: StatusCode, code: &str, message: impl Into<String>) -> Refused {
    let Failure { code, message, .. } = Failure::host(code, message);
    refuse(status, &code, message)
}

fn refuse(status: StatusCode, code: &str, message: String) -> Refused {
    if status.is_server_error() {
        tracing::error!(code, message, "request-failed");
    } else {
        tracing::info!(code, message, "request-refused");
    }
    Refused::new(status, code, message)
}

/// Reads an identifier in a path.
pub(super) fn digest(text: &str) -> Result<cloister_protocol::Digest, Refused> {
    cloister_protocol::Digest::from_hex(text).ok_or_else(|| {
        let message = "an identifier in the path has 128 hexadecimal digits";
        host(StatusCode::BAD_REQUEST, "identifier", message)
    })
}

/// No such path.
pub(super) async fn no_such_path(uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(100).collect();
    host(StatusCode::NOT_FOUND, "path-unknown", format!("this host has nothing at {path:?}"))
}

/// No such method.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Refused {
    let path: String = uri.path().chars().take(100).collect();
    let message = format!("{method} is not for {path:?}");
    host(StatusCode::METHOD_NOT_ALLOWED, "method", message)
}
