"""What is said of each customer, and the alerts that are open: from SQL, but for the rhythm in which somebody buys and metrics."""

import datetime
import json
import math
from collections import Counter

import numpy as np

import watch
from contacts import rows

# A rhythm is that of so many purchases, the newest.
PURCHASES = 16
LAPSE_DAYS_MIN = 14
EPOCH = datetime.datetime(1970, 1, 1)


def instant(ms):
    return (EPOCH + datetime.timedelta(milliseconds=ms)).isoformat(timespec="milliseconds") + "Z"


def date(day):
    return str(np.datetime64(day, "D"))


def by_person(con, query):
    found = {}
    for row in rows(con, query):
        found.setdefault(row["person"], []).append(row)
    return found


# What a rhythm is made of; a renewal is never taken back.
PAID = """SELECT person, placed, cancelled, day, spoke FROM buying
          UNION ALL SELECT person, pos, NULL, day, spoke FROM touch WHERE kind = 'subscription_renewed'"""


def rhythm(purchases):
    """How somebody buys, of purchases and renewals in their order: the newest sixteen that were known at each time, less what is
    cancelled."""
    happens = sorted([(it["placed"], it) for it in purchases] + [(it["cancelled"], None) for it in purchases if it["cancelled"]],
                     key=lambda one: one[0])
    known = []
    for position, purchase in happens:
        if purchase is None:
            known = [it for it in known if it["cancelled"] != position]
        else:
            known = (known + [purchase])[-PURCHASES:]
    days = sorted({it["day"] for it in known})
    if len(days) < 3:
        return None
    gaps = np.diff(days)
    limit = max(math.ceil(gaps.mean() + 2 * gaps.std(ddof=1) - 1e-9), LAPSE_DAYS_MIN)
    return {"days": len(days), "mean": float(gaps.mean()), "limit": limit, "lapses_on": days[-1] + limit + 1,
            "owner": known[-1]["spoke"]}


def bought(purchases):
    """By day, what was not cancelled."""
    days = {}
    for it in purchases:
        if it["cancelled"] is None:
            days.setdefault(it["day"], []).append(it["amount"])
    if not days:
        return None
    paid = [sum(amount for amount in amounts if amount is not None)
            for day, amounts in sorted(days.items())[1:] if any(amount is not None for amount in amounts)]
    return {"first_on": date(min(days)), "last_on": date(max(days)), "days": len(days), "repeat_paid_days": len(paid),
            "repeat_paid": sum(paid)}


def summary(n, total, last):
    return {"n": n, "last": last, "mean": total / n}


def expected_customers(con):
    tallies, answers = by_person(con, "FROM tally"), by_person(con, "FROM answers")
    purchases, paid, ways = (by_person(con, query) for query in ["FROM buying", PAID, "FROM way"])
    named = by_person(con, "FROM named")
    (last_closed,) = con.execute("SELECT last_closed FROM clock").fetchone()
    for row in rows(con, "FROM customer"):
        person = row["person"]
        numbers = {what: {} for what in ["touchpoints_by_spoke", "touchpoints_by_kind", "touchpoints_by_channel", "revenue",
                                         "monetary_value"]}
        for it in tallies.get(person, []):
            numbers[it["what"]][it["word"]] = it["number"]
        found = rhythm(paid.get(person, []))
        yield row["person_id"], numbers | {
            "person": row["person_id"], "first_seen": instant(row["first_seen"]), "last_seen": instant(row["last_seen"]),
            "identifiers": {it["type"]: it["values"] for it in named.get(person, [])},
            "touchpoints": row["touchpoints"], "phase": row["phase"], "orders": row["orders"], "frequency": row["frequency"],
            "open_cases": row["open_cases"],
            "scores": {it["scale"]: summary(it["n"], it["total"], it["last"]) for it in answers.get(person, [])},
            "sentiment": summary(row["sentiment_n"], row["sentiment_sum"], row["sentiment_last"]) if row["sentiment_n"] else None,
            **{field: {"n": row[of], "mean_seconds": row[f"{of}_ms"] / row[of] / 1000 if row[of] else None}
               for field, of in [("first_response_time", "replied"), ("resolution_time", "resolved")]},
            "deliveries_on_time": row["on_time"], "deliveries_late": row["late"], "open_promises": row["open_promises"],
            "overdue_promises": row["overdue"], "contacts_30_days": row["contacts_30_days"],
            "journey": ways[person][0]["steps"] if person in ways else [],
            "segment": row["segment"], "region": row["region"], "account": row["account"],
            "buying": bought(purchases.get(person, [])),
            "rhythm": found and {"days": found["days"], "mean_gap_days": found["mean"], "limit_days": found["limit"],
                                 "lapses_on": date(found["lapses_on"]), "lapsed": found["lapses_on"] <= last_closed},
        }


