"""Kinds of contact, subjects and changes: counts from SQL, the intervals that SQL has no functions for from here."""

import numpy as np

import analyses
from report import check_place, escaped, ranked

# So many priorities are published.
PRIORITIES = 50
# Answers of 1 to 5, in thousandths.
SCORE_RANGE = 4000
NOTHING = dict.fromkeys(["touchpoints", "cost", "costs_left_out", "effort", "score_n", "score_sum", "score_squares",
                         "sentiment_n", "sentiment_sum", "sentiment_squares"], 0) | {"drivers": []}
FELT = ["csat", "nps", "sentiment", "first_response_time", "on_time", "promise_gap"]
SHARES = ["csat", "on_time", "return_rate", "first_contact_resolution", "referral", "word_of_mouth"]
# The unit of a mean, and what it is called.
MEANS = {
    "expectation_gap": (1, "points"), "nps": (0.01, "points"), "ces": (1, "points"), "sentiment": (1, "points"), "promise_gap": (86_400_000, "days"),
    "first_response_time": (1000, "seconds"), "resolution_time": (1000, "seconds"),
    "full_resolution_time": (1000, "seconds"), "follow_up_time": (1000, "seconds"),
}


def month_window(name):
    year, month = map(int, name.removeprefix("month:").split("-"))
    return {"kind": "month", "start": f"{year}-{month:02}-01", "end": f"{year + month // 12}-{month % 12 + 1:02}-01"}


def rows(con, query):
    found = con.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row)) for row in found.fetchall()]


def sums(row, name):
    return tuple(row[f"{name}_{part}"] for part in ["n", "sum", "squares"])


def less(whole, part):
    return tuple(a - b for a, b in zip(whole, part))


def feeling(here, everywhere):
    """What is felt at one kind of contact, and how that differs from all others."""
    found = analyses.means(here, less(everywhere, here))
    return {"n": here[0], "mean": here[1] / here[0] if here[0] >= analyses.PERSONS_MIN else None,
            **dict(zip(["difference", "interval_low", "interval_high"], found or [None] * 3))}


def kinds_of_contact(con, journeys):
    """By month: kinds of contact by name, also those without a touchpoint that are credited; and the credits of those that are."""
    kinds, credits = {}, {}
    felt = {place: drivers(columns) for place, columns in felt_at(con, "contact_person", ["month", "name"]).items()}
    for row in rows(con, "FROM contact"):
        row["drivers"] = felt.get((row["month"], row["name"]), [])
        kinds.setdefault(row["month"], {})[row["name"]] = row
    for month, of in kinds.items():
        found = {}
        for goal in ["first_purchase", "repurchase"]:
            family = f"{month}|goal={goal}"
            paths = [(steps, n) for steps, _, n, *_ in journeys.paths.get(family, [])]
            if sum(n for steps, n in paths if steps) < analyses.PERSONS_MIN:
                continue
            credited = analyses.credits(paths, {(a, b): n for a, b, n in journeys.transitions[family]})
            for step, credit in credited["steps"].items():
                found[step] = found.get(step, 0.0) + float(credit["markov"])
        credits[month] = {step: credit for step, credit in found.items() if credit > 1e-12}
        for name in credits[month]:
            of.setdefault(name, NOTHING)
    return kinds, credits


def drivers(columns):
    """What is felt at touchpoints against buying again; `nan`: not known."""
    found = [(name, analyses.correlation(columns[name], columns["bought_again"])) for name in FELT]
    return [{"driver": name, **it} for name, it in found if it]


def felt_at(con, table, place):
    """Persons with what they felt, by place (`nan`: not known): the columns of a table."""
    names = [*FELT, "bought_again"]
    found = con.execute(f"SELECT {', '.join(place)}, {', '.join(names)} FROM {table}").fetchnumpy()
    values = {name: np.ma.filled(np.ma.asarray(found[name], dtype=float), np.nan) for name in names}
    at = {}
    for index, key in enumerate(zip(*(np.ma.asarray(found[name]).tolist() for name in place))):
        at.setdefault(key, []).append(index)
    return {key: {name: column[persons] for name, column in values.items()} for key, persons in at.items()}


def costs(kinds):
    """By what costs are compared, what each kind of contact took, and all of them. Nothing costs less than nothing."""
    for basis in ["cost", "effort", "touchpoints"]:
        taken = {name: max(row[basis], 0) for name, row in kinds.items()}
        if sum(taken.values()) > 0:
            return basis, taken, sum(taken.values())


