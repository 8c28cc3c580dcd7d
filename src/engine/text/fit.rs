//! Characters that Dynamics can't hold.

use std::borrow::Cow;

/// Replaces characters that XML 1.0 can't hold. Dynamics refuses a whole record for one of them.
pub fn fit_for_dynamics(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().any(is_unfit) { Cow::Owned(text.replace(is_unfit, "\u{fffd}")) } else { text }
}

fn is_unfit(char: char) -> bool {
    matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
