"""Writes a CycloneDX bill of materials: every crate that is linked into the executable handoffd.

    deploy/sbom.py EXECUTABLE >sbom.cdx.json

SOURCE_DATE_EPOCH is its time; the same executable at the same time gives the same bytes."""

import datetime
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def main(executable):
    digest = hashlib.sha256(Path(executable).read_bytes()).hexdigest()
    metadata = json.loads(cargo("metadata", "--features", "jemalloc", "--format-version", "1", "--filter-platform", TARGET))
    linked = linked_crates()
    packages = {each["id"]: each for each in metadata["packages"] if (each["name"], each["version"]) in linked}
    hashes = {(each["name"], each["version"]): each.get("checksum") for each in tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]}
    [product] = [each for each in packages.values() if each["name"] == "handoffd"]
    others = sorted((each for each in packages.values() if each is not product), key=reference)
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": {**component(product, digest), "type": "application"},
        },
        "components": [component(each, hashes[each["name"], each["version"]]) for each in others],
        "dependencies": dependencies(metadata["resolve"]["nodes"], packages),
    }
    json.dump(document, sys.stdout, indent=1)
    print()


def linked_crates():
    """Names and versions; `cargo metadata` alone would count the features of tests too."""
    tree = cargo("tree", "--package", "handoffd", "--features", "jemalloc", "--edges", "normal,no-proc-macro", "--target", TARGET, "--prefix", "none", "--format", "{p}")
    return set(re.findall(r"^(\S+) v(\S+)", tree, re.M))


def component(package, digest):
    found = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["description"]:
        found["description"] = " ".join(package["description"].split())
    if package["license"]:
        found["licenses"] = [{"expression": package["license"].replace("/", " OR ").replace("  ", " ")}]
    if digest:
        found["hashes"] = [{"alg": "SHA-256", "content": digest}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def reference(package):
    """The package URL; a crate of this workspace is not to be had from a registry."""
    kind = "cargo" if package["source"] == CRATES_IO else "generic"
    return f"pkg:{kind}/{package['name']}@{package['version'].replace('+', '%2B')}"


def dependencies(nodes, packages):
    graph = {
        reference(packages[node["id"]]): sorted(reference(packages[each]) for each in node["dependencies"] if each in packages)
        for node in nodes
        if node["id"] in packages
    }
    return [{"ref": ref, "dependsOn": graph[ref]} for ref in sorted(graph)]


def cargo(*arguments):
    return subprocess.run(["cargo", arguments[0], "--locked", *arguments[1:]], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


main(sys.argv[1])
