"""Schemas of Kubernetes objects, for kubeconform: out of those of a Python package (every version of Kubernetes, unknown fields
refused) and out of resource definitions of the Prometheus operator.

    chart_schemas.py PACKAGE OPERATOR TARGET VERSION…
        PACKAGE   the folder `kubernetes_validate/kubernetes-json-schema` of the package kubernetes-validate
        OPERATOR  the operator's folder with servicemonitors-crd.json and prometheusrules-crd.json
        TARGET    becomes TARGET/VERSION/KIND-GROUP-VERSION.json, each complete in itself

Needs Python 3.9.
"""

import json
import re
import sys
from pathlib import Path

# Kinds that the operator brings.
CUSTOM = ["servicemonitors", "prometheusrules"]
# How objects and definitions name definitions there.
OUTSIDE, INSIDE = "/api/_definitions.json#/$defs/", "#/$defs/"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def named(schema):
    """The definitions that a schema names, references turned to its own."""
    text = json.dumps(schema).replace(OUTSIDE, INSIDE)
    return set(re.findall(rf'"\$ref": "{re.escape(INSIDE)}([^"]+)"', text)), json.loads(text)


def complete(schema, definitions):
    """A schema with every definition that it needs inside."""
    missing, whole = named(schema)
    found = {}
    while missing:
        name = missing.pop()
        more, found[name] = named(definitions[name])
        missing |= more - set(found)
    # Its references are its own, so it needs no address.
    whole.pop("$id", None)
    return {**whole, "$defs": found}


def closed(schema):
    """A schema of a resource definition, with unknown fields refused as the API server drops them."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if "properties" in schema and isinstance(schema["properties"], dict) and "additionalProperties" not in schema:
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema["additionalProperties"] = False
    return schema


def custom(definition):
    """(name of the file, schema) of a kind that a resource definition makes."""
    group, kind = definition["spec"]["group"], definition["spec"]["names"]["kind"]
    version = next(it for it in definition["spec"]["versions"] if it["storage"])
    schema = closed(version["schema"]["openAPIV3Schema"])
    schema["properties"]["apiVersion"] = {"const": f"{group}/{version['name']}"}
    schema["properties"]["kind"] = {"const": kind}
    return f"{kind.lower()}-{group.split('.')[0]}-{version['name']}.json", {**schema, "required": ["apiVersion", "kind", "spec"]}


def main(package, operator, target, *versions):
    for version in versions:
        folder, made = Path(package) / f"v{version}.0-local-strict", Path(target) / version
        definitions = load(folder / "_definitions.json")["$defs"]
        made.mkdir(parents=True, exist_ok=True)
        kinds = 0
        for path in sorted(folder.glob("*-v1.json")):
            schema = load(path)
            # What is an object of its own, not a part of one.
            if "x-kubernetes-group-version-kind" in schema and "metadata" in schema.get("properties", {}):
                (made / path.name).write_text(json.dumps(complete(schema, definitions)), encoding="utf-8")
                kinds += 1
        names = []
        for kind in CUSTOM:
            name, schema = custom(load(Path(operator) / f"{kind}-crd.json"))
            (made / name).write_text(json.dumps(schema), encoding="utf-8")
            names.append(name)
        print(f"schemas of Kubernetes {version}: {kinds} kinds, and {', '.join(names)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
