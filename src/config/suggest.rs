//! Suggestions for mistyped names.

/// Returns `did you mean …?` if one of the names is close enough to be a typing error.
pub(crate) fn suggest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    closest(typed, names).map(|name| format!("did you mean `{name}`?"))
}

/// Returns the name that is closest to the typed one, if it is close enough.
pub(crate) fn closest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters covers `prefetc`, `max_agee` and `client_secrets`, but no other key of a section.
    let most = (typed.chars().count() / 3).max(1);
    let typed = typed.to_lowercase();
    names
        .map(|name| (strsim::osa_distance(&typed, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, name)| name)
}
