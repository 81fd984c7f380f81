//! Certificates for a test's server: an authority of its own, and a certificate for 127.0.0.1 signed by it.
//!
//! MySQL makes certificates for itself, but they name no host, so a client that checks the host refuses them; MariaDB
//! 10.11 makes none.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};

use crate::error::{Error, io};

const AUTHORITY: &str = "tls-authority.pem";
const CERTIFICATE: &str = "tls-certificate.pem";
const KEY: &str = "tls-key.pem";

/// Where the authority's certificate is, for clients.
pub(crate) fn authority(dir: &Path) -> PathBuf {
    dir.join(AUTHORITY)
}

/// The settings that make a server use the certificates.
pub(crate) fn arguments(dir: &Path) -> [String; 3] {
    [("ssl-ca", AUTHORITY), ("ssl-cert", CERTIFICATE), ("ssl-key", KEY)]
        .map(|(setting, file)| format!("--{setting}={}", dir.join(file).display()))
}

/// Makes the certificates, good for 127.0.0.1; a client that comes by `localhost` finds the wrong name.
pub(crate) fn make(dir: &Path) -> Result<(), Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name.push(DnType::CommonName, "The authority of a test");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(Vec::new())?;
    params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
    let certificate = params.signed_by(&key, &authority)?;

    for (file, content) in [(AUTHORITY, authority.pem()), (CERTIFICATE, certificate.pem()), (KEY, key.serialize_pem())]
    {
        let path = dir.join(file);
        fs::write(&path, content).map_err(io("write", path))?;
    }
    Ok(())
}
