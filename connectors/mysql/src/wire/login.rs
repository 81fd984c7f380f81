//! Connecting and logging in.

use mysql_async::{DriverError, Error, Opts};
use mysql_common::constants::CapabilityFlags;
use mysql_common::crypto;
use mysql_common::io::ParseBuf;
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

use super::packets::Packets;
use super::tls;
use crate::config::{Tls, TlsMode};

const UTF8MB4: u8 = 45;
const PACKET_BYTES_MAX: u32 = 1 << 30;
/// A server may ask for another plugin once, and each plugin has a few rounds.
const ROUNDS_MAX: usize = 8;

/// Opens a connection and logs in.
pub(crate) async fn login(opts: &Opts, settings: &Tls) -> Result<Packets, Error> {
    let transport = TcpStream::connect((opts.ip_or_hostname(), opts.tcp_port())).await?;
    transport.set_nodelay(true)?;
    if let Some(idle) = opts.tcp_keepalive() {
        SockRef::from(&transport).set_tcp_keepalive(&TcpKeepalive::new().with_time(idle))?;
    }
    let mut packets = Packets::new(Box::new(transport));
    let greeting = packets.answer().await?;
    let greeting: HandshakePacket<'_> = ParseBuf(&greeting).parse(())?;
    let mut capabilities = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_TRANSACTIONS;
    let can_encrypt = greeting.capabilities().contains(CapabilityFlags::CLIENT_SSL);
    let encrypted = match settings.mode {
        TlsMode::Disabled => false,
        TlsMode::Preferred => can_encrypt,
        TlsMode::Required | TlsMode::VerifyCa | TlsMode::VerifyIdentity if can_encrypt => true,
        _ => return Err(Error::Driver(DriverError::NoClientSslFlagFromServer)),
    };
    if encrypted {
        capabilities |= CapabilityFlags::CLIENT_SSL;
        packets.write(&serialized(&SslRequest::new(capabilities, PACKET_BYTES_MAX, UTF8MB4))).await?;
        packets = packets.encrypt(|transport| tls::encrypt(transport, opts.ip_or_hostname(), settings)).await?;
    }
    let mut nonce = greeting.scramble_1_ref().to_vec();
    nonce.extend_from_slice(greeting.scramble_2_ref().unwrap_or_default());
    nonce.resize(20, 0);
    let plugin = match greeting.auth_plugin() {
        Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
        _ => AuthPlugin::MysqlNativePassword,
    };
    let secret = plugin.gen_data(opts.pass(), &nonce);
    let response = HandshakeResponse::new(
        secret.as_deref(),
        (8, 0, 0),
        opts.user().map(str::as_bytes),
        None::<&[u8]>,
        Some(plugin.borrow()),
        capabilities,
        None,
        PACKET_BYTES_MAX,
    );
    packets.write(&serialized(&response)).await?;
    authenticate(&mut packets, opts.pass(), plugin, nonce, encrypted).await?;
    Ok(packets)
}

/// Answers what the server asks until it lets us in.
async fn authenticate(
    packets: &mut Packets,
    password: Option<&str>,
    mut plugin: AuthPlugin<'static>,
    mut nonce: Vec<u8>,
    encrypted: bool,
) -> Result<(), Error> {
    const OK: u8 = 0x00;
    const MORE: u8 = 0x01;
    const SWITCH: u8 = 0xfe;
    const KNOWN_PASSWORD: u8 = 0x03;
    const FULL_LOGIN: u8 = 0x04;
    for _ in 0..ROUNDS_MAX {
        let packet = packets.answer().await?;
        match packet.as_slice() {
            [OK, ..] => return Ok(()),
            [MORE, KNOWN_PASSWORD] => {}
            [MORE, FULL_LOGIN] if plugin == AuthPlugin::CachingSha2Password => {
                send_password(packets, password.unwrap_or_default(), &nonce, encrypted).await?;
            }
            [SWITCH, _, ..] => {
                let request: AuthSwitchRequest<'_> = ParseBuf(&packet).parse(())?;
                nonce = request.plugin_data().to_vec();
                plugin = request.auth_plugin().into_owned();
                let known = matches!(
                    plugin,
                    AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword | AuthPlugin::Ed25519
                );
                if !known {
                    let name = String::from_utf8_lossy(plugin.as_bytes()).into_owned();
                    return Err(Error::Driver(DriverError::UnknownAuthPlugin { name }));
                }
                let data = plugin.gen_data(password, &nonce).map(|data| data.to_vec()).unwrap_or_default();
                packets.write(&data).await?;
            }
            _ => return Err(Error::Driver(DriverError::UnexpectedPacket { payload: Vec::new() })),
        }
    }
    Err(Error::Driver(DriverError::PacketOutOfOrder))
}

/// The password itself: in the clear over an encrypted connection, else under the server's public key.
async fn send_password(packets: &mut Packets, password: &str, nonce: &[u8], encrypted: bool) -> Result<(), Error> {
    const ASK_FOR_KEY: u8 = 0x02;
    let mut bytes = password.as_bytes().to_vec();
    bytes.push(0);
    if encrypted {
        return packets.write(&bytes).await;
    }
    packets.write(&[ASK_FOR_KEY]).await?;
    let answer = packets.answer().await?;
    let key = answer.get(1..).unwrap_or_default();
    for (byte, mask) in bytes.iter_mut().zip(nonce.iter().cycle()) {
        *byte ^= mask;
    }
    packets.write(&crypto::encrypt(&bytes, key)).await
}

pub(super) fn serialized(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}
