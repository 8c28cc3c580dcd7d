//! Every kind of fault of the configuration file is reported, and all faults are reported at once.

use handoffd::cli;
use handoffd::config::{self, EnvironmentVariables};

use super::site::{Site, pairs};

/// Invalid files, each with the text of its refusal.
const CASES: &[(&str, &str)] = &[
    ("[broker]\nprefetch = 0", ":2: broker.prefetch: found 0, expected a whole number from 1 to 65535"),
    ("[broker]\nprefetch = 65536", "broker.prefetch: found 65536, expected a whole number from 1 to 65535"),
    ("[broker]\nprefetch = \"many\"", "broker.prefetch: found \"many\", expected a whole number"),
    ("[broker]\nprefetch = 1.5", "broker.prefetch: found 1.5, expected a whole number"),
    ("[broker]\nprefetc = 1", ":2: broker.prefetc: found an unknown key, expected one of url, "),
    ("[broker]\nprefetc = 1", "; did you mean `prefetch`?"),
    ("[retry]\nprefetch = 1", "; move `prefetch` to [broker]"),
    ("[brokers]\nurl = \"x\"", ":1: brokers: found an unknown section, expected one of [broker], [worker]"),
    ("[brokers]\nurl = \"x\"", "; did you mean `broker`?"),
    ("prefetch = 1", "; move `prefetch` to [broker]"),
    ("broker = 1", "broker: found a value of type integer, expected a section [broker]"),
    ("[broker]\nurl = \"http://x\"", "broker.url: expected a URL such as amqp://user:password@host:5672/%2f"),
    ("[broker]\nurl = \"amqp://\"", "broker.url: expected a URL such as"),
    ("[broker]\nurl = \"\"", "broker.url: expected a URL such as"),
    ("[broker]\nurl = 5", "broker.url: found a value of type integer, expected a string, { env"),
    ("[broker]\nurl = []", "broker.url: found an empty list, expected at least one"),
    ("[broker]\nurl = [\"amqp://a\", \"http://x\"]", "broker.url: expected a URL such as"),
    ("[broker]\nurl = [\"amqp://a\", 5]", "broker.url: found a value of type integer, expected a string, { env"),
    ("[broker]\nurl = \"amqp://a,http://x\"", "broker.url: expected a URL such as"),
    (
        "[broker]\nurl = \"amqp://u:1/2@host/\"",
        "broker.url: expected a URL such as amqp://user:password@host:5672/%2f, or with amqps://; percent-encode /",
    ),
    (
        "[broker]\nurl = \"amqp://u:p@h/%2f?heartbeat=abc\"",
        ":2: broker.url: expected the URL's option heartbeat to be a whole number of seconds",
    ),
    ("[broker]\nurl = \"amqp://u:p#q@host/\"", "percent-encode /, #, ?, @ and % in user"),
    ("[broker]\nurl = \"amqp://u:1?q@host/\"", "percent-encode /, #, ?, @ and % in user"),
    (
        "[broker]\norganization_queue_prefix = \"handoffd\"",
        "broker.organization_queue_prefix: found \"handoffd\", expected another prefix, because queue handoffd.events could belong to",
    ),
    (
        "[broker]\norganization_queue_prefix = \"handoffd.retry\"",
        "another prefix, because queue handoffd.retry.5s could belong to",
    ),
    (
        "[broker]\norganization_queue_prefix = \"handoffd.dead-letters\"",
        "another prefix, because queue handoffd.dead-letters.operator could belong to",
    ),
    (
        "[broker]\nnew_queue_wait = \"999ms\"",
        "broker.new_queue_wait: found \"999ms\", expected a duration of at least 1s",
    ),
    ("[broker]\nconfirm_timeout = \"0s\"", "broker.confirm_timeout: found \"0s\", expected a duration above zero"),
    (
        "[broker]\nca_file = \"/nowhere.pem\"",
        "broker.ca_file: found \"/nowhere.pem\", expected a PEM file of certificates",
    ),
    (
        "[broker]\nclient_certificate = \"Cargo.toml\"",
        "expected a PEM file of certificates (-----BEGIN CERTIFICATE-----); the file holds",
    ),
    (
        "[broker]\nclient_key = \"Cargo.toml\"",
        "broker.client_key: found \"Cargo.toml\", expected a PEM file of one private key",
    ),
    ("[dynamics]\nca_file = 5", "dynamics.ca_file: found 5, expected a path"),
    ("[broker]\nurl = { env = \"NOT_SET\" }", "found { env = \"NOT_SET\" } but NOT_SET is not set"),
    ("[broker]\nqueue = \"\"", "broker.queue: found \"\", expected a name of 1 to 255 bytes"),
    ("[broker]\nqueue = \"amq.x\"", "not beginning with \"amq.\""),
    (
        "[broker]\nqueue = \"handoffd.dead-letters\"",
        "broker.dead_letter_queue: expected a queue other than broker.queue",
    ),
    ("[broker]\nqueue = \"handoffd.retry.5s\"", "broker.retry_queue_prefix: expected another prefix"),
    ("[broker]\noutcomes_exchange = \"opencx.events\"", "expected an exchange other than broker.events_exchange"),
    ("[broker]\nbindings = []", "broker.bindings: found [], expected a list of at least one binding key"),
    ("[broker]\nbindings = \"a\"", "broker.bindings: found \"a\", expected a list"),
    ("[broker]\ndeclare = \"yes\"", "broker.declare: found \"yes\", expected true or false"),
    ("[worker]\nmax_event_bytes = 0", "expected a whole number from 1 to 134217728"),
    ("[worker]\nresolution_wait = 120", "worker.resolution_wait: found 120, expected a whole number and a unit"),
    ("[worker]\ndrain_timeout = \"25\"", "worker.drain_timeout: found \"25\", expected a whole number and a unit"),
    ("[retry]\nin_process = 0", "retry.in_process: found 0, expected a whole number from 1 to 100"),
    ("[retry]\ndelays = []", "retry.delays: found [], expected a list of at least one delay"),
    (
        "[retry]\ndelays = [\"5s\", \"0s\"]",
        "retry.delays: found [\"5s\", \"0s\"], expected a list of at least one delay above",
    ),
    ("[retry]\ndelays = [\"50d\"]", "expected a list of at least one delay above zero and below 49d"),
    ("[retry]\ndelays = [5]", "retry.delays: found [5]"),
    ("[retry]\nmax_age = \"0s\"", "retry.max_age: found \"0s\", expected a duration above zero"),
    (
        "[dynamics]\nauthority = \"http://login.microsoftonline.com\"",
        "http:// only with dynamics.allow_insecure = true",
    ),
    ("[dynamics]\nauthority = \"https://login.microsoftonline.com.evil.example\"", "other hosts and ports only with"),
    ("[dynamics]\nauthority = \"https://login.microsoftonline.com/common\"", "without the path /common"),
    (
        "[dynamics]\nrequest_timeout = \"0ms\"",
        "dynamics.request_timeout: found \"0ms\", expected a duration above zero",
    ),
    ("[dynamics]\nmax_concurrency = 53", "from 1 to 52 (Dynamics allows 52 concurrent requests"),
    ("[dynamics]\nlive_work_item_entity_set = \"a/b\"", "expected a name of letters, digits and underscores"),
    ("[dynamics]\nallow_insecure = 1", "dynamics.allow_insecure: found 1, expected true or false"),
    ("[store]\nkind = \"mysql\"", "store.kind: found \"mysql\", expected \"sled\" or \"postgres\""),
    ("[store]\nkind = \"postgres\"", "store.url: expected a URL such as postgres://user:password@host/db, because"),
    (
        "[store]\nkind = \"postgres\"\nurl = \"postgres://u:p@db/x?sslmode=disable\"",
        "sslmode=disable is only allowed on loopback",
    ),
    (
        "[store]\nurl = \"postgres://u:pa/hidden@db/x\"",
        "store.url: expected a URL such as postgres://user:password@host",
    ),
    ("[store]\npath = \" \"", "store.path: found \" \", expected a path"),
    ("[store]\nretention = \"0d\"", "store.retention: found \"0d\", expected a duration above zero"),
    ("[store]\non_corruption = \"panic\"", "found \"panic\", expected \"quarantine\" or \"stop\""),
    ("[http]\nlisten = \"localhost:9464\"", "expected an IP address and a port, such as \"127.0.0.1:9464\""),
    ("[http]\nlisten = \"0.0.0.0:9464\"", "http.listen: found \"0.0.0.0:9464\", expected a loopback address"),
    ("[http]\nlisten = \"[::]:9464\"", "or set http.token"),
    ("[http]\nmetrics_listen = \"9465\"", "http.metrics_listen: found \"9465\", expected an IP address and a port"),
    ("[http]\nreader_token = \"two words\"", "http.reader_token: expected printable ASCII without spaces"),
    (
        "[http]\ntoken = \"same\"\nreader_token = \"same\"",
        ":3: http.reader_token: expected a token other than http.token",
    ),
    ("[http]\ntoken = \"two words\"", "http.token: expected printable ASCII without spaces"),
    (
        "[http]\ntoken = { env = \"A\", file = \"b\" }",
        "found a table with the keys [env, file], expected a string, { env",
    ),
    ("[http]\ntoken = { vault = \"A\" }", "found a table with the keys [vault]"),
    ("[http]\ntoken = { file = \"/nowhere/token\" }", "found { file = \"/nowhere/token\" } but it can't be read"),
    ("[log]\nformat = \"xml\"", "log.format: found \"xml\", expected \"text\" or \"json\""),
    ("[log]\nlevel = \"verbose\"", "log.level: found \"verbose\", expected error, warn, info"),
    ("[log]\nlevel = \"handoffd=loud\"", "log.level: found \"handoffd=loud\""),
    ("[organizations]\nencryption_key = \"AAEC\"", "organizations.encryption_key: expected 32 bytes in base64"),
    (
        "[tracing]\notlp_endpoint = \"collector:4317\"",
        "tracing.otlp_endpoint: found \"collector:4317\", expected an http://",
    ),
    ("[broker]\nqueue = \"a\"\nqueue = \"b\"", ":3: found duplicate key"),
    ("[broker\n", ":1: found "),
    ("[log]\nlevel = info\n[http]\ntoken = x\n", ":2: found a text without quotes, expected \"…\""),
    (
        "[http]\ntoken = { env = \"amqp://u:p@h\" }",
        "found { env = … } with 12 characters that are no name of a variable",
    ),
];

