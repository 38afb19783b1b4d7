"""A hub's API in; where it does not do what its own description says out.

    python3 check.py URL TOKEN [--seconds N]

Schemathesis asks for every operation of the description: with values of a running hub, with values at the edges of what the
description allows, with values that it does not allow, and with methods that it does not have; by a token with every role, and by
nobody. No answer may be a 5xx, and none may be other than described: status, content type, headers, body. What is valid is
taken, what is not is refused.

Then it is asked to find a description that lies about an answer: a check that finds nothing there would find nothing at all.

The seed is fixed, so that a run can be repeated.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SEED = 7
# Of each operation; the edges of each parameter come besides.
EXAMPLES = 12
# What a stream of events is watched for, in seconds.
WATCHED = 0.3


def fetched(url, token):
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


def values_of(url, token):
    """Names of things that the hub has, without which most answers would be 404."""

    def listed(path, field):
        return [item[field] for item in fetched(f"{url}/api/v1/{path}", token)["items"]][:20]

    alerts = fetched(f"{url}/api/v1/alerts?limit=200", token)["items"]
    persons = sorted({alert["person"] for alert in alerts if alert["person"]})[:10]
    customers = list(persons)
    for person in persons[:3]:
        record = fetched(f"{url}/api/v1/customers/{person}", token)
        customers += [f"{kind}:{value}" for kind, values in record["identifiers"].items() for value in values[:2]]
    months = fetched(f"{url}/api/v1/priorities?limit=200", token)["items"]
    found = {
        "metric": listed("metrics", "metric"),
        "spoke": listed("spokes", "spoke"),
        "customer": customers,
        "alert": [alert["id"] for alert in alerts][:10],
        "priority": [it["id"] for month in months for it in month["priorities"]][:10],
        "position": listed("dead-letters", "position"),
        "feed": ["metrics", "customers", "alerts", "touchpoints", "audit"],
        "dimension": ["company", "spoke", "region", "segment"],
        "currency": ["EUR"],
    }
    missing = [name for name, values in found.items() if not values]
    if missing:
        sys.exit(f"the hub has none of: {', '.join(missing)}")
    return found


def configuration(token, values):
    """As a TOML document, whose strings are JSON's."""
    lines = [f"seed = {SEED}", 'color = false', "continue-on-failure = true"]
    if token:
        lines += ["[auth.openapi.token]", f"bearer = {json.dumps(token)}"]
    lines += ["[generation]", f"max-examples = {EXAMPLES}", "deterministic = true", 'database = "none"']
    lines += ["[checks.response_schema_conformance]", "validate-formats = true"]
    for name, known in values.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(known)}"]
    lines += ["[parameters]"]
    for name in values:
        place = "query" if name in ("dimension", "currency") else "path"
        lines += [f'"{place}.{name}" = {{ dictionary = "{name}", probability = 0.7 }}']
    # It never ends: what comes at first is looked at.
    lines += ["[[operations]]", 'include-operation-id = "watch_feed"', f"request-timeout = {WATCHED}", "max-stream-events = 2"]
    return "\n".join(lines) + "\n"


def run(location, token, values, more, shown=True):
    """What Schemathesis says of a description, and whether it found something."""
    with tempfile.TemporaryDirectory() as folder:
        settings = pathlib.Path(folder, "schemathesis.toml")
        settings.write_text(configuration(token, values))
        command = [sys.executable, "-B", "-m", "schemathesis.cli", "--config-file", str(settings), "run", location, *more]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "hooks", "PYTHONDONTWRITEBYTECODE": "1"}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), environment.get("PYTHONPATH", "")])
        begun = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400)
    if shown:
        print(done.stdout + done.stderr, flush=True)
        print(f"exit status {done.returncode} after {time.monotonic() - begun:.1f} s", flush=True)
    return done.returncode, done.stdout + done.stderr


def lying(description):
    """The same, with a field in an answer that no answer has."""
    described = json.loads(json.dumps(description))
    definition = described["components"]["schemas"]["MetricDefinition"]
    definition["properties"]["no_such_field"] = {"type": "string"}
    definition["required"].append("no_such_field")
    return described


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("token")
    parser.add_argument("--operation", help="only this one")
    parser.add_argument("--phases", default="examples,coverage,fuzzing")
    given = parser.parse_args()
    values = values_of(given.url, given.token)
    document = f"{given.url}/api/v1/openapi.json"
    only = ["--include-operation-id", given.operation] if given.operation else []
    phases = ["--phases", given.phases]
    with_token, _ = run(document, given.token, values, ["--checks", "all", *phases, *only])
    # Nobody: everything is refused as described.
    as_nobody, _ = run(document, None, {}, ["--checks", "all", "--phases", "fuzzing", "--max-examples", "3", *only])
    with tempfile.TemporaryDirectory() as folder:
        wrong = pathlib.Path(folder, "wrong.json")
        wrong.write_text(json.dumps(lying(fetched(document, given.token))))
        more = ["--url", given.url, "--checks", "all", *phases, "--include-operation-id", "get_metric"]
        found, said = run(str(wrong), given.token, values, more, shown=False)
    if found != 1 or "no_such_field" not in said:
        print(said)
        sys.exit("it does not see that an answer lacks what the description says: it could not fail")
    print("it sees an answer that lacks what a description says")
    if with_token or as_nobody:
        sys.exit(1)
    print("the API is as it is described")


if __name__ == "__main__":
    main()
