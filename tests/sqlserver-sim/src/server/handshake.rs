//! From a new connection to a login: versions, encryption, credentials.

use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::tds::envelope::Envelope;
use crate::tds::login::{self, LOGIN_BYTES_MAX, Login};
use crate::tds::packet::{self, Kind, Message, ReadError};
use crate::tds::prelogin::{self, Encryption as Wish, Outcome, PRELOGIN_BYTES_MAX};
use crate::tds::reader::ProtocolError;

use super::VERSION;
use super::certificate::Encryption;

/// A client that takes longer than this to log in is sent away.
pub const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(30);

/// The first byte of TLS, with which no packet begins.
const TLS_HANDSHAKE: u8 = 0x16;

#[derive(Debug, Error)]
pub enum HandshakeError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error("the connection broke: {0}")]
    Connection(#[from] io::Error),
    #[error("the client closed the connection before it was logged in")]
    Closed,
    #[error("the client's wish and the server's about encryption exclude each other")]
    Encryption,
}

impl From<ProtocolError> for HandshakeError {
    fn from(error: ProtocolError) -> Self {
        Self::Read(error.into())
    }
}

/// A connection as it is used from the login on.
pub enum Transport {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<Envelope<TcpStream>>>),
}

/// Shakes hands with a client.
pub async fn shake(
    mut stream: TcpStream,
    encryption: &Encryption,
    wish: Wish,
) -> Result<(Transport, Login), HandshakeError> {
    let mut first = [0];
    stream.peek(&mut first).await?;
    if first == [TLS_HANDSHAKE] {
        let mut stream = TlsAcceptor::from(encryption.strict.clone()).accept(Envelope::opened(stream)).await?;
        // All is encrypted already, whatever the client says here.
        read_prelogin(&mut stream).await?;
        answer_prelogin(&mut stream, Wish::All).await?;
        let login = read_login(&mut stream).await?;
        return Ok((Transport::Encrypted(Box::new(stream)), login));
    }
    let agreed = prelogin::agree(wish, read_prelogin(&mut stream).await?);
    answer_prelogin(&mut stream, agreed.answer).await?;
    match agreed.outcome {
        Outcome::Refused => Err(HandshakeError::Encryption),
        Outcome::Plain => {
            let login = read_login(&mut stream).await?;
            Ok((Transport::Plain(stream), login))
        }
        Outcome::LoginEncrypted => {
            let mut stream = encrypt(stream, encryption).await?;
            let login = read_login(&mut stream).await?;
            Ok((Transport::Plain(stream.into_inner().0.into_inner()), login))
        }
        Outcome::Encrypted => {
            let mut stream = encrypt(stream, encryption).await?;
            let login = read_login(&mut stream).await?;
            Ok((Transport::Encrypted(Box::new(stream)), login))
        }
    }
}

async fn encrypt(stream: TcpStream, encryption: &Encryption) -> Result<TlsStream<Envelope<TcpStream>>, HandshakeError> {
    let mut stream = TlsAcceptor::from(encryption.wrapped.clone()).accept(Envelope::sealed(stream)).await?;
    stream.get_mut().0.open();
    Ok(stream)
}

async fn read_prelogin(stream: &mut (impl AsyncRead + Unpin)) -> Result<Wish, HandshakeError> {
    let message = read(stream, Kind::Prelogin, PRELOGIN_BYTES_MAX).await?;
    Ok(prelogin::read(&message.payload)?)
}

async fn answer_prelogin(stream: &mut (impl AsyncWrite + Unpin), encryption: Wish) -> Result<(), HandshakeError> {
    let answer = prelogin::answer(VERSION, encryption);
    let mut bytes = packet::header(packet::RESPONSE, true, answer.len(), 1).to_vec();
    bytes.extend(answer);
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    Ok(())
}

async fn read_login(stream: &mut (impl AsyncRead + Unpin)) -> Result<Login, HandshakeError> {
    let message = read(stream, Kind::Login, LOGIN_BYTES_MAX).await?;
    Ok(login::read(&message.payload)?)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), kind: Kind, bytes_max: usize) -> Result<Message, HandshakeError> {
    let message = packet::read_message(stream, bytes_max).await?.ok_or(HandshakeError::Closed)?;
    if message.kind != kind {
        return Err(
            ProtocolError::Invalid { what: "a packet's type before the login", value: message.kind as u64 }.into()
        );
    }
    Ok(message)
}
