//! Target of a request, parsed from its path.

use axum::http::Method;
use uuid::Uuid;

/// Target of a path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// Entra ID's token endpoint of this tenant.
    Token(String),
    /// The service document.
    Service,
    /// `$metadata`
    Metadata,
    /// `$batch`
    Batch,
    /// `EntityDefinitions…`, with the rest of the path.
    Definitions(String),
    /// `incidents`
    Rows(String),
    /// `incidents(<id>)`
    Row(String, Uuid),
    /// `incidents(<id>)/title`
    Property(String, Uuid, String),
    /// `queues(<id>)/Microsoft.Dynamics.CRM.AddToQueue`: set, id, qualified name.
    Bound(String, Uuid, String),
    /// `CloseIncident`, `WhoAmI`: name.
    Unbound(&'static str),
    /// `contacts(…)` with an invalid key in parentheses.
    BadKey(String, String),
    /// Any other segment.
    Unknown(String),
}

/// All actions and functions that are not bound to a row.
const UNBOUND: [&str; 3] = ["CloseIncident", "WhoAmI", "RetrieveCurrentOrganization"];

impl Target {
    /// Parses a percent-decoded path.
    pub(super) fn of(path: &str) -> Self {
        if let Some(tenant) = path.strip_suffix("/oauth2/v2.0/token") {
            return Self::Token(tenant.trim_start_matches('/').to_owned());
        }
        let Some(rest) = resource(path) else {
            return Self::Unknown(path.to_owned());
        };
        match rest {
            "" => return Self::Service,
            "$metadata" => return Self::Metadata,
            "$batch" => return Self::Batch,
            _ => {}
        }
        if let Some(rest) = rest.strip_prefix("EntityDefinitions") {
            return Self::Definitions(rest.to_owned());
        }
        let called = rest.split_once('(').map_or(rest, |(name, _)| name);
        if let Some(name) = UNBOUND.iter().find(|name| **name == called) {
            return Self::Unbound(name);
        }
        Self::rows(rest)
    }

    fn rows(rest: &str) -> Self {
        let Some((set, keyed)) = rest.split_once('(') else {
            return match rest.split_once('/') {
                Some((set, action)) => Self::Unknown(format!("{set}/{action}")),
                None => Self::Rows(rest.to_owned()),
            };
        };
        let set = set.to_owned();
        let Some((key, after)) = keyed.split_once(')') else {
            return Self::Unknown(rest.to_owned());
        };
        // Both `contacts(<id>)` and `contacts(contactid=<id>)` are keys.
        let Ok(id) = key.rsplit('=').next().unwrap_or(key).parse() else {
            return Self::BadKey(set, key.to_owned());
        };
        match after.strip_prefix('/') {
            None if after.is_empty() => Self::Row(set, id),
            Some(name) if name.starts_with("Microsoft.Dynamics.CRM.") || BARE.contains(&name) => {
                Self::Bound(set, id, name.to_owned())
            }
            Some(name) => Self::Property(set, id, name.to_owned()),
            None => Self::Unknown(rest.to_owned()),
        }
    }

    /// Returns the name used by faults, counters and the journal: `incidents.create`, `token`.
    pub(super) fn operation(&self, method: &Method) -> String {
        match self {
            Self::Token(_) => "token".into(),
            Self::Service => "service".into(),
            Self::Metadata | Self::Definitions(_) => "metadata".into(),
            Self::Batch => "batch".into(),
            Self::Unbound(name) => (*name).into(),
            Self::Bound(_, _, name) => bare(name).into(),
            Self::Rows(set) if method == Method::POST => format!("{set}.create"),
            Self::Rows(set) => format!("{set}.query"),
            Self::Row(set, _) | Self::Property(set, ..) | Self::BadKey(set, _) => {
                let verb = match *method {
                    Method::PATCH | Method::PUT => "update",
                    Method::DELETE => "delete",
                    _ => "read",
                };
                format!("{set}.{verb}")
            }
            Self::Unknown(_) => "unknown".into(),
        }
    }
}

/// Bound operations often called without the namespace, which the service refuses by name.
const BARE: [&str; 1] = ["AddToQueue"];

/// Returns the name of an operation without namespace and arguments.
pub(super) fn bare(name: &str) -> &str {
    let name = name.rsplit("CRM.").next().unwrap_or(name);
    name.split_once('(').map_or(name, |(name, _)| name)
}

/// Returns the part of a path after `/api/data/v9.x/`.
fn resource(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/api/data/v9.")?;
    let (minor, rest) = rest.split_once('/').unwrap_or((rest, ""));
    matches!(minor, "0" | "1" | "2").then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "44444444-4444-4444-4444-444444444444";

    #[test]
    fn paths_name_operations() {
        let cases = [
            ("POST", "/tenant/oauth2/v2.0/token", "token"),
            ("GET", "/api/data/v9.2/", "service"),
            ("GET", "/api/data/v9.2/$metadata", "metadata"),
            ("GET", "/api/data/v9.2/WhoAmI", "WhoAmI"),
            ("GET", "/api/data/v9.2/WhoAmI()", "WhoAmI"),
            ("POST", "/api/data/v9.2/CloseIncident", "CloseIncident"),
            ("GET", "/api/data/v9.2/contacts", "contacts.query"),
            ("POST", "/api/data/v9.1/contacts", "contacts.create"),
            ("GET", "/api/data/v9.2/contacts({})", "contacts.read"),
            ("GET", "/api/data/v9.2/contacts(contactid={})", "contacts.read"),
            ("PATCH", "/api/data/v9.2/contacts({})", "contacts.update"),
            ("DELETE", "/api/data/v9.2/contacts({})/jobtitle", "contacts.delete"),
            ("POST", "/api/data/v9.2/queues({})/Microsoft.Dynamics.CRM.AddToQueue", "AddToQueue"),
            ("POST", "/api/data/v9.2/queues({})/AddToQueue", "AddToQueue"),
            ("GET", "/api/data/v9.2/EntityDefinitions(LogicalName='contact')", "metadata"),
            ("GET", "/api/data/v8.2/contacts", "unknown"),
            ("GET", "/", "unknown"),
        ];
        for (method, path, operation) in cases {
            let method: Method = method.parse().expect("a method");
            let target = Target::of(&path.replace("{}", ID));
            assert_eq!(target.operation(&method), operation, "{method} {path}");
        }
    }

    #[test]
    fn what_is_no_key_is_told() {
        let target = Target::of("/api/data/v9.2/contacts('x')");
        assert_eq!(target, Target::BadKey("contacts".into(), "'x'".into()));
    }
}
