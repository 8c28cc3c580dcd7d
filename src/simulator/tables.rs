//! Table definitions: Dynamics 365 Customer Service's own, as far as a handoff uses them, and live work items.
//!
//! Lengths and option sets are those of a stock environment.

use super::settings::EnvironmentSettings;
use super::table::{ColumnKind, Table};

/// Returns all tables.
pub(super) fn all(settings: &EnvironmentSettings) -> Vec<Table> {
    let mut tables = vec![
        contacts(),
        incidents(settings),
        accounts(),
        queues(),
        queue_items(),
        users(),
        annotations(),
        subjects(),
        resolutions(),
        workstreams(),
        organizations(),
    ];
    tables.extend(
        settings.live_work_item_sets.iter().map(|set| live_work_items(set, settings.live_work_item_subject_limit)),
    );
    tables
}

fn contacts() -> Table {
    let table = Table::new("contacts", "Contact", "contactid", "fullname")
        .coded(2)
        .system("fullname", ColumnKind::Text(160))
        .texts(50, &["firstname", "lastname", "middlename", "mobilephone", "telephone1"])
        .texts(50, &["telephone2", "telephone3", "fax", "externaluseridentifier"])
        .indexed("emailaddress1", 100)
        .texts(100, &["emailaddress2", "emailaddress3", "jobtitle", "department", "salutation"])
        .with("description", ColumnKind::Memo(2000))
        .texts(250, &["address1_line1", "address1_line2", "address1_line3"])
        .texts(80, &["address1_city", "address1_country", "address1_stateorprovince"])
        .texts(20, &["address1_postalcode"])
        .texts(200, &["websiteurl"])
        .with("gendercode", choice(&["Male", "Female"]))
        .with("preferredcontactmethodcode", choice(&["Any", "Email", "Phone", "Fax", "Mail"]))
        .with("donotemail", ColumnKind::Flag)
        .with("donotphone", ColumnKind::Flag)
        .system("merged", ColumnKind::Flag)
        .system("_masterid_value", ColumnKind::Lookup)
        .linked("parentcustomerid_account", "parentcustomerid", "accounts")
        .linked("parentcustomerid_contact", "parentcustomerid", "contacts");
    owned(table).states(active())
}

fn incidents(settings: &EnvironmentSettings) -> Table {
    let priorities = usize::from(settings.priorities);
    let table = Table::new("incidents", "Incident", "incidentid", "title")
        .coded(112)
        .called("Case", "Incident")
        .with("title", ColumnKind::Text(200))
        .indexed("ticketnumber", 100)
        .with("description", ColumnKind::Memo(settings.description_limit))
        .with("prioritycode", choice(&["High", "Normal", "Low", "Lowest"][..priorities.clamp(1, 4)]))
        .with("severitycode", choice(&["Default Value"]))
        .with("casetypecode", choice(&["Question", "Problem", "Request"]))
        .with("caseorigincode", ColumnKind::Choice(origins()))
        .with(
            "customersatisfactioncode",
            choice(&["Very Dissatisfied", "Dissatisfied", "Neutral", "Satisfied", "Very Satisfied"]),
        )
        .with("contractservicelevelcode", choice(&["Gold", "Silver", "Bronze"]))
        .with("isescalated", ColumnKind::Flag)
        .with("followupby", ColumnKind::Time)
        .system("merged", ColumnKind::Flag)
        .system("_masterid_value", ColumnKind::Lookup)
        .texts(100, &["productserialnumber"])
        .linked("customerid_contact", "customerid", "contacts")
        .linked("customerid_account", "customerid", "accounts")
        .linked("primarycontactid", "primarycontactid", "contacts")
        .linked("subjectid", "subjectid", "subjects")
        .linked("parentcaseid", "parentcaseid", "incidents");
    let table = match &settings.queue_field {
        Some(field) => table.linked(field, &field.to_lowercase(), "queues"),
        None => table,
    };
    owned(table).states(vec![
        (0, "Active", vec![1, 2, 3, 4]),
        (1, "Resolved", vec![5, 1000]),
        (2, "Canceled", vec![6, 2000]),
    ])
}

fn accounts() -> Table {
    let table = Table::new("accounts", "Account", "accountid", "name")
        .coded(1)
        .texts(160, &["name"])
        .texts(20, &["accountnumber"])
        .indexed("emailaddress1", 100)
        .texts(50, &["telephone1", "fax"])
        .texts(200, &["websiteurl"])
        .with("description", ColumnKind::Memo(2000))
        .linked("primarycontactid", "primarycontactid", "contacts")
        .linked("parentaccountid", "parentaccountid", "accounts");
    owned(table).states(active())
}

fn queues() -> Table {
    let table = Table::new("queues", "Queue", "queueid", "name")
        .coded(2020)
        .texts(200, &["name"])
        .texts(100, &["emailaddress"])
        .with("description", ColumnKind::Memo(2000))
        .with("queueviewtype", ColumnKind::Choice(vec![(0, "Public"), (1, "Private")]));
    owned(table).states(active())
}

