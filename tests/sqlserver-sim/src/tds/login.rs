//! The login message: who, to which database, with what wishes.

use super::reader::{ProtocolError, Reader, text_of_utf16};

/// A login with every field at its longest, and room for its extensions.
pub const LOGIN_BYTES_MAX: usize = 128 * 1024;

const INTEGRATED_SECURITY: u8 = 0x80;
const READ_ONLY_INTENT: u8 = 0x20;
const EXTENSIONS_USED: u8 = 0x10;
/// The extension that says who the client is by a token of a federation.
const FEDERATED: u8 = 2;
const EXTENSIONS_END: u8 = 0xff;
/// How the federated token was come by, beside the lowest bit: the client had it already.
const SECURITY_TOKEN: u8 = 1;

/// The versions of the protocol that the server speaks; they differ in nothing that it says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    Tds73A,
    Tds73B,
    Tds74,
    Tds80,
}

impl Version {
    fn of(code: u32) -> Result<Self, ProtocolError> {
        Ok(match code {
            0x730a_0003 => Self::Tds73A,
            0x730b_0003 => Self::Tds73B,
            0x0800_0000 => Self::Tds80,
            // A client newer than that is answered with what this server has.
            0x7400_0004..=0x7fff_ffff => Self::Tds74,
            _ => return Err(ProtocolError::Unsupported("a protocol older than TDS 7.3")),
        })
    }

    /// As the answer to the login says it, in the order of its bytes.
    pub fn code(self) -> [u8; 4] {
        match self {
            Self::Tds73A => [0x73, 0x0a, 0, 3],
            Self::Tds73B => [0x73, 0x0b, 0, 3],
            Self::Tds74 => [0x74, 0, 0, 4],
            Self::Tds80 => [0x08, 0, 0, 0],
        }
    }
}

/// How a client says who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// An access token of Microsoft Entra.
    Token(String),
    /// Kerberos or NTLM, which this server can't check.
    Integrated,
}

/// What a client asks for as it logs in.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    pub version: Version,
    /// What the client wants a packet to have; 0 for the server's own choice.
    pub packet_bytes: u32,
    pub credentials: Credentials,
    pub host: String,
    pub application: String,
    pub library: String,
    pub language: String,
    /// Empty for the login's own.
    pub database: String,
    /// `ApplicationIntent=ReadOnly`.
    pub read_only: bool,
}

/// Reads a login message.
pub fn read(message: &[u8]) -> Result<Login, ProtocolError> {
    let mut fixed = Reader::new(message);
    let _length = fixed.u32("the login's length")?;
    let version = Version::of(fixed.u32("the protocol's version")?)?;
    let packet_bytes = fixed.u32("the packet size")?;
    fixed.bytes(12, "the client's program")?;
    let _flags = fixed.u8("the login's options")?;
    let more_flags = fixed.u8("the login's options")?;
    let type_flags = fixed.u8("the login's options")?;
    let last_flags = fixed.u8("the login's options")?;
    fixed.bytes(8, "the client's time zone and locale")?;

    let host = field(message, &mut fixed, "the host name")?;
    let user = field(message, &mut fixed, "the user name")?;
    let password = field(message, &mut fixed, "the password")?;
    let application = field(message, &mut fixed, "the application's name")?;
    let _server = field(message, &mut fixed, "the server's name")?;
    // The extensions: offset and length of something that isn't text. Only tokens are of interest here, and what isn't
    // acknowledged isn't in force.
    let extensions_place = usize::from(fixed.u16("the login's extensions")?);
    fixed.u16("the login's extensions")?;
    let token = if last_flags & EXTENSIONS_USED == 0 { None } else { token(message, extensions_place)? };
    let library = field(message, &mut fixed, "the library's name")?;
    let language = field(message, &mut fixed, "the language")?;
    let database = field(message, &mut fixed, "the database")?;

    let credentials = match token {
        Some(token) => Credentials::Token(token),
        None if more_flags & INTEGRATED_SECURITY == 0 => {
            Credentials::Password { user: text_of_utf16(user), password: clear_password(password) }
        }
        None => Credentials::Integrated,
    };
    Ok(Login {
        version,
        packet_bytes,
        credentials,
        host: text_of_utf16(host),
        application: text_of_utf16(application),
        library: text_of_utf16(library),
        language: text_of_utf16(language),
        database: text_of_utf16(database),
        read_only: type_flags & READ_ONLY_INTENT != 0,
    })
}

