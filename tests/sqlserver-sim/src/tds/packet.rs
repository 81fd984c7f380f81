//! Packets: the frames in which messages travel both ways.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

use super::reader::ProtocolError;

pub const HEADER_BYTES: usize = 8;
/// What a packet has until the login has agreed on another size.
pub const PACKET_BYTES_DEFAULT: usize = 4096;
pub const PACKET_BYTES_MIN: usize = 512;
pub const PACKET_BYTES_MAX: usize = 32_767;

const END_OF_MESSAGE: u8 = 0x01;
const IGNORE: u8 = 0x02;
const RESET: u8 = 0x08;
const RESET_KEEPING_TRANSACTION: u8 = 0x10;

/// Full packets that are put together before they go to the socket at once.
const PACKETS_AT_ONCE: usize = 8;

/// What kind of message a packet is part of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    Batch,
    Rpc,
    Attention,
    BulkLoad,
    TransactionManager,
    Login,
    Prelogin,
}

impl Kind {
    fn of(code: u8) -> Result<Self, ProtocolError> {
        Ok(match code {
            0x01 => Self::Batch,
            0x03 => Self::Rpc,
            0x06 => Self::Attention,
            0x07 => Self::BulkLoad,
            0x0e => Self::TransactionManager,
            0x10 => Self::Login,
            0x12 => Self::Prelogin,
            _ => return Err(ProtocolError::Invalid { what: "a packet's type", value: u64::from(code) }),
        })
    }
}

/// The types of packets that the server sends.
pub const RESPONSE: u8 = 0x04;
pub const PRELOGIN: u8 = 0x12;

/// Whether a message asks that the session be made as new before it runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reset {
    No,
    Session,
    SessionKeepingTransaction,
}

/// A whole message of a client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    pub kind: Kind,
    pub reset: Reset,
    pub payload: Vec<u8>,
}

/// Why no message could be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the connection broke: {0}")]
    Connection(#[from] io::Error),
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
}

/// The header of a packet: type, status, length with the header, process, number, window.
pub fn header(kind: u8, last: bool, payload_bytes: usize, number: u8) -> [u8; HEADER_BYTES] {
    let length = u16::try_from(payload_bytes + HEADER_BYTES).unwrap_or(u16::MAX);
    let [high, low] = length.to_be_bytes();
    [kind, if last { END_OF_MESSAGE } else { 0 }, high, low, 0, 0, number, 0]
}

/// The number of bytes after the header that the header tells of.
pub fn payload_bytes(header: [u8; HEADER_BYTES]) -> Result<usize, ProtocolError> {
    let [_, _, high, low, ..] = header;
    let length = u16::from_be_bytes([high, low]);
    usize::from(length)
        .checked_sub(HEADER_BYTES)
        .ok_or(ProtocolError::Invalid { what: "a packet's length", value: u64::from(length) })
}

/// Reads a whole message; `None` where the client has closed the connection between messages.
pub async fn read_message(
    from: &mut (impl AsyncRead + Unpin),
    message_bytes_max: usize,
) -> Result<Option<Message>, ReadError> {
    let mut message: Option<Message> = None;
    loop {
        let mut header = [0; HEADER_BYTES];
        if message.is_none() {
            match from.read(&mut header[..1]).await? {
                0 => return Ok(None),
                _ => from.read_exact(&mut header[1..]).await?,
            };
        } else {
            from.read_exact(&mut header).await?;
        }
        let [code, status, ..] = header;
        let kind = Kind::of(code)?;
        let bytes = payload_bytes(header)?;
        let message = message.get_or_insert_with(|| Message { kind, reset: reset(status), payload: Vec::new() });
        if message.kind != kind {
            return Err(ProtocolError::Invalid { what: "a later packet's type", value: u64::from(code) }.into());
        }
        let before = message.payload.len();
        let total = before.saturating_add(bytes);
        if total > message_bytes_max {
            return Err(ProtocolError::TooLarge {
                what: "the message",
                bytes: total as u64,
                bytes_max: message_bytes_max as u64,
            }
            .into());
        }
        message.payload.resize(total, 0);
        from.read_exact(message.payload.get_mut(before..).unwrap_or_default()).await?;
        if status & END_OF_MESSAGE != 0 {
            if status & IGNORE == 0 {
                return Ok(Some(Message { payload: std::mem::take(&mut message.payload), ..*message }));
            }
            // The client has thought better of it.
            return Ok(Some(Message { kind: Kind::Attention, reset: Reset::No, payload: Vec::new() }));
        }
    }
}

fn reset(status: u8) -> Reset {
    match status {
        _ if status & RESET != 0 => Reset::Session,
        _ if status & RESET_KEEPING_TRANSACTION != 0 => Reset::SessionKeepingTransaction,
        _ => Reset::No,
    }
}

/// The connection is gone, so that nothing can be written any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

/// Cuts a response into packets and hands them, a few at once, to whoever writes the socket. It waits while that one
/// is behind, so a result of any size takes little memory.
pub struct PacketWriter {
    to: mpsc::Sender<Vec<u8>>,
    packet_bytes: usize,
    /// What is not yet in a packet. Kept until more comes or the message ends, as its last packet says so.
    payload: Vec<u8>,
    number: u8,
}

impl PacketWriter {
    pub fn new(to: mpsc::Sender<Vec<u8>>, packet_bytes: usize) -> Self {
        Self { to, packet_bytes, payload: Vec::new(), number: 1 }
    }

