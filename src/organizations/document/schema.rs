//! Every key of an organization's file, in order.

use crate::config::schema::{ConfigKey, ValueKind, key};

/// Keys of `config/organizations/*.toml`.
pub const KEYS: &[ConfigKey] = &[
    key(
        ("", "organization_id"),
        ValueKind::Text,
        "",
        "`organization_id` of the organization's events.",
        "required; a string of 1 to 255 characters",
    ),
    key(
        ("", "environment_url"),
        ValueKind::Text,
        "",
        "URL of the Dynamics environment; a trailing slash is removed.",
        "required; `https://` and a host such as `acme.crm.dynamics.com`, without a path; other addresses only with `dynamics.allow_insecure`",
    ),
    key(
        ("", "tenant_id"),
        ValueKind::Text,
        "",
        "Entra ID directory of the organization.",
        "required; a GUID, or a verified domain such as `contoso.onmicrosoft.com`",
    ),
    key(("", "client_id"), ValueKind::Text, "", "Application that the worker signs in as.", "required; a GUID"),
    key(
        ("", "client_secret"),
        ValueKind::Secret,
        "",
        "Secret of that application: its value, not its id.",
        "required; a string, `{ env = … }` or `{ file = … }`",
    ),
    key(
        ("", "default_priority"),
        ValueKind::Number,
        "2",
        "`prioritycode` of new incidents (Dynamics' defaults: 1 high, 2 normal, 3 low).",
        "1 to 4",
    ),
    key(
        ("", "default_owner_id"),
        ValueKind::Text,
        "",
        "System user that owns new incidents; absent: Dynamics decides.",
        "a GUID",
    ),
    key(
        ("", "default_queue_id"),
        ValueKind::Text,
        "",
        "Queue that new incidents are added to; absent: none.",
        "a GUID",
    ),
    key(
        ("", "default_workstream_id"),
        ValueKind::Text,
        "",
        "Workstream of live work items; absent: `default_queue_id`.",
        "a GUID",
    ),
    key(
        ("", "description_limit"),
        ValueKind::Number,
        "2000",
        "Longest incident description, in UTF-16 units; the full text of a longer one is attached as a note.",
        "200 to 1048576; 2000 is Dynamics' default limit",
    ),
    key(
        ("", "queue_assignment"),
        ValueKind::Text,
        r#""auto""#,
        "Method of adding an incident to its queue: bind it on creation, call the action `AddToQueue` afterwards, or use the one that the environment accepts.",
        r#"`"auto"`, `"bind"` or `"add_to_queue"`"#,
    ),
    key(
        ("", "queue_field"),
        ValueKind::Text,
        r#""queueid""#,
        r#"Property that `"bind"` sets."#,
        "letters, digits, underscores",
    ),
    key(
        ("", "close_with"),
        ValueKind::Text,
        r#""auto""#,
        "Method of closing an incident: PATCH, the action `CloseIncident`, or the one that the environment accepts.",
        r#"`"auto"`, `"patch"` or `"close_incident"`"#,
    ),
    key(
        ("", "contact_failure"),
        ValueKind::Text,
        r#""unlinked""#,
        "Reaction to a contact that Dynamics refuses permanently: create the incident without it, or make the event a dead letter.",
        r#"`"unlinked"` or `"dead_letter"`"#,
    ),
    key(
        ("", "fallback_customer"),
        ValueKind::Text,
        "",
        "Customer of incidents without a contact in an environment that requires one; absent: a placeholder contact.",
        "`/contacts(<guid>)` or `/accounts(<guid>)`",
    ),
    key(
        ("", "ticket_properties"),
        ValueKind::Text,
        "{}",
        "Properties set unchanged on every incident; they override those of the worker.",
        "a table of any properties except `incidentid`",
    ),
];