fn queue_items() -> Table {
    let table = Table::new("queueitems", "QueueItem", "queueitemid", "title")
        .coded(2029)
        .called("Queue Item", "QueueItem")
        .texts(300, &["title"])
        .system("enteredon", ColumnKind::Time)
        .linked("queueid", "queueid", "queues")
        .linked("objectid_incident", "objectid", "incidents")
        .linked("workerid_systemuser", "workerid", "systemusers")
        .found_by("_objectid_value");
    owned(table).states(active())
}

fn users() -> Table {
    Table::new("systemusers", "SystemUser", "systemuserid", "fullname")
        .coded(8)
        .called("User", "User")
        .texts(200, &["fullname"])
        .texts(1024, &["domainname"])
        .indexed("internalemailaddress", 100)
        .with("isdisabled", ColumnKind::Flag)
        .with("accessmode", ColumnKind::Whole(0, 5))
        .with("applicationid", ColumnKind::Text(36))
        .states(active())
}

fn annotations() -> Table {
    let table = Table::new("annotations", "Annotation", "annotationid", "subject")
        .coded(5)
        .called("Note", "Note")
        .texts(500, &["subject"])
        .with("notetext", ColumnKind::Memo(100_000))
        .texts(255, &["filename"])
        .texts(256, &["mimetype"])
        .with("isdocument", ColumnKind::Flag)
        .with("documentbody", ColumnKind::File)
        .system("filesize", ColumnKind::Whole(0, i64::from(i32::MAX)))
        .system("objecttypecode", ColumnKind::Text(64))
        .linked("objectid_incident", "objectid", "incidents")
        .linked("objectid_contact", "objectid", "contacts")
        .linked("objectid_account", "objectid", "accounts");
    owned(table)
}

fn subjects() -> Table {
    Table::new("subjects", "Subject", "subjectid", "title")
        .coded(129)
        .texts(500, &["title"])
        .with("description", ColumnKind::Memo(2000))
        .linked("parentsubject", "parentsubject", "subjects")
}

/// Case resolutions: activities, subject to the privileges of all activities. Resolving a case creates one.
fn resolutions() -> Table {
    let table = Table::new("incidentresolutions", "IncidentResolution", "activityid", "subject")
        .coded(4206)
        .called("Case Resolution", "Activity")
        .texts(200, &["subject"])
        .with("description", ColumnKind::Memo(2000))
        .with("timespent", ColumnKind::Whole(0, i64::from(i32::MAX)))
        .linked("incidentid", "incidentid", "incidents")
        .found_by("_incidentid_value");
    owned(table).states(vec![(0, "Open", vec![1]), (1, "Completed", vec![2]), (2, "Canceled", vec![3])])
}

/// Settings of the environment, in one row.
fn organizations() -> Table {
    Table::new("organizations", "Organization", "organizationid", "name")
        .coded(1019)
        .texts(160, &["name"])
        .with("blockedattachments", ColumnKind::Memo(1_073_741_823))
}

/// Work streams of Omnichannel, with the columns that a live work item may reference.
fn workstreams() -> Table {
    let table = Table::new("msdyn_liveworkstreams", "msdyn_liveworkstream", "msdyn_liveworkstreamid", "msdyn_name")
        .called("Workstream", "msdyn_liveworkstream")
        .texts(100, &["msdyn_name"]);
    owned(table).states(active())
}

/// Live work items, which OpenCX posts for a chat, under the environment's name for them.
fn live_work_items(set: &str, subject_limit: Option<usize>) -> Table {
    let logical = set.strip_suffix('s').unwrap_or(set);
    let table = Table::new(set, logical, "oc_liveworkitemid", "name")
        .called("Live Work Item", logical)
        .texts(200, &["name", "email"])
        .with("subject", ColumnKind::Memo(subject_limit.unwrap_or(1_048_576)))
        .texts(100, &["workstreamId"])
        .with("customerInfo", ColumnKind::Open)
        .with("contextVariables", ColumnKind::Open);
    owned(table).states(active())
}

fn owned(table: Table) -> Table {
    table.linked("ownerid", "ownerid", "systemusers").linked("createdby", "createdby", "systemusers").linked(
        "modifiedby",
        "modifiedby",
        "systemusers",
    )
}

fn active() -> Vec<(i64, &'static str, Vec<i64>)> {
    vec![(0, "Active", vec![1]), (1, "Inactive", vec![2])]
}

fn origins() -> Vec<(i64, &'static str)> {
    vec![(1, "Phone"), (2, "Email"), (3, "Web"), (2483, "Facebook"), (3986, "Twitter"), (700_610_000, "IoT")]
}

/// Options numbered from 1.
fn choice(labels: &[&'static str]) -> ColumnKind {
    ColumnKind::Choice((1..).zip(labels.iter().copied()).collect())
}
