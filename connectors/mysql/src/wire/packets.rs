//! The protocol's packets over an encrypted or plain connection.

use std::io;
use std::ops::Range;

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
/// What precedes it: its length and its number.
const FRAME_HEAD_BYTES: usize = 4;
/// The largest answer to anything but a request for the log or for a table's rows. Longer ones aren't expected.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// The largest row, with what is around it (`max_allowed_packet` ends at 1 GiB).
const ROW_BYTES_MAX: usize = (1 << 30) + (1 << 20);

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
    /// The last packet that didn't fit into the buffer.
    large: Vec<u8>,
}

impl Packets {
    pub(super) fn new(transport: Box<dyn Transport>) -> Self {
        let buffer = vec![0; BUFFER_BYTES];
        Self {
            transport,
            buffer,
            start: 0,
            end: 0,
            frame_left: 0,
            frame_goes_on: false,
            sequence: 0,
            large: Vec::new(),
        }
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

    /// A whole packet that is neither an event nor a table's row. An error packet becomes the server's error.
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

    /// A whole packet, whatever it is. It mostly lies in the buffer as it came, and is taken from there.
    pub(crate) async fn packet(&mut self) -> Result<&[u8], Error> {
        self.large = Vec::new();
        loop {
            match self.next_in_buffer()? {
                InBuffer::Whole(packet) => return self.buffer.get(packet).ok_or_else(ended),
                InBuffer::Part => self.fill_up().await?,
                InBuffer::TooLarge => break,
            }
        }
        self.begin().await?;
        let mut large = Vec::new();
        while self.left().await? > 0 {
            let piece = self.piece(usize::MAX).await?;
            large.extend_from_slice(piece);
            if large.len() > ROW_BYTES_MAX {
                return Err(Error::Driver(DriverError::PacketTooLarge));
            }
        }
        self.large = large;
        Ok(&self.large)
    }

    /// Takes the next packet out of the buffer if it is there as a whole.
    fn next_in_buffer(&mut self) -> Result<InBuffer, Error> {
        let arrived = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some(([a, b, c, sequence], body)) = arrived.split_first_chunk::<FRAME_HEAD_BYTES>() else {
            return Ok(InBuffer::Part);
        };
        let length = frame_length(*a, *b, *c);
        if length == FRAME_BYTES_MAX || FRAME_HEAD_BYTES + length > self.buffer.len() {
            return Ok(InBuffer::TooLarge);
        }
        if body.len() < length {
            return Ok(InBuffer::Part);
        }
        self.expect(*sequence)?;
        let start = self.start + FRAME_HEAD_BYTES;
        self.start = start + length;
        Ok(InBuffer::Whole(start..self.start))
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
        let mut header = [0_u8; FRAME_HEAD_BYTES];
        for byte in &mut header {
            if self.start == self.end {
                self.fill().await?;
            }
            *byte = self.buffer.get(self.start).copied().unwrap_or_default();
            self.start += 1;
        }
        let [a, b, c, sequence] = header;
        self.expect(sequence)?;
        self.frame_left = frame_length(a, b, c);
        self.frame_goes_on = self.frame_left == FRAME_BYTES_MAX;
        Ok(())
    }

    /// Frames are numbered, so that none can be missing.
    fn expect(&mut self, sequence: u8) -> Result<(), Error> {
        if sequence != self.sequence {
            return Err(Error::Driver(DriverError::PacketOutOfOrder));
        }
        self.sequence = sequence.wrapping_add(1);
        Ok(())
    }

    /// Reads more behind what has arrived already.
    async fn fill_up(&mut self) -> Result<(), Error> {
        if self.start == self.end {
            return self.fill().await;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let room = self.buffer.get_mut(self.end..).unwrap_or_default();
        let read = self.transport.read(room).await?;
        if read == 0 {
            return Err(Error::Driver(DriverError::ConnectionClosed));
        }
        self.end += read;
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

/// How much of the next packet has arrived.
enum InBuffer {
    /// All of it; it lies there in the buffer.
    Whole(Range<usize>),
    /// Not all, but it fits.
    Part,
    /// It is longer than the buffer.
    TooLarge,
}

fn frame_length(a: u8, b: u8, c: u8) -> usize {
    usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that says these packets, in pieces of so many bytes, and is gone then.
    fn saying(packets: &[Vec<u8>], piece_bytes: usize) -> Packets {
        let mut said = Vec::new();
        let mut sequence = 0_u8;
        for packet in packets {
            let mut frames: Vec<&[u8]> = packet.chunks(FRAME_BYTES_MAX).collect();
            if packet.len().is_multiple_of(FRAME_BYTES_MAX) {
                frames.push(&[]);
            }
            for frame in frames {
                said.extend_from_slice(&frame.len().to_le_bytes()[..3]);
                said.push(sequence);
                said.extend_from_slice(frame);
                sequence = sequence.wrapping_add(1);
            }
        }
        let (here, mut there) = tokio::io::duplex(piece_bytes);
        tokio::spawn(async move {
            // Whoever listened may have heard enough.
            let _heard = there.write_all(&said).await;
        });
        Packets::new(Box::new(here))
    }

    fn packet(bytes: usize) -> Vec<u8> {
        (0..bytes).map(|index| (index * 31 + bytes) as u8).collect()
    }

    #[tokio::test]
    async fn packets_of_all_sizes_come_whole() {
        let edge = BUFFER_BYTES - FRAME_HEAD_BYTES;
        let sizes = [1, 0, 700, edge - 1, edge, edge + 1, 3, 3 * BUFFER_BYTES, 9];
        let said: Vec<Vec<u8>> = sizes.into_iter().map(packet).collect();
        for piece_bytes in [5, 16 << 10, 1 << 20] {
            let mut packets = saying(&said, piece_bytes);
            for packet in &said {
                assert!(packets.packet().await.unwrap() == packet, "{} bytes by {piece_bytes}", packet.len());
            }
            let end = packets.packet().await.unwrap_err();
            assert!(matches!(end, Error::Driver(DriverError::ConnectionClosed)), "{end}");
        }
    }

    #[tokio::test]
    async fn packets_of_several_frames_come_whole() {
        let said = [packet(7), packet(FRAME_BYTES_MAX), packet(FRAME_BYTES_MAX + 5), packet(8)];
        let mut packets = saying(&said, 1 << 20);
        for packet in &said {
            assert!(packets.packet().await.unwrap() == packet, "{} bytes", packet.len());
        }
    }

    #[tokio::test]
    async fn a_packet_cut_short_is_a_closed_connection_and_a_missing_one_is_noticed() {
        let mut packets = Packets::new(Box::new(std::io::Cursor::new(vec![9, 0, 0, 0, 1, 2, 3])));
        let cut = packets.packet().await.unwrap_err();
        assert!(matches!(cut, Error::Driver(DriverError::ConnectionClosed)), "{cut}");
        let mut packets = Packets::new(Box::new(std::io::Cursor::new(vec![1, 0, 0, 1, 7])));
        let missing = packets.packet().await.unwrap_err();
        assert!(matches!(missing, Error::Driver(DriverError::PacketOutOfOrder)), "{missing}");
    }
}
