//! Organization files: their valid contents.

use std::path::{Path, PathBuf};
use std::time::Duration;

use handoffd::config::{Config, EnvironmentVariables};
use handoffd::organizations::{self, Loaded, Organization};
use handoffd_engine::event::OrganizationId;
use handoffd_engine::workflow::{CloseWith, ContactFailure, FallbackCustomer, QueueAssignment};
use serde_json::json;
use uuid::Uuid;

use super::site::{ACME, Site, pairs, secret};

pub fn config(insecure: &str) -> Config {
    Site::new(&format!("[dynamics]\nallow_insecure = {insecure}\n")).load(&[]).expect("legal")
}

fn parse(text: &str, config: &Config) -> Result<Organization, String> {
    let env: EnvironmentVariables = pairs(&[("ACME_CLIENT_SECRET", "fr0m-env")]).collect();
    organizations::parse(Path::new("acme.toml"), text, config, &env).map_err(|faults| faults.to_string())
}

fn load(directory: &Path) -> Loaded {
    organizations::read(directory, &config("false"), &EnvironmentVariables::default())
}

pub fn id(text: &str) -> OrganizationId {
    OrganizationId::from(text)
}

#[test]
fn the_shipped_sample_is_the_contracts_example() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/organizations/example.toml.sample");
    let text = std::fs::read_to_string(sample).expect("the sample");
    let organization = parse(&text, &config("false")).expect("legal");
    let settings = organization.settings.clone();
    assert_eq!(settings.organization_id, id("org_acme"));
    assert_eq!(settings.environment_url, "https://acme.crm.dynamics.com");
    assert_eq!(settings.default_priority, 2);
    assert_eq!(settings.default_owner_id, Some(Uuid::from_u128(0x3333_3333_3333_3333_3333_3333_3333_3333)));
    assert_eq!(settings.description_limit, 2000);
    assert_eq!(settings.queue_assignment, QueueAssignment::Auto);
    assert_eq!(settings.queue_field, "queueid");
    assert_eq!(settings.close_with, CloseWith::Auto);
    assert_eq!(settings.contact_failure, ContactFailure::Unlinked);
    assert_eq!(settings.fallback_customer, None);
    assert_eq!(settings.live_work_item_entity_set, "oc_liveworkitems");
    assert_eq!(settings.resolution_wait, Duration::from_secs(120));
    let properties = json!({
        "casetypecode": 1,
        "subjectid@odata.bind": "/subjects(55555555-5555-5555-5555-555555555555)",
    });
    assert_eq!(json!(settings.ticket_properties), properties);
    assert_eq!(organization.credentials.tenant_id, "11111111-1111-1111-1111-111111111111");
    assert_eq!(secret(&organization), "fr0m-env");
}

#[test]
fn optional_keys_have_defaults() {
    let organization = parse(ACME, &config("false")).expect("legal");
    let settings = &organization.settings;
    assert_eq!(settings.environment_url, "https://acme.crm.dynamics.com");
    assert_eq!((settings.default_priority, settings.description_limit), (2, 2000));
    assert_eq!(settings.default_owner_id, None);
    assert!(settings.ticket_properties.is_empty());
    assert!(!format!("{organization:?}").contains("pl41n"));
}

#[test]
fn every_choice_is_read() {
    let text = format!(
        "{ACME}\nqueue_assignment = \"add_to_queue\"\nclose_with = \"close_incident\"\ncontact_failure = \"dead_letter\"\n\
         fallback_customer = \"/accounts(77777777-7777-7777-7777-777777777777)\"\n\
         default_queue_id = \"{{44444444-4444-4444-4444-444444444444}}\"\ndefault_workstream_id = \"\"\n\
         [ticket_properties]\nname = \"x\"\nnumber = 1.5\nflag = true\nday = 2026-11-22\nlist = [1, \"a\"]\nrow.a = 1\n"
    );
    let settings = parse(&text, &config("false")).expect("legal").settings;
    assert_eq!(settings.queue_assignment, QueueAssignment::AddToQueue);
    assert_eq!(settings.close_with, CloseWith::CloseIncident);
    assert_eq!(settings.contact_failure, ContactFailure::DeadLetter);
    let account = Uuid::from_u128(0x7777_7777_7777_7777_7777_7777_7777_7777);
    assert_eq!(settings.fallback_customer, Some(FallbackCustomer::Account(account)));
    assert!(settings.default_queue_id.is_some() && settings.default_workstream_id.is_none());
    let properties = json!({
        "name": "x", "number": 1.5, "flag": true, "day": "2026-11-22", "list": [1, "a"], "row": { "a": 1 },
    });
    assert_eq!(json!(settings.ticket_properties), properties);
}

