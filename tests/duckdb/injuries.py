"""Feeds that are right in, feeds with one wrong thing at many keys out: a check that does not report each of them is none."""

import copy
import sys

import customers

FIELDS = {
    "n": "n + 1", "numerator": "numerator - 1", "denominator": "denominator + 1", "unit": "unit || 's'",
    "currency": "'XTS'", "value": "value + 3e-9 * greatest(abs(value), 1)", "standard_error": "standard_error * (1 + 1e-6) + 1e-8",
    "interval_low": "interval_low + 1e-6", "interval_high": "interval_high - 1e-6",
    "other_values": "other_values + 1",
    "p50": "p50 * 1.03 + 1e-3", "p90": "p90 * 1.03 + 1e-3", "p99": "p99 * 1.03 + 1e-3",
}


FULLEST = [("catalogue", lambda it: it["spend"]["parameters"]), ("scorecards", lambda it: True),
           ("alerts", lambda it: it["metric"]), ("alerts", lambda it: it["person"])]


def injure_metrics(con):
    """Each field of each metric at a key of its own; one value of each metric goes, one comes. Returns what must be reported."""
    wrong = set()
    used = set()

    def victims(metric, condition):
        rows = con.execute(f"SELECT key FROM actual WHERE metric = ? AND ({condition}) ORDER BY hash(key) LIMIT 40", [metric])
        free = [key for (key,) in rows.fetchall() if key not in used]
        used.update(free[:1])
        return free[:1]

    for (metric,) in con.execute("SELECT DISTINCT metric FROM expected ORDER BY metric").fetchall():
        for field, changed in FIELDS.items():
            if (metric, field) == ("data_quality", "n"):
                continue
            for key in victims(metric, f"{field} IS NOT NULL"):
                con.execute(f"UPDATE actual SET {field} = {changed} WHERE key = ?", [key])
                wrong.add((key, field))
        for key in victims(metric, "len(map_keys(details)) > 0 AND metric <> 'data_quality'"):
            name = con.execute("SELECT map_keys(details)[1] FROM actual WHERE key = ?", [key]).fetchone()[0]
            con.execute("""UPDATE actual SET details = map_from_entries(list_transform(map_entries(details),
                lambda it: {k: it.key, v: CASE WHEN it.key = ? THEN it.value + 1e-6 * greatest(abs(it.value), 1) ELSE it.value END})) WHERE key = ?""", [name, key])
            wrong.add((key, f"details.{name}"))
        for key in victims(metric, "denominator > 0"):
            con.execute("DELETE FROM actual WHERE key = ?", [key])
            wrong.add((key, "missing"))
        for key in victims(metric, "denominator > 0"):
            con.execute("INSERT INTO actual SELECT * REPLACE (key || '-again' AS key) FROM actual WHERE key = ?", [key])
            wrong.add((f"{key}-again", "superfluous"))
    return wrong


def places_of(record):
    """Where a record has numbers, and where it has texts."""
    numbers, texts = [], []

    def walk(value):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in items:
            # Ids are hashes: of an alert its key says whether it is right, of a priority nothing here.
            # The caveat is a sentence; what arrived is not compared.
            if name in ("revision", "window", "status", "caveat", "data_quality") or (name == "id" and "rank" in value):
                continue
            # Where the likelihood is flat, another place is as good.
            if name == "parameters" and value["convergence"] != "converged":
                continue
            if isinstance(inner, (dict, list)):
                walk(inner)
            elif isinstance(inner, str):
                texts.append((value, name))
            elif isinstance(inner, (int, float)) and not isinstance(inner, bool):
                numbers.append((value, name))

    walk(record)
    return numbers, texts


def injure_record(record, number):
    """Makes one number of a record wrong, of every third one text, each time another one. Returns whether it found one."""
    numbers, texts = places_of(record)
    places = texts if number % 3 == 0 or not numbers else numbers
    if not places:
        return False
    injure(*places[number * 7 % len(places)])
    return True


def injure(holder, name):
    if isinstance(holder[name], str):
        holder[name] += "x"
    else:
        # Percentiles may be one in a hundred off. Whatever the number is, it becomes another one.
        holder[name] += 1 + abs(holder[name]) / 20 if isinstance(holder[name], float) else 1


def injure_all_over(feeds, compare):
    """Of the feeds with few records, every number and text of the fullest record, one after the other. Returns how many."""
    count = 0
    for (feed, records), is_one in [((feed, feeds[feed]), is_one) for feed, is_one in FULLEST]:
        numbered = [(sum(map(len, places_of(record))), key) for key, record in records.items() if is_one(record)]
        if not numbered:
            sys.exit(f"no record of {feed} to injure")
        places, key = max(numbered)
        for place in range(places):
            injured = copy.deepcopy(records[key])
            numbers, texts = places_of(injured)
            injure(*(numbers + texts)[place])
            if not compare[feed](key, records[key], injured):
                sys.exit(f"unnoticed: {feed} {key}, number or text {place}: {injured}")
        count += places
    return count


def prove(con, expected, feeds, check, compare):
    """Ends the script unless everything that is made wrong is reported, and nothing else."""
    all_over = injure_all_over(feeds, compare)
    con.execute("BEGIN")
    wrong = {("metrics", *it) for it in injure_metrics(con)}
    injured = copy.deepcopy(feeds)
    for feed, records in injured.items():
        for number, key in enumerate(sorted(records)):
            alert = customers.alert_name(records[key]) if feed == "alerts" else None
            if number % 10 == 8:
                del records[key]
                wrong.add((feed, alert or key, "missing"))
                continue
            elif number % 10 == 9:
                records[f"{key}-again"] = records[key]
                wrong.add((feed, f"{key}-again", "superfluous"))
                continue
            elif not injure_record(records[key], number):
                continue
            if alert and alert != customers.alert_name(records[key]):
                # Another alert is there instead.
                wrong |= {(feed, alert, "missing"), (feed, key, "superfluous")}
            else:
                wrong.add((feed, key, "wrong"))
    found = set()
    for feed, key, field, *_ in check(con, expected, injured).found:
        is_of_metrics = feed == "metrics" or field in ("missing", "superfluous")
        found.add((feed, key, field if is_of_metrics else "wrong"))
    con.execute("ROLLBACK")
    unnoticed, invented = sorted(wrong - found, key=str), sorted(found - wrong, key=str)
    if unnoticed or invented:
        sys.exit(f"unnoticed: {unnoticed[:20]}\nreported though right: {invented[:20]}")
    print(f"{len(wrong) + all_over} injuries, each reported and nothing else")
