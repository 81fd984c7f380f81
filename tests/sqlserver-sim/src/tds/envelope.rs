//! TLS within prelogin packets: how the two sides shake hands before they may speak TLS alone.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::packet::{self, HEADER_BYTES, PACKET_BYTES_DEFAULT, PRELOGIN};

/// No flight of a handshake is longer.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// A connection that wraps what passes in packets until it is opened.
pub struct Envelope<S> {
    stream: S,
    closed: bool,
    /// The header of the packet that is being read, as far as it has come.
    header: [u8; HEADER_BYTES],
    header_read: usize,
    /// What is left of that packet.
    payload_left: usize,
    /// Written but not yet in a packet.
    outgoing: Vec<u8>,
    /// Packets on their way, and how much of them is through.
    packets: Vec<u8>,
    packets_sent: usize,
}

impl<S> Envelope<S> {
    /// What passes is wrapped until [`Self::open`].
    pub fn sealed(stream: S) -> Self {
        Self {
            stream,
            closed: true,
            header: [0; HEADER_BYTES],
            header_read: 0,
            payload_left: 0,
            outgoing: Vec::new(),
            packets: Vec::new(),
            packets_sent: 0,
        }
    }

    /// For a client that begins with TLS, and has no prelogin packets around it.
    pub fn opened(stream: S) -> Self {
        Self { closed: false, ..Self::sealed(stream) }
    }

    pub fn open(&mut self) {
        self.closed = false;
    }

    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> Envelope<S> {
    fn poll_header(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while let Some(rest) = self.header.get_mut(self.header_read..).filter(|rest| !rest.is_empty()) {
            let mut buffer = ReadBuf::new(rest);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            match buffer.filled().len() {
                0 => return Poll::Ready(Ok(false)),
                read => self.header_read += read,
            }
        }
        let [kind, ..] = self.header;
        if kind != PRELOGIN {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a packet that isn't of the handshake",
            )));
        }
        self.payload_left =
            packet::payload_bytes(self.header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.header_read = 0;
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Envelope<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.closed {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        while this.payload_left == 0 {
            if !ready!(this.poll_header(context))? {
                return Poll::Ready(Ok(()));
            }
        }
        let room = buffer.remaining().min(this.payload_left);
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        buffer.advance(read);
        this.payload_left -= read;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Envelope<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if !this.closed {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        if this.outgoing.len() + bytes.len() > HANDSHAKE_BYTES_MAX {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a handshake without end")));
        }
        this.outgoing.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.outgoing.is_empty() {
            let mut chunks = this.outgoing.chunks(PACKET_BYTES_DEFAULT - HEADER_BYTES).peekable();
            while let Some(chunk) = chunks.next() {
                this.packets.extend(packet::header(PRELOGIN, chunks.peek().is_none(), chunk.len(), 1));
                this.packets.extend_from_slice(chunk);
            }
            this.outgoing.clear();
        }
        while let Some(rest) = this.packets.get(this.packets_sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut this.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => this.packets_sent += written,
            }
        }
        this.packets.clear();
        this.packets_sent = 0;
        Pin::new(&mut this.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
