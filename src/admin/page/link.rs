//! Addresses within the page, and those of records in Dynamics. Pure.

use url::form_urlencoded::Serializer;

/// Returns the address of an event's details.
pub(super) fn event(organization: &str, event_id: &str) -> String {
    with("/event", &[("organization", organization), ("id", event_id)])
}

/// Returns a path with a query; empty values are omitted.
pub(super) fn with(path: &str, query: &[(&str, &str)]) -> String {
    let mut written = Serializer::new(String::new());
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        written.append_pair(name, value);
    }
    let query = written.finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Returns the address of a record in Dynamics' web client; `None` if the environment's URL is not a web address.
pub(super) fn record(environment: &str, table: &str, id: &str) -> Option<String> {
    let web = environment.starts_with("https://") || environment.starts_with("http://");
    let query = [("pagetype", "entityrecord"), ("etn", table), ("id", id)];
    web.then(|| with(&format!("{}/main.aspx", environment.trim_end_matches('/')), &query))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_percent_encoded() {
        assert_eq!(event("a&b", "x/../?#\"<é"), "/event?organization=a%26b&id=x%2F..%2F%3F%23%22%3C%C3%A9");
        assert_eq!(with("/find", &[("q", "")]), "/find");
    }

    #[test]
    fn only_web_addresses_become_links() {
        let found = record("https://acme.crm.dynamics.com/", "incident", "1-2");
        assert_eq!(
            found.as_deref(),
            Some("https://acme.crm.dynamics.com/main.aspx?pagetype=entityrecord&etn=incident&id=1-2")
        );
        assert_eq!(record("javascript:alert(1)//", "incident", "1"), None);
    }
}
