"""Holds deploy/ and docker-compose.yml against the product, where no linter can: do the figures, labels, runbook sections and
deadlines exist that these files name? What is wrong is printed, one line each; exit status 1 then.

    check.py [EXPRESSIONS]     writes the dashboards' queries there as recording rules, for promtool to parse

Needs Python 3.9 and PyYAML.
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
# What Prometheus adds to every sample, and what it makes itself.
ADDED = {"job", "instance"}
FOREIGN = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}
# Variables that Grafana has.
BUILT_IN = {"__rate_interval"}
# The one service whose image needs to write to its root; docker-compose.yml says why.
WRITES_TO_ROOT = {"kafka", "topics"}


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def figures(source):
    """{series: labels} of everything that src/telemetry/figures.rs registers; a histogram is three series."""
    named = {
        name: set(re.findall(r'"(\w+)"', labels))
        for name, labels in re.findall(r"let (\w+) = (&\[[^\]]*\]);", source)
    }
    series = {}
    call = r'make\s*\.(\w+)\(\s*"(insight_hub_\w+)",\s*"[^"]*"\s*(?:,\s*(&\[[^\]]*\]|\w+))?'
    for kind, name, labels in re.findall(call, source):
        # A histogram without labels has its bounds where others have labels.
        has_labels = kind not in ("counter", "whole_gauge", "histogram")
        labels = named.get(labels, set(re.findall(r'"(\w+)"', labels))) if has_labels else set()
        if kind.startswith("histogram"):
            series[f"{name}_bucket"] = labels | {"le"}
            series[f"{name}_sum"] = series[f"{name}_count"] = labels
        else:
            series[name] = labels
    return series


def catalogue():
    """The ids of the company's metrics."""
    sources = [ROOT / "src/metrics/catalogue.rs", *sorted((ROOT / "src/metrics/catalogue").glob("*.rs"))]
    return {name for source in sources for name in re.findall(r'\bid: "(\w+)"', source.read_text(encoding="utf-8"))}


def query_complaints(where, query, known, metrics=frozenset()):
    """Series, labels and metrics of a PromQL expression that do not exist."""
    known = {**known, **FOREIGN}
    complaints, carried = [], set(ADDED)
    for name, selector in re.findall(r"\b(insight_hub_\w+|up|ALERTS)\b(?:\{([^}]*)\})?", query):
        if name not in known:
            complaints.append(f"{where}: there is no figure {name}")
            continue
        carried |= known[name]
        if "metric" in known[name] and metrics:
            named = re.findall(r'\bmetric="([^"]*)"', selector)
            complaints += [f"{where}: there is no metric {metric}" for metric in named if metric not in metrics]
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", re.sub(r'"[^"]*"', '""', selector)):
            if label not in known[name] | ADDED:
                complaints.append(f"{where}: {name} has no label {label}")
    for labels in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query):
        for label in re.findall(r"\w+", labels):
            if label not in carried:
                complaints.append(f"{where}: nothing in it has a label {label}")
    return complaints