    /// From the next message on.
    pub fn set_packet_bytes(&mut self, packet_bytes: usize) {
        self.packet_bytes = packet_bytes;
    }

    /// Where tokens are appended.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.payload
    }

    /// Sends what fills packets, if it is worth the while. To be called after each token.
    pub fn advance(&mut self) -> Result<(), Closed> {
        if self.payload.len() > (self.packet_bytes - HEADER_BYTES) * PACKETS_AT_ONCE {
            return self.send(false);
        }
        Ok(())
    }

    /// Sends all that there is, as part of a message that goes on.
    pub fn flush(&mut self) -> Result<(), Closed> {
        if self.payload.is_empty() {
            return Ok(());
        }
        let frames = self.frames(self.payload.len(), false);
        self.payload.clear();
        self.to.blocking_send(frames).map_err(|_| Closed)
    }

    /// Sends the rest, and says that the message ends there.
    pub fn finish(&mut self) -> Result<(), Closed> {
        self.send(true)?;
        self.number = 1;
        Ok(())
    }

    fn send(&mut self, last: bool) -> Result<(), Closed> {
        let room = self.packet_bytes - HEADER_BYTES;
        let bytes = if last { self.payload.len() } else { self.payload.len() / room * room };
        // Something must stay for the packet that ends the message.
        let bytes = if !last && bytes == self.payload.len() { bytes - room } else { bytes };
        let frames = self.frames(bytes, last);
        self.payload.drain(..bytes);
        self.to.blocking_send(frames).map_err(|_| Closed)
    }

    /// The first bytes of the payload in packets.
    fn frames(&mut self, bytes: usize, last: bool) -> Vec<u8> {
        let room = self.packet_bytes - HEADER_BYTES;
        let payload = self.payload.get(..bytes).unwrap_or_default();
        let mut frames = Vec::with_capacity(bytes + HEADER_BYTES * (bytes / room + 1));
        if payload.is_empty() {
            frames.extend(header(RESPONSE, last, 0, self.number));
        }
        let mut chunks = payload.chunks(room).peekable();
        while let Some(chunk) = chunks.next() {
            let ends = last && chunks.peek().is_none();
            frames.extend(header(RESPONSE, ends, chunk.len(), self.number));
            frames.extend_from_slice(chunk);
            self.number = self.number.wrapping_add(1);
        }
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(kind: u8, status: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = header(kind, false, payload.len(), 1).to_vec();
        bytes[1] = status;
        bytes.extend_from_slice(payload);
        bytes
    }

    fn read(bytes: &[u8], bytes_max: usize) -> Result<Option<Message>, ReadError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read_message(&mut &*bytes, bytes_max))
    }

    #[test]
    fn a_message_is_put_together_from_its_packets() {
        let bytes = [packet(1, 8, b"abc"), packet(1, 0, b""), packet(1, 1, b"de")].concat();
        let message = read(&bytes, 5).unwrap().unwrap();
        assert_eq!(message, Message { kind: Kind::Batch, reset: Reset::Session, payload: b"abcde".to_vec() });
        assert!(read(&[], 5).unwrap().is_none());
    }

    #[test]
    fn wrong_packets_are_refused() {
        let long = packet(1, 1, b"abcdef");
        assert!(matches!(read(&long, 5), Err(ReadError::Protocol(ProtocolError::TooLarge { .. }))));
        assert!(matches!(read(&long[..10], 9), Err(ReadError::Connection(_))));
        assert!(matches!(read(&[1, 1, 0, 7, 0, 0, 0, 0], 9), Err(ReadError::Protocol(_))));
        assert!(matches!(read(&packet(2, 1, b""), 9), Err(ReadError::Protocol(_))));
        let mixed = [packet(1, 0, b""), packet(3, 1, b"")].concat();
        assert!(matches!(read(&mixed, 9), Err(ReadError::Protocol(_))));
    }

    /// Whatever is written, and in whatever pieces, the packets hold it in order, none is too large, and only the
    /// last ends the message.
    #[test]
    fn responses_of_any_size_are_cut_into_packets() {
        for total in [0, 1, 503, 504, 505, 504 * 8, 504 * 8 + 1, 504 * 9, 20_000] {
            for piece in [1, 504, 5_000] {
                let (to, mut from) = mpsc::channel(1000);
                let mut writer = PacketWriter::new(to, 512);
                let content: Vec<u8> = (0..total).map(|n| (n % 251) as u8).collect();
                for part in content.chunks(piece) {
                    writer.payload().extend_from_slice(part);
                    writer.advance().unwrap();
                }
                writer.finish().unwrap();
                let mut sent = Vec::new();
                while let Ok(frames) = from.try_recv() {
                    sent.extend(frames);
                }
                let (mut got, mut ended) = (Vec::new(), false);
                while !sent.is_empty() {
                    assert!(!ended, "a packet after the last");
                    let head: [u8; HEADER_BYTES] = sent[..HEADER_BYTES].try_into().unwrap();
                    let bytes = payload_bytes(head).unwrap();
                    assert!(bytes + HEADER_BYTES <= 512);
                    ended = head[1] == 1;
                    got.extend_from_slice(&sent[HEADER_BYTES..HEADER_BYTES + bytes]);
                    sent.drain(..HEADER_BYTES + bytes);
                }
                assert!(ended && got == content, "{total} bytes by {piece}");
            }
        }
    }
}
