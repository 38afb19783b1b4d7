"""Holds the example for an existing Kafka (deploy/examples/kafka) and the pages about it against the hub: it takes the configuration,
the unit's addition names what the configuration names, and the rights are those of README.md's table.

    kafka_example.py HUB

What is wrong is printed, one line each; exit status 1 then. Needs Python 3.9, PyYAML, openssl.
"""

import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

import yaml

import chart

EXAMPLE = chart.ROOT / "deploy/examples/kafka"
PAGES = ["deploy/docs/kafka.md", "deploy/docs/operate.md"]


def keys_of(toml):
    """{section.key: value as written}"""
    section, found = "", {}
    for line in toml.splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section = heading[1]
        elif entry := re.fullmatch(r"(\w+) = (.*)", line):
            found[f"{section}.{entry[1]}"] = entry[2]
    return found


def configuration_complaints(hub):
    toml = (EXAMPLE / "insight-hub.toml").read_text(encoding="utf-8")
    complaints = []
    with tempfile.TemporaryDirectory() as folder:
        pem = chart.certificate(Path(folder))
        place = Path(folder) / "etc"
        place.mkdir()
        (place / "spokes").symlink_to(chart.ROOT / "deploy/spokes")
        there = toml.replace('"/etc/insight-hub/', f'"{place}/').replace('"/var/lib/insight-hub"', f'"{folder}/data"')
        (place / "insight-hub.toml").write_text(there, encoding="utf-8")
        for key, value in keys_of(there).items():
            if key.endswith("_file"):
                chart.make_secret(hub, Path(value.strip('"')), key, pem)
        environment = {"PATH": os.environ["PATH"], "INSIGHT_HUB__HUB__INSTANCE_ID": "server-1.example.com"}
        command = [hub, "check", "--config", place / "insight-hub.toml", "--set", f"schemas.directory={chart.ROOT}/deploy/schemas"]
        code, said = chart.run(*command, env=environment, cwd=folder)
        if code or "chmod" in said:
            complaints.append(f"the hub says of insight-hub.toml ({code}): {said}")
        for wrong in ("kafka.sasl_mechanism=plein", "kafka.min_insync_replicas=4", "kafka.security_protocol=ssl"):
            if chart.run(*command, "--set", wrong, env=environment, cwd=folder)[0] != 2:
                complaints.append(f"the hub takes {wrong}")
    return complaints


def values_complaints():
    """The chart's values say of Kafka what the plain configuration says."""
    plain = keys_of((EXAMPLE / "insight-hub.toml").read_text(encoding="utf-8"))
    values = yaml.safe_load((EXAMPLE / "values.yaml").read_text(encoding="utf-8"))
    both = {
        f"{section}.{key}": value
        for section in ("hub", "kafka", "topics")
        for key, value in values["settings"].get(section, {}).items()
    }
    complaints = [
        f"{key} is {value!r} in values.yaml and {plain.get(key)} in insight-hub.toml"
        for key, value in both.items()
        if plain.get(key) != (f'"{value}"' if isinstance(value, str) else str(value))
    ]
    named = {key for key in plain if key.endswith("_file")}
    complaints += [f"{key} is in insight-hub.toml and no secret of values.yaml" for key in sorted(named - set(values["secrets"]))]
    return complaints


def addition_complaints():
    unit = chart.text("deploy/systemd/insight-hub.service")
    addition = (EXAMPLE / "instance.conf").read_text(encoding="utf-8")
    plain = keys_of((EXAMPLE / "insight-hub.toml").read_text(encoding="utf-8"))
    loaded = dict(re.findall(r"^LoadCredential=([\w.]+):(\S+)$", unit + addition, re.MULTILINE))
    complaints = []
    for section, key, name in re.findall(r"^Environment=INSIGHT_HUB__(\w+?)__(\w+)=%d/(\S+)$", unit + addition, re.MULTILINE):
        setting = f"{section}.{key}".lower()
        if name not in loaded:
            complaints.append(f"{setting} is the credential {name}, which is not loaded")
        elif plain.get(setting) != f'"{loaded[name]}"':
            complaints.append(f"{setting} is {plain.get(setting)} in the configuration, and systemd loads {loaded[name]}")
    if "Environment=INSIGHT_HUB__HUB__INSTANCE_ID=%H" not in addition:
        complaints.append("instances have no names of their own")
    return complaints