#[test]
fn every_fault_names_file_key_and_what_was_expected() {
    for (line, expected) in [
        (
            "organization_id = \"\"",
            "acme.toml:1: organization_id: found \"\", expected a string of 1 to 255 characters",
        ),
        ("organization_id = \" a\"", "or surrounding spaces"),
        ("environment_url = \"acme.crm.dynamics.com\"", "expected the environment's address alone"),
        ("environment_url = \"http://acme.crm.dynamics.com\"", "http:// only with dynamics.allow_insecure = true"),
        ("environment_url = \"https://acme.crm.dynamics.com/api/data/v9.2\"", "without the path /api/data/v9.2"),
        ("environment_url = \"https://acme.crm.dynamics.com?a=b\"", "without a query or fragment"),
        ("environment_url = \"https://me@acme.crm.dynamics.com\"", "without a user or password"),
        ("environment_url = \"https://dynamics.com.evil.example\"", "expected a host such as acme.crm.dynamics.com"),
        ("environment_url = \"https://evildynamics.com\"", "expected a host such as acme.crm.dynamics.com"),
        ("environment_url = \"https://acme.crm.dynamics.com:8443\"", "other hosts and ports only with"),
        ("environment_url = \"https://127.0.0.1\"", "other hosts and ports only with"),
        (
            "tenant_id = \"common\"",
            "tenant_id: found a text of 6 characters, expected the directory's GUID or one of its verified domains",
        ),
        ("tenant_id = \"../x.y\"", "expected the directory's GUID"),
        ("client_id = \"app\"", "client_id: found a text of 3 characters, expected a GUID"),
        ("client_secret = \" \"", "client_secret: expected the client secret's value"),
        ("client_secret = { env = \"NOT_SET\" }", "but NOT_SET is not set"),
        ("default_priority = 5", "default_priority: found 5, expected a whole number from 1 to 4"),
        ("default_owner_id = \"me\"", "default_owner_id: found \"me\", expected a GUID"),
        ("default_queue_id = 4", "default_queue_id: found 4, expected a GUID"),
        ("description_limit = 199", "description_limit: found 199, expected a whole number from 200 to 1048576"),
        ("queue_assignment = \"maybe\"", "expected \"auto\" or \"bind\" or \"add_to_queue\""),
        ("queue_field = \"a b\"", "queue_field: found \"a b\", expected a name of letters"),
        ("close_with = \"force\"", "expected \"auto\" or \"patch\" or \"close_incident\""),
        ("contact_failure = \"drop\"", "expected \"unlinked\" or \"dead_letter\""),
        ("fallback_customer = \"/leads(77777777-7777-7777-7777-777777777777)\"", "expected \"/contacts(<guid>)\" or"),
        ("fallback_customer = \"/contacts(x)\"", "expected \"/contacts(<guid>)\" or \"/accounts(<guid>)\""),
        ("ticket_properties = 5", "ticket_properties: found 5, expected a table"),
        ("ticket_properties.IncidentId = 5", "expected any property except incidentid"),
        ("ticket_properties.x = nan", "expected finite numbers"),
        ("default_priorty = 2", "default_priorty: found an unknown key, expected one of organization_id"),
        ("default_priorty = 2", "; did you mean `default_priority`?"),
    ] {
        let key = line.split([' ', '.']).next().expect("a key");
        let rest: Vec<&str> = ACME.lines().filter(|other| !other.starts_with(&format!("{key} ="))).collect();
        let error = parse(&format!("{line}\n{}", rest.join("\n")), &config("false")).expect_err(line);
        assert!(error.contains(expected) && error.starts_with("acme.toml:1: "), "{line}\n  error: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn missing_required_keys_are_reported() {
    let error = parse("", &config("false")).expect_err("required keys are missing");
    for key in ["organization_id", "environment_url", "tenant_id", "client_id", "client_secret"] {
        assert!(error.contains(&format!("acme.toml: {key}: required; expected ")), "{error}");
    }
}

#[test]
fn clouds_and_simulators() {
    let secure = config("false");
    for url in [
        "https://acme.crm4.dynamics.com",
        "https://acme.crm.microsoftdynamics.us",
        "https://acme.crm.appsplatform.us",
        "https://acme.crm.dynamics.cn",
        "https://ACME.crm.dynamics.com:443/",
    ] {
        assert!(parse(&ACME.replace("https://acme.crm.dynamics.com/", url), &secure).is_ok(), "{url}");
    }
    let simulator = ACME.replace("https://acme.crm.dynamics.com/", "http://127.0.0.1:4000/");
    let simulator = simulator.replace("11111111-1111-1111-1111-111111111111", "contoso.onmicrosoft.com");
    let organization = parse(&simulator, &config("true")).expect("legal when insecure is allowed");
    assert_eq!(organization.settings.environment_url, "http://127.0.0.1:4000");
    assert_eq!(organization.credentials.tenant_id, "contoso.onmicrosoft.com");
}

#[test]
fn only_toml_files_are_read_in_order() {
    let site = Site::new("");
    site.organization("b.toml", &ACME.replace("org_acme", "org_b"));
    site.organization("a.toml", ACME);
    site.organization("a.toml.sample", "nonsense");
    site.organization(".hidden.toml", "nonsense");
    site.organization("README", "nonsense");
    std::fs::create_dir(site.directory().join("dir.toml")).expect("a directory");
    let Loaded { organizations: found, faults, .. } = load(&site.directory());
    assert!(faults.is_empty(), "{faults}");
    let ids: Vec<&str> = found.iter().map(|found| found.settings.organization_id.as_str()).collect();
    assert_eq!(ids, ["org_acme", "org_b"]);
    assert_eq!(found[0].source.file(), Some(&*site.directory().join("a.toml")));
}

/// A FIFO without a writer; a read of it would block forever.
#[test]
fn a_file_that_is_not_regular_is_a_fault_that_names_it() {
    let site = Site::new("");
    let fifo = site.directory().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let secret = format!("{{ file = \"{}\" }}", fifo.display());
    site.organization("a.toml", &ACME.replace("\"pl41n\"", &secret));
    std::os::unix::fs::symlink(&fifo, site.directory().join("b.toml")).expect("a link");
    site.organization("c.toml", &" ".repeat((1 << 20) + 1));
    let Loaded { organizations: found, faults, .. } = load(&site.directory());
    assert!(found.is_empty());
    let error = faults.to_string();
    for expected in [
        format!("client_secret: found {secret} but it is a FIFO, not a regular file"),
        "b.toml: found a FIFO, expected a regular file".to_owned(),
        "c.toml: found more than 1 MiB".to_owned(),
    ] {
        assert!(error.contains(&expected), "{expected:?} is not in {error}");
    }
}

#[test]
fn two_files_of_one_organization_are_both_named() {
    let site = Site::new("");
    let (a, b) = (site.organization("a.toml", ACME), site.organization("b.toml", ACME));
    let Loaded { organizations: found, faults, .. } = load(&site.directory());
    assert!(found.is_empty());
    let error = faults.to_string();
    assert!(error.contains(&a) && error.contains(&b) && error.contains("\"org_acme\""), "{error}");
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with(&a) && lines[1].starts_with(&b), "each has its fault: {error}");
}

#[test]
fn a_configured_directory_must_exist() {
    let nowhere = PathBuf::from("/nowhere/organizations");
    let faults = load(&nowhere).faults;
    assert!(faults.to_string().contains("/nowhere/organizations: organizations.directory: found"), "{faults}");
}
