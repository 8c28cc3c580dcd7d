//! Advice on missing privileges, named as on the form where an administrator grants them.

use uuid::Uuid;

/// Advice for the application user.
const OF_APPLICATION: &str = "Assign it a security role with the required privileges (Power Platform admin center → \
                              environment → Settings → Users + permissions → Application users → Manage roles).";

/// Advice for the user that owns the cases.
const OF_OWNER: &str = "Assign that user a security role with the required privileges (Power Platform admin center → \
                        environment → Settings → Users + permissions → Users → Manage security roles), or set \
                        default_owner_id to another user.";

/// Characters of a GUID with hyphens.
const GUID_LENGTH: usize = 36;

/// Tables whose name in a privilege differs from the name on the form.
const TABLES: &[(&str, &str)] =
    &[("Incident", "Case"), ("IncidentResolution", "Case Resolution"), ("Annotation", "Note"), ("SystemUser", "User")];

/// Returns the advice on "Principal user (Id=…) is missing prvCreateIncident privilege …".
pub(super) fn advice(message: &str, owner: Option<Uuid>) -> String {
    let named = message.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| Some((word, in_words(word)?)));
    let lacks = match named {
        Some((name, words)) => format!("lacks {words} ({name})"),
        None => "has no security role that allows this".to_owned(),
    };
    advice_on(&lacks, is_of(message, owner))
}

/// Returns the advice on "The user with id … has not been assigned any roles".
pub(super) fn no_role(message: &str, owner: Option<Uuid>) -> String {
    advice_on("has no security role", is_of(message, owner))
}

/// Returns the advice for the owner or for the application user.
fn advice_on(lacks: &str, is_owner: bool) -> String {
    if is_owner {
        format!("The owner (default_owner_id) {lacks}. {OF_OWNER}")
    } else {
        format!("The application user {lacks}. {OF_APPLICATION}")
    }
}

/// Returns true for a refusal of the owner. The first GUID of the message is the user's; later ones are the privilege's, the
/// record's or the caller's.
fn is_of(message: &str, owner: Option<Uuid>) -> bool {
    let words = message.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let user = words.filter(|word| word.len() == GUID_LENGTH).find_map(|word| word.parse::<Uuid>().ok());
    user.is_some() && user == owner
}

/// Returns the advice on several missing privileges.
pub(in crate::dynamics) fn lacking(names: &[String]) -> String {
    let words = names.iter().map(|name| match in_words(name) {
        Some(words) => format!("{words} ({name})"),
        None => name.clone(),
    });
    format!("The application user lacks {}. {OF_APPLICATION}", words.collect::<Vec<_>>().join(", "))
}

/// Translates `prvCreateIncident` to "Create on Case".
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

/// Splits `QueueItem` into "Queue Item".
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