def check_balance(months, actual, report):
    kinds, credits = months
    expected = {f"balance|{month}|": (month, kinds[month], of) for month, of in credits.items() if of}
    report.keys("balance", set(expected), set(actual))
    for key in expected.keys() & actual.keys():
        check_month(key, *expected[key], actual[key], report)


def check_month(key, month, contacts, credits, record, report):
    def same(field, expected, found, tolerance=None):
        report.value("balance", "balance", key, field, expected, found, tolerance)

    basis, taken, total = costs(contacts)
    credited = sum(credits.values())
    everywhere = {what: tuple(map(sum, zip(*(sums(row, what) for row in contacts.values())))) for what in ["score", "sentiment"]}
    for field, value in [("window", month_window(month)), ("currency", "EUR"), ("cost_basis", basis),
                         ("touchpoints", sum(row["touchpoints"] for row in contacts.values())), ("cost", total)]:
        same(field, value, record[field])
    same("credited", credited, record["credited"], 1e-9)
    same("ranks", list(range(1, len(record["contacts"]) + 1)), [it["rank"] for it in record["contacts"]])
    same("other.kinds", max(len(contacts) - 200, 0), record["other"]["kinds"])
    net = {name: credits.get(name, 0.0) / credited - taken[name] / total for name in contacts}

    def contact(name, row, found):
        share, credit = taken[name] / total, credits.get(name, 0.0)
        felt = {what: feeling(sums(row, what), everywhere[what]) for what in ["score", "sentiment"]}
        for field in ["touchpoints", "costs_left_out"]:
            same(f"{name} {field}", row[field], found[field])
        for field in ["cost", "effort"]:
            same(f"{name} {field}", max(row[field], 0), found[field])
        for field, value in [("credited", credit), ("contribution", credit / credited), ("cost_share", share), ("net", net[name])]:
            same(f"{name} {field}", value, found[field], 1e-9)
        for what, expected in felt.items():
            for field, value in expected.items():
                same(f"{name} {what} {field}", value, found[what][field], None if field == "n" else 1e-9)
        same(f"{name} drivers", [it["driver"] for it in row["drivers"]], [it["driver"] for it in found["drivers"]])
        for driver, of in zip(row["drivers"], found["drivers"]):
            for field, value in driver.items():
                same(f"{name} {driver['driver']} {field}", value, of[field], None if field in ("driver", "n") else 1e-9)
        same(f"{name} capacity", (None, None), (found["capacity"], found["capacity_use"]))
        worse = any(it["interval_high"] is not None and it["interval_high"] < 0 for it in felt.values())
        better = not worse and any(it["interval_low"] is not None and it["interval_low"] > 0 for it in felt.values())
        known = row["costs_left_out"] == 0
        advice = "invest" if net[name] > 0 and worse and known else "save" if net[name] < 0 and not better else "keep"
        # Where as much is brought as taken, the last bit decides.
        if abs(net[name]) > 1e-9:
            same(f"{name} advice", advice, found["advice"])

    shown = [(":".join(it[part] for part in ["spoke", "kind", "channel"]), it) for it in record["contacts"]]
    if len(contacts) <= 200:
        ranked(report, "balance", key, "contacts", {name: (net[name], row) for name, row in contacts.items()}, shown, None,
               len(contacts), contact)


def expected_priorities(con):
    """By month: everyone, the priorities by name (score per effort, the rest), and how many subjects were judged, no worse, too few."""
    months = {}
    for row in rows(con, "FROM touched"):
        name = None if row["spoke"] is None else (row["spoke"], row["kind"], row["subject"])
        months.setdefault(row["month"], {})[name] = row
    return {month: priorities_of(touched.pop(None), touched) for month, touched in months.items()}


