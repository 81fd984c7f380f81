//! Which database of which server, as whom: what a URI says.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// The port that servers listen at unless told otherwise.
const PORT_DEFAULT: u16 = 1433;
/// The UDP port that the SQL Server Browser service listens at.
const BROWSER_PORT_DEFAULT: u16 = 1434;

/// What a URI says.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    /// `None` if the URI names none.
    given_port: Option<u16>,
    pub(crate) database: String,
    /// Empty if the URI names none.
    pub(crate) user: String,
    pub(crate) password: String,
}

/// What is wrong with a URI, without the URI, which holds a password.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddressFault(pub(crate) String);

impl Address {
    /// Every fault at once.
    pub(crate) fn parse(uri: &str) -> Result<Self, Vec<AddressFault>> {
        let fault = |text: &str| AddressFault(text.to_owned());
        let url = Url::parse(uri).map_err(|error| {
            vec![fault(&format!("isn't of the form mssql://USER:PASSWORD@HOST:PORT/DATABASE: {error}"))]
        })?;
        if !matches!(url.scheme(), "mssql" | "sqlserver") {
            return Err(vec![fault(&format!("begins with {}:// where mssql:// is expected", url.scheme()))]);
        }
        let mut faults = Vec::new();
        let decoded = |part: &str| percent_decode_str(part).decode_utf8().ok().map(String::from);
        let host = url.host_str().and_then(decoded).filter(|host| !host.is_empty());
        let database = decoded(url.path().trim_start_matches('/')).filter(|name| !name.is_empty());
        let user = decoded(url.username());
        let password = decoded(url.password().unwrap_or_default());
        if host.is_none() {
            faults.push(fault("names no host"));
        }
        if database.is_none() {
            faults.push(fault("names no database; write it behind the host: mssql://USER:PASSWORD@HOST:PORT/DATABASE"));
        }
        if database.as_deref().is_some_and(|name| ["master", "model", "msdb", "tempdb"].contains(&name)) {
            faults.push(fault("names one of the server's own databases, whose changes can't be captured"));
        }
        if user.is_none() || password.is_none() {
            faults.push(fault("user and password must be UTF-8 where they are percent-encoded"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            faults.push(fault(
                "takes no parameters behind ? or #; encryption is set under `tls`, and those letters in a password \
                 are written %3F and %23",
            ));
        }
        match (host, database, user, password) {
            (Some(host), Some(database), Some(user), Some(password)) if faults.is_empty() => {
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                Ok(Self { host, given_port: url.port(), database, user, password })
            }
            _ => Err(faults),
        }
    }
}

impl Address {
    /// The port of the server, or of its host's default instance.
    pub(crate) fn port(&self) -> u16 {
        self.given_port.unwrap_or(PORT_DEFAULT)
    }

    /// The UDP port of the service that knows the ports of instances.
    pub(crate) fn browser_port(&self) -> u16 {
        self.given_port.unwrap_or(BROWSER_PORT_DEFAULT)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(formatter, "{open}{}{close}:{}/{}", self.host, self.port(), self.database)
    }
}

impl fmt::Debug for Address {
    /// Without the password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(uri: &str) -> String {
        Address::parse(uri).err().into_iter().flatten().map(|AddressFault(text)| text).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn parts_are_decoded_and_have_defaults() {
        let address = Address::parse("mssql://sa:p%40ss%2Fw%3A@db.example/shop%20two").unwrap();
        assert_eq!((address.host.as_str(), address.port()), ("db.example", 1433));
        assert_eq!((address.user.as_str(), address.password.as_str()), ("sa", "p@ss/w:"));
        assert_eq!(address.database, "shop two");
        assert_eq!(address.browser_port(), 1434);
        let address = Address::parse("sqlserver://me@[::1]:14330/shop").unwrap();
        assert_eq!((address.host.as_str(), address.port(), address.password.as_str()), ("::1", 14330, ""));
        assert!(address.to_string().starts_with("[::1]:14330/"), "{address}");
    }

    #[test]
    fn faults_are_told_together_and_without_secrets() {
        let text = faults("mssql://me:topsecret@db.example?encrypt=true");
        assert!(text.contains("names no database") && text.contains("takes no parameters"), "{text}");
        assert!(!text.contains("topsecret"), "{text}");
        assert!(faults("mysql://me@h/d").contains("mssql://"));
        assert!(faults("nonsense").contains("isn't of the form"));
        assert!(faults("mssql://me@h/master").contains("own databases"));
    }
}
