"""What values of the Helm chart may say of the hub's settings: deploy/insight-hub.toml in, two parts of
deploy/helm/values.schema.json out, so that a setting that does not exist, or has another type, is refused before anything is installed.

    chart_values.py            says whether the schema is what the settings make of it; exit status 1 if not
    chart_values.py --write    makes it so

Needs Python 3.9.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = ROOT / "deploy/insight-hub.toml"
SCHEMA = ROOT / "deploy/helm/values.schema.json"
# What the chart itself says; and what is for tests.
OWN = {
    "hub.data_directory", "hub.instance_id", "http.listen", "serve.listen", "spokes.directory", "schemas.directory",
    "oidc.allow_loopback_http",
}
# Properties of the Kafka client are no settings of the hub: it has its own list of which it takes.
FREE = "kafka.client"


def settings(source):
    """{section.key: default or example} of every setting; those without a default are commented out there."""
    found, section = {}, ""
    for line in source.splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section = heading[1]
        elif section != FREE and (entry := re.fullmatch(r"(?:# )?(\w+) = (\".*\"|-?[\d.]+|true|false)", line)):
            key = f"{section}.{entry[1]}"
            # A comment may show another value of a setting beside it.
            if not line.startswith("#") or key not in found:
                found[key] = json.loads(entry[2])
    return found


def type_of(value):
    return {bool: "boolean", int: "integer", float: "number", str: "string"}[type(value)]


def parts(source):
    """The schemas of `settings` and of `secrets`."""
    sections, files = {}, {}
    for key, value in settings(source).items():
        section, name = key.rsplit(".", 1)
        if name.endswith("_file"):
            files[key] = {"$ref": "#/definitions/secret"}
        elif key not in OWN:
            sections.setdefault(section, {})[name] = {"type": type_of(value)}
    section, name = FREE.split(".")
    sections.setdefault(section, {})[name] = {
        "type": "object",
        "propertyNames": {"pattern": "^[a-z][a-z.]*$"},
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
    }
    closed = {"type": "object", "additionalProperties": False}
    return {
        "settings": {**closed, "properties": {name: {**closed, "properties": keys} for name, keys in sections.items()}},
        "secrets": {**closed, "properties": files},
    }


SECRET = {
    "type": "object",
    "additionalProperties": False,
    "required": ["secret", "key"],
    "properties": {
        "secret": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"},
        "key": {"type": "string", "minLength": 1, "pattern": "^[-._a-zA-Z0-9]+$"},
    },
}


def made(schema, source):
    """The schema with both parts as the settings have it."""
    definitions = {**schema["definitions"], "secret": SECRET}
    return {**schema, "definitions": definitions, "properties": {**schema["properties"], **parts(source)}}


def written(value, indent=0):
    """JSON, what fits into a line on one."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, (dict, list)) or len(line) + indent < 130 or not value:
        return line
    inner, outer = " " * (indent + 2), " " * indent
    if isinstance(value, dict):
        entries = [f"{inner}{json.dumps(key)}: {written(item, indent + 2)}" for key, item in value.items()]
        return "{\n" + ",\n".join(entries) + f"\n{outer}}}"
    return "[\n" + ",\n".join(inner + written(item, indent + 2) for item in value) + f"\n{outer}]"


def main():
    text = SCHEMA.read_text(encoding="utf-8")
    expected = written(made(json.loads(text), SETTINGS.read_text(encoding="utf-8"))) + "\n"
    if "--write" in sys.argv[1:]:
        SCHEMA.write_text(expected, encoding="utf-8")
    elif json.loads(text) != json.loads(expected):
        print("deploy/helm/values.schema.json is not what deploy/insight-hub.toml makes of it: tests/deploy/chart_values.py --write")
        return 1
    print(f"values.schema.json: {len(settings(SETTINGS.read_text(encoding='utf-8')))} settings")
    return 0


if __name__ == "__main__":
    sys.exit(main())