def priorities_of(everyone, touched):
    expected, judged, no_worse, too_few = {}, 0, 0, 0
    for name, row in touched.items():
        with_it, without = ((row["yes"], row["known"]), (everyone["yes"] - row["yes"], everyone["known"] - row["known"]))
        outcome = analyses.shares(without, with_it)
        score = analyses.means(less(sums(everyone, "score"), sums(row, "score")), sums(row, "score"))
        if outcome is None and score is None:
            too_few += 1
            continue
        judged += 1
        # A difference, then the ends of its interval: a score that tells persons apart decides where the outcome does not.
        by_score = outcome is None or (outcome[1] <= 0 and score is not None and score[1] > 0)
        impact = [it / SCORE_RANGE for it in score] if by_score else outcome
        worth = [float(it) * row["revenue"] for it in impact]
        if impact[0] <= 0 or row["revenue"] <= 0:
            no_worse += 1
            continue
        points = score and [it / 1000 for it in score]
        numbers = {"score": worth[0], "score_low": worth[1], "score_high": worth[2]}
        for field, found in [("outcome_drop", outcome), ("score_drop", points)]:
            for at, end in enumerate(["", "_low", "_high"]):
                numbers[field + end] = float(found[at]) if found is not None else None
        # The mean of what touchpoints say, rounded half up: nothing is configured.
        n, effort = row["efforts"], 1
        if n:
            effort = max((2 * row["effort"] + n) // (2 * n), 1)
        exact = {"reach": row["persons"], "value_at_risk": row["revenue"], "effort": effort,
                 "effort_source": "touchpoints" if n else "assumed", "limit": None,
                 "ground": "score" if by_score else "outcome"}
        expected[name] = (worth[0] / effort, (exact, numbers))
    return everyone["persons"], expected, judged, no_worse, too_few


def check_priorities(months, actual, report):
    report.keys("priorities", {f"priorities|{month}|of=persons" for month in months}, set(actual))
    for month, found in months.items():
        key = f"priorities|{month}|of=persons"
        if key in actual:
            check_priorities_of(key, month, found, actual[key], report)


def check_priorities_of(key, month, wanted, record, report):
    def same(field, expected, found, tolerance=None):
        report.value("priorities", "priorities", key, field, expected, found, tolerance)

    persons, expected, judged, no_worse, too_few = wanted
    for field, value in [("of", "persons"), ("window", month_window(month)), ("persons", persons), ("judged", judged),
                         ("no_worse", no_worse), ("too_few", too_few), ("other", max(len(expected) - PRIORITIES, 0))]:
        same(field, value, record[field])
    same("ranks", list(range(1, len(record["priorities"]) + 1)), [it["rank"] for it in record["priorities"]])

    def priority(name, wanted, found):
        exact, numbers = wanted
        for field, value in exact.items():
            same(f"{name} {field}", value, found[field])
        for field, value in numbers.items():
            same(f"{name} {field}", value, found[field], 1e-9)

    shown = [((it["owner"], it["kind"], it["subject"]), it) for it in record["priorities"]]
    ranked(report, "priorities", key, "priorities", expected, shown, None, PRIORITIES, priority)


def check_changes(con, actual, report):
    sides = {}
    for row in rows(con, "FROM moved"):
        of = sides.setdefault((row["day"], row["spoke"], row["dim"], row["dim_value"], row["metric"]), {})
        of[row["after"]] = row
    expected = {}
    for (day, spoke, dim, value, metric), of in sides.items():
        if len(of) < 2 or (metric not in SHARES and metric not in MEANS):
            continue
        before, after = of[False], of[True]
        if metric in SHARES:
            moved = analyses.shares((after["a"], after["n"]), (before["a"], before["n"]))
            unit, word, values = 0.01, "percent", [it["a"] / it["n"] / 0.01 for it in (before, after) if it["n"]]
        else:
            moved = analyses.means(*((it["n"], it["total"], it["squares"]) for it in (after, before)))
            unit, word = MEANS[metric]
            values = [int(it["total"]) / it["n"] / unit for it in (before, after) if it["n"]]
        if moved is None:
            continue
        difference, low, high = (float(it) / unit for it in moved)
        place = "" if dim == "company" else f"&{dim}={escaped(value)}"
        movement = "up" if low > 0 else "down" if high < 0 else "unclear"
        expected[f"change|{day}|by={escaped(spoke)}{place}&metric={metric}"] = (
            {"by": spoke, "dimension": dim, "dimension_value": value, "metric": metric, "unit": word, "days": 28,
             "n_before": before["n"], "n_after": after["n"], "movement": movement, "effort": before["effort"]},
            {"before": values[0], "after": values[1], "difference": difference, "interval_low": low, "interval_high": high},
            day.removeprefix("day:"),
        )
    report.keys("changes", set(expected), set(actual))
    for key in expected.keys() & actual.keys():
        exact, numbers, day = expected[key]
        record = actual[key]
        after = str(np.datetime64(day) + 1)
        report.value("changes", "changes", key, "window", {"kind": "day", "start": day, "end": after}, record["window"])
        for field, value in exact.items():
            report.value("changes", "changes", key, field, value, record[field])
        for field, value in numbers.items():
            report.value("changes", "changes", key, field, value, record[field], 1e-9)
