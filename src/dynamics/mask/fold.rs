//! Letters normalized for comparison: without differences in case, normal form, accents, blanks and punctuation.

use std::sync::LazyLock;

use unicode_normalization::char::{canonical_combining_class, decompose_compatible, is_combining_mark};

/// End of the characters whose letters are looked up in a table: the alphabets up to Thai.
const TABLED: char = '\u{e80}';
/// Most letters that such a character folds to.
const MOST: usize = 4;

/// Passes the letters and digits that a character folds to: none for punctuation and accents.
pub(super) fn fold(character: char, mut each: impl FnMut(char)) {
    static TABLE: LazyLock<Vec<[Option<char>; MOST]>> = LazyLock::new(|| ('\0'..TABLED).map(entry).collect());
    match character {
        // Ideographs and the parts of Korean syllables are their own letters.
        '\u{1100}'..='\u{11ff}' | '\u{3400}'..='\u{9fff}' => each(character),
        '가'..='힣' => decompose_compatible(character, each),
        _ => match TABLE.get(character as usize) {
            Some(letters) => letters.iter().map_while(|letter| *letter).for_each(each),
            None => letters(character, each),
        },
    }
}

fn entry(character: char) -> [Option<char>; MOST] {
    let mut entry = [None; MOST];
    let mut free = entry.iter_mut();
    letters(character, |letter| free.next().into_iter().for_each(|place| *place = Some(letter)));
    entry
}

fn letters(character: char, mut each: impl FnMut(char)) {
    decompose_compatible(character, |part| {
        if canonical_combining_class(part) == 0 {
            // Twice: `ß` and `SS` have `ss` in common, the two small sigmas their capital.
            let folded = part.to_uppercase().flat_map(char::to_lowercase);
            folded.filter(|letter| letter.is_alphanumeric()).for_each(&mut each);
        }
    });
}

/// Returns true for a character that is not seen between letters: an accent, a soft hyphen, a mark of direction.
pub(super) fn is_invisible(character: char) -> bool {
    is_combining_mark(character)
        || matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Returns true for letters of scripts with upper and lower case, and for digits: their words begin and end at blanks. Other
/// scripts have no blanks, or join particles to names.
pub(super) fn has_words(character: char) -> bool {
    character.is_lowercase() || character.is_uppercase() || character.is_numeric()
}

/// Returns true for ideographs and kana, of which two or three are a name.
pub(super) fn is_dense(character: char) -> bool {
    is_ideograph(character) || matches!(character, '\u{2e80}'..='\u{33ff}')
}

/// Returns true for ideographs, of which one is a name.
pub(super) fn is_ideograph(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3ffff}')
}

/// Returns true for letters of Thai, Lao, Burmese, Khmer and their neighbours, which have no blanks between words.
pub(super) fn is_unspaced(character: char) -> bool {
    matches!(
        character,
        '\u{e00}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' | '\u{1950}'..='\u{1aaf}' | '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aa7f}'
    )
}

/// Returns the units that a letter counts as: the fewer letters are a word of its script, the more.
pub(super) fn weight(letter: char) -> u32 {
    if letter < '\u{e00}' {
        1
    } else if is_ideograph(letter) {
        3
    } else if is_dense(letter) || is_unspaced(letter) {
        2
    } else {
        1
    }
}

/// Returns true for pictures such as emoji, and for what joins them. No message of Dynamics has any of its own.
pub(super) fn is_picture(character: char) -> bool {
    matches!(
        character,
        '\u{200d}' | '\u{20e3}' | '\u{2600}'..='\u{27bf}' | '\u{2b00}'..='\u{2bff}' | '\u{fe0f}' | '\u{1f000}'..='\u{1faff}'
            | '\u{e0020}'..='\u{e007f}'
    )
}
