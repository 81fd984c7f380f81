//! Encryption of our own connection, by the same settings as the driver's.

use std::path::Path;
use std::sync::Arc;

use mysql_async::{Error, TlsError};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::packets::Transport;
use crate::config::{Tls, TlsMode};

/// Encrypts a connection to this host.
pub(super) async fn encrypt(
    transport: Box<dyn Transport>,
    host: &str,
    settings: &Tls,
) -> Result<Box<dyn Transport>, Error> {
    let config = config(settings)?;
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Error::from(TlsError::InvalidDnsName(error)))?;
    Ok(Box::new(TlsConnector::from(Arc::new(config)).connect(name, transport).await?))
}

fn config(settings: &Tls) -> Result<ClientConfig, Error> {
    let tls = |error| Error::from(TlsError::Tls(error));
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = &settings.ca_certificate {
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(tls)?;
        }
    }
    let roots = Arc::new(roots);
    let builder = ClientConfig::builder().with_root_certificates(Arc::clone(&roots));
    let mut config = match (&settings.client_certificate, &settings.client_key) {
        (Some(chain), Some(key)) => {
            builder.with_client_auth_cert(certificates(chain)?, private_key(key)?).map_err(tls)?
        }
        _ => builder.with_no_client_auth(),
    };
    let verified = match settings.mode {
        TlsMode::VerifyIdentity => return Ok(config),
        TlsMode::VerifyCa => Verified::Authority,
        TlsMode::Preferred | TlsMode::Required | TlsMode::Disabled => Verified::Nothing,
    };
    let whole = WebPkiServerVerifier::builder(roots).build().map_err(|error| Error::from(TlsError::from(error)))?;
    config.dangerous().set_certificate_verifier(Arc::new(Lenient { whole, verified }));
    Ok(config)
}

/// What is looked at in a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verified {
    Nothing,
    Authority,
}

/// Verifies less than a whole certificate, as the settings ask for.
#[derive(Debug)]
struct Lenient {
    whole: Arc<WebPkiServerVerifier>,
    verified: Verified,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.verified == Verified::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        // The name is looked at last, so a wrong one means that all else is right.
        match self.whole.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.whole.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.whole.supported_verify_schemes()
    }
}

/// The certificates of a file, in PEM or one in DER.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let bytes = std::fs::read(path)?;
    let pem: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match pem {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Ok(vec![CertificateDer::from(bytes)]),
        Err(error) => Err(Error::from(TlsError::Pem(error))),
    }
}

/// The first key of a file, in PEM or DER.
fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    let bytes = std::fs::read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .or_else(|error| PrivateKeyDer::try_from(bytes).map_err(|_| Error::from(TlsError::Pem(error))))
}
