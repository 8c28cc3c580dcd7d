//! `handoffd topology` prints exactly the topology that a worker declares, and that a worker without permission to
//! declare needs.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use handoffd::app::bus_options;
use handoffd::config;
use handoffd::rabbit::{self, RabbitOptions};
use handoffd_engine::ports::bus::Bus;
use handoffd_engine::ports::metrics::NoMetrics;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::broker::{Broker, DEADLINE, binary, eventually};
use crate::support::worker::program;

/// Folder with a default configuration except for these lines of `[broker]`, and two organizations.
fn site(broker: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let text = format!(
        "[broker]\n{broker}\n[store]\npath = \"{}\"\n[organizations]\ndirectory = \"{}\"\n[http]\nlisten = \"127.0.0.1:1\"\n",
        place("store").display(),
        place("organizations").display(),
    );
    std::fs::write(place("handoffd.toml"), text).unwrap();
    std::fs::create_dir(place("organizations")).unwrap();
    for (file, id) in [("acme", "org_acme"), ("other", "Größe & Söhne")] {
        let text = format!(
            "organization_id = \"{id}\"\nenvironment_url = \"https://{file}.crm.dynamics.com\"\n\
             tenant_id = \"11111111-1111-1111-1111-111111111111\"\nclient_id = \"22222222-2222-2222-2222-222222222222\"\n\
             client_secret = \"x\"\n"
        );
        std::fs::write(folder.path().join(format!("organizations/{file}.toml")), text).unwrap();
    }
    folder
}

fn command(folder: &Path, arguments: &[&str]) -> Output {
    let mut command: Command = program();
    command.arg("--config").arg(folder.join("handoffd.toml")).arg("topology").args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

fn definitions(folder: &Path, arguments: &[&str]) -> Value {
    let output = command(folder, arguments);
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn options(folder: &Path) -> RabbitOptions {
    bus_options(&config::load(&folder.join("handoffd.toml"), std::iter::empty()).unwrap())
}

/// Name and arguments of each queue of a virtual host.
fn queues(broker: &Broker, virtual_host: &str) -> Vec<Value> {
    let listed = broker.ctl(&["list_queues", "-p", virtual_host, "name", "durable", "arguments", "--formatter=json"]);
    serde_json::from_str(&listed).unwrap()
}

/// With the permissions of `deploy/rabbitmq`, the imported topology satisfies a worker that only checks, and equals the
/// one that another declares.
#[tokio::test]
async fn the_imported_topology_equals_the_one_a_worker_declares() {
    let broker = Broker::start();
    let rights = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/rabbitmq/definitions.json");
    broker.ctl(&["import_definitions", rights.to_str().unwrap()]);
    for user in ["handoffd", "handoffd-checked"] {
        let given = [user, "rights", "tests"].map(binary).join(", ");
        assert_eq!(broker.eval(&format!("rabbit_auth_backend_internal:change_password({given})")), "ok");
    }
    let url = |user: &str| broker.url().replace("guest:guest", &format!("{user}:rights"));
    let checked = site(&format!("url = {:?}\ndeclare = false", url("handoffd-checked")));
    let imported = checked.path().join("topology.json");
    std::fs::write(&imported, command(checked.path(), &[]).stdout).unwrap();
    broker.ctl(&["import_definitions", imported.to_str().unwrap()]);
    // Importing again succeeds.
    broker.ctl(&["import_definitions", imported.to_str().unwrap()]);
    let bus = rabbit::connect(options(checked.path()), Arc::new(NoMetrics)).unwrap();
    timeout(DEADLINE, bus.wait_until_connected()).await.unwrap().unwrap();
    bus.serve(rabbit::OrganizationSet::default());
    let _inbox = bus.inbox().await;
    eventually("readiness", async || bus.unready().is_empty()).await;
    bus.close().await;

    assert_eq!(broker.eval(r#"rabbit_vhost:add(<<"declared">>, <<"tests">>)"#), "ok");
    for user in ["handoffd", "guest"] {
        let rights = rights_of(&rights, "handoffd");
        broker.set_permissions("declared", user, rights.each_ref().map(String::as_str));
    }
    let own = url("handoffd").replace("%2f", "declared");
    let other = site(&format!("url = {own:?}"));
    let bus = rabbit::connect(options(other.path()), Arc::new(NoMetrics)).unwrap();
    timeout(DEADLINE, bus.wait_until_connected()).await.unwrap().unwrap();
    bus.close().await;
    let (imported, declared) = (queues(&broker, "/"), queues(&broker, "declared"));
    for queue in &declared {
        assert!(imported.contains(queue), "{queue}\nis not among\n{imported:#?}");
    }
    assert_eq!(imported.len(), 7 + 2, "{imported:#?}");
    let sources = broker.ctl(&["list_bindings", "source_name", "destination_name", "--formatter=json"]);
    assert_eq!(sources.matches("opencx.events").count(), 3, "{sources}");
}

fn rights_of(file: &Path, user: &str) -> [String; 3] {
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let of_user = all["permissions"].as_array().unwrap().iter().find(|one| one["user"] == user).unwrap();
    ["configure", "write", "read"].map(|right| of_user[right].as_str().unwrap().to_owned())
}

#[test]
fn without_a_broker_the_version_must_be_given() {
    let folder = site("url = \"amqp://u:s3cret@127.0.0.1:1/crm\"");
    let output = command(folder.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("--broker-version") && stderr.contains("127.0.0.1:1/crm"), "{stderr}");
    assert!(!stderr.contains("s3cret"), "{stderr}");
    assert_eq!(command(folder.path(), &["--broker-version", "new"]).status.code(), Some(2));

    let (old, new) = (&["--broker-version", "3.13"][..], &["--broker-version", "4.1.2", "--vhost", "other"][..]);
    let (old, new) = (definitions(folder.path(), old), definitions(folder.path(), new));
    let queue = |all: &Value, prefix: &str| {
        let all = all["queues"].as_array().unwrap();
        all.iter().find(|one| one["name"].as_str().unwrap().starts_with(prefix)).cloned().unwrap()
    };
    for prefix in [
        "handoffd.dead-letters",
        "handoffd.retry.1h",
        "handoffd.organization.org_acme",
        "handoffd.organization.Gr--e---S-hne~",
    ] {
        assert_eq!(queue(&old, prefix)["arguments"].get("x-delivery-limit"), None, "{prefix}");
        assert_eq!(queue(&new, prefix)["arguments"]["x-delivery-limit"], json!(-1), "{prefix}");
        assert_eq!((&queue(&old, prefix)["vhost"], &queue(&new, prefix)["vhost"]), (&json!("crm"), &json!("other")));
    }
    assert_eq!(queue(&new, "handoffd.events")["arguments"]["x-delivery-limit"], json!(20));
}
