//! Repair of JSON escapes of a lone surrogate (`"\ud83d"`), as cutting a text in JavaScript leaves them. JSON's grammar allows them, but
//! they encode no character and `serde_json` rejects them.

/// Length of an escape such as `\ud83d`, in bytes.
const ESCAPE: usize = 6;

/// Replaces every lone surrogate with U+FFFD, at the same positions; returns `None` if there is none.
///
/// Malformed JSON is changed by the same rule: in JSON a backslash occurs only in strings.
pub(super) fn replace_lone_surrogates(json: &[u8]) -> Option<Vec<u8>> {
    let mut halves = Vec::new();
    let mut at = 0;
    while let Some(found) = json.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += found;
        at += match unit(json, at) {
            Some(0xD800..=0xDBFF) if matches!(unit(json, at + ESCAPE), Some(0xDC00..=0xDFFF)) => 2 * ESCAPE,
            Some(0xD800..=0xDFFF) => {
                halves.push(at);
                ESCAPE
            }
            // Skips the backslash and the escaped character, which may be another backslash.
            _ => 2,
        };
    }
    if halves.is_empty() {
        return None;
    }
    let mut mended = json.to_vec();
    for at in halves {
        mended[at..at + ESCAPE].copy_from_slice(b"\\ufffd");
    }
    Some(mended)
}

/// Returns the UTF-16 code unit of the escape at this position.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + ESCAPE)?.strip_prefix(b"\\u")?;
    digits.iter().try_fold(0, |unit, digit| Some((unit << 4) | u16::try_from(char::from(*digit).to_digit(16)?).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::replace_lone_surrogates;

    fn text(json: &str) -> Option<String> {
        replace_lone_surrogates(json.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (json, expected) in [
            (r#""a\ud83d""#, r#""a\ufffd""#),
            (r#""\uDE00b""#, r#""\ufffdb""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\n\\\ud83dx""#, r#""\ufffd\n\\\ufffdx""#),
            (r#"{"\ud800":"é\udfff"}"#, r#"{"\ufffd":"é\ufffd"}"#),
        ] {
            assert_eq!(text(json).as_deref(), Some(expected), "{json}");
        }
        for good in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\u00e9\ud7ff\ue000""#, r#""\ud83""#, "\\", "\\u", ""] {
            assert_eq!(text(good), None, "{good}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_lone_surrogate_becomes_one_replacement_character(units in prop::collection::vec(prop_oneof![any::<u16>(), 0xD700_u16..=0xE0FF], 0..20)) {
            let escapes: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{}\"", escapes.concat());
            let mended = text(&json).unwrap_or(json);
            prop_assert_eq!(serde_json::from_str::<String>(&mended).unwrap(), String::from_utf16_lossy(&units));
        }
    }
}
