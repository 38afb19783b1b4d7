"""What the parts of the check have in common: what was compared and what differed, lists by rank, places of records."""

from collections import Counter
from urllib.parse import unquote


def is_close(expected, actual, tolerance=1e-9):
    if expected is None or actual is None:
        return expected is actual
    return abs(expected - actual) <= tolerance * max(abs(expected), abs(actual), 1.0)


class Report:
    def __init__(self):
        self.found = []
        self.compared = Counter()

    def add(self, feed, key, field, expected, actual):
        self.found.append((feed, key, field, expected, actual))

    def value(self, feed, group, key, field, expected, actual, tolerance=None):
        """One field; without a tolerance it has to be the same."""
        self.compared[group] += 1
        same = expected == actual if tolerance is None else is_close(expected, actual, tolerance)
        if not same:
            self.add(feed, key, field, expected, actual)

    def keys(self, feed, expected, actual):
        for key in expected - actual:
            self.add(feed, key, "missing", None, None)
        for key in actual - expected:
            self.add(feed, key, "superfluous", None, None)


def escaped(text):
    return text.replace("%", "%25").replace("|", "%7C").replace("=", "%3D").replace("&", "%26")


def ranked(report, feed, key, field, expected, shown, other, limit, compare):
    """A list that shows the first of all candidates. `expected`: by name, (sort value, anything); `shown`: (name, record)."""
    names = [name for name, _ in shown]
    count = min(limit, len(expected))
    report.value(feed, feed, key, f"{field}: how many", count, len(shown))
    if other is not None:
        report.value(feed, feed, key, f"{field}_other.kinds", len(expected) - count, other)
    for name, record in shown:
        if name not in expected:
            report.add(feed, key, f"{field} {name}", None, record)
        else:
            compare(name, expected[name][1], record)
    order = [expected[name][0] for name in names if name in expected]
    if any(later > earlier + 1e-9 for earlier, later in zip(order, order[1:])):
        report.add(feed, key, f"{field}: order", "descending", order)
    left = [value for name, (value, _) in expected.items() if name not in set(names)]
    if left and order and max(left) > min(order) + 1e-9:
        report.add(feed, key, f"{field}: left out", max(left), min(order))


def check_place(report, feed, key, subject, record):
    """What a record says that it is about, which its key says too."""
    _, window, parts = key.split("|")
    named = dict(part.split("=") for part in parts.split("&"))
    year, month = map(int, window.removeprefix("month:").split("-"))
    past = f"{year + month // 12}-{month % 12 + 1:02}-01"
    for field, expected, found in [
        (subject, named[subject], record[subject]),
        ("window", {"kind": "month", "start": f"{year}-{month:02}-01", "end": past}, record["window"]),
        ("dimension", "segment" if "segment" in named else "company", record["dimension"]),
        ("dimension_value", unquote(named.get("segment", "")), record["dimension_value"]),
    ]:
        report.value(feed, feed, key, field, expected, found)