#[test]
fn every_fault_names_place_key_and_what_was_expected() {
    for (text, expected) in CASES {
        let site = Site::new(text);
        let error = site.load(&[]).expect_err(text);
        assert!(error.contains(expected), "{text}\n  error: {error}\n  expected: {expected}");
        let file = site.file().display().to_string();
        assert!(error.lines().all(|line| line.starts_with(&file)), "{error}");
    }
}

#[test]
fn variables_are_named() {
    for (name, value, expected) in [
        (
            "HANDOFFD_BROKER__PREFETCH",
            "x",
            "environment variable HANDOFFD_BROKER__PREFETCH: broker.prefetch: found \"x\"",
        ),
        ("HANDOFFD_BROKER__PREFETCH", "", "broker.prefetch: found \"\", expected a whole number"),
        ("HANDOFFD_BROKER__DECLARE", "yes", "broker.declare: found \"yes\", expected true or false"),
        ("HANDOFFD_RETRY__DELAYS", "5s,x", "retry.delays: found [\"5s\", \"x\"]"),
        (
            "HANDOFFD_BROKER__PREFETC",
            "1",
            "environment variable HANDOFFD_BROKER__PREFETC: found a name that matches no configuration key",
        ),
        ("HANDOFFD_BROKER__PREFETC", "1", "did you mean `HANDOFFD_BROKER__PREFETCH`?"),
        ("HANDOFFD_BROKER_PREFETCH", "1", "did you mean `HANDOFFD_BROKER__PREFETCH`?"),
        ("HANDOFFD_BROKER_URL", "amqp://", "did you mean `HANDOFFD_BROKER__URL`?"),
        ("HANDOFFD_PREFETCH", "1", "did you mean `HANDOFFD_BROKER__PREFETCH`?"),
        (
            "HANDOFFD_STORE__KIND",
            "postgres",
            "environment variable HANDOFFD_STORE__KIND: store.url: expected a URL such as",
        ),
        (
            "HANDOFFD_BROKER__EVENTS_EXCHANGE",
            "opencx.outcomes",
            "environment variable HANDOFFD_BROKER__EVENTS_EXCHANGE: broker.outcomes_exchange: expected an exchange",
        ),
        (
            "HANDOFFD_COLOUR",
            "1",
            "environment variable HANDOFFD_COLOUR: found a name that matches no configuration key",
        ),
        ("HANDOFFD_PORTS", "1", "HANDOFFD_PORTS: found a name that matches no configuration key"),
        ("HANDOFFD_LOG__FORMAT", "a\nb", "log.format: found \"a\\nb\", expected"),
        ("HANDOFFD_BROKER__BINDINGS", "[\"a.#\"", "broker.bindings: found "),
        ("HANDOFFD_RETRY__DELAYS", "[5s", "retry.delays: found \"[5s\", expected a list"),
        ("HANDOFFD_HTTP__TOKEN", "{ env = \"NOT_SET\"", "http.token: found a table with neither env nor file"),
        ("HANDOFFD_HTTP__TOKEN", "{s3cret=1}", "http.token: found a table with neither env nor file"),
        ("HANDOFFD_HTTP__TOKEN", "{\"env\": \"NOT_SET\"}", "but NOT_SET is not set"),
        ("HANDOFFD_HTTP__TOKEN", "{ env = \"NOT_SET\" }", "but NOT_SET is not set"),
    ] {
        let error = Site::new("").load(&[(name, value)]).expect_err(name);
        assert!(error.contains(expected), "{error}\n  expected: {expected}");
    }
}