def dashboard_complaints(where, dashboard, known, sources, metrics=frozenset()):
    complaints = []
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        complaints.append(f"{where}: two panels have one id")
    # Grafana moves what overlaps, and nobody sees that here.
    taken = {}
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        cells = [(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
        over = {taken[cell] for cell in cells if cell in taken}
        complaints += [f"{where}: {panel['title']} lies over {other}" for other in sorted(over)]
        if at["x"] + at["w"] > 24:
            complaints.append(f"{where}: {panel['title']} is beyond the right edge")
        taken.update(dict.fromkeys(cells, panel["title"]))
    known_variables = {variable["name"] for variable in dashboard["templating"]["list"]} | BUILT_IN
    for panel in dashboard["panels"]:
        here = f"{where}: {panel['title']}"
        if panel["type"] == "row":
            continue
        if panel["datasource"]["uid"] not in sources:
            complaints.append(f"{here}: no data source {panel['datasource']['uid']} is provisioned")
        for target in panel["targets"]:
            complaints += query_complaints(here, target["expr"], known, metrics)
            asked = set(re.findall(r"\$\{?(\w+)", target["expr"]))
            complaints += [f"{here}: there is no variable {name}" for name in sorted(asked - known_variables)]
            shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
            # An aggregation keeps what it names; without one, everything is there.
            kept = set(re.findall(r"\w+", " ".join(re.findall(r"\bby\s*\(([^)]*)\)", target["expr"])))) or shown
            complaints += [f"{here}: its legend shows {label}, which its query drops" for label in sorted(shown - kept)]
    for variable in dashboard["templating"]["list"]:
        query = variable["query"]["query"]
        name, label = re.fullmatch(r"label_values\((.*), (\w+)\)", query).groups()
        complaints += query_complaints(f"{where}: ${variable['name']}", f"count by ({label}) ({name})", known)
    return complaints


def alert_complaints(alerts, tests, runbook, known):
    complaints = []
    sections = re.findall(r"^## (\w+)$", runbook, re.MULTILINE)
    names = [alert["alert"] for alert in alerts]
    for alert in alerts:
        name = alert["alert"]
        complaints += query_complaints(name, alert["expr"], known)
        if alert.get("labels", {}).get("severity") not in ("page", "ticket"):
            complaints.append(f"{name}: its severity is neither page nor ticket")
        said = alert.get("annotations", {})
        complaints += [f"{name}: it has no {key}" for key in ("summary", "description") if not said.get(key)]
        if said.get("runbook_url") != f"deploy/RUNBOOK.md#{name.lower()}":
            complaints.append(f"{name}: its runbook_url is not deploy/RUNBOOK.md#{name.lower()}")
        if name not in sections:
            complaints.append(f"{name}: deploy/RUNBOOK.md has no section about it")
        about = [case for test in tests for case in test["promql_expr_test"] if f'alertname="{name}"' in case["expr"]]
        if not any(case.get("exp_samples") for case in about):
            complaints.append(f"{name}: no test lets it fire")
        if not any(not case.get("exp_samples") for case in about):
            complaints.append(f"{name}: no test keeps it silent")
    complaints += [f"deploy/RUNBOOK.md: {section} is no alert" for section in sections if section not in names]
    for test in tests:
        for series in test["input_series"]:
            complaints += query_complaints(f"test {test['name']!r}", series["series"], known)
    return complaints


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)(s|m)?", str(duration)).groups()
    return int(number) * (60 if unit == "m" else 1)


def compose_complaints(compose, deadline):
    complaints = []
    for name, service in compose["services"].items():
        def wrong(message, name=name):
            complaints.append(f"docker-compose.yml: {name}: {message}")

        if service.get("privileged") or service.get("cap_add") or service.get("cap_drop") != ["ALL"]:
            wrong("it has rights that it does not need: drop all of them")
        if "no-new-privileges:true" not in service.get("security_opt", []):
            wrong("it may get new privileges")
        # The hub's image has a user of its own.
        if "build" not in service and not re.match(r"[1-9]", str(service.get("user", ""))):
            wrong("it runs as root")
        if not service.get("read_only") and name not in WRITES_TO_ROOT:
            wrong("its root is not read-only")
        if "build" not in service and not re.search(r":v?\d+\.\d+\.\d+$", service["image"]):
            wrong(f"{service['image']} is not pinned to a version")
        if not service.get("restart"):
            wrong("it has no restart policy")
        if set(service.get("deploy", {}).get("resources", {}).get("limits", {})) != {"cpus", "memory"}:
            wrong("it has no limits of processors and memory")
        for port in service.get("ports", []):
            if not str(port).startswith("127.0.0.1:"):
                wrong(f"port {port} is open to others")
        for key in service.get("environment", {}):
            if re.search(r"PASSWORD|SECRET|TOKEN", key) and not key.endswith("_FILE"):
                wrong(f"{key} is a secret in a file that everybody reads")
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                if not (ROOT / source).exists():
                    wrong(f"there is no {source}")
                if not volume.endswith(":ro"):
                    wrong(f"it may write to {source}")
            elif source not in compose["volumes"]:
                wrong(f"there is no volume {source}")
        # What ends by itself has no health.
        once = service.get("restart") != "unless-stopped"
        if not once and "build" not in service and "test" not in service.get("healthcheck", {}):
            wrong("it has no health check")
    if seconds(compose["services"]["hub"]["stop_grace_period"]) <= deadline:
        complaints.append("docker-compose.yml: hub: it is killed before hub.stop_deadline_seconds is over")
    return complaints


def unit_complaints(unit, deadline):
    wanted = "DynamicUser=yes NoNewPrivileges=yes ProtectSystem=strict StateDirectory=insight-hub KillSignal=SIGTERM"
    complaints = [f"insight-hub.service: it lacks {line}" for line in wanted.split() if f"\n{line}\n" not in unit]
    # What others mend, a broker or a right, is mended in hours: it must still be tried then.
    values = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    if values.get("StartLimitIntervalSec") != "0":
        complaints.append("insight-hub.service: it is not started for ever, StartLimitIntervalSec is not 0")
    if not set(values.get("RestartPreventExitStatus", "").split()) <= {"2", "5"}:
        complaints.append("insight-hub.service: it is not started again after an exit code that others mend")
    if seconds(re.search(r"^TimeoutStopSec=(.*)$", unit, re.MULTILINE).group(1)) <= deadline:
        complaints.append("insight-hub.service: it is killed before hub.stop_deadline_seconds is over")
    return complaints


def mention_complaints(where, prose, known):
    """Figures that a text names; of a histogram it may name the whole."""
    whole = set(known) | {re.sub("_(bucket|sum|count)$", "", name) for name in known}
    named = set(re.findall(r"\binsight_hub_\w+", prose))
    return [f"{where}: there is no figure {name}" for name in sorted(named - whole)]


def main():
    known = figures(text("src/telemetry/figures.rs"))
    names = set(re.findall(r'"(insight_hub_\w+)"', text("src/telemetry/figures.rs")))
    read = {re.sub("_(bucket|sum|count)$", "", name) if name not in names else name for name in known}
    complaints = [f"src/telemetry/figures.rs: {name} is read wrongly by this check" for name in sorted(names ^ read)]

    alerts = yaml.safe_load(text("deploy/prometheus/alerts.yml"))["groups"]
    alerts = [rule for group in alerts for rule in group["rules"]]
    tests = yaml.safe_load(text("deploy/prometheus/alerts_test.yml"))["tests"]
    runbook = text("deploy/RUNBOOK.md")
    complaints += alert_complaints(alerts, tests, runbook, known)

    sources = yaml.safe_load(text("deploy/grafana/provisioning/datasources/prometheus.yaml"))["datasources"]
    sources = {source["uid"] for source in sources}
    queries, metrics = [], catalogue()
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        complaints += dashboard_complaints(path.name, dashboard, known, sources, metrics)
        queries += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    drawn = set(re.findall(r"insight_hub_\w+", " ".join(queries)))
    complaints += [
        f"{name}: no dashboard draws it"
        for name in sorted(names)
        if not drawn & {name, f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    ]

    drawn = set(re.findall(r'\bmetric="(\w+)"', " ".join(queries)))
    # What arrives has a dashboard of its own; it is known of departments and not of the company.
    complaints += [f"{name}: no dashboard draws it" for name in sorted(metrics - drawn - {"data_quality"})]

    for path in ("deploy/RUNBOOK.md", "README.md"):
        complaints += mention_complaints(path, text(path), known)
    deadline = int(re.search(r"^stop_deadline_seconds = (\d+)$", text("deploy/insight-hub.toml"), re.MULTILINE).group(1))
    complaints += compose_complaints(yaml.safe_load(text("docker-compose.yml")), deadline)
    complaints += unit_complaints(text("deploy/systemd/insight-hub.service"), deadline)

    if len(sys.argv) > 1:
        # What Grafana would put in.
        plain = [query.replace("$__rate_interval", "1m").replace("$instance", ".*") for query in queries]
        rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(plain)]
        Path(sys.argv[1]).write_text(yaml.safe_dump({"groups": [{"name": "dashboards", "rules": rules}]}), encoding="utf-8")
    for complaint in complaints:
        print(complaint)
    print(f"{len(names)} figures, {len(alerts)} alerts, {len(queries)} queries: {len(complaints)} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
