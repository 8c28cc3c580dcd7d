//! Stream from the broker that repairs every frame before lapin reads it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_io::{AsyncRead, AsyncWrite};
use tracing::warn;

use super::repair::{AROUND, HEAD, mend};
use super::trim::trim;

/// Bytes read from the stream at once.
const CHUNK: usize = 64 * 1024;
/// Longest frame that is repaired (RabbitMQ's default is 128 KiB). No broker sends a longer one: anything that claims
/// to is not AMQP, and lapin refuses it.
const LONGEST_FRAME: usize = 16 * 1024 * 1024;
/// Kinds of frames: method, header, body, heartbeat. A server of another protocol version answers with none of them.
const KINDS: [u8; 4] = [1, 2, 3, 8];

/// Stream read through [`mend`]; writes pass unchanged.
pub(in crate::rabbit) struct SanitizedStream<S> {
    stream: S,
    /// Bytes of the last read. Kept, because a new buffer would be filled with zeros for each read.
    chunk: Box<[u8]>,
    /// Repaired bytes in `from..mended`, followed by an incomplete frame.
    buffer: Vec<u8>,
    from: usize,
    mended: usize,
    /// Longest frame that lapin accepts: from the URL, then the broker's if it is shorter.
    frame_max: usize,
    passes: bool,
}

impl<S> SanitizedStream<S> {
    /// Wraps a stream. `frame_max` is the URL's; 0 means no limit.
    pub(in crate::rabbit) fn new(stream: S, frame_max: u32) -> Self {
        let frame_max = usize::try_from(frame_max).ok().filter(|most| *most > 0).unwrap_or(usize::MAX);
        let chunk = vec![0; CHUNK].into_boxed_slice();
        Self { stream, chunk, buffer: Vec::new(), from: 0, mended: 0, frame_max, passes: false }
    }

    /// Repairs every complete frame.
    fn advance(&mut self) {
        while !self.passes {
            match length(&self.buffer[self.mended..]) {
                Length::Unknown => break,
                Length::None => self.passes = true,
                Length::Of(length) if self.buffer.len() - self.mended < length => break,
                Length::Of(length) => self.mended += self.repair_frame(length),
            }
        }
        if self.passes {
            self.mended = self.buffer.len();
        }
    }

    /// Repairs the next frame and returns its new length.
    fn repair_frame(&mut self, length: usize) -> usize {
        let (start, end) = (self.mended, self.mended + length);
        let places = mend(&mut self.buffer[start..end]);
        if places > 0 {
            warn!(places, "repaired malformed AMQP properties of a message");
        }
        self.frame_max = tuned(&self.buffer[start..end]).map_or(self.frame_max, |most| most.min(self.frame_max));
        let Some(trimmed) = trim(&self.buffer[start..end], self.frame_max) else { return length };
        warn!(bytes = length, "a message's headers exceed the frame size; left out the largest");
        let length = trimmed.len();
        self.buffer.splice(start..end, trimmed);
        length
    }

    fn give(&mut self, to: &mut [u8]) -> usize {
        let length = to.len().min(self.mended - self.from);
        to[..length].copy_from_slice(&self.buffer[self.from..self.from + length]);
        self.from += length;
        length
    }

    /// Drops the bytes that have been read.
    fn compact(&mut self) {
        self.buffer.drain(..self.from);
        self.mended -= self.from;
        self.from = 0;
    }
}

/// Returns the longest frame if this frame is `connection.tune`, which carries it; 0 means no limit.
fn tuned(frame: &[u8]) -> Option<usize> {
    match frame.get(HEAD..)? {
        [0, 10, 0, 30, _, _, a, b, c, d, ..] if frame[0] == 1 => {
            let longest = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
            Some(longest).filter(|longest| *longest > 0)
        }
        _ => None,
    }
}

/// Length of the frame at the start of some bytes.
enum Length {
    /// Its head is incomplete.
    Unknown,
    /// The bytes are not a frame.
    None,
    /// Length in bytes.
    Of(usize),
}

