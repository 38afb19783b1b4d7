#!/usr/bin/env python3
"""The files of a hub in (touchpoints.jsonl, arrivals.jsonl, definitions.json and a file for each feed), what is wrong with its
feeds out: each missing and superfluous key, and each field that is not what this script computes from the touchpoints.

    check.py [--prove] FOLDER

Integers are compared exactly, floats to 1e-9, percentiles to their stated 1 %. `--prove` injures the feeds as they were read, in
many ways one after the other, and fails unless each injury is reported. Exit status: 0 when nothing is wrong, 1 when something
is. The packages are those that `tests/run` installs: duckdb, numpy, scipy.
"""

import json
import math
import sys
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np

import analyses
import contacts
import customers
import departments
import fits
from report import Report, check_place, escaped, ranked

HERE = Path(__file__).parent
FEEDS = ["journeys", "attribution", "drivers", "priorities", "changes", "balance", "scorecards", "customers", "alerts", "catalogue"]
SHOWN_MAX = 40
# So many are published of each list of journeys and attribution, first things first.
LIMITS = {"transitions": 200, "paths": 50, "ends": 50, "critical": 50, "steps": 200}


def load(folder):
    con = duckdb.connect()
    con.execute("SET preserve_insertion_order = false; SET TimeZone = 'UTC'; SET threads = 2")
    definitions = json.loads((folder / "definitions.json").read_text())
    for name in ["touchpoints", "arrivals"]:
        con.execute(f"SET VARIABLE {name} = ?", [str(folder / f"{name}.jsonl")])
    for name, value in definitions.items():
        con.execute(f"SET VARIABLE {name} = ?", [value])
    for script in ["timeline", "segments", "metrics", "values", "journeys", "drivers", "contacts", "customers", "departments", "fits"]:
        con.execute((HERE / f"{script}.sql").read_text())
    unsupported = con.execute("SELECT what, count(*) FROM unsupported GROUP BY what").fetchall()
    con.execute("CREATE TABLE catalogue AS SELECT unnest(getvariable('metrics')) AS metric")
    if unsupported:
        sys.exit(f"these touchpoints hold what the script does not compute: {unsupported}")
    con.execute(
        """CREATE TABLE actual AS SELECT key, value.* FROM read_json(?, format = 'newline_delimited', columns = {key: 'VARCHAR',
        value: 'STRUCT(metric VARCHAR, unit VARCHAR, "window" STRUCT(kind VARCHAR, "start" DATE, "end" DATE), dimension VARCHAR,
        dimension_value VARCHAR, other_values BIGINT, currency VARCHAR, n BIGINT, numerator BIGINT, denominator BIGINT, value DOUBLE,
        standard_error DOUBLE, interval_low DOUBLE, interval_high DOUBLE, p50 DOUBLE, p90 DOUBLE, p99 DOUBLE,
        details MAP(VARCHAR, DOUBLE))'})""",
        [str(folder / "metrics.jsonl")],
    )
    feeds = {}
    for feed in FEEDS:
        lines = (json.loads(line) for line in (folder / f"{feed}.jsonl").open())
        feeds[feed] = {line["key"]: line["value"] for line in lines}
    # Definitions are words; how customers buy is there too.
    feeds["catalogue"] = {key: value["parameters"] for key, value in feeds["catalogue"].items() if value["parameters"]}
    return con, feeds


