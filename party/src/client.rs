//! A blocking client of one peer's service.

mod error;

use std::{
    cell::Cell,
    fmt,
    io::{self, Read},
    rc::Rc,
    time::Duration,
};

use cloister_protocol::{cbor, cbor::CborError};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent, AsSendBody, Body, SendBody,
    http::{HeaderMap, Method, Request, Response, header},
    tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider},
};

use crate::{
    home::{Home, HomeError},
    names::ServiceAddress,
    peers::Peer,
    reply::CBOR,
    tls,
};

pub use error::ClientError;

/// How long reaching a service may take, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a service may stay silent. Long polls (20 s) stay well below.
const STALL: Duration = Duration::from_mins(1);
/// The most bytes of a JSON answer.
const JSON: u64 = 8 * 1024 * 1024;
/// The most bytes of a refusal.
const REFUSAL: u64 = 64 * 1024;

/// Calls one peer: shows this party's certificate, and trusts that peer's authority only.
pub struct Client {
    agent: Agent,
    peer: String,
    address: ServiceAddress,
}

impl Client {
    /// A client of `peer`, as the party of `home`. Nothing is sent yet.
    pub fn new(home: &Home, peer: &Peer) -> Result<Self, ClientError> {
        let name = peer.name().to_string();
        let address = peer
            .address()
            .cloned()
            .ok_or_else(|| ClientError::NoService { peer: name.clone(), role: peer.role() })?;
        let (certificate, key) = home.client_certificate()?;
        let damaged = |error: ureq::Error| {
            let path = home.file("tls");
            ClientError::Home(HomeError::Damaged { path, why: error.to_string() })
        };
        let certificate = Certificate::from_pem(&certificate).map_err(damaged)?;
        let key = PrivateKey::from_pem(&key).map_err(damaged)?;
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(tls::provider())
            .root_certs(RootCerts::new_with_certs(&[
                Certificate::from_der(peer.authority()).to_owned()
            ]))
            .client_cert(Some(ClientCert::new_with_certs(&[certificate], key)))
            .build();
        let agent = Agent::config_builder()
            .https_only(true)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("cloister/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .tls_config(tls)
            .build()
            .new_agent();
        Ok(Self { agent, peer: name, address })
    }

    /// A client of this party's own service.
    pub fn of_myself(home: &Home) -> Result<Self, ClientError> {
        Self::new(home, home.myself())
    }

    /// The peer's name.
    #[must_use]
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// Where it is called.
    #[must_use]
    pub fn address(&self) -> &ServiceAddress {
        &self.address
    }

    /// GET of JSON.
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.call(Method::GET, path, &[], ())?;
        self.json(path, answer)
    }