def rights():
    """{what: operations} of each call in acls.sh."""
    found = {}
    for line in (EXAMPLE / "acls.sh").read_text(encoding="utf-8").splitlines():
        if not line.startswith("acl --"):
            continue
        words = shlex.split(line)[1:]
        pairs = list(zip(words[::2], words[1::2]))
        operations = {value for option, value in pairs if option == "--operation"}
        prefixed = ("--resource-pattern-type", "prefixed") in pairs
        for option, value in pairs:
            if option in ("--topic", "--group", "--transactional-id"):
                found[f"{option[2:]} {value}{'*' if prefixed else ''}"] = operations
    return found


def rights_complaints():
    """README's table, row by row."""
    table = {
        "topics that begin with `insight-hub-`": "topic insight-hub-*",
        "topics that begin with `insight.`": "topic insight.*",
        "the group `insight-hub`": "group insight-hub",
        "transactional ids that begin with `insight-hub`": "transactional-id insight-hub*",
        "each department's topic": "topic sales.events",
    }
    given, complaints = rights(), []
    for words, name in table.items():
        row = re.search(rf"^\| {re.escape(words)} \| ([\w, ]+) \|", chart.text("README.md"), re.MULTILINE)
        wanted = set(row[1].split(", ")) if row else set()
        if not wanted or given.get(name) != wanted:
            complaints.append(f"{name}: acls.sh gives {given.get(name)}, README.md says {wanted}")
    departments = {f"topic {chart_topic}" for chart_topic in topics_of_departments()}
    known = departments | set(table.values())
    complaints += [f"acls.sh gives rights on {name}, which nobody needs" for name in sorted(set(given) - known)]
    complaints += [f"acls.sh gives no right on {name}" for name in sorted(departments - set(given))]
    return complaints


def topics_of_departments():
    files = (chart.ROOT / "deploy/spokes").glob("*.toml")
    return {re.search(r'^topic = "(.*)"$', path.read_text(encoding="utf-8"), re.MULTILINE)[1] for path in files}


def page_complaints(hub):
    """Files, sections, settings, exit codes and commands that the pages name are there."""
    settings = set(chart_values_of_settings())
    readme, runbook = chart.text("README.md"), chart.text("deploy/RUNBOOK.md")
    anchors = {heading_anchor(line) for line in readme.splitlines() + runbook.splitlines() if line.startswith("#")}
    complaints = []
    for page in PAGES:
        prose = chart.text(page)
        named = re.findall(r"\bdeploy/[\w./-]*\w|\btests/\w+", prose)
        complaints += [f"{page}: there is no {path}" for path in named if not (chart.ROOT / path).exists()]
        # What is linked to in this folder may be another page that comes with it.
        for link, anchor in re.findall(r"\]\(([\w./-]*)(?:#([\w-]+))?\)", prose):
            target = (chart.ROOT / page).parent / link
            if not target.exists() or anchor and anchor not in anchors:
                complaints.append(f"{page}: there is no {link}#{anchor}")
        keys = re.findall(r"`((?:hub|kafka|topics|serve|http|commit|memory|spokes|schemas|registry|embedded)\.\w+)", prose)
        complaints += [f"{page}: there is no setting {key}" for key in keys if key not in settings]
        for command in re.findall(r"insight-hub ((?:[a-z-]+ ?)+?)(?=[^a-z -]|\s--|\s[A-Z]|$)", "\n".join(commands_of(prose))):
            words = command.split()[:2]
            words = words if words[0] in ("topics", "rejected", "token", "identity") else words[:1]
            code, said = chart.run(hub, *words, "--help")
            if code:
                complaints.append(f"{page}: insight-hub {' '.join(words)} is no command: {said[:200]}")
        words = len(re.findall(r"\w+", prose))
        # Ten minutes, at 150 words a minute with commands to run.
        if words > 1_500:
            complaints.append(f"{page}: {words} words are no ten minutes")
    return complaints


def commands_of(prose):
    """Lines of its blocks and what stands in backquotes."""
    blocks = re.findall(r"```sh\n(.*?)```", prose, re.DOTALL)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`(insight-hub [^`]+)`", prose)


def heading_anchor(line):
    return re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")


def chart_values_of_settings():
    import chart_values

    return chart_values.settings(chart_values.SETTINGS.read_text(encoding="utf-8"))


def main(hub):
    hub = Path(hub).resolve()
    complaints = configuration_complaints(hub) + values_complaints() + addition_complaints() + rights_complaints() + page_complaints(hub)
    for complaint in complaints:
        print(complaint)
    print(f"deploy/examples/kafka: {len(rights())} rights, {len(PAGES)} pages: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
