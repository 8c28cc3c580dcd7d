//! Repairs malformed frames from the broker in place, without changing their length, so that lapin can read them.
//!
//! A broker passes on unchecked what a publisher wrote: texts that are not UTF-8, and tables nested as deep as a frame
//! is long. lapin (4.12.3) drops the connection over the former and overflows its stack over the latter, repeatedly,
//! until the delivery limit has removed the message and all its neighbours.

use std::ops::Range;

/// Deepest nesting of tables and arrays. In a debug build lapin takes some ten kilobytes of its thread's two megabytes
/// for each level (measured: 200 end the process).
const DEEPEST: usize = 32;
/// Length of a frame's head: type, channel, size.
pub(super) const HEAD: usize = 7;
/// Length of head and end mark.
pub(super) const AROUND: usize = HEAD + 1;
/// Length of class, weight and body size, which precede the flags in a content header.
pub(super) const BEFORE_FLAGS: usize = 12;

const METHOD: u8 = 1;
/// Kind of a frame that holds the content header of a message: its size and properties.
pub(super) const HEADER: u8 = 2;

/// Properties of a message in the order of their flags, from the highest.
const PROPERTIES: [FramePart; 14] = [
    FramePart::Short,   // content-type
    FramePart::Short,   // content-encoding
    FramePart::Table,   // headers
    FramePart::Skip(1), // delivery-mode
    FramePart::Skip(1), // priority
    FramePart::Short,   // correlation-id
    FramePart::Short,   // reply-to
    FramePart::Short,   // expiration
    FramePart::Short,   // message-id
    FramePart::Skip(8), // timestamp
    FramePart::Short,   // type
    FramePart::Short,   // user-id
    FramePart::Short,   // app-id
    FramePart::Short,   // cluster-id
];

/// Part of a frame.
#[derive(Clone, Copy)]
enum FramePart {
    /// Bytes that need no repair.
    Skip(usize),
    /// Text of at most 255 bytes.
    Short,
    /// Table of named values.
    Table,
}

/// Repairs a whole frame and returns the number of places repaired. Unreadable frames stay unchanged.
pub(super) fn mend(frame: &mut [u8]) -> usize {
    let Some(end) = frame.len().checked_sub(1).filter(|end| *end >= HEAD) else { return 0 };
    let mut cursor = FrameCursor::new(&mut frame[..end], HEAD);
    let kind = cursor.bytes[0];
    // `None` means that the frame is shorter than its content requires; lapin reports that.
    let _ = match kind {
        METHOD => method(&mut cursor),
        HEADER => properties(&mut cursor),
        _ => None,
    };
    cursor.mended
}

/// Repairs the methods that carry texts chosen by a publisher: an exchange's name and a routing key.
fn method(cursor: &mut FrameCursor<'_>) -> Option<()> {
    let parts: &[FramePart] = match (cursor.number(2)?, cursor.number(2)?) {
        // basic.return: code, text, exchange, routing key
        (60, 50) => &[FramePart::Skip(2), FramePart::Short, FramePart::Short, FramePart::Short],
        // basic.deliver: consumer, delivery, redelivered, exchange, routing key
        (60, 60) => &[FramePart::Short, FramePart::Skip(9), FramePart::Short, FramePart::Short],
        // basic.get-ok: delivery, redelivered, exchange, routing key
        (60, 71) => &[FramePart::Skip(9), FramePart::Short, FramePart::Short],
        _ => &[],
    };
    parts.iter().try_for_each(|part| cursor.part(*part))
}

fn properties(cursor: &mut FrameCursor<'_>) -> Option<()> {
    cursor.skip(BEFORE_FLAGS)?;
    let flags = cursor.number(2)?;
    let set = PROPERTIES.iter().enumerate().filter(|(index, _)| flags & (0x8000 >> index) != 0);
    set.map(|(_, part)| *part).try_for_each(|part| cursor.part(part))
}

/// Position in a frame.
pub(super) struct FrameCursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
    mended: usize,
}

impl<'a> FrameCursor<'a> {
    pub(super) fn new(bytes: &'a mut [u8], at: usize) -> Self {
        Self { bytes, at, mended: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn part(&mut self, part: FramePart) -> Option<()> {
        match part {
            FramePart::Skip(length) => self.skip(length),
            FramePart::Short => self.short(),
            FramePart::Table => self.table(1),
        }
    }

    pub(super) fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(drop)
    }

    fn take(&mut self, length: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let taken = self.at..end;
        self.at = end;
        Some(taken)
    }

    pub(super) fn number(&mut self, length: usize) -> Option<usize> {
        let taken = self.take(length)?;
        Some(self.bytes[taken].iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// Repairs a short text: every byte that is not UTF-8 becomes a question mark.
    pub(super) fn short(&mut self) -> Option<()> {
        let length = self.number(1)?;
        let mut text = self.take(length)?;
        while let Err(error) = std::str::from_utf8(&self.bytes[text.clone()]) {
            let from = text.start + error.valid_up_to();
            let to = error.error_len().map_or(text.end, |length| from + length);
            self.bytes[from..to].fill(b'?');
            self.mended += 1;
            text.start = to;
        }
        Some(())
    }

    /// Repairs the names and values of a table, up to the end that the table states.
    fn table(&mut self, depth: usize) -> Option<()> {
        let end = self.end()?;
        while self.at < end {
            self.short()?;
            self.value(depth)?;
        }
        (self.at == end).then_some(())
    }

    /// Repairs one name and value of a message's headers.
    pub(super) fn entry(&mut self) -> Option<()> {
        self.short()?;
        self.value(1)
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let end = self.end()?;
        while self.at < end {
            self.value(depth)?;
        }
        (self.at == end).then_some(())
    }

    /// Reads a length, and returns the end of the part that it describes.
    pub(super) fn end(&mut self) -> Option<usize> {
        let length = self.number(4)?;
        self.at.checked_add(length).filter(|end| *end <= self.bytes.len())
    }

    /// Repairs a value. A table or array nested too deep becomes a byte array, which has the same encoding.
    fn value(&mut self, depth: usize) -> Option<()> {
        let kind = self.take(1)?.start;
        match self.bytes[kind] {
            b'V' => Some(()),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'U' | b'u' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'l' | b'L' | b'd' | b'T' => self.skip(8),
            b'A' | b'F' if depth >= DEEPEST => {
                self.bytes[kind] = b'x';
                self.mended += 1;
                self.bytes_of()
            }
            b'A' => self.array(depth + 1),
            b'F' => self.table(depth + 1),
            b'S' | b'x' => self.bytes_of(),
            // A type that no broker accepts; its length is unknown.
            _ => None,
        }
    }

    fn bytes_of(&mut self) -> Option<()> {
        let length = self.number(4)?;
        self.skip(length)
    }
}

#[cfg(test)]
mod tests;
