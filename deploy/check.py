"""Checks of check.sh without a tool: dashboard, rules, manifests and definitions must match each other and the code.

Writes the dashboard's queries as rules to the given file, for promtool to parse."""

import json
import re
import sys
import tomllib
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
SUFFIXES = ("_bucket", "_count", "_sum")


def main(queries_file):
    faults = [
        *unreadable(),
        *metrics_that_are_not_there(),
        *metrics_that_nobody_looks_at(),
        *alerts_without_a_section_or_test(),
        *panels_that_are_wrong(),
        *rights_that_differ(),
        *manifests_that_do_not_meet(),
        *units_that_promise_too_much(),
        *images_that_change_unseen(),
        *composed_workers_that_differ(),
    ]
    rules = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries())]
    Path(queries_file).write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    if faults:
        sys.exit("\n".join(faults))
    print(f"deploy/ matches the code: {len(alerts())} alerts, {len(rules)} dashboard queries")


def unreadable():
    for path in sorted(HERE.rglob("*")):
        try:
            if path.suffix in (".yaml", ".yml"):
                list(yaml.safe_load_all(path.read_text()))
            elif path.suffix == ".json":
                json.loads(path.read_text())
        except (yaml.YAMLError, ValueError) as problem:
            yield f"{path}: {problem}"


def metrics_that_are_not_there():
    there = set(metrics())
    for where, text in [("rules.yaml", (HERE / "prometheus/rules.yaml").read_text()), ("handoffd.json", "\n".join(queries()))]:
        for name in sorted(set(re.findall(r"\bhandoffd_\w+", text))):
            base = next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name)
            if name not in there and base not in there:
                yield f"{where}: unknown metric {name}"


def metrics_that_nobody_looks_at():
    shown = "\n".join(queries())
    for name in metrics():
        if name not in shown:
            yield f"handoffd.json: no panel shows {name}"


def alerts_without_a_section_or_test():
    runbook = (ROOT / "docs/OPERATIONS.md").read_text()
    sections = {title.strip().lower() for title in re.findall(r"^### (.+)$", runbook, re.M)}
    tested = (HERE / "prometheus/rules_test.yaml").read_text()
    for alert in alerts():
        name = alert["alert"]
        base, _, path = alert["annotations"]["runbook_url"].partition("}}")
        page, _, anchor = path.partition("#")
        # Alerts with several stages share the section of the first.
        if base != "{{ $externalLabels.runbook_base " or page != "docs/OPERATIONS.md" or anchor not in sections or not name.lower().startswith(anchor):
            yield f"{name}: docs/OPERATIONS.md has no section for {alert['annotations']['runbook_url']}"
        firing = f'ALERTS{{alertname="{name}",alertstate="firing",'
        nothing = re.search(rf'expr: ALERTS{{alertname="{name}",alertstate="firing"}}\n +eval_time: .+\n +exp_samples: \[\]', tested)
        if firing not in tested or not nothing:
            yield f"{name}: rules_test.yaml must test it both firing and not firing"


def panels_that_are_wrong():
    board = dashboard()
    numbers = [panel["id"] for panel in board["panels"]]
    if len(numbers) != len(set(numbers)):
        yield "handoffd.json: two panels have the same id"
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"handoffd.json: panel {panel['title']} is wider than the page"
        if panel["type"] != "row" and panel["datasource"]["uid"] != "${datasource}":
            yield f"handoffd.json: panel {panel['title']} does not use ${{datasource}}"


def rights_that_differ():
    real = rights("rabbitmq/definitions.json")
    trial = rights("compose/definitions.json")
    for user in ("handoffd", "opencx"):
        if real[user] != trial[user]:
            yield f"permissions of user {user} differ between compose/definitions.json and rabbitmq/definitions.json"
    organizations = ["handoffd.organization.org_acme", "handoffd.organization.a~0123"]
    for queue in ("handoffd.events", "handoffd.dead-letters", *organizations):
        if not re.search(real["handoffd-checked"]["read"], queue):
            yield f"user handoffd-checked has no permission to read {queue}"
    for queue in ("handoffd.events", "handoffd.dead-letters", "handoffd.retry.1h", *organizations):
        if not re.search(real["handoffd"]["configure"], queue) or not re.search(real["handoffd"]["read"], queue):
            yield f"user handoffd has no permission to declare and read {queue}"
    if any(re.search(rights["configure"], "handoffd.events") for user, rights in real.items() if user != "handoffd"):
        yield "a user other than handoffd has permission to declare the work queue"


