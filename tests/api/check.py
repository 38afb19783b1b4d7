"""A hub's API in; where it does not do what its own description says out.

    python3 check.py URL TOKEN

First every operation is used as people would: lists page by page and as tables, orders until they are confirmed.

Then Schemathesis asks for every operation: with values of a running hub, with values at the edges of what the description allows,
with values that it does not allow, and with methods that it does not have; by a token with every role, and by nobody. No answer may
be a 5xx, and none may be other than described: status, content type, headers, body. What is valid is taken, what is not is refused.

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

import schemathesis

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
    missing = [name for name, known in found.items() if not known and name != "priority"]
    if missing:
        sys.exit(f"the hub has none of: {', '.join(missing)}")
    return {name: known for name, known in found.items() if known}


class User:
    """Somebody who uses the API; each answer is compared with the description."""

    def __init__(self, url, token):
        self.schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
        self.headers = {"Authorization": f"Bearer {token}"}
        # Operations that did what they are for.
        self.done = set()

    def ask(self, method, path, status=200, headers=None, **case):
        operation = self.schema[f"/api/v1{path}"][method]
        # One that is watched is cut off after a while.
        answer = operation.Case(**case).call_and_validate(headers={**self.headers, **(headers or {})}, timeout=20)
        if status is not None and answer.status_code != status:
            sys.exit(f"{method} {path}: {answer.status_code} instead of {status}: {answer.text[:2000]}")
        if answer.status_code < 300:
            self.done.add((method, path))
        return answer

    def until(self, path, is_so, **case):
        """Asks again until the answer is there and as it should be."""
        deadline = time.monotonic() + 60
        while True:
            answer = self.ask("GET", path, status=None, **case)
            if answer.status_code == 200 and is_so(answer.json()):
                return answer
            if time.monotonic() > deadline:
                sys.exit(f"GET {path} does not become what it should: {answer.status_code} {answer.text[:2000]}")
            time.sleep(0.1)

    def listed(self, path, **case):
        """Two pages, a table, and that what has not changed is not sent again."""
        query = case.pop("query", {})
        first = self.ask("GET", path, query={**query, "limit": 1}, **case).json()
        if first["next"]:
            self.ask("GET", path, query={**query, "limit": 1, "cursor": first["next"]}, **case)
        table = self.ask("GET", path, query={**query, "format": "csv"}, **case)
        if table.headers["content-type"][0].split(";")[0] != "text/csv":
            sys.exit(f"GET {path} is no table")
        self.ask("GET", path, query={**query, "limit": 2}, headers={"if-none-match": "*"}, status=304, **case)

    def see_that_all_was_done(self):
        paths = self.schema.raw_schema["paths"]
        all_operations = {(method.upper(), path) for path, item in paths.items() for method in item}
        missing = all_operations - {(method, f"/api/v1{path}") for method, path in self.done}
        # There is a priority only where enough customers had something to say.
        missing.discard(("POST", "/api/v1/priorities/{priority}/acknowledgement"))
        if missing:
            sys.exit(f"operations that this script does not use: {sorted(missing)}")


def use(user, values):
    """Each operation, so that it does what it is for."""
    metric, spoke, alert, position = (values[name][0] for name in ("metric", "spoke", "alert", "position"))
    customer = {"customer": values["customer"][0]}
    user.ask("GET", "")
    user.ask("GET", "/openapi.json")
    user.ask("GET", "/metrics/{metric}", path_parameters={"metric": metric})
    user.ask("GET", "/metrics/{metric}/roll-up", path_parameters={"metric": "orders"}, query={"window": "month"})
    user.listed("/metrics/{metric}/series", path_parameters={"metric": "orders"}, query={"window": "day"})
    for path in ("metrics", "journeys", "attribution", "drivers", "priorities", "changes", "balance", "scorecards", "alerts"):
        user.listed(f"/{path}")
    for path in ("dead-letters", "identity/conflicts", "spokes"):
        user.listed(f"/{path}")
    user.ask("GET", "/spokes/{spoke}", path_parameters={"spoke": spoke})
    user.ask("GET", "/dead-letters/{position}", path_parameters={"position": position})
    user.ask("GET", "/customers/{customer}", path_parameters=customer)
    user.listed("/customers/{customer}/timeline", path_parameters=customer)
    user.ask("GET", "/customers/{customer}/identity", path_parameters=customer)
    for feed in values["feed"]:
        parameters = {"path_parameters": {"feed": feed}, "query": {"from": "beginning"}}
        user.ask("GET", "/feeds/{feed}/events", **parameters)

    json_body = {"media_type": "application/json"}
    requester = {"email": "of-the-check@example.org"}
    ticket = {"ticket": "of-the-check", "subject": "delivery", "via": "phone", "requester": requester}
    at = "2026-03-01T10:00:00Z"
    event = {"specversion": "1.0", "id": "of-the-check", "source": "/tickets", "type": "ticket.opened", "time": at, "data": ticket}
    sent = user.ask(
        "POST", "/spokes/{spoke}/touchpoints", 202, path_parameters={"spoke": "support"}, body=[event, {}], **json_body
    )
    if (sent.json()["accepted"], sent.json()["refused"]) != (1, 1):
        sys.exit(f"one of two items is right: {sent.text}")
    decision = {"decision": "never_link", "identifiers": ["cookie:of-the-check-1", "cookie:of-the-check-2"], "id": "of-the-check"}
    user.ask("POST", "/identity/decisions", 202, body=decision, **json_body)
    user.ask("POST", "/identity/decisions", 202, body={"decision": "undo", "command": "of-the-check"}, **json_body)
    seen = {"body": {"by": "the check"}, **json_body}
    user.ask("POST", "/alerts/{alert}/acknowledgement", 202, path_parameters={"alert": alert}, **seen)
    for priority in values.get("priority", [])[:1]:
        user.ask("POST", "/priorities/{priority}/acknowledgement", 202, path_parameters={"priority": priority}, **seen)
    email = "email:of-the-check@example.org"
    user.until("/customers/{customer}", lambda record: record["touchpoints"] == 1, path_parameters={"customer": email})
    begun = user.ask("POST", "/access-requests", 202, body={"identifier": email}, **json_body).json()
    request = {"path_parameters": {"request": begun["request"]}}
    user.until("/access-requests/{request}", lambda it: it["status"] == "done", **request)
    user.ask("POST", "/erasures", 200, body={"identifier": email, "dry_run": True}, **json_body)
    erasing = user.ask("POST", "/erasures", 202, body={"identifier": email}, **json_body).json()
    confirmed = {"path_parameters": {"erasure": erasing["erasure"]}, "query": {"ordered_at": erasing["ordered_at"]}}
    user.until("/erasures/{erasure}", lambda it: it["erased_until"] >= erasing["ordered_at"], **confirmed)
    user.see_that_all_was_done()


def configuration(token, values):
    """As a TOML document, whose strings are JSON's."""
    lines = [f"seed = {SEED}", 'color = false', "continue-on-failure = true"]
    if token:
        lines += ["[auth.openapi.token]", f"bearer = {json.dumps(token)}"]
    lines += ["[generation]", f"max-examples = {EXAMPLES}", 'database = "none"']
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
    if not given.operation:
        begun = time.monotonic()
        use(User(given.url, given.token), values)
        print(f"every operation does what it is for, as described: {time.monotonic() - begun:.1f} s", flush=True)
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
