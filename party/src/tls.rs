//! Mutual TLS 1.3: who may connect, and which peer it is.
//!
//! Each peer's certificates chain to that peer's own authority, and a chain is tried
//! against one peer's authority at a time. So the answer is always *which* peer, and
//! no peer's authority can vouch for another. Sessions are never resumed: a peer
//! that was removed cannot come back with an old ticket.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    server::{
        NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use thiserror::Error as ThisError;

use crate::{
    home::{Home, HomeError},
    peers::{self, Files, Peer, Peers},
};

/// Why TLS cannot be set up.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum TlsError {
    /// The home's certificate or key cannot be read.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The certificate and key do not fit, or the library refuses them.
    #[error("the home's TLS certificate cannot be used: {0}; make a new one with `cloister renew`")]
    Certificate(#[from] Error),
    /// An authority cannot be trusted with anything.
    #[error("the certificate authority of {peer} cannot be used: {source}")]
    Authority {
        /// Whose.
        peer: String,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// ring, with the cipher suites of TLS 1.3 only.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}

/// TLS of a service: requires a client certificate of one of `peers`.
pub fn server_config(home: &Home, peers: &Peers) -> Result<Arc<ServerConfig>, TlsError> {
    let (chain, key) = home.server_certificate()?;
    config(Enrolled::new(peers.iter())?, chain, key)
}

fn config(
    enrolled: Arc<Enrolled>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(enrolled)
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What a service needs for one handshake: its configuration, and who is known.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) config: Arc<ServerConfig>,
    enrolled: Arc<Enrolled>,
}

impl Gate {
    /// The peer that a verified chain belongs to.
    pub(crate) fn identify(&self, chain: &[CertificateDer<'_>]) -> Option<Peer> {
        let (leaf, rest) = chain.split_first()?;
        self.enrolled.identify(leaf, rest, UnixTime::now()).ok()
    }

    /// Whether exactly this enrolment still counts.
    pub(crate) fn knows(&self, peer: &Peer) -> bool {
        self.enrolled.0.iter().any(|(known, _)| known == peer)
    }
}

/// Follows the home's `peers` directory: each [`Doorkeeper::gate`] is up to date.
pub(crate) struct Doorkeeper {
    home: Home,
    directory: PathBuf,
    state: Mutex<(Files, Gate)>,
}

impl Doorkeeper {
    pub(crate) fn new(home: &Home) -> Result<Self, TlsError> {
        let directory = home.peers_directory();
        let files = peers::files(&directory).map_err(HomeError::Peers)?;
        let gate = make_gate(home, &files)?;
        Ok(Self { home: home.clone(), directory, state: Mutex::new((files, gate)) })
    }

    /// The gate as of now. When the directory cannot be read, nobody gets in.
    pub(crate) fn gate(&self) -> Result<Gate, TlsError> {
        let files = peers::files(&self.directory).map_err(HomeError::Peers)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0 != files {
            *state = (files.clone(), make_gate(&self.home, &files)?);
            tracing::info!(peers = files.len(), "peers read anew");
        }
        Ok(state.1.clone())
    }
}

/// The party itself may call its own service, too: its own commands do.
fn make_gate(home: &Home, files: &Files) -> Result<Gate, TlsError> {
    let mut peers = Peers::read_what_is_good(files);
    peers.insert(home.myself().clone()).map_err(HomeError::Peers)?;
    let enrolled = Enrolled::new(peers.iter())?;
    let (chain, key) = home.server_certificate()?;
    Ok(Gate { config: config(enrolled.clone(), chain, key)?, enrolled })
}

/// Accepts the certificates of known peers, each under its own authority only.
#[derive(Debug)]
struct Enrolled(Vec<(Peer, Arc<dyn ClientCertVerifier>)>);

impl Enrolled {
    fn new<'a>(peers: impl Iterator<Item = &'a Peer>) -> Result<Arc<Self>, TlsError> {
        let with_verifier = |peer: &Peer| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from(peer.authority().to_vec()))?;
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider())
                .build()
                .map_err(|source| TlsError::Authority { peer: peer.name().to_string(), source })?;
            Ok::<_, TlsError>((peer.clone(), verifier))
        };
        Ok(Arc::new(Self(peers.map(with_verifier).collect::<Result<_, _>>()?)))
    }

    fn identify(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Peer, Error> {
        let mut refusal = Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let mut found = None;
        for (peer, verifier) in &self.0 {
            match verifier.verify_client_cert(leaf, rest, now) {
                // One authority under two names: whichever it is, the other may have made it.
                Ok(_) if found.is_some() => {
                    return Err(Error::General("the certificate is of two peers".into()));
                }
                Ok(_) => found = Some(peer.clone()),
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                // Under this peer's authority, but expired, say: that tells more.
                Err(other) => refusal = other,
            }
        }
        found.ok_or(refusal)
    }
}

impl ClientCertVerifier for Enrolled {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.identify(leaf, rest, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 is required".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = ring::default_provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use cloister_protocol::{Signed, SigningKey};
    use rustls::pki_types::pem::PemObject;

    use super::*;
    use crate::{enrolment::Enrolment, home::NewParty, names::Role};

    fn party(root: &std::path::Path, name: &str) -> Home {
        let address = Some("https://localhost:1".parse().unwrap());
        let name = name.parse().unwrap();
        let party = NewParty { role: Role::Host, name, address, population: None };
        Home::create(&root.join(party.name.as_str()), &party).unwrap()
    }

    #[test]
    fn a_caller_that_two_peers_claim_is_neither() {
        let root = tempfile::tempdir().unwrap();
        let honest = party(root.path(), "honest");
        let pem = std::fs::read(honest.file("tls/client.pem")).unwrap();
        let leaf = CertificateDer::from_pem_slice(&pem).unwrap();
        let identify = |peers: &[Peer]| {
            Enrolled::new(peers.iter()).unwrap().identify(&leaf, &[], UnixTime::now())
        };
        // The authority's key in another certificate, under another name and key.
        let (key, _) = SigningKey::generate().unwrap();
        let mut copy = Enrolment::open(honest.enrolment()).unwrap();
        copy.name = "a-shadow".parse().unwrap();
        copy.key = *key.public();
        *copy.tls_ca.last_mut().unwrap() ^= 1;
        let shadow = Peer::open(&Signed::sign(&copy, &key).unwrap()).unwrap();
        assert_ne!(shadow.authority(), honest.myself().authority());
        // By itself it would be taken for the caller.
        assert_eq!(identify(std::slice::from_ref(&shadow)).unwrap().name().as_str(), "a-shadow");
        assert_eq!(identify(&[honest.myself().clone()]).unwrap(), *honest.myself());
        assert!(identify(&[shadow, honest.myself().clone()]).is_err());
    }
}