OVERLAYS = {"StatefulSet": "embedded", "Deployment": "postgres"}


def manifests_that_do_not_meet():
    for workload, overlay in OVERLAYS.items():
        documents = [*manifests(HERE / "kubernetes" / overlay), *manifests(HERE / "kubernetes/servicemonitor")]
        for fault in faults_of_overlay(documents, workload):
            yield f"kubernetes/{overlay}: {fault}"


def manifests(folder):
    """The documents of a kustomization, which here only lists resources."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    for resource in kustomization["resources"]:
        path = folder / resource
        if path.is_dir():
            yield from manifests(path)
        else:
            yield from yaml.safe_load_all(path.read_text())


def faults_of_overlay(documents, workload):
    kinds = {each["kind"]: each for each in documents}
    policies = [each for each in documents if each["kind"] == "NetworkPolicy"]
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    spec, pod = kinds[workload]["spec"], kinds[workload]["spec"]["template"]["spec"]
    labels = spec["template"]["metadata"]["labels"]
    selectors = [
        (workload, spec["selector"]["matchLabels"]),
        ("Service", kinds["Service"]["spec"]["selector"]),
        *((f"NetworkPolicy {each['metadata']['name']}", each["spec"]["podSelector"]["matchLabels"]) for each in policies),
        *(("spread", each["labelSelector"]["matchLabels"]) for each in pod.get("topologySpreadConstraints", [])),
    ]
    namespace = yaml.safe_load((HERE / "kubernetes" / OVERLAYS[workload] / "kustomization.yaml").read_text())["namespace"]
    if kinds["Namespace"]["metadata"]["name"] != namespace:
        yield "the Namespace is not the one that its resources are in"
    if len(names) != len(set(names)):
        yield "two resources have the same kind and name"
    if "PodDisruptionBudget" in kinds:
        selectors.append(("PodDisruptionBudget", kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"]))
    for kind, selector in selectors:
        if not selector.items() <= labels.items():
            yield f"{kind} does not select the pod"
    if not kinds["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= kinds["Service"]["metadata"]["labels"].items():
        yield "ServiceMonitor does not select the service"
    for rule in [rule for each in policies for rule in each["spec"].get("ingress", []) + each["spec"].get("egress", [])]:
        for peer in rule.get("from", []) + rule.get("to", []):
            if "ipBlock" not in peer and not (peer.get("namespaceSelector") and peer.get("podSelector")):
                yield f"NetworkPolicy admits every pod of a namespace: {peer}"
    ports = {port["name"] for port in kinds["Service"]["spec"]["ports"]}
    if any(endpoint["port"] not in ports - {"http"} for endpoint in kinds["ServiceMonitor"]["spec"]["endpoints"]):
        yield "ServiceMonitor scrapes the operators' port, or none of the service"
    claims = spec.get("volumeClaimTemplates", [])
    have = {each["metadata"]["name"] for each in claims} | {each["name"] for each in pod["volumes"]}
    for container in pod["containers"]:
        for mount in container["volumeMounts"]:
            if mount["name"] not in have:
                yield f"missing volume {mount['name']}"
    config = tomllib.loads(next(each for each in documents if each["kind"] == "ConfigMap" and "handoffd.toml" in each["data"])["data"]["handoffd.toml"])
    secrets = yaml.safe_load((HERE / "kubernetes/secret.sample.yaml").read_text())["stringData"]
    for file in [each["file"] for section in config.values() for each in section.values() if isinstance(each, dict)]:
        if file.removeprefix("/run/secrets/handoffd/") not in secrets:
            yield f"secret.sample.yaml has no {file}"
    if workload == "StatefulSet":
        if spec["serviceName"] != kinds["Service"]["metadata"]["name"]:
            yield "the StatefulSet's serviceName is not the Service's name"
        if spec["replicas"] != 1 or not claims:
            yield "the embedded store is one worker's, and needs a claim"
        return
    if config["store"]["kind"] != "postgres" or any("persistentVolumeClaim" in each for each in pod["volumes"]):
        yield "workers that share a store need PostgreSQL and no claim"
    if spec["replicas"] < 3 or "PodDisruptionBudget" not in kinds or not pod.get("topologySpreadConstraints"):
        yield "expected three workers or more, spread, with a budget for disruptions"
    if not any(port["port"] == 5432 for each in policies for rule in each["spec"]["egress"] for port in rule["ports"]):
        yield "no NetworkPolicy lets the workers reach PostgreSQL"


def units_that_promise_too_much():
    unit = (HERE / "systemd/handoffd.service").read_text()
    speaks = any("sd_notify" in path.read_text() or "NOTIFY_SOCKET" in path.read_text() for path in (ROOT / "src").rglob("*.rs"))
    if re.search(r"^(Type=notify|WatchdogSec=)", unit, re.M) and not speaks:
        yield "handoffd.service: the worker does not notify the service manager"
    for line in ("User=handoffd", "Group=handoffd", "UMask=0077", "LimitCORE=0", "StateDirectoryMode=0700"):
        if line not in unit.splitlines():
            yield f"handoffd.service: {line} is missing"


def images_that_change_unseen():
    """Every image is named by digest; the shells of the base would be an intruder's."""
    dockerfile = (HERE / "Dockerfile").read_text()
    services = [each for path in sorted(HERE.glob("compose*.yaml")) for each in yaml.safe_load(path.read_text())["services"].values()]
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", dockerfile, re.M))
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", dockerfile, re.M))
    bases = [re.sub(r"\$\{(\w+)\}", lambda name: arguments[name[1]], base) for base in re.findall(r"^FROM (\S+)", dockerfile, re.M)]
    for image in [*bases, *(each["image"] for each in services if "image" in each)]:
        if image not in stages and not re.search(r":[^@]+@sha256:[0-9a-f]{64}$", image):
            yield f"image {image} is not named by tag and digest"
    if not arguments["BASE"].startswith("gcr.io/distroless/"):
        yield "Dockerfile: the base has a shell"