#[test]
fn all_faults_are_reported_at_once() {
    let site = Site::new("[broker]\nprefetch = 0\nurl = \"x\"\nqeue = \"x\"\n[log]\nlevel = \"loud\"\n");
    site.organization("a.toml", "organization_id = \"\"\ncolour = \"red\"\n");
    let error = site.check(&[("HANDOFFD_RETRY__MAX_AGE", "soon"), ("HANDOFFD_X__Y", "1")]).expect_err("faults");
    for expected in [
        "broker.prefetch",
        "broker.url",
        "broker.qeue",
        "log.level",
        "HANDOFFD_RETRY__MAX_AGE",
        "HANDOFFD_X__Y",
        "a.toml:1: organization_id",
        "a.toml:2: colour",
        "a.toml: environment_url: ",
        "a.toml: tenant_id: ",
        "a.toml: client_id: ",
        "a.toml: client_secret: ",
    ] {
        assert_eq!(error.lines().filter(|line| line.contains(expected)).count(), 1, "{expected} in\n{error}");
    }
    assert_eq!(error.lines().count(), 12, "{error}");
}

#[test]
fn no_fault_reveals_a_secret() {
    let site = Site::new(
        "[broker]\nurl = \"amqp:/user:hidden@host\"\n[http]\ntoken = \"hid den\"\n[organizations]\n\
         encryption_key = \"hidden\"\n[dynamics]\nauthority = \"https://user:hidden@login.microsoftonline.com\"\n",
    );
    let acme = "organization_id = 1\nclient_secrets = \"hidden\"\nclient_secret = [\"hidden\"]\n\
                environment_url = \"https://user:hidden@acme.crm.dynamics.com\"\n";
    site.organization("a.toml", acme);
    site.organization("b.toml", "client_secret = \"hidden\nx");
    site.organization(
        "c.toml",
        "client_id = \"hidden\"\ntenant_id = \"hidden\"\nclient_secret = { env = \"hidden!\" }\n",
    );
    let error = site.check(&[("HANDOFFD_HTTP__TOKE", "hidden")]).expect_err("faults");
    assert!(!error.contains("hidden") && !error.contains("hid den"), "{error}");
}