def check_metrics(con, report):
    """All cells at once: a join by key, and one query for each field that differs."""
    # On a day on which nothing but copies became known, nothing arrived that is known here.
    copies = "metric = 'data_quality' AND denominator = 0"
    for kind, there, away in [("missing", "expected", "actual"), ("superfluous", "actual", "expected")]:
        query = f"SELECT key FROM {there} WHERE key NOT IN (SELECT key FROM {away}) AND NOT ({copies})"
        for (key,) in con.execute(query).fetchall():
            report.add("metrics", key, kind, None, None)
    per_metric = "SELECT e.metric, count(*) FROM expected e JOIN actual USING (key) GROUP BY 1"
    for metric, count in con.execute(per_metric).fetchall():
        report.compared[metric] += count
    con.execute(
        """CREATE OR REPLACE TEMP TABLE pair AS SELECT e.*, w.past, a.* RENAME (metric AS a_metric, unit AS a_unit, n AS a_n,
        numerator AS a_numerator, denominator AS a_denominator, value AS a_value, standard_error AS a_standard_error, p50 AS a_p50,
        p90 AS a_p90, p99 AS a_p99, details AS a_details, currency AS a_currency, key AS a_key)
        FROM expected e JOIN actual a ON e.key = a.key JOIN windows w ON w.kind = e.kind AND w.first = e.first"""
    )
    exact = {
        "metric": ("metric", "a_metric"), "unit": ("unit", "a_unit"), "currency": ("currency", "a_currency"),
        "dimension": ("dim", "dimension"), "dimension_value": ("dim_value", "dimension_value"),
        "other_values": ("nullif(others, 0)", "other_values"),
        "window.kind": ("kind", "\"window\".kind"), "window.start": ("DATE '1970-01-01' + first", "\"window\".\"start\""),
        "window.end": ("DATE '1970-01-01' + past", "\"window\".\"end\""),
        # How often data quality was observed is a matter of the arrivals' copies.
        "n": ("CASE WHEN metric = 'data_quality' THEN a_n ELSE n END", "a_n"),
        "numerator": ("numerator", "a_numerator"), "denominator": ("denominator", "a_denominator"),
    }
    tests = [(field, e, a, f"({e}) IS DISTINCT FROM ({a})") for field, (e, a) in exact.items()]
    for field in ["value", "standard_error"]:
        tests.append((field, field, f"a_{field}", not_close(field, f"a_{field}")))
    for field in ["p50", "p90", "p99"]:
        tests.append((field, field, f"a_{field}", f"(({field} IS NULL) <> (a_{field} IS NULL) OR abs({field} - a_{field}) > 0.01 * abs({field}))"))
    for field, e, a, differs in tests:
        for row in con.execute(f"SELECT key, {e}, {a} FROM pair WHERE {differs}").fetchall():
            report.add("metrics", row[0], field, *row[1:])
    # Details that only one side has, or that differ. Of arrivals only those are known here that the company knows itself.
    details = f"""
        WITH e AS (SELECT key, unnest(map_entries(details), recursive := true) FROM pair),
        a AS (SELECT key, unnest(map_entries(a_details), recursive := true) FROM pair WHERE metric <> 'data_quality'
            UNION ALL SELECT key, k, a_details[k] FROM (
                SELECT key, a_details, unnest(map_keys(details)) AS k FROM pair WHERE metric = 'data_quality'))
        SELECT coalesce(e.key, a.key), coalesce(e.key_1, a.key_1), e.value, a.value
        FROM e FULL JOIN a ON e.key = a.key AND e.key_1 = a.key_1 WHERE {not_close("e.value", "a.value")}"""
    for key, name, expected, actual in con.execute(details).fetchall():
        report.add("metrics", key, f"details.{name}", expected, actual)
    (together,) = con.execute("SELECT count(*) FROM expected WHERE others > 0").fetchone()
    report.compared["values together"] += together
    check_intervals(con, report)
    check_copies(con, report)


def check_copies(con, report):
    """A copy is known as one only where it is kept, on the day of what came with it: of each department, all of the time."""
    for spoke, expected, actual in con.execute(
        """SELECT spoke, any_value(copies), sum(details['duplicate']) FROM actual JOIN (
            SELECT spoke, count(*) FILTER (copy) AS copies FROM read_json(getvariable('arrivals'), format = 'newline_delimited',
                columns = {spoke: 'VARCHAR', copy: 'BOOLEAN'}) GROUP BY spoke
        ) ON dimension_value = spoke WHERE metric = 'data_quality' AND "window".kind = 'month' GROUP BY spoke"""
    ).fetchall():
        report.value("metrics", "data_quality", f"data_quality of {spoke}", "details.duplicate", expected, actual)


def not_close(expected, actual):
    return (f"(({expected} IS NULL) <> ({actual} IS NULL) OR abs({expected} - {actual}) > "
            f"1e-9 * greatest(abs({expected}), abs({actual}), 1))")


