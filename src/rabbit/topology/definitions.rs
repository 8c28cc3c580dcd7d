//! Topology as RabbitMQ definitions, for operators who declare it themselves.
//!
//! Generated from the worker's own declarations, so that the two can't differ.

use handoffd_engine::event::OrganizationId;
use serde_json::{Map, Value, json};

use super::{Argument, BrokerVersion, Declaration, organization_queue, topology};
use crate::rabbit::options::RabbitOptions;

/// Returns all exchanges, queues and bindings in the format of `rabbitmqctl import_definitions`.
pub fn definitions(
    options: &RabbitOptions,
    organizations: &[OrganizationId],
    version: BrokerVersion,
    virtual_host: &str,
) -> Value {
    let shared = topology(options, version);
    let own = organizations.iter().map(|organization| organization_queue(options, organization, version));
    let (mut exchanges, mut queues, mut bindings) = (Vec::new(), Vec::new(), Vec::new());
    for declaration in shared.into_iter().chain(own) {
        match declaration {
            Declaration::Exchange { name } => exchanges.push(json!({
                "name": name, "vhost": virtual_host, "type": "topic", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {},
            })),
            Declaration::Queue { name, arguments } => queues.push(json!({
                "name": name, "vhost": virtual_host, "durable": true, "auto_delete": false,
                "arguments": object(&arguments),
            })),
            Declaration::Binding { exchange, queue, key } => bindings.push(json!({
                "source": exchange, "vhost": virtual_host, "destination": queue, "destination_type": "queue",
                "routing_key": key, "arguments": {},
            })),
        }
    }
    json!({ "exchanges": exchanges, "queues": queues, "bindings": bindings })
}

fn object(arguments: &[(&'static str, Argument)]) -> Map<String, Value> {
    let value = |argument: &Argument| match argument {
        Argument::Text(text) => json!(text),
        Argument::Number(number) => json!(number),
    };
    arguments.iter().map(|(name, argument)| ((*name).to_owned(), value(argument))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rabbit::options::tests::options;

    #[test]
    fn every_declaration_is_defined_in_its_virtual_host() {
        let organizations = ["org_acme".into(), "org_other".into()];
        let version = BrokerVersion { major: 4, minor: 0 };
        let defined = definitions(&options(), &organizations, version, "crm");
        let all = |kind: &str| defined[kind].as_array().unwrap().clone();
        let names = |kind: &str| all(kind).iter().map(|one| one["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names("exchanges"), ["opencx.events", "opencx.outcomes"]);
        let queues = [
            "handoffd.dead-letters",
            "handoffd.retry.5s",
            "handoffd.retry.2m",
            "handoffd.events",
            "handoffd.organization.org_acme",
            "handoffd.organization.org_other",
        ];
        assert_eq!(names("queues"), queues);
        assert_eq!(all("bindings").len(), 1);
        let everything = ["exchanges", "queues", "bindings"].map(all).concat();
        assert!(everything.iter().all(|one| one["vhost"] == "crm"));
        let expected = json!({ "name": "handoffd.organization.org_acme", "vhost": "crm", "durable": true,
            "auto_delete": false, "arguments": { "x-queue-type": "quorum", "x-delivery-limit": -1,
            "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "handoffd.dead-letters",
            "x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish" } });
        assert_eq!(all("queues")[4], expected);
    }
}