#[test]
fn a_missing_file_is_reported_with_advice() {
    let path = Site::new("").file().with_file_name("nowhere.toml");
    let told = config::load(&path, pairs(&[])).expect_err("no such file").to_string();
    let expected = format!("{}: found no such file, expected a configuration file; copy", path.display());
    assert!(told.starts_with(&expected), "{told}");
}

#[test]
fn a_missing_directory_is_reported_where_it_is_named() {
    let site = Site::new("[organizations]\ndirectory = \"/nowhere\"\n");
    let expected = "organizations.directory: found \"/nowhere\", No such file";
    let error = cli::config::check(&site.file(), &EnvironmentVariables::default()).expect_err("a fault").to_string();
    assert!(error.starts_with(&format!("{}:2: {expected}", site.file().display())), "{error}");
    let variables = pairs(&[("HANDOFFD_ORGANIZATIONS__DIRECTORY", "/nowhere")]).collect();
    let error = cli::config::check(&site.file(), &variables).expect_err("a fault").to_string();
    let variable = "environment variable HANDOFFD_ORGANIZATIONS__DIRECTORY: ";
    assert!(error.starts_with(&format!("{variable}{expected}")), "{error}");
}

#[test]
fn insecure_addresses_are_legal_once_allowed() {
    let text = "[dynamics]\nallow_insecure = true\nauthority = \"http://127.0.0.1:8080/\"\n";
    let config = Site::new(text).load(&[]).expect("legal");
    assert_eq!(config.dynamics.authority, "http://127.0.0.1:8080");
}

#[test]
fn a_token_of_16_characters_allows_any_address() {
    let load = |keys: &str| Site::new(&format!("[http]\nlisten = \"0.0.0.0:9464\"\n{keys}")).load(&[]);
    let long = "token = \"16-characters-xy\"\n";
    assert!(load(long).is_ok());
    assert!(load(&format!("{long}reader_token = \"16-characters-yz\"\n")).is_ok());
    // One fault, not two: the token is present, only invalid.
    assert_eq!(load("token = \"s3 cret\"\n").expect_err("a fault").lines().count(), 1);
    for (keys, key) in [
        ("token = \"15-characters-x\"\n".to_owned(), "http.token"),
        (format!("{long}reader_token = \"15-characters-x\"\n"), "http.reader_token"),
    ] {
        let error = load(&keys).expect_err("too short");
        assert!(error.contains(&format!(": {key}: expected 16 characters or more")), "{error}");
        assert!(!error.contains("characters-x"), "the value is shown: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    assert!(Site::new("[http]\ntoken = \"short\"\nreader_token = \"tiny\"\n").load(&[]).is_ok(), "on loopback");
}
