"""Departments' months: counts from SQL, what kinds of contact, priorities and alerts say of them, intervals from here.

A card is a record of expected fields (`card`): a further field is one more line there. Until it is, it stands in NOT_COMPUTED."""

import numpy as np

import analyses
import contacts
import customers
from report import escaped

PRIORITIES = 5
# Fields that nothing is said of here: what arrived, copies among it, is not in the touchpoints that this computes from.
NOT_COMPUTED = {"data_quality"}


def effect(failed, others, unit):
    """A figure of those whom a department failed, of its own unit, against that of the others; `nan`: not known."""
    groups = []
    for group in (failed, others):
        known = group[~np.isnan(group)].astype(int).tolist()
        groups.append((len(known), sum(known), sum(it * it for it in known)))
    found = analyses.means(*groups)
    means = [total / n / unit if n >= analyses.PERSONS_MIN else None for n, total, _ in groups]
    numbers = [None] * 3 if found is None else [it / unit for it in found]
    return {"failed": groups[0][0], "failed_mean": means[0], "others": groups[1][0], "others_mean": means[1],
            **dict(zip(["difference", "interval_low", "interval_high"], numbers))}


def owned(priorities, spoke):
    """The first of a month's priorities that a department owns, and how many more it does."""
    ranked = sorted(priorities.items(), key=lambda it: (-it[1][0], it[0]))
    own = [(rank, name, *priority) for rank, (name, (_, priority)) in enumerate(ranked, 1) if name[0] == spoke]
    shown = [{"rank": rank, "kind": name[1], "subject": name[2],
              **{field: exact[field] for field in ["reach", "value_at_risk", "ground", "effort", "effort_source"]},
              **{field: numbers[field] for field in ["score", "score_low", "score_high"]}}
             for rank, name, exact, numbers in own[:PRIORITIES]]
    return shown, len(own) - len(shown)


def part_of(spoke, kinds, credits):
    """A department's kinds of contact, of all those of a month."""
    own = {name for name in kinds if name.split(":")[0] == spoke}
    basis, taken, total = contacts.costs(kinds)
    credit, credited = sum(credits.get(name, 0.0) for name in own), sum(credits.values())
    contribution = credit / credited if credited > 0 else None
    share = sum(taken[name] for name in own) / total
    felt = {}
    for what in ["score", "sentiment"]:
        here, everywhere = ([sum(it) for it in zip(*(contacts.sums(kinds[name], what) for name in names))] or [0, 0, 0]
                            for names in (own, kinds))
        felt[what] = contacts.feeling(here, everywhere)
    return {**felt, "credited": float(credit), "contribution": contribution, "cost_basis": basis, "cost_share": share,
            "net": None if contribution is None else contribution - share}


def expected_cards(con, of_contacts, of_priorities, of_alerts):
    kinds, credits = of_contacts
    priorities = {month: found for month, (_, found, *_) in of_priorities.items()}
    counts = {(row["month"], row["spoke"]): row for row in contacts.rows(con, "FROM department")}
    alerts = {}
    for alert in of_alerts:
        causes = alerts.setdefault((f"month:{alert['since'][:7]}", alert["owner"]), {})
        causes[alert["cause"]] = causes.get(alert["cause"], 0) + 1
    promised = {(row["month"], row["spoke"]): row for row in contacts.rows(con, "FROM open_promise")}
    columns = [*contacts.FELT, "bought_again", "cases_elsewhere", "csat_elsewhere"]
    table = con.execute(f"SELECT month, spoke, failed, {', '.join(columns)} FROM department_person").fetchnumpy()
    places = zip(*(np.ma.asarray(table[name]).tolist() for name in ["month", "spoke"]))
    failed = np.asarray(table["failed"]).astype(bool)
    values = {name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in columns}
    at = {}
    for index, place in enumerate(places):
        at.setdefault(place, []).append(index)
    for month, spoke in counts.keys() | alerts.keys():
        row = counts.get((month, spoke), dict.fromkeys(["touchpoints", "cases", "promises", "kept"], 0))
        persons = at.get((month, spoke), [])
        here = {name: column[persons] for name, column in values.items()}
        told = failed[persons]
        first, more = owned(priorities.get(month, {}), spoke) if row["touchpoints"] else ([], 0)
        # Of an alert alone, nothing else is said.
        part = part_of(spoke, kinds[month], credits.get(month, {})) if row["touchpoints"] else {
            "score": contacts.feeling((0, 0, 0), (0, 0, 0)), "sentiment": contacts.feeling((0, 0, 0), (0, 0, 0)), "credited": 0.0,
            "contribution": None, "cost_basis": "touchpoints", "cost_share": 0.0, "net": None}
        yield f"scorecards|{month}|spoke={escaped(spoke)}", {
            "spoke": spoke, "window": contacts.month_window(month),
            **{field: row[field] for field in ["touchpoints", "cases", "promises", "kept"]},
            **{field: promised.get((month, spoke), {}).get(field, 0) for field in ["open_promises", "overdue_promises"]}, **part,
            "cases_elsewhere": effect(here["cases_elsewhere"][told], here["cases_elsewhere"][~told], 1),
            "score_elsewhere": effect(here["csat_elsewhere"][told], here["csat_elsewhere"][~told], 1000),
            "drivers": contacts.drivers(here), "priorities": first, "other_priorities": more,
            "open_alerts": [{"cause": cause, "n": n} for cause, n in sorted(alerts.get((month, spoke), {}).items())],
        }


def check_scorecards(expected, actual, report):
    report.keys("scorecards", set(expected), set(actual))
    for key in expected.keys() & actual.keys():
        known = {"revision", "status"} | NOT_COMPUTED
        card = {name: value for name, value in actual[key].items() if name not in known}
        card["open_alerts"] = sorted(card.get("open_alerts", []), key=lambda it: it["cause"])
        customers.compare(report, "scorecards", key, "card", expected[key], card)
