//! Frames from the broker, made fit for the client, in place and at their length.
//!
//! A broker hands on what a publisher wrote, unchecked: texts that are no UTF-8, and tables in tables as deep as a frame
//! is long. lapin (4.12.3) drops the connection over the first and overflows its stack over the second, again and again,
//! until the delivery limit has taken the message and all its neighbours away.

use std::ops::Range;

/// Tables and arrays within each other; lapin takes some ten kilobytes of its thread's two megabytes for each in a debug
/// build (measured: 200 end the process).
const DEEPEST: usize = 32;
/// Type, channel, size.
pub(super) const HEAD: usize = 7;
/// Head and end mark.
pub(super) const AROUND: usize = HEAD + 1;
/// Class, weight and size of the body, before a content header's flags.
pub(super) const BEFORE_FLAGS: usize = 12;

const METHOD: u8 = 1;
const HEADER: u8 = 2;

/// What stands where in a message's properties, by their flags from the highest.
const PROPERTIES: [Part; 14] = [
    Part::Short,   // content-type
    Part::Short,   // content-encoding
    Part::Table,   // headers
    Part::Skip(1), // delivery-mode
    Part::Skip(1), // priority
    Part::Short,   // correlation-id
    Part::Short,   // reply-to
    Part::Short,   // expiration
    Part::Short,   // message-id
    Part::Skip(8), // timestamp
    Part::Short,   // type
    Part::Short,   // user-id
    Part::Short,   // app-id
    Part::Short,   // cluster-id
];

/// One part of a frame.
#[derive(Clone, Copy)]
enum Part {
    /// So many bytes without a text.
    Skip(usize),
    /// A text of at most 255 bytes.
    Short,
    /// A table of named values.
    Table,
}

/// Mends a whole frame; says how many places were mended. What it can't read it leaves as it is.
pub(super) fn mend(frame: &mut [u8]) -> usize {
    let Some(end) = frame.len().checked_sub(1).filter(|end| *end >= HEAD) else { return 0 };
    let mut cursor = Cursor::new(&mut frame[..end], HEAD);
    let kind = cursor.bytes[0];
    // Nothing: the frame is no longer than what it should hold, and the client says so.
    let _ = match kind {
        METHOD => method(&mut cursor),
        HEADER => properties(&mut cursor),
        _ => None,
    };
    cursor.mended
}

/// The methods that carry what a publisher chose: an exchange's name and a routing key.
fn method(cursor: &mut Cursor<'_>) -> Option<()> {
    let parts: &[Part] = match (cursor.number(2)?, cursor.number(2)?) {
        // basic.return: code, text, exchange, routing key
        (60, 50) => &[Part::Skip(2), Part::Short, Part::Short, Part::Short],
        // basic.deliver: consumer, delivery, redelivered, exchange, routing key
        (60, 60) => &[Part::Short, Part::Skip(9), Part::Short, Part::Short],
        // basic.get-ok: delivery, redelivered, exchange, routing key
        (60, 71) => &[Part::Skip(9), Part::Short, Part::Short],
        _ => &[],
    };
    parts.iter().try_for_each(|part| cursor.part(*part))
}

fn properties(cursor: &mut Cursor<'_>) -> Option<()> {
    cursor.skip(BEFORE_FLAGS)?;
    let flags = cursor.number(2)?;
    let set = PROPERTIES.iter().enumerate().filter(|(index, _)| flags & (0x8000 >> index) != 0);
    set.map(|(_, part)| *part).try_for_each(|part| cursor.part(part))
}

/// A place in a frame.
pub(super) struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
    mended: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a mut [u8], at: usize) -> Self {
        Self { bytes, at, mended: 0 }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    fn part(&mut self, part: Part) -> Option<()> {
        match part {
            Part::Skip(length) => self.skip(length),
            Part::Short => self.short(),
            Part::Table => self.table(1),
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

    /// A short text: every byte that makes it no UTF-8 becomes a question mark.
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

    /// Names and values, to the end that the table itself names.
    fn table(&mut self, depth: usize) -> Option<()> {
        let end = self.end()?;
        while self.at < end {
            self.short()?;
            self.value(depth)?;
        }
        (self.at == end).then_some(())
    }

    /// One name and value of a message's headers.
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

    /// Where what is told here to be so long ends.
    pub(super) fn end(&mut self) -> Option<usize> {
        let length = self.number(4)?;
        self.at.checked_add(length).filter(|end| *end <= self.bytes.len())
    }

    /// A value: what is too deep becomes an array of bytes, which is written alike.
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
            // A type that no broker lets through: where it ends is not known.
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
