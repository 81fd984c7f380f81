//! The protocol's packets over an encrypted or plain connection.

use std::io;

use crate::decode::bytes::Bytes;
use mysql_async::{DriverError, Error, ServerError};
use mysql_common::constants::CapabilityFlags;
use mysql_common::io::ParseBuf;
use mysql_common::packets::ErrPacket;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A connection's bytes.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// What is read from the connection at once.
const BUFFER_BYTES: usize = 256 << 10;
/// The most that one frame carries; a packet that fills it goes on in the next.
const FRAME_BYTES_MAX: usize = 0x00ff_ffff;
/// The largest answer to anything but a request for the log. Longer ones aren't expected.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Reads and writes packets.
pub(crate) struct Packets {
    transport: Box<dyn Transport>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Of the packet being read: what is left of the frame, and whether another follows.
    frame_left: usize,
    frame_goes_on: bool,
    sequence: u8,
}

impl Packets {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self { transport, buffer, start: 0, end: 0, frame_left: 0, frame_goes_on: false, sequence: 0 }
    }

    /// Puts another transport in the place of this one: the same connection, encrypted.
    pub(super) async fn encrypt<F, E>(self, wrap: impl FnOnce(Box<dyn Transport>) -> F) -> Result<Self, E>
    where
        F: Future<Output = Result<Box<dyn Transport>, E>>,
    {
        let sequence = self.sequence;
        let transport = wrap(self.transport).await?;
        Ok(Self { sequence, ..Self::new(transport) })
    }

    /// Begins a new exchange with this command.
    pub(crate) async fn command(&mut self, payload: &[u8]) -> Result<(), Error> {
        self.sequence = 0;
        self.write(payload).await
    }

    pub(super) async fn write(&mut self, payload: &[u8]) -> Result<(), Error> {
        if payload.len() >= FRAME_BYTES_MAX {
            return Err(Error::Driver(DriverError::PacketTooLarge));
        }
        let mut bytes = Vec::with_capacity(payload.len() + 4);
        bytes.extend_from_slice(payload.len().to_le_bytes().get(..3).unwrap_or_default());
        bytes.push(self.sequence);
        bytes.extend_from_slice(payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.transport.write_all(&bytes).await?;
        Ok(self.transport.flush().await?)
    }

    /// Runs a statement without an answer of rows.
    pub(crate) async fn execute(&mut self, statement: &str) -> Result<(), Error> {
        self.query(statement).await?;
        self.answer().await.map(drop)
    }

    /// The only row of a query, as texts.
    pub(crate) async fn row(&mut self, query: &str) -> Result<Vec<String>, Error> {
        const END_OF_ROWS: u8 = 0xfe;
        self.query(query).await?;
        let columns = self.answer().await?.first().copied().unwrap_or_default();
        // Each column's description, and the mark at their end.
        for _ in 0..=columns {
            self.answer().await?;
        }
        let mut row = Vec::new();
        loop {
            let packet = self.answer().await?;
            if packet.first() == Some(&END_OF_ROWS) && packet.len() < 9 {
                return Ok(row);
            }
            let mut bytes = Bytes::new(&packet);
            row.clear();
            while let Ok(text) = bytes.with_length("a row") {
                row.push(String::from_utf8_lossy(text).into_owned());
            }
        }
    }

    async fn query(&mut self, statement: &str) -> Result<(), Error> {
        const QUERY: u8 = 0x03;
        let mut command = vec![QUERY];
        command.extend_from_slice(statement.as_bytes());
        self.command(&command).await
    }

    /// A whole packet that isn't an event. An error packet becomes the server's error.
    pub(crate) async fn answer(&mut self) -> Result<Vec<u8>, Error> {
        self.begin().await?;
        let mut packet = Vec::new();
        while self.left().await? > 0 {
            let piece = self.piece(usize::MAX).await?;
            packet.extend_from_slice(piece);
            if packet.len() > ANSWER_BYTES_MAX {
                return Err(Error::Driver(DriverError::PacketTooLarge));
            }
        }
        match packet.first() {
            Some(0xff) => Err(server_error(&packet)),
            _ => Ok(packet),
        }
    }

    /// Whether nothing of the next packet has arrived.
    pub(crate) fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// Begins to read a packet. The one before has been read to its end.
    pub(crate) async fn begin(&mut self) -> Result<(), Error> {
        self.frame().await
    }

    /// How many bytes of the packet's present frame are left; 0 only at the packet's end.
    pub(crate) async fn left(&mut self) -> Result<usize, Error> {
        while self.frame_left == 0 && self.frame_goes_on {
            self.frame().await?;
        }
        Ok(self.frame_left)
    }

    /// Some of the packet's next bytes, at least one and at most so many; an error at its end.
    pub(crate) async fn piece(&mut self, most: usize) -> Result<&[u8], Error> {
        if self.left().await? == 0 {
            return Err(ended());
        }
        if self.start == self.end {
            self.fill().await?;
        }
        let length = most.min(self.frame_left).min(self.end - self.start);
        let start = self.start;
        self.start += length;
        self.frame_left -= length;
        self.buffer.get(start..start + length).ok_or_else(ended)
    }

    /// Exactly so many of the packet's next bytes, added to `out`.
    pub(crate) async fn take(&mut self, count: usize, out: &mut Vec<u8>) -> Result<(), Error> {
        let whole = out.len() + count;
        while out.len() < whole {
            let piece = self.piece(whole - out.len()).await?;
            out.extend_from_slice(piece);
        }
        Ok(())
    }

    async fn frame(&mut self) -> Result<(), Error> {
        let mut header = [0_u8; 4];
        for byte in &mut header {
            if self.start == self.end {
                self.fill().await?;
            }
            *byte = self.buffer.get(self.start).copied().unwrap_or_default();
            self.start += 1;
        }
        let [a, b, c, sequence] = header;
        if sequence != self.sequence {
            return Err(Error::Driver(DriverError::PacketOutOfOrder));
        }
        self.sequence = sequence.wrapping_add(1);
        self.frame_left = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
        self.frame_goes_on = self.frame_left == FRAME_BYTES_MAX;
        Ok(())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let read = self.transport.read(&mut self.buffer).await?;
        if read == 0 {
            return Err(Error::Driver(DriverError::ConnectionClosed));
        }
        self.start = 0;
        self.end = read;
        Ok(())
    }
}

fn ended() -> Error {
    Error::from(io::Error::new(io::ErrorKind::InvalidData, "a packet ends too early"))
}

/// The server's error in an error packet.
pub(crate) fn server_error(packet: &[u8]) -> Error {
    // Before the login servers leave out the SQL state, which begins with a hash sign.
    let capabilities = match packet.get(3) {
        Some(b'#') => CapabilityFlags::CLIENT_PROTOCOL_41,
        _ => CapabilityFlags::empty(),
    };
    match ParseBuf(packet).parse::<ErrPacket<'_>>(capabilities) {
        Ok(ErrPacket::Error(error)) => Error::Server(ServerError {
            code: error.error_code(),
            message: error.message_str().into_owned(),
            state: error.sql_state_ref().map(|state| state.as_str().into_owned()).unwrap_or_default(),
        }),
        _ => Error::Driver(DriverError::UnexpectedPacket { payload: packet.to_vec() }),
    }
}