    /// GET of CBOR of at most `limit` bytes.
    pub fn get_cbor<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        limit: usize,
    ) -> Result<T, ClientError> {
        let answer = self.call(Method::GET, path, &[], ())?;
        self.cbor(path, answer, limit)
    }

    /// GET of at most `limit` bytes.
    pub fn get_bytes(&self, path: &str, limit: u64) -> Result<Vec<u8>, ClientError> {
        let answer = self.call(Method::GET, path, &[], ())?;
        self.bytes(path, answer, limit)
    }

    /// GET of something large: status and refusals are looked at, the body is the caller's to read.
    pub fn get_stream(&self, path: &str) -> Result<impl Read + use<>, ClientError> {
        let answer = self.call(Method::GET, path, &[], ())?;
        Ok(answer.into_body().into_with_config().limit(u64::MAX).reader())
    }

    /// POST of CBOR, answered in CBOR of at most `limit` bytes.
    pub fn post_cbor<Q: Serialize + ?Sized, A: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        limit: usize,
    ) -> Result<A, ClientError> {
        self.ask_cbor(path, question, limit, None)
    }

    /// The same, with a bound on the whole of it: a service that sends a byte now and
    /// then never stalls, and would hold its caller for ever.
    pub fn post_cbor_within<Q: Serialize + ?Sized, A: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        limit: usize,
        within: Duration,
    ) -> Result<A, ClientError> {
        self.ask_cbor(path, question, limit, Some(within))
    }

    fn ask_cbor<Q: Serialize + ?Sized, A: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
        limit: usize,
        within: Option<Duration>,
    ) -> Result<A, ClientError> {
        let headers = [(header::CONTENT_TYPE.as_str(), CBOR)];
        let question = cbor::encode(question);
        let answer = self.call_within(Method::POST, path, &headers, question, within)?;
        self.cbor(path, answer, limit)
    }

    /// POST of bytes (a signed object, for one), answered in JSON.
    pub fn post_bytes<A: DeserializeOwned>(
        &self,
        path: &str,
        bytes: &[u8],
    ) -> Result<A, ClientError> {
        let headers = [(header::CONTENT_TYPE.as_str(), "application/octet-stream")];
        let answer = self.call(Method::POST, path, &headers, bytes)?;
        self.json(path, answer)
    }

    /// PUT of `length` bytes, answered in JSON. `progress` is told how many bytes have
    /// been handed to the connection. The peer is asked first (`Expect: 100-continue`),
    /// so that a refusal which does not depend on the body comes before the body.
    pub fn put_stream<A: DeserializeOwned>(
        &self,
        path: &str,
        source: impl Read,
        length: u64,
        progress: impl FnMut(u64),
    ) -> Result<A, ClientError> {
        let failure = Rc::new(Cell::new(None));
        let mut source =
            Counted { source, length, sent: 0, progress, failure: Rc::clone(&failure) };
        let length = length.to_string();
        let headers = [
            (header::CONTENT_TYPE.as_str(), "application/octet-stream"),
            (header::CONTENT_LENGTH.as_str(), length.as_str()),
            (header::EXPECT.as_str(), "100-continue"),
        ];
        let answer = self.call(Method::PUT, path, &headers, SendBody::from_reader(&mut source));
        if let Some(error) = failure.take() {
            return Err(ClientError::Source(error));
        }
        self.json(path, answer?)
    }

    /// DELETE, answered in JSON.
    pub fn delete<A: DeserializeOwned>(&self, path: &str) -> Result<A, ClientError> {
        let answer = self.call(Method::DELETE, path, &[], ())?;
        self.json(path, answer)
    }

    fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
    ) -> Result<Response<Body>, ClientError> {
        self.call_within(method, path, headers, body, None)
    }

    fn call_within(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl AsSendBody,
        within: Option<Duration>,
    ) -> Result<Response<Body>, ClientError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).map_err(|error| self.answer(path, &error))?;
        let request = self.agent.configure_request(request).timeout_global(within).build();
        let answer = self.agent.run(request).map_err(|error| self.explain(path, error))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(self.refused(path, answer))
    }

    fn refused(&self, path: &str, answer: Response<Body>) -> ClientError {
        let status = answer.status().as_u16();
        let is_cbor = content_type(answer.headers()) == Some(CBOR);
        let refusal = self.bytes(path, answer, REFUSAL).ok().filter(|_| is_cbor);
        let refusal = refusal.and_then(|body| cbor::decode(&body, body.len()).ok());
        match refusal {
            Some(refusal) => ClientError::Refused { peer: self.peer.clone(), status, refusal },
            None => ClientError::Status { peer: self.peer.clone(), path: path.to_owned(), status },
        }
    }

    fn bytes(
        &self,
        path: &str,
        answer: Response<Body>,
        limit: u64,
    ) -> Result<Vec<u8>, ClientError> {
        match answer.into_body().into_with_config().limit(limit).read_to_vec() {
            Ok(bytes) => Ok(bytes),
            Err(ureq::Error::BodyExceedsLimit(_)) => {
                Err(self.answer(path, &format_args!("it is longer than {limit} bytes")))
            }
            Err(error) => Err(self.explain(path, error)),
        }
    }

    fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        answer: Response<Body>,
    ) -> Result<T, ClientError> {
        let bytes = self.bytes(path, answer, JSON)?;
        serde_json::from_slice(&bytes).map_err(|error| self.answer(path, &error))
    }

    fn cbor<T: Serialize + DeserializeOwned>(
        &self,
        path: &str,
        answer: Response<Body>,
        limit: usize,
    ) -> Result<T, ClientError> {
        let bytes = self.bytes(path, answer, limit as u64)?;
        cbor::decode(&bytes, limit).map_err(|error: CborError| self.answer(path, &error))
    }

    fn answer(&self, path: &str, why: &dyn fmt::Display) -> ClientError {
        let (peer, path) = (self.peer.clone(), path.to_owned());
        ClientError::Answer { peer, path, why: why.to_string() }
    }

    /// Says who could not be reached, and tells refused certificates apart.
    fn explain(&self, path: &str, error: ureq::Error) -> ClientError {
        let (peer, address) = (self.peer.clone(), self.address.to_string());
        match tls_error(&error) {
            Some(rustls::Error::AlertReceived(alert)) => {
                ClientError::NotEnrolled { peer, address, why: format!("TLS alert {alert:?}") }
            }
            Some(why) => ClientError::NotThePeer { peer, address, why: why.to_string() },
            None => match error {
                ureq::Error::Io(_)
                | ureq::Error::Timeout(_)
                | ureq::Error::HostNotFound
                | ureq::Error::ConnectionFailed => {
                    ClientError::Unreachable { peer, address, why: error.to_string() }
                }
                other => self.answer(path, &other),
            },
        }
    }
}

/// The TLS library's error inside the HTTP library's: rustls hands its errors to
/// the reader and writer inside `io::Error`.
fn tls_error(error: &ureq::Error) -> Option<&rustls::Error> {
    match error {
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref()?.downcast_ref(),
        _ => None,
    }
}

fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::CONTENT_TYPE)?.to_str().ok()
}

/// Reads exactly `length` bytes, tells how far it is, and keeps its own errors apart.
struct Counted<R, F> {
    source: R,
    length: u64,
    sent: u64,
    progress: F,
    failure: Rc<Cell<Option<io::Error>>>,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let missing = self.length - self.sent;
        let size = usize::try_from(missing).map_or(buffer.len(), |m| m.min(buffer.len()));
        if size == 0 {
            return Ok(0);
        }
        match self.source.read(&mut buffer[..size]) {
            Ok(0) => Err(self.fail(io::ErrorKind::UnexpectedEof.into())),
            Ok(read) => {
                self.sent += read as u64;
                (self.progress)(self.sent);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(error)),
        }
    }
}

impl<R, F> Counted<R, F> {
    fn fail(&self, error: io::Error) -> io::Error {
        let copy = io::Error::new(error.kind(), error.to_string());
        self.failure.set(Some(error));
        copy
    }
}
