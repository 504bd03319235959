//! Refusals and CBOR as HTTP responses.

use axum::{
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use cloister_protocol::{cbor, frames::Refusal};
use serde::{Serialize, de::DeserializeOwned};

/// The content type of CBOR bodies, refusals included.
pub const CBOR: &str = "application/cbor";

/// A refusal with its HTTP status: what every handler of a service returns as its error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The HTTP status, 4xx or 5xx.
    pub status: StatusCode,
    /// The reason.
    pub refusal: Refusal,
}

impl Refused {
    /// A refusal with a stable code and a sentence for people.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, refusal: Refusal { code: code.into(), message: message.into() } }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Cbor(self.refusal)).into_response()
    }
}

/// A CBOR response body.
#[derive(Clone, Debug)]
pub struct Cbor<T>(pub T);

impl<T: Serialize> IntoResponse for Cbor<T> {
    fn into_response(self) -> Response {
        ([(CONTENT_TYPE, CBOR)], cbor::encode(&self.0)).into_response()
    }
}

/// Decodes a CBOR request body of at most `limit` bytes; refuses with 400 `malformed`.
/// (axum stops bodies at 2 MB unless the route has another `DefaultBodyLimit`.)
pub fn read_cbor<T: Serialize + DeserializeOwned>(body: &[u8], limit: usize) -> Result<T, Refused> {
    cbor::decode(body, limit).map_err(|error| {
        Refused::new(StatusCode::BAD_REQUEST, "malformed", format!("the request's body is {error}"))
    })
}