def compare(report, feed, key, field, expected, found):
    """Whatever it holds: floats to 1e-9, all else exactly."""
    if isinstance(expected, dict) and isinstance(found, dict):
        if expected.keys() != found.keys():
            report.value(feed, feed, key, f"{field}: names", sorted(expected), sorted(found))
        for name in expected.keys() & found.keys():
            compare(report, feed, key, f"{field}.{name}", expected[name], found[name])
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for at, (one, other) in enumerate(zip(expected, found)):
            compare(report, feed, key, f"{field}[{at}]", one, other)
    elif isinstance(expected, float):
        report.value(feed, feed, key, field, expected, found, 1e-9)
    else:
        report.value(feed, feed, key, field, expected, found)


def check_customers(expected, actual, report):
    report.keys("customers", set(expected), set(actual))
    for key in expected.keys() & actual.keys():
        # What comes later belongs to who writes it: every field that this script computes has to be there.
        for field, value in expected[key].items():
            compare(report, "customers", key, field, value, actual[key].get(field, "no such field"))


def expected_alerts(con):
    """What is open, without its id."""
    (last_closed,) = con.execute("SELECT last_closed FROM clock").fetchone()
    persons = dict(con.execute("SELECT person, person_id FROM customer").fetchall())
    found = rows(con, "FROM open_alert")
    for person, paid in by_person(con, PAID).items():
        own = rhythm(paid)
        if own and own["lapses_on"] <= last_closed:
            figures = {"purchase_days": own["days"], "mean_gap_days": own["mean"], "limit_days": own["limit"]}
            found.append({"cause": "customer_lapsed", "person": person, "thing": None, "about": None, "since": own["lapses_on"],
                          "owner": own["owner"], "happened_at": None, "figures": figures})
    alerts = []
    for it in found:
        thing = it["thing"] and {"type": it["thing"], "value": it["about"]}
        happened_at = it["happened_at"] if it["happened_at"] is None else instant(it["happened_at"])
        alerts.append({"cause": it["cause"], "person": persons[it["person"]], "metric": None, "thing": thing, "owner": it["owner"],
                       "since": date(it["since"]), "happened_at": happened_at,
                       "figures": {name: float(value) for name, value in it["figures"].items()}})
    for it in watch.expected_alerts(con):
        window = {"kind": "week", "start": date(it["week"]), "end": date(it["week"] + 7)}
        alerts.append({"cause": "metric_unusual", "person": "", "metric": it["metric"] | {"window": window}, "thing": None,
                       "owner": it["owner"], "since": date(it["since"]), "happened_at": None, "figures": it["figures"]})
    return alerts


def check_alerts(expected, actual, report):
    """An alert's id is a hash that is not computed here: it is the key's first part, and no two have one. All else says which it is."""
    times = Counter(alert_name(alert) for alert in expected)
    wanted = {alert_name(alert): alert["figures"] for alert in expected}
    named = {}
    for key in sorted(actual):
        named.setdefault(alert_name(actual[key]), []).append(key)
    for name, n in times.items():
        for _ in range(len(named.get(name, [])), n):
            report.add("alerts", name, "missing", None, None)
    for name, keys in named.items():
        for key in keys[times[name]:]:
            report.add("alerts", key, "superfluous", None, None)
        for key in keys[:times[name]]:
            it = actual[key]
            report.compared[f"alerts {it['cause']}"] += 1
            report.value("alerts", "alerts", key, "id", key, "|".join(part for part in [it["id"], it["person"]] if part))
            told = (it["state"], it["acknowledged_by"], it["acknowledged_at"])
            report.value("alerts", "alerts", key, "state", ("open", None, None), told)
            test = watch.TEST if it["cause"] == "metric_unusual" else None
            report.value("alerts", "alerts", key, "test", test, it["test"])
            compare(report, "alerts", key, "figures", wanted[name], it["figures"])


def alert_name(it):
    """What an alert is, in words."""
    thing = it["thing"] and f"{it['thing']['type']}={it['thing']['value']}"
    metric = it["metric"] and json.dumps(it["metric"], sort_keys=True)
    return " ".join(str(part) for part in [it["cause"], it["person"], metric, thing, it["owner"], it["since"], it["happened_at"]])