fn length(bytes: &[u8]) -> Length {
    match bytes {
        [kind, ..] if !KINDS.contains(kind) => Length::None,
        [_, _, _, a, b, c, d, ..] => match usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])) {
            Ok(length) if length <= LONGEST_FRAME => Length::Of(length + AROUND),
            _ => Length::None,
        },
        _ => {
            debug_assert!(bytes.len() < HEAD);
            Length::Unknown
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for SanitizedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.from == this.mended && !to.is_empty() {
            this.compact();
            let length = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut this.chunk))?;
            if length == 0 {
                // The rest is an incomplete frame; lapin must see that the stream ends there.
                this.mended = this.buffer.len();
                return Poll::Ready(Ok(this.give(to)));
            }
            this.buffer.extend_from_slice(&this.chunk[..length]);
            this.advance();
        }
        Poll::Ready(Ok(this.give(to)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for SanitizedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Bytes that arrive in pieces of this length.
    struct FramePieces(Vec<u8>, usize);

    impl AsyncRead for FramePieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
            let length = self.1.min(to.len()).min(self.0.len());
            to[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Poll::Ready(Ok(length))
        }
    }

    fn read(bytes: &[u8], piece: usize, room: usize) -> Vec<u8> {
        let mut sieve = SanitizedStream::new(FramePieces(bytes.to_vec(), piece), 0);
        let (mut all, mut to) = (Vec::new(), vec![0; room]);
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut sieve).poll_read(&mut cx, &mut to) {
                Poll::Ready(Ok(0)) => return all,
                Poll::Ready(Ok(length)) => all.extend_from_slice(&to[..length]),
                other => panic!("{other:?}"),
            }
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1][..], &length, payload, &[0xCE]].concat()
    }

    /// Content header with a content type only.
    fn header(text: &[u8]) -> Vec<u8> {
        let length = u8::try_from(text.len()).unwrap();
        frame(2, &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0, length][..], text].concat())
    }

    #[test]
    fn frames_are_repaired_however_they_are_cut() {
        let sent = [frame(8, b""), header(b"a\xffb"), frame(3, &[0xff; 300]), header(b"fine"), frame(3, b"")].concat();
        let expected = [frame(8, b""), header(b"a?b"), frame(3, &[0xff; 300]), header(b"fine"), frame(3, b"")].concat();
        for piece in [1, 2, 7, 8, 100, 100_000] {
            for room in [1, 3, 64, 100_000] {
                assert_eq!(read(&sent, piece, room), expected, "{piece} {room}");
            }
        }
    }

    #[test]
    fn an_oversized_header_is_trimmed() {
        let tune = frame(1, &[0, 10, 0, 30, 0, 0, 0, 0, 0x10, 0, 0, 10]);
        let entry = |name: &str, value: &[u8]| {
            let (name_length, length) = (u8::try_from(name.len()).unwrap(), u16::try_from(value.len()).unwrap());
            [&[name_length], name.as_bytes(), b"S\0\0", &length.to_be_bytes(), value].concat()
        };
        let header = |entries: &[u8]| {
            let length = u16::try_from(entries.len()).unwrap().to_be_bytes();
            frame(2, &[&[0; 12][..], &[0x20, 0, 0, 0], &length, entries].concat())
        };
        let (small, large, body) = (entry("a", &[b'x'; 10]), entry("b", &[b'x'; 3000]), frame(3, &[b'x'; 4000]));
        let sent = [tune.clone(), header(&[small.clone(), large].concat()), body.clone()].concat();
        let trimmed = header(&[small, entry("x-handoffd-left-out", b"b")].concat());
        assert_eq!(read(&sent, 9, 64), [tune, trimmed, body].concat());
    }

    #[test]
    fn bytes_that_are_no_frame_pass_unchanged() {
        let old = b"AMQP\x00\x01\x00\x00".to_vec();
        let lie = [frame(8, b""), vec![2, 0, 1, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]].concat();
        let half = [frame(8, b""), header(b"\xff")[..9].to_vec()].concat();
        for bytes in [b"HTTP/1.1 400 Bad Request\r\n".to_vec(), old, lie, half, vec![1], Vec::new()] {
            assert_eq!(read(&bytes, 5, 64), bytes);
        }
    }
}
