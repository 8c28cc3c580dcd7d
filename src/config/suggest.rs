//! Finds what a mistyped name was meant to be.

/// `did you mean …?` when one of the names is close enough to be a typing mistake.
pub(super) fn suggest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    closest(typed, names).map(|name| format!("did you mean `{name}`?"))
}

/// The name that is close enough to what was typed to be meant by it.
pub(super) fn closest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters: `prefetc`, `max_agee`, `client_secrets`; not any other key of the section.
    let most = (typed.chars().count() / 3).max(1);
    let typed = typed.to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&typed, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}
