//! `org test` distinguishes every kind of misconfiguration and advises on each.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::org_rig::{CommandResult, OrgRig};
use crate::support::simulator::{ACCOUNT, OWNER, QUEUE, SECRET};

/// Account that cases without a contact are linked to.
const FALLBACK: &str = "/accounts(77777777-7777-7777-7777-777777777777)";

/// Setup, its misconfiguration, and the required report.
struct Case {
    name: &'static str,
    /// Keys of the organization's file.
    file: &'static [(&'static str, &'static str)],
    /// Settings of the simulator.
    settings: &'static str,
    /// Check that fails.
    fails: &'static str,
    half: &'static str,
    /// Part of the advice.
    advice: &'static str,
}

const CASES: [Case; 15] = [
    case(
        "wrong_secret",
        &[("client_secret", "wrong")],
        "{}",
        ("token", "credentials"),
        "secret's Value (not its Secret ID)",
    ),
    case("expired_secret", &[], r#"{"secret":"expired"}"#, ("token", "credentials"), "has expired"),
    case(
        "unknown_tenant",
        &[("tenant_id", "99999999-9999-9999-9999-999999999999")],
        "{}",
        ("token", "credentials"),
        "Correct tenant_id (Entra ID",
    ),
    case(
        "unknown_application",
        &[("client_id", "99999999-9999-9999-9999-999999999999")],
        "{}",
        ("token", "credentials"),
        "Correct client_id",
    ),
    case(
        "no_application_user",
        &[],
        r#"{"application_user":"missing"}"#,
        ("probe", "environment"),
        "New app user, with this organization's client_id",
    ),
    case("no_role", &[], r#"{"application_user":"no_roles"}"#, ("probe", "environment"), "has no security role"),
    case(
        "missing_privilege",
        &[],
        r#"{"missing_privileges":["prvCreateIncident","prvAppendNote"]}"#,
        ("privileges", "environment"),
        "lacks Create on Case (prvCreateIncident), Append on Note (prvAppendNote)",
    ),
    case("disabled_owner", &[("default_owner_id", OWNER)], "{}", ("owner", "environment"), "Enable the user"),
    case(
        "owner_without_a_role",
        &[("default_owner_id", OWNER)],
        r#"{"missing_owner_privileges":["prvReadIncident"]}"#,
        ("owner", "environment"),
        "Assign a security role with Read on Case",
    ),
    case("inactive_queue", &[("default_queue_id", QUEUE)], "{}", ("queue", "environment"), "Activate the queue"),
    case(
        "inactive_fallback_customer",
        &[("fallback_customer", FALLBACK)],
        "{}",
        ("fallback_customer", "environment"),
        "Activate it in Dynamics",
    ),
    case(
        "unknown_queue",
        &[("default_queue_id", "99999999-9999-9999-9999-999999999999")],
        "{}",
        ("queue", "environment"),
        "Set default_queue_id to the queueid",
    ),
    case(
        "unknown_workstream",
        &[("default_workstream_id", "99999999-9999-9999-9999-999999999999")],
        "{}",
        ("workstream", "environment"),
        "Set default_workstream_id to the id",
    ),
    case(
        "unknown_field",
        &[("ticket_properties", "{ casetypcode = 1 }")],
        "{}",
        ("ticket_properties", "environment"),
        "[ticket_properties]",
    ),
    case(
        "long_description",
        &[],
        r#"{"description_limit":1000}"#,
        ("description_limit", "environment"),
        "1000 or less",
    ),
];

const fn case(
    name: &'static str,
    file: &'static [(&'static str, &'static str)],
    settings: &'static str,
    fails: (&'static str, &'static str),
    advice: &'static str,
) -> Case {
    Case { name, file, settings, fails: fails.0, half: fails.1, advice }
}

macro_rules! one_test_each {
    ($($name:ident)+) => { $(
        #[tokio::test]
        async fn $name() {
            CASES.iter().find(|case| case.name == stringify!($name)).unwrap().check().await;
        }
    )+ };
}

one_test_each! {
    wrong_secret expired_secret unknown_tenant unknown_application no_application_user no_role missing_privilege disabled_owner
    owner_without_a_role inactive_queue inactive_fallback_customer unknown_queue unknown_workstream unknown_field long_description
}

impl Case {
    async fn check(&self) {
        let (office, output) = self.run().await;
        assert_eq!(output.status, 1, "{}: {} {}", self.name, output.out, output.err);
        let report = output.json();
        let failed: Vec<&Value> = checks(&report).iter().filter(|check| check["result"] == "failed").collect();
        assert_eq!((failed.len(), &report["passed"]), (1, &json!(false)), "{report:#}");
        assert_eq!((&failed[0]["check"], &failed[0]["half"]), (&json!(self.fails), &json!(self.half)), "{report:#}");
        assert!(failed[0]["advice"].as_str().unwrap().contains(self.advice), "{}", failed[0]["advice"]);
        assert!(!failed[0]["message"].as_str().unwrap().is_empty());
        assert!(!output.out.contains(SECRET), "{}", output.out);
        writes_nothing(&office);

        let text = office.run(&["org", "test", "org_acme"]).await;
        assert_eq!(text.status, 1);
        let half = if self.half == "credentials" { "Entra ID" } else { "Dynamics 365" };
        assert!(text.out.contains("FAIL") && text.out.contains(&format!("org_acme failed on its {} (", self.half)));
        assert!(text.out.trim_end().ends_with(&format!("({half}).")), "{}", text.out);
    }

    async fn run(&self) -> (OrgRig, CommandResult) {
        let mut office = OrgRig::open().await;
        for (key, value) in self.file {
            match *key {
                "ticket_properties" => {
                    let table: toml::Table = format!("it = {value}").parse().unwrap();
                    office.files.organize(key, table["it"].clone());
                }
                _ => office.files.organize(key, *value),
            }
        }
        office.crm.environment().configure(&serde_json::from_str(self.settings).unwrap()).unwrap();
        let row = match self.name {
            "disabled_owner" => Some(("systemusers", json!({ "systemuserid": OWNER, "isdisabled": true }))),
            "inactive_queue" => Some(("queues", json!({ "queueid": QUEUE, "statecode": 1 }))),
            "inactive_fallback_customer" => Some(("accounts", json!({ "accountid": ACCOUNT, "statecode": 1 }))),
            _ => None,
        };
        if let Some((table, row)) = row {
            office.crm.edit(table, &row).await;
        }
        let output = office.run(&["org", "test", "org_acme", "--json"]).await;
        (office, output)
    }
}

#[tokio::test]
async fn each_misconfiguration_gets_its_own_advice() {
    let mut advice = BTreeSet::new();
    for case in &CASES {
        let report = case.run().await.1.json();
        let failed = checks(&report).iter().find(|check| check["result"] == "failed").unwrap().clone();
        advice.insert(failed["advice"].as_str().unwrap().to_owned());
    }
    assert_eq!(advice.len(), CASES.len(), "{advice:#?}");
}

#[tokio::test]
async fn right() {
    let mut office = OrgRig::open().await;
    let properties: toml::Table = "it = { casetypecode = 1, \"subjectid@odata.bind\" = \
                                   \"/subjects(55555555-5555-5555-5555-555555555555)\" }"
        .parse()
        .unwrap();
    for (key, value) in [
        ("default_owner_id", OWNER.into()),
        ("default_queue_id", QUEUE.into()),
        ("default_workstream_id", "66666666-6666-6666-6666-666666666666".into()),
        ("fallback_customer", FALLBACK.into()),
        ("ticket_properties", properties["it"].clone()),
    ] {
        office.files.organize(key, value);
    }
    let output = office.run(&["org", "test", "org_acme", "--json"]).await;
    let report = output.json();
    assert_eq!((output.status, &report["passed"]), (0, &json!(true)), "{report:#}");
    for check in checks(&report) {
        // The end of a secret is not visible to the application.
        let result = if check["check"] == "credential" { "skipped" } else { "passed" };
        assert_eq!(check["result"], result, "{check}");
        assert_eq!(check["advice"], "", "{check}");
    }
    assert_eq!(checks(&report).len(), 15);
    let operations = office.crm.operations();
    assert_eq!(&operations[..2], ["incidents.query", "metadata"], "the probe of Test & Save comes first");
    writes_nothing(&office);

    let text = office.run(&["org", "test", "org_acme"]).await;
    assert_eq!(text.status, 0);
    assert!(text.out.ends_with("\norg_acme passed.\n"), "{}", text.out);
}

#[tokio::test]
async fn trailing_slash() {
    let mut office = OrgRig::open().await;
    office.files.organize("environment_url", format!("{}/", office.crm.url()));
    let output = office.run(&["org", "test", "org_acme", "--json"]).await;
    assert_eq!((output.status, &output.json()["passed"]), (0, &json!(true)), "{}", output.out);
    assert!(!output.out.contains(&format!("{}/", office.crm.url())), "it was removed: {}", output.out);
}

#[tokio::test]
async fn path_in_the_url() {
    let mut office = OrgRig::open().await;
    office.files.organize("environment_url", format!("{}/main.aspx", office.crm.url()));
    let output = office.run(&["org", "test", "org_acme"]).await;
    assert_eq!(output.status, 2, "{}", output.out);
    let advice = "the environment's address alone, such as https://acme.crm.dynamics.com, without the path /main.aspx";
    assert!(output.err.contains("environment_url") && output.err.contains(advice), "{}", output.err);
    assert_eq!(office.crm.environment().requests().len(), 0, "nothing is asked of it");
}

#[tokio::test]
async fn an_unconfigured_organization() {
    let office = OrgRig::open().await;
    let output = office.run(&["org", "test", "org_nobody"]).await;
    assert_eq!(output.status, 2);
    assert!(output.err.contains("\"org_nobody\" is not configured"), "{}", output.err);
    assert_eq!(office.run(&["org", "test"]).await.status, 2);
}

#[tokio::test]
async fn another_organizations_broken_file_does_not_stop_a_test() {
    let office = OrgRig::open().await;
    std::fs::create_dir_all(office.directory()).unwrap();
    std::fs::write(office.directory().join("broken.toml"), "no = toml = at all").unwrap();
    assert_eq!(office.run(&["org", "test", "org_acme"]).await.status, 0);
}

#[tokio::test]
async fn a_missing_environment() {
    let mut office = OrgRig::open().await;
    office.files.organize("environment_url", "http://127.0.0.1:1");
    let output = office.run(&["org", "test", "org_acme", "--json"]).await;
    let report = output.json();
    // Entra ID gives no token for an unknown environment: this is the environment's half.
    assert_eq!((&checks(&report)[0]["result"], &checks(&report)[0]["half"]), (&json!("failed"), &json!("environment")));
    assert!(checks(&report)[0]["advice"].as_str().unwrap().contains("environment_url"), "{report:#}");
}

#[tokio::test]
async fn a_stock_environment_passes_with_its_capabilities() {
    let mut office = OrgRig::open().await;
    office.crm.environment().configure(&json!({ "profile": "stock", "missing_tables": ["oc_liveworkitems"] })).unwrap();
    office.files.organize("default_queue_id", QUEUE);
    let report = office.run(&["org", "test", "org_acme", "--json"]).await.json();
    let of = |name: &str| checks(&report).iter().find(|check| check["check"] == name).unwrap().clone();
    assert_eq!(report["passed"], true, "{report:#}");
    assert!(of("queue")["message"].as_str().unwrap().contains("AddToQueue"), "{report:#}");
    assert_eq!(of("live_work_items")["result"], "warned");
    assert!(of("live_work_items")["advice"].as_str().unwrap().contains("Omnichannel"));
    assert_eq!(of("workstream")["result"], "skipped");

    office.files.organize("default_priority", 4);
    office.files.organize("queue_assignment", "bind");
    let report = office.run(&["org", "test", "org_acme", "--json"]).await.json();
    let failed: Vec<&str> = checks(&report)
        .iter()
        .filter(|check| check["result"] == "failed")
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(failed, ["queue", "priority"], "{report:#}");
}

#[tokio::test]
async fn secured_columns_are_found_with_the_effect_of_a_missing_profile() {
    let office = OrgRig::open().await;
    for (rule, result, says, follows) in [
        ("granted", "passed", "secured, accessible to the application user: contact.emailaddress1", ""),
        ("refused", "warned", "not accessible to the application user: contact.emailaddress1", "contact_unlinked"),
    ] {
        let settings = json!({ "secured_columns": { "contacts.emailaddress1": rule, "contacts.jobtitle": "refused" } });
        office.crm.environment().configure(&settings).unwrap();
        let check = office.check("secured_columns").await;
        assert_eq!(check["result"], result, "{check:#}");
        assert!(check["message"].as_str().unwrap().ends_with(says), "{check:#}");
        assert!(check["advice"].as_str().unwrap().contains(follows), "{check:#}");
    }
    writes_nothing(&office);
}

#[tokio::test]
async fn adaptations_of_the_worker_are_notes() {
    let office = OrgRig::open().await;
    let settings = json!({ "live_work_item_subject_limit": 200, "blocked_attachments": ["exe", "txt"] });
    office.crm.environment().configure(&settings).unwrap();
    for (name, says) in [("subject_length", "takes 200 characters"), ("attachments", "become notes of text")] {
        let check = office.check(name).await;
        assert_eq!((&check["result"], &check["advice"]), (&json!("passed"), &json!("")), "{check:#}");
        assert!(check["message"].as_str().unwrap().contains(says), "{check:#}");
    }
}

#[tokio::test]
async fn privileges_for_reads_are_required() {
    let mut office = OrgRig::open().await;
    office.files.organize("default_queue_id", QUEUE);
    for (privilege, when) in [("prvReadActivity", "after a lost answer"), ("prvReadQueueItem", "requires an action")] {
        office.crm.environment().configure(&json!({ "missing_privileges": [privilege] })).unwrap();
        let check = office.check("privileges").await;
        assert_eq!(check["result"], "warned", "{check:#}");
        let message = check["message"].as_str().unwrap();
        assert!(message.contains(when) && message.ends_with(privilege), "{check:#}");
    }
}

#[tokio::test]
async fn unreadable_metadata_fails_no_test() {
    let office = OrgRig::open().await;
    let metadata = json!({
        "operation": "metadata", "times": null,
        "fault": { "status": 403, "code": "0x80040220", "message": "… is missing prvReadEntity privilege" },
    });
    office.crm.environment().script(serde_json::from_value(metadata).unwrap());
    office.crm.environment().configure(&json!({ "missing_privileges": ["prvReadOrganization"] })).unwrap();
    let output = office.run(&["org", "test", "org_acme", "--json"]).await;
    let report = output.json();
    assert_eq!((output.status, &report["passed"]), (0, &json!(true)), "{report:#}");
    for (name, result) in [("secured_columns", "warned"), ("description_limit", "warned"), ("attachments", "skipped")] {
        let check = checks(&report).iter().find(|check| check["check"] == name).unwrap();
        assert_eq!(check["result"], result, "{check:#}");
        assert!(check["message"].as_str().unwrap().contains("could not be checked"), "{check:#}");
    }
}

impl OrgRig {
    /// Returns one check of the report.
    async fn check(&self, name: &str) -> Value {
        let report = self.run(&["org", "test", "org_acme", "--json"]).await.json();
        checks(&report).iter().find(|check| check["check"] == name).unwrap().clone()
    }
}

fn checks(report: &Value) -> &Vec<Value> {
    report["checks"].as_array().expect("checks")
}

fn writes_nothing(office: &OrgRig) {
    for entry in office.crm.environment().requests() {
        assert!(entry.method == "GET" || entry.operation == "token", "{} {}", entry.method, entry.uri);
    }
}
