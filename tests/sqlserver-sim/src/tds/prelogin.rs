//! The first exchange: versions, and whether the connection is to be encrypted.

use super::reader::{ProtocolError, Reader};

/// No more than a client has to say here.
pub const PRELOGIN_BYTES_MAX: usize = 4096;

const VERSION: u8 = 0;
const ENCRYPTION: u8 = 1;
const INSTANCE: u8 = 2;
const THREAD: u8 = 3;
const MULTIPLE_RESULT_SETS: u8 = 4;
const TERMINATOR: u8 = 0xff;

/// What one side says of encryption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encryption {
    /// The login alone.
    Login,
    All,
    NotSupported,
    Required,
}

impl Encryption {
    fn of(code: u8) -> Result<Self, ProtocolError> {
        Ok(match code {
            0 => Self::Login,
            1 => Self::All,
            2 => Self::NotSupported,
            3 => Self::Required,
            // Client certificates.
            _ => return Err(ProtocolError::Invalid { what: "the encryption option", value: u64::from(code) }),
        })
    }

    fn code(self) -> u8 {
        match self {
            Self::Login => 0,
            Self::All => 1,
            Self::NotSupported => 2,
            Self::Required => 3,
        }
    }
}

/// What the server does with a client's wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// What the server answers.
    pub answer: Encryption,
    pub outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Plain,
    LoginEncrypted,
    Encrypted,
    /// The two sides want the opposite of each other.
    Refused,
}

/// What a server that offers encryption, or insists on it, or has none makes of a client's wish.
pub fn agree(server: Encryption, client: Encryption) -> Agreement {
    use Encryption as E;
    let (answer, outcome) = match (server, client) {
        (E::NotSupported, E::Required | E::All) => (E::NotSupported, Outcome::Refused),
        (E::NotSupported, _) => (E::NotSupported, Outcome::Plain),
        (E::Required | E::All, E::NotSupported) => (E::Required, Outcome::Refused),
        (E::Required | E::All, E::Login) => (E::Required, Outcome::Encrypted),
        (E::Login, E::NotSupported) => (E::NotSupported, Outcome::Plain),
        (E::Login, E::Login) => (E::Login, Outcome::LoginEncrypted),
        (_, E::All | E::Required) => (E::All, Outcome::Encrypted),
    };
    Agreement { answer, outcome }
}

/// Reads a client's options; all but the encryption are of no consequence here.
pub fn read(message: &[u8]) -> Result<Encryption, ProtocolError> {
    let mut options = Reader::new(message);
    let mut encryption = Encryption::NotSupported;
    loop {
        let option = options.u8("the prelogin options")?;
        if option == TERMINATOR {
            return Ok(encryption);
        }
        let offset = usize::from(options.u16_big_endian("a prelogin option")?);
        let length = usize::from(options.u16_big_endian("a prelogin option")?);
        let value = message
            .get(offset..offset.saturating_add(length))
            .ok_or(ProtocolError::Truncated("a prelogin option's value"))?;
        if option == ENCRYPTION {
            encryption = Encryption::of(Reader::new(value).u8("the encryption option")?)?;
        }
    }
}

/// The server's options.
pub fn answer(version: (u8, u8, u16), encryption: Encryption) -> Vec<u8> {
    let (major, minor, build) = version;
    let [build_high, build_low] = build.to_be_bytes();
    let options: [(u8, &[u8]); 5] = [
        (VERSION, &[major, minor, build_high, build_low, 0, 0]),
        (ENCRYPTION, &[encryption.code()]),
        // The instance that was asked for is this one, and one request at a time runs on a connection.
        (INSTANCE, &[0]),
        (THREAD, &[]),
        (MULTIPLE_RESULT_SETS, &[0]),
    ];
    let mut offset = u16::try_from(options.len() * 5 + 1).unwrap_or(u16::MAX);
    let (mut head, mut values) = (Vec::new(), Vec::new());
    for (option, value) in options {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        head.push(option);
        head.extend(offset.to_be_bytes());
        head.extend(length.to_be_bytes());
        values.extend_from_slice(value);
        offset = offset.saturating_add(length);
    }
    head.push(TERMINATOR);
    head.extend(values);
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_reads_as_what_was_said() {
        for said in [Encryption::Login, Encryption::All, Encryption::NotSupported, Encryption::Required] {
            assert_eq!(read(&answer((16, 0, 1000), said)), Ok(said));
        }
    }

    #[test]
    fn options_that_point_outside_are_refused() {
        assert!(read(&[ENCRYPTION, 0, 6, 0, 1, TERMINATOR]).is_err());
        assert!(read(&[ENCRYPTION, 0xff, 0xff, 0xff, 0xff, TERMINATOR]).is_err());
        assert!(read(&[]).is_err());
        assert!(read(&[ENCRYPTION, 0, 6, 0, 1, TERMINATOR, 9]).is_err());
    }

    #[test]
    fn a_server_that_insists_gets_its_way_or_ends_it() {
        assert_eq!(agree(Encryption::Required, Encryption::Login).outcome, Outcome::Encrypted);
        assert_eq!(agree(Encryption::Required, Encryption::NotSupported).outcome, Outcome::Refused);
        assert_eq!(agree(Encryption::NotSupported, Encryption::Required).outcome, Outcome::Refused);
        assert_eq!(agree(Encryption::Login, Encryption::Login).outcome, Outcome::LoginEncrypted);
        assert_eq!(agree(Encryption::Login, Encryption::All).outcome, Outcome::Encrypted);
    }
}