/// The access token among the extensions, if there is one. `place` is where the message says where they begin.
fn token(message: &[u8], place: usize) -> Result<Option<String>, ProtocolError> {
    const WHAT: &str = "the login's extensions";
    let at = |place: usize| message.get(place..).map(Reader::new).ok_or(ProtocolError::Truncated(WHAT));
    let begin = usize::try_from(at(place)?.u32(WHAT)?).unwrap_or(usize::MAX);
    let mut extensions = at(begin)?;
    loop {
        let extension = extensions.u8(WHAT)?;
        if extension == EXTENSIONS_END {
            return Ok(None);
        }
        let bytes = usize::try_from(extensions.u32(WHAT)?).unwrap_or(usize::MAX);
        let value = extensions.bytes(bytes, WHAT)?;
        if extension == FEDERATED {
            let mut value = Reader::new(value);
            if value.u8(WHAT)? >> 1 != SECURITY_TOKEN {
                return Err(ProtocolError::Unsupported("a federated login that isn't by an access token"));
            }
            let bytes = usize::try_from(value.u32(WHAT)?).unwrap_or(usize::MAX);
            return Ok(Some(text_of_utf16(value.bytes(bytes, WHAT)?)));
        }
    }
}

/// A field that the fixed part says the place and the length of.
fn field<'a>(message: &'a [u8], fixed: &mut Reader<'_>, what: &'static str) -> Result<&'a [u8], ProtocolError> {
    let offset = usize::from(fixed.u16(what)?);
    let bytes = usize::from(fixed.u16(what)?) * 2;
    // Clients leave any offset where there is nothing.
    if bytes == 0 {
        return Ok(&[]);
    }
    message.get(offset..offset + bytes).ok_or(ProtocolError::Truncated(what))
}

/// A password travels with the halves of its bytes swapped, and every bit that is set in 0xA5 turned.
fn clear_password(hidden: &[u8]) -> String {
    let clear: Vec<u8> = hidden.iter().map(|byte| (byte ^ 0xa5).rotate_left(4)).collect();
    text_of_utf16(&clear)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::tds::reader::utf16_of_text;

    /// A login message with these fields.
    pub fn message(version: u32, user: &str, password: &str, database: &str, type_flags: u8) -> Vec<u8> {
        let hidden: Vec<u8> = utf16_of_text(password).iter().map(|byte| byte.rotate_left(4) ^ 0xa5).collect();
        let fields = [
            utf16_of_text("host"),
            utf16_of_text(user),
            hidden,
            utf16_of_text("application"),
            Vec::new(),
            Vec::new(),
            utf16_of_text("library"),
            Vec::new(),
            utf16_of_text(database),
        ];
        let mut fixed = vec![0; 4];
        fixed.extend(version.to_le_bytes());
        fixed.extend(4096_u32.to_le_bytes());
        fixed.extend([0; 12]);
        fixed.extend([0, 0, type_flags, 0]);
        fixed.extend([0; 8]);
        let mut values = Vec::new();
        for field in fields {
            fixed.extend(u16::try_from(94 + values.len()).unwrap().to_le_bytes());
            fixed.extend(u16::try_from(field.len() / 2).unwrap().to_le_bytes());
            values.extend(field);
        }
        fixed.resize(94, 0);
        fixed.extend(values);
        let length = u32::try_from(fixed.len()).unwrap();
        fixed[..4].copy_from_slice(&length.to_le_bytes());
        fixed
    }

    #[test]
    fn a_login_is_read() {
        let login = read(&message(0x7400_0004, "sa", "pä55!", "shop", 0x20)).unwrap_or_else(|error| panic!("{error}"));
        assert!(login.credentials == Credentials::Password { user: "sa".into(), password: "pä55!".into() });
        assert_eq!((login.version, login.packet_bytes), (Version::Tds74, 4096));
        assert_eq!((login.database.as_str(), login.read_only), ("shop", true));
        assert_eq!((login.host.as_str(), login.application.as_str()), ("host", "application"));
    }

    #[test]
    fn an_old_protocol_and_fields_outside_the_message_are_refused() {
        assert!(read(&message(0x7100_0001, "sa", "p", "", 0)).is_err());
        let whole = message(0x7400_0004, "sa", "p", "shop", 0);
        for length in 0..whole.len() {
            assert!(read(&whole[..length]).is_err(), "{length}");
        }
    }
}
