//! A missing privilege in the words of the form where an administrator grants it.

use uuid::Uuid;

const WHERE: &str = "Power Platform admin center → environment → Settings → Users + permissions → Application users → \
                     Manage roles";

/// Advice for the user that owns the cases.
const OF_OWNER: &str = "assign a security role to that user (Power Platform admin center → environment → Settings → Users + \
                        permissions → Users → Manage security roles), or set default_owner_id to another user";

/// Characters of a GUID with hyphens.
const GUID_LENGTH: usize = 36;

/// Tables whose privileges have another name than the one on the form.
const TABLES: &[(&str, &str)] =
    &[("Incident", "Case"), ("IncidentResolution", "Case Resolution"), ("Annotation", "Note"), ("SystemUser", "User")];

/// Advice on "Principal user (Id=…) is missing prvCreateIncident privilege …".
pub(super) fn advice(message: &str, owner: Option<Uuid>) -> String {
    let named = message.split(|c: char| !c.is_ascii_alphanumeric()).find_map(|word| Some((word, in_words(word)?)));
    let lacks = match named {
        Some((name, words)) => format!("lacks {words} ({name})"),
        None => "has no security role that allows this".to_owned(),
    };
    advice_on(&lacks, is_of(message, owner))
}

/// Advice on "The user with id … has not been assigned any roles".
pub(super) fn no_role(message: &str, owner: Option<Uuid>) -> String {
    advice_on("has no security role", is_of(message, owner))
}

/// Advice on what the owner, or else the application user, lacks.
fn advice_on(lacks: &str, is_owner: bool) -> String {
    if is_owner {
        format!("The owner (default_owner_id) {lacks}: {OF_OWNER}.")
    } else {
        format!("The application user {lacks}: {WHERE}.")
    }
}

/// True for a refusal of the owner: the first GUID of its message is the user's, others are of the privilege, the
/// record or the caller.
fn is_of(message: &str, owner: Option<Uuid>) -> bool {
    let words = message.split(|c: char| !c.is_ascii_hexdigit() && c != '-');
    let user = words.filter(|word| word.len() == GUID_LENGTH).find_map(|word| word.parse::<Uuid>().ok());
    user.is_some() && user == owner
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
