//! Readings of a message: as it is written, and with the escapes of JSON, .NET, Java, HTML and URLs decoded.

use std::ops::Range;

/// Most times that escapes are decoded. JSON in JSON in HTML takes three.
const DEEPEST: usize = 4;
/// Longest entity of HTML, in bytes.
const LONGEST_ENTITY: usize = 33;

/// Text of a message, with the position in the message of each byte.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) text: String,
    /// Position for each byte of `text` and for its end.
    origins: Vec<usize>,
}

impl Reading {
    /// Returns every reading of a message: escapes within escapes are decoded one level at a time.
    pub(super) fn all(message: &str) -> Vec<Self> {
        let mut written = Self::default();
        message.char_indices().for_each(|(at, character)| written.push(character, at));
        written.origins.push(message.len());
        let mut all = vec![written];
        while all.len() <= DEEPEST
            && let Some(next) = all.last().and_then(Self::unescaped)
        {
            all.push(next);
        }
        all
    }

    /// Maps a range of the text to the message.
    pub(super) fn origin(&self, range: &Range<usize>) -> Range<usize> {
        self.origins[range.start]..self.origins[range.end]
    }

    /// Returns the reading with one level of escapes decoded, or `None` if there are no escapes.
    fn unescaped(&self) -> Option<Self> {
        let (mut decoded, mut at, mut any) = (Self::default(), 0, false);
        while let Some(first) = self.text[at..].chars().next() {
            let escape = escape(&self.text[at..]);
            any |= escape.is_some();
            let (character, length) = escape.unwrap_or((first, first.len_utf8()));
            decoded.push(character, self.origins[at]);
            at += length;
        }
        decoded.origins.push(self.origins[at]);
        any.then_some(decoded)
    }

    fn push(&mut self, character: char, origin: usize) {
        self.text.push(character);
        self.origins.extend(std::iter::repeat_n(origin, character.len_utf8()));
    }
}

/// Decodes the escape that the text begins with. Returns its character and its length.
fn escape(text: &str) -> Option<(char, usize)> {
    let numbered = |from: usize, count: usize| Some((char::from_u32(hex(text, from, count)?)?, from + count));
    match text.as_bytes() {
        [b'\\', b'u', b'{', ..] => {
            let digits = text[3..].split_once('}')?.0;
            Some((char::from_u32(hex(digits, 0, digits.len())?)?, digits.len() + 4))
        }
        [b'\\', b'u', ..] => numbered(2, 4).or_else(|| surrogates(text)),
        [b'\\', b'U', ..] => numbered(2, 8),
        [b'\\', b'x', ..] => bytes(text, "\\x"),
        [b'\\', b'n' | b'r' | b't' | b'b' | b'f', ..] => Some((' ', 2)),
        [b'\\', itself @ (b'\\' | b'/' | b'\'' | b'"'), ..] => Some((char::from(*itself), 2)),
        [b'%', b'u', ..] => numbered(2, 4),
        [b'%', ..] => bytes(text, "%"),
        // Names in XML, as .NET encodes them.
        [b'_', b'x', _, _, _, _, b'_', ..] => numbered(2, 4).map(|(character, _)| (character, 7)),
        [b'&', ..] => {
            let end = text.bytes().take(LONGEST_ENTITY).position(|byte| byte == b';')?;
            let decoded = htmlize::unescape(&text[..=end]);
            (decoded != text[..=end]).then(|| Some((decoded.chars().next()?, end + 1)))?
        }
        _ => None,
    }
}

/// Decodes two escapes of JSON that stand for one character.
fn surrogates(text: &str) -> Option<(char, usize)> {
    let second = text.get(6..)?.strip_prefix("\\u")?;
    let units = [hex(text, 2, 4)?, hex(second, 0, 4)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let character = char::decode_utf16(units).next()?.ok()?;
    Some((character, 12))
}

/// Decodes the bytes of one character, each escaped by this sign. Bytes that are not UTF-8 are read as Latin-1.
fn bytes(text: &str, sign: &str) -> Option<(char, usize)> {
    let width = sign.len() + 2;
    let escaped = |index: usize| {
        let at = index * width;
        text.get(at..)?.starts_with(sign).then(|| u8::try_from(hex(text, at + sign.len(), 2)?).ok())?
    };
    let bytes: Vec<u8> = (0..4).map_while(escaped).collect();
    let whole = (1..=bytes.len())
        .find_map(|count| Some((std::str::from_utf8(&bytes[..count]).ok()?.chars().next()?, count * width)));
    whole.or_else(|| Some((char::from(*bytes.first()?), width)))
}

fn hex(text: &str, from: usize, count: usize) -> Option<u32> {
    let digits = text.get(from..from + count)?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}
