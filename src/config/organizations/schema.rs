//! Every key of an organization's file, in its order.

use crate::config::schema::{Key, Kind, key};

/// `config/organizations/*.toml`
pub const KEYS: &[Key] = &[
    key(
        ("", "organization_id"),
        Kind::Text,
        "",
        "The `organization_id` of its events.",
        "required; a string of 1 to 255 characters",
    ),
    key(
        ("", "environment_url"),
        Kind::Text,
        "",
        "Its Dynamics environment; a trailing slash is removed.",
        "required; `https://` and a host such as `acme.crm.dynamics.com`, no path; others with `dynamics.allow_insecure`",
    ),
    key(
        ("", "tenant_id"),
        Kind::Text,
        "",
        "Its Entra ID directory.",
        "required; a GUID, or a verified domain such as `contoso.onmicrosoft.com`",
    ),
    key(("", "client_id"), Kind::Text, "", "The application that the worker signs in as.", "required; a GUID"),
    key(
        ("", "client_secret"),
        Kind::Secret,
        "",
        "That application's secret: its value, not its id.",
        "required; a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("", "default_priority"),
        Kind::Number,
        "2",
        "`prioritycode` of new incidents (stock: 1 high, 2 normal, 3 low).",
        "1 to 4",
    ),
    key(
        ("", "default_owner_id"),
        Kind::Text,
        "",
        "System user that owns new incidents; absent: Dynamics decides.",
        "a GUID",
    ),
    key(("", "default_queue_id"), Kind::Text, "", "Queue that new incidents go to; absent: none.", "a GUID"),
    key(
        ("", "default_workstream_id"),
        Kind::Text,
        "",
        "Workstream of live work items; absent: `default_queue_id`.",
        "a GUID",
    ),
    key(
        ("", "description_limit"),
        Kind::Number,
        "2000",
        "Longest incident description, in UTF-16 units; what is longer is attached as a note.",
        "200 to 1048576; 2000 is Dynamics' stock limit",
    ),
    key(
        ("", "queue_assignment"),
        Kind::Text,
        r#""auto""#,
        "How an incident gets into its queue: bound with it, by the action `AddToQueue` afterwards, or whichever the environment takes.",
        r#"`"auto"`, `"bind"` or `"add_to_queue"`"#,
    ),
    key(
        ("", "queue_field"),
        Kind::Text,
        r#""queueid""#,
        r#"The property that `"bind"` binds."#,
        "letters, digits, underscores",
    ),
    key(
        ("", "close_with"),
        Kind::Text,
        r#""auto""#,
        "How an incident is closed: by PATCH, by the action `CloseIncident`, or whichever the environment takes.",
        r#"`"auto"`, `"patch"` or `"close_incident"`"#,
    ),
    key(
        ("", "contact_failure"),
        Kind::Text,
        r#""unlinked""#,
        "A contact that Dynamics refuses for good: the incident goes out without it, or the event is a dead letter.",
        r#"`"unlinked"` or `"dead_letter"`"#,
    ),
    key(
        ("", "fallback_customer"),
        Kind::Text,
        "",
        "Who an incident without a contact is linked to where the environment insists on a customer; absent: a placeholder contact.",
        "`/contacts(<guid>)` or `/accounts(<guid>)`",
    ),
    key(
        ("", "ticket_properties"),
        Kind::Text,
        "{}",
        "Set on every incident as they are, last; they win over what the worker sets.",
        "a table of any properties but `incidentid`",
    ),
];