def check_intervals(con, report):
    table = con.execute(
        """SELECT key, coalesce(successes, -1) AS successes, coalesce(trials, 0) AS trials, interval_low, interval_high FROM pair
        WHERE metric <> 'content_credibility'"""
    ).fetchnumpy()
    successes, trials = (np.asarray(table[name], dtype=float) for name in ["successes", "trials"])
    has = (trials > 0) & (successes >= 0) & (successes <= trials)
    low, high = (np.full(len(has), np.nan) for _ in range(2))
    low[has], high[has] = (100 * end for end in analyses.wilson(successes[has], trials[has]))
    for field, expected in [("interval_low", low), ("interval_high", high)]:
        actual = np.ma.filled(np.ma.asarray(table[field], dtype=float), np.nan)
        both = ~np.isnan(expected) & ~np.isnan(actual)
        wrong = np.isnan(expected) != np.isnan(actual)
        bound = 1e-9 * np.maximum(np.maximum(np.abs(expected), np.abs(actual)), 1)
        wrong[both] = np.abs(expected - actual)[both] > bound[both]
        for at in np.flatnonzero(wrong):
            report.add("metrics", table["key"][at], field, expected[at], actual[at])
    for key, n, a, details, low, high in con.execute(
        "SELECT key, n, numerator, details, interval_low, interval_high FROM pair WHERE metric = 'content_credibility'"
    ).fetchall():
        ends = (None, None)
        if n > 0 and details["others"] > 0:
            value, *ends = analyses.difference((a, n), (details["others_who_went_on"], details["others"]))
            ends = [100 * end for end in ends]
        report.value("metrics", "content_credibility", key, "interval_low", ends[0], low, 1e-9)
        report.value("metrics", "content_credibility", key, "interval_high", ends[1], high, 1e-9)