def composed_workers_that_differ():
    """The second worker is the first one but for its name and port, and both are scraped."""
    one, both = (yaml.safe_load((HERE / name).read_text())["services"] for name in ("compose.yaml", "compose.postgres.yaml"))
    first = {key: value for key, value in one["handoffd"].items() if key not in ("ports", "volumes", "environment", "depends_on")}
    second = {key: value for key, value in both["handoffd-2"].items() if key in first}
    if first != second:
        yield f"compose.postgres.yaml: handoffd-2 differs from handoffd: {sorted(key for key in first if first[key] != second.get(key))}"
    scraped = yaml.safe_load((HERE / "compose/prometheus.postgres.yml").read_text())["scrape_configs"][0]["static_configs"][0]["targets"]
    if scraped != ["handoffd:9464", "handoffd-2:9464"]:
        yield "compose/prometheus.postgres.yml does not scrape both workers"


def metrics():
    files = sorted((ROOT / "src/telemetry/metrics").glob("*families.rs"))
    return [name for file in files for name in re.findall(r'"(handoffd_\w+)"', file.read_text())]


def alerts():
    rules = yaml.safe_load((HERE / "prometheus/rules.yaml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def dashboard():
    return json.loads((HERE / "grafana/handoffd.json").read_text())


def queries():
    targets = [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]
    return [query.replace("$__rate_interval", "5m") for query in targets]


def rights(path):
    permissions = json.loads((HERE / path).read_text())["permissions"]
    return {each["user"]: {right: each[right] for right in ("configure", "write", "read")} for each in permissions}


main(sys.argv[1])
