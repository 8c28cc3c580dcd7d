//! A missing privilege in the words of the form where an administrator grants it.

const WHERE: &str = "Power Platform admin center → environment → Settings → Users + permissions → Application users → \
                     Manage roles";

/// Tables whose privileges have another name than the one on the form.
const TABLES: &[(&str, &str)] =
    &[("Incident", "Case"), ("IncidentResolution", "Case Resolution"), ("Annotation", "Note"), ("SystemUser", "User")];

/// What to do about "… is missing prvCreateIncident privilege …".
pub(super) fn advice(message: &str) -> String {
    let named = message.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| Some((word, in_words(word)?)));
    match named {
        Some((name, words)) => format!("The application user lacks {words} ({name}): {WHERE}."),
        None => format!("The application user has no security role that allows this: {WHERE}."),
    }
}

/// What to do about several that are missing.
pub(in crate::dynamics) fn lacking(names: &[String]) -> String {
    let words = names.iter().map(|name| match in_words(name) {
        Some(words) => format!("{words} ({name})"),
        None => name.clone(),
    });
    format!("The application user lacks {}: {WHERE}.", words.collect::<Vec<_>>().join(", "))
}

/// `prvCreateIncident` is "Create on Case".
fn in_words(privilege: &str) -> Option<String> {
    let rest = privilege.strip_prefix("prv")?;
    let at = rest.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase())?.0;
    let (verb, table) = match rest.strip_prefix("AppendTo") {
        Some(table) => ("Append To", table),
        None => rest.split_at(at),
    };
    let known = TABLES.iter().find(|(name, _)| *name == table).map(|(_, form)| (*form).to_owned());
    Some(format!("{verb} on {}", known.unwrap_or_else(|| spaced(table))))
}

/// `QueueItem` is "Queue Item".
fn spaced(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            words.push(' ');
        }
        after_small = letter.is_ascii_lowercase();
        words.push(letter);
    }
    words
}