def check_times(report, key, field, took, sorted_ms, n, actual):
    mean = took / n / 1000 if n else None
    report.value("journeys", "journeys", key, f"{field}.mean_seconds", mean, actual["mean_seconds"], 1e-9)
    for percent, name in [(50, "p50_seconds"), (90, "p90_seconds")]:
        exact = sorted_ms[(percent * n + 99) // 100 - 1] / 1000 if n else None
        same = exact is actual[name] if exact is None or actual[name] is None else abs(exact - actual[name]) <= 0.01 * abs(exact)
        report.value("journeys", "journeys", key, f"{field}.{name}", True, same)


class Journeys:
    """The journeys of every family, as the SQL found them."""

    def __init__(self, con):
        def by_family(query):
            found = {}
            for family, *rest in con.execute(query).fetchall():
                found.setdefault(family, []).append(rest)
            return found

        self.families = {row[0]: row[1:] for row in con.execute("SELECT family, journeys, converted, lost, took, sorted FROM family").fetchall()}
        self.paths = by_family("SELECT family, path, name, converted, lost, took, sorted FROM travelled")
        self.transitions = by_family("SELECT family, came_from, went_to, n FROM transition")
        self.presence = by_family("SELECT family, steps, with_converted, with_n, without_converted, without_n FROM presence")


def check_journeys(journeys, actual, report):
    report.keys("journeys", {f"journeys|{family}" for family in journeys.families}, set(actual))
    for family, (n, converted, lost, took, sorted_ms) in journeys.families.items():
        key = f"journeys|{family}"
        if key not in actual:
            continue
        record = actual[key]

        def same(field, expected, found, tolerance=None, key=key):
            report.value("journeys", "journeys", key, field, expected, found, tolerance)

        check_place(report, "journeys", key, "goal", record)
        for field, expected in [("journeys", n), ("converted", converted), ("lost", lost)]:
            same(field, expected, record[field])
        same("conversion", converted / n, record["conversion"], 1e-9)
        for field, end in zip(["interval_low", "interval_high"], analyses.wilson(converted, n)):
            same(field, float(end), record[field], 1e-9)
        check_times(report, key, "time", took, sorted_ms, converted, record["time"])

        transitions = journeys.transitions[family]
        left = Counter()
        for came_from, _, count in transitions:
            left[came_from] += count

        def transition(name, expected, found):
            same(f"transitions {name}", expected, found["n"])
            same(f"transitions {name} share", expected / left[found["from"]], found["share"], 1e-9)

        ranked(report, "journeys", key, "transitions", {(a, b): (count, count) for a, b, count in transitions},
               [((it["from"], it["to"]), it) for it in record["transitions"]], record["transitions_other"]["kinds"],
               LIMITS["transitions"], transition)
        for field, name, total in [("transitions", "n", sum(count for *_, count in transitions)), ("ends", "n", lost),
                                   ("paths", "converted", converted)]:
            same(f"{field}: all", total, sum(it[name] for it in record[field]) + record[f"{field}_other"]["n"])

        ends = {None if a == "(start)" else a: (count, count) for a, b, count in transitions if b == "(lost)"}
        ranked(report, "journeys", key, "ends", ends, [(it["step"], it) for it in record["ends"]], record["ends_other"]["kinds"],
               LIMITS["ends"], lambda name, expected, found: same(f"ends {name}", expected, found["n"]))

        def path(name, expected, found):
            n, lost, took, sorted_ms = expected
            same(f"paths {name}", n, found["converted"])
            same(f"paths {name} lost", lost, found["lost"])
            check_times(report, key, f"paths {name}", took, sorted_ms, n, found["time"])

        ranked(report, "journeys", key, "paths",
               {tuple(steps): (n, (n, lost, took, sorted_ms)) for steps, _, n, lost, took, sorted_ms in journeys.paths[family] if n},
               [(tuple(it["steps"]), it) for it in record["paths"]], record["paths_other"]["kinds"], LIMITS["paths"], path)

        def critical(name, expected, found):
            counts, numbers = expected
            for field, value in zip(["with_converted", "with_n", "without_converted", "without_n"], counts):
                same(f"critical {name} {field}", value, found[field])
            for field, value in zip(["difference", "interval_low", "interval_high"], numbers):
                same(f"critical {name} {field}", float(value), found[field], 1e-9)

        for length, field in [(1, "critical_steps"), (2, "critical_pairs")]:
            compared = [row for row in journeys.presence.get(family, []) if len(row[0]) == length]
            same(f"{field}_compared", len(compared), record[f"{field}_compared"])
            rising = {}
            for steps, *counts in compared:
                if counts[0] * counts[3] > counts[2] * counts[1]:
                    numbers = analyses.difference((counts[0], counts[1]), (counts[2], counts[3]))
                    rising[tuple(steps)] = (numbers[1], (counts, numbers))
            ranked(report, "journeys", key, field, rising, [(tuple(it["steps"]), it) for it in record[field]], None,
                   LIMITS["critical"], critical)


def check_attribution(journeys, actual, report):
    report.keys("attribution", {f"attribution|{family}" for family in journeys.families}, set(actual))
    for family, (_, conversions, *_) in journeys.families.items():
        key = f"attribution|{family}"
        if key not in actual:
            continue
        record = actual[key]

        def same(field, expected, found, tolerance=None, key=key):
            report.value("attribution", "attribution", key, field, expected, found, tolerance)

        check_place(report, "attribution", key, "goal", record)
        same("conversions", conversions, record["conversions"])
        paths = [(steps, n) for steps, _, n, *_ in journeys.paths[family]]
        credited = sum(n for steps, n in paths if steps)
        if credited < 30:
            same("credited", 0, record["credited"])
            same("conversion_chance", None, record["conversion_chance"])
            same("steps", 0, len(record["steps"]))
            same("other.kinds", 0, record["other"]["kinds"])
            same("other", [None], sorted({credit for name, credit in record["other"].items() if name != "kinds"}, key=str))
            continue
        found = analyses.credits(paths, {(a, b): n for a, b, n in journeys.transitions[family]})
        same("credited", credited, record["credited"])
        same("conversion_chance", found["chance"], record["conversion_chance"], 1e-9)
        same("conversion_chance: a share", conversions / journeys.families[family][0], record["conversion_chance"], 1e-9)

        def step(name, expected, credit):
            same(f"{name} conversions", int(expected["conversions"]), credit["conversions"])
            for rule in ["removal_effect", "markov", "first", "last", "linear", "position"]:
                same(f"{name} {rule}", float(expected[rule]), credit[rule], 1e-9)

        ranked(report, "attribution", key, "steps", {name: (it["markov"], it) for name, it in found["steps"].items()},
               [(it["step"], it) for it in record["steps"]], record["other"]["kinds"], LIMITS["steps"], step)
        for rule in ["markov", "first", "last", "linear", "position"]:
            total = math.fsum(it[rule] for it in record["steps"]) + (record["other"][rule] or 0)
            same(f"sum of {rule}", float(credited), total, 1e-9)


def check_drivers(con, actual, report):
    columns = analyses.DRIVERS + analyses.OUTCOMES
    table = con.execute(f"SELECT month, segment, {', '.join(columns)} FROM person_month").fetchnumpy()
    months, segments = (np.ma.asarray(table[name]).tolist() for name in ["month", "segment"])
    values = {name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in columns}
    groups = {}
    for at, (month, segment) in enumerate(zip(months, segments)):
        groups.setdefault((month, ""), []).append(at)
        if segment is not None:
            groups.setdefault((month, f"&segment={escaped(segment)}"), []).append(at)
    keys = {f"drivers|{month}|outcome={outcome}{suffix}" for month, suffix in groups for outcome in analyses.OUTCOMES}
    report.keys("drivers", keys, set(actual))
    for (month, suffix), rows in groups.items():
        of_group = {name: column[rows] for name, column in values.items()}
        for outcome in analyses.OUTCOMES:
            key = f"drivers|{month}|outcome={outcome}{suffix}"
            if key in actual:
                check_outcome(key, outcome, of_group, actual[key], report)


def check_outcome(key, outcome, columns, record, report):
    def same(field, expected, found, tolerance=None):
        report.value("drivers", "drivers", key, field, expected, found, tolerance)

    check_place(report, "drivers", key, "outcome", record)
    known = columns[outcome][~np.isnan(columns[outcome])]
    same("n", len(known), record["n"])
    same("mean", float(known.sum()) / len(known) if len(known) else None, record["mean"], 1e-9)
    expected = {}
    for driver in analyses.DRIVERS:
        found = analyses.correlation(columns[driver], columns[outcome])
        if found:
            expected[driver] = found
    weights = analyses.relative_weights(columns, outcome)
    of_driver = {it["driver"]: it for it in record["drivers"]}
    same("drivers", sorted(expected), sorted(of_driver))
    for driver, it in of_driver.items():
        for field, value in expected.get(driver, {}).items():
            same(f"{driver} {field}", value, it[field], None if field == "n" else 1e-9)
        weight = weights["weights"].get(driver) if weights else None
        same(f"{driver} relative_weight", weight, it["relative_weight"], 1e-9)
    strengths = [abs(it["correlation"]) for it in record["drivers"]]
    same("order", strengths, sorted(strengths, reverse=True))
    same("r_squared", weights and weights["r_squared"], record["r_squared"], 1e-9)
    same("n_min", weights["n_min"] if weights else 0, record["n_min"])
    same("adjusted", bool(weights and weights["adjusted"]), record["adjusted"])


class Expected:
    """What does not depend on the feeds: computed once, however often it is compared."""

    def __init__(self, con):
        self.journeys = Journeys(con)
        self.contacts = contacts.kinds_of_contact(con, self.journeys)
        self.priorities = contacts.expected_priorities(con)
        self.customers = dict(customers.expected_customers(con))
        self.alerts = customers.expected_alerts(con)
        self.cards = dict(departments.expected_cards(con, self.contacts, self.priorities, self.alerts))
        self.fits = fits.expected_fits(con)


def check(con, expected, feeds):
    report = Report()
    check_metrics(con, report)
    check_journeys(expected.journeys, feeds["journeys"], report)
    check_attribution(expected.journeys, feeds["attribution"], report)
    check_drivers(con, feeds["drivers"], report)
    contacts.check_balance(expected.contacts, feeds["balance"], report)
    contacts.check_priorities(expected.priorities, feeds["priorities"], report)
    contacts.check_changes(con, feeds["changes"], report)
    departments.check_scorecards(expected.cards, feeds["scorecards"], report)
    customers.check_customers(expected.customers, feeds["customers"], report)
    customers.check_alerts(expected.alerts, feeds["alerts"], report)
    fits.check_fits(expected.fits, feeds["catalogue"], report)
    return report


def comparisons(expected):
    """By feed, whether one record, which is known to be right in another form, is found wrong."""
    def found(check, *arguments):
        report = Report()
        check(*arguments, report)
        return bool(report.found)

    def alert(key, right, record):
        name = customers.alert_name(right)
        return found(customers.check_alerts, [it for it in expected.alerts if customers.alert_name(it) == name], {key: record})

    return {
        "catalogue": lambda key, right, record: found(fits.check_fits, {key: expected.fits[key]}, {key: record}),
        "scorecards": lambda key, right, record: found(departments.check_scorecards, {key: expected.cards[key]}, {key: record}),
        "alerts": alert,
    }


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--prove"]
    con, feeds = load(Path(arguments[0]))
    expected = Expected(con)
    report = check(con, expected, feeds)
    if "--prove" in sys.argv:
        # Where injuries are to be found, there has to be something of everything.
        names = [name for (name,) in con.execute("FROM catalogue").fetchall()]
        names += [*feeds, "alerts metric_unusual", "likelihoods of purchases", "likelihoods of spend"]
        # A small limit is there to be passed.
        if con.execute("SELECT getvariable('dimension_values_max') < 1000").fetchone()[0]:
            names.append("values together")
        for name in names:
            if not report.compared[name]:
                report.add("all", name, "nothing of it was compared", None, None)
    for feed, key, field, expected, actual in sorted(report.found, key=str)[:SHOWN_MAX]:
        print(f"{feed} {key} {field}: expected {expected}, found {actual}")
    print("compared: " + ", ".join(f"{name} {count}" for name, count in sorted(report.compared.items())))
    print(f"{len(report.found)} differences in {sum(report.compared.values())} values")
    if "--prove" in sys.argv and not report.found:
        import injuries

        injuries.prove(con, expected, feeds, check, comparisons(expected))
    return 1 if report.found else 0


if __name__ == "__main__":
    sys.exit(main())
