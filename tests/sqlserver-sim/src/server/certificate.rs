//! The server's certificate, made as it starts, with the authority that a client may trust it by.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::version::{TLS12, TLS13};

use super::StartError;

/// What a connection needs to be encrypted.
#[derive(Clone)]
pub struct Encryption {
    /// For the handshake within prelogin packets, whose end only TLS 1.2 marks in a way that both sides agree on.
    pub wrapped: Arc<ServerConfig>,
    /// For clients that begin with TLS.
    pub strict: Arc<ServerConfig>,
    /// The authority's certificate.
    pub authority_pem: String,
}

impl Encryption {
    /// A certificate for `localhost`, the loopback addresses and the server's name, signed by an authority of its own.
    pub fn new(server_name: &str) -> Result<Self, StartError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "The authority of sqlserver-sim");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, server_name);
        for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
            params.subject_alt_names.push(SanType::IpAddress(address));
        }
        let certificate = params.signed_by(&key, &authority)?;

        let chain = vec![certificate.der().clone(), authority.der().clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config = |versions: &[_]| -> Result<ServerConfig, rustls::Error> {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            ServerConfig::builder_with_provider(provider)
                .with_protocol_versions(versions)?
                .with_no_client_auth()
                .with_single_cert(chain.clone(), PrivateKeyDer::Pkcs8(key.clone_key()))
        };
        let mut strict = config(&[&TLS13, &TLS12])?;
        strict.alpn_protocols = vec![b"tds/8.0".to_vec()];
        Ok(Self { wrapped: Arc::new(config(&[&TLS12])?), strict: Arc::new(strict), authority_pem: authority.pem() })
    }
}
