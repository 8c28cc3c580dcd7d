"""Checks licences and sources of the dependencies against .deny.toml, from `cargo metadata` on standard input.

For machines without cargo-deny, which compares licence files too and knows advisories."""

import json
import re
import sys
import tomllib
from pathlib import Path

RULES = tomllib.loads(Path(".deny.toml").read_text())
LICENCES = RULES["licenses"]
PREFIX = "registry+"


def main():
    own, faults = 0, []
    packages = json.load(sys.stdin)["packages"]
    for package in packages:
        if package["source"] is None and package["publish"] == []:
            own += 1
            continue
        faults += [f"{package['name']} {package['version']}: {fault}" for fault in [*source(package), *licence(package)]]
    faults += [f".deny.toml: {entry} is ignored without a reason" for entry in RULES["advisories"]["ignore"] if not reasoned(entry)]
    if faults:
        sys.exit("\n".join(faults))
    print(f"dependencies: licences and sources of {len(packages) - own} crates conform to .deny.toml")


def source(package):
    found = package["source"] or "a folder"
    allowed = [PREFIX + url for url in RULES["sources"]["allow-registry"]]
    if found not in allowed:
        yield f"comes from {found}, expected one of {', '.join(allowed)}; see [sources] of .deny.toml"


def licence(package):
    stated = package["license"]
    if not stated:
        yield "states no licence; exceptions are cargo-deny's business, choose another crate"
    elif not permitted(stated, LICENCES["allow"]):
        yield f"licence {stated} is not allowed; see [licenses] of .deny.toml"


def permitted(expression, allowed):
    """The truth of an SPDX expression, in which AND binds before OR; `/` is an older OR."""
    words = re.findall(r"\(|\)|[^\s()]+(?:\s+WITH\s+[^\s()]+)?", expression.replace("/", " OR "))

    def alternatives():
        holds = terms()
        while words[:1] == ["OR"]:
            words.pop(0)
            holds = terms() or holds
        return holds

    def terms():
        holds = term()
        while words[:1] == ["AND"]:
            words.pop(0)
            holds = term() and holds
        return holds

    def term():
        word = words.pop(0)
        if word != "(":
            return word in allowed
        holds = alternatives()
        words.pop(0)
        return holds

    return alternatives()


def reasoned(entry):
    return isinstance(entry, dict) and entry.get("reason")


if __name__ == "__main__":
    main()
