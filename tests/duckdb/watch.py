"""Weeks of metrics outside their usual range: values from SQL, the test from here."""

import math

import numpy as np
from scipy import stats

import analyses

WEEKS_BACK = 52
WEEKS = 12
WEEKS_MIN = 8
OBSERVATIONS_MIN = 30
GRACE_DAYS = 1
COUNTS = {"new_customers", "revenue", "orders", "reach", "overdue", "unanswered"}
# Of these a count scatters by the root of its mean.
EVENTS = COUNTS - {"revenue"}
# How many days after its end something can still count in a week.
SETTLES_AFTER = {"first_contact_resolution": 7, "conversion": 7, "repurchase_30": 30, "content_credibility": 30,
                 "repurchase_60": 60, "repurchase_90": 90}
Z = stats.norm.ppf(0.9995)
# How the test is named to whoever reads of an alert.
TEST = ("outside the 99.9 % prediction interval of the usual weeks before it (Student's t), and more than 3.29 standard errors "
        "of its own from their mean")
STUDENT = {k: stats.t.ppf(0.9995, k - 1) for k in range(WEEKS_MIN, WEEKS + 1)}


def own_errors(table):
    """The standard error of each value: its own, or the half of its interval by 1.96."""
    successes, trials, error = (np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan)
                                for name in ["successes", "trials", "standard_error"])
    has = ~np.isnan(successes) & (trials > 0) & (successes >= 0) & (successes <= trials)
    low, high = analyses.wilson(successes[has], trials[has])
    error[has] = 100 * (high - low) / (2 * analyses.Z)
    return error


def judge(metric, weeks, last):
    """The figures of the last week if it is outside its range, and the first week of the run that ends with it. A week is usual if
    it is in the range of those before it that were usual, as seen from `WEEKS_BACK` weeks before the last one."""
    begun = min((week for week in weeks if week >= last - 7 * WEEKS_BACK), default=last)
    usual, run = [], None
    for week in range(begun, last + 1, 7):
        value, n, error = weeks.get(week, (0.0, 0, None) if metric in COUNTS else (None, 0, None))
        unusual = None
        if value is not None and (metric in COUNTS or n >= OBSERVATIONS_MIN):
            before = usual[-WEEKS:]
            k = len(before)
            if k >= WEEKS_MIN:
                mean = math.fsum(before) / k
                scatter = math.sqrt(math.fsum((it - mean) ** 2 for it in before) / (k - 1))
                own = math.sqrt(mean) if metric in EVENTS else 0.0 if error is None else error
                half = max(STUDENT[k] * scatter * math.sqrt(1 + 1 / k), Z * own)
                if half > 0 and abs(value - mean) > half:
                    unusual = {"value": value, "n": n, "usual_low": mean - half, "usual_high": mean + half, "mean": mean, "windows": k}
            if unusual is None:
                usual.append(value)
        run = unusual and (unusual, run[1] if run else week)
    return run


def expected_alerts(con):
    """What is open about metrics: each with the day since when, its newest week, and figures."""
    table = con.execute(
        """SELECT metric, currency, dim, dim_value, first, n, value, standard_error, successes, trials FROM figure
        WHERE kind = 'week' AND others = 0 AND metric NOT IN ('data_quality', 'customer_value', 'acquisition_cost')
            AND dim NOT IN ('campaign', 'account')"""
    ).fetchnumpy()
    names = [np.ma.asarray(table[name]).tolist() for name in ["metric", "currency", "dim", "dim_value"]]
    first, n, value = (np.ma.asarray(table[name]).tolist() for name in ["first", "n", "value"])
    errors = [None if math.isnan(error) else error for error in own_errors(table).tolist()]
    series = {}
    for at, name in enumerate(zip(*names)):
        series.setdefault(name, {})[first[at]] = (value[at], n[at], errors[at])
    (last_closed,) = con.execute("SELECT last_closed FROM clock").fetchone()
    found = []
    for (metric, currency, dim, of), weeks in series.items():
        wait = SETTLES_AFTER.get(metric, 0)
        # The newest week that is over, and whose grace is; 1970-01-05 was a Monday.
        past = last_closed + 1 - GRACE_DAYS - wait
        last = past - (past - 4) % 7 - 7
        run = judge(metric, weeks, last)
        if run:
            figures, begun = run
            found.append({"metric": {"id": metric, "dimension": dim, "dimension_value": of, "currency": currency}, "week": last,
                          "since": begun + 7 + wait + GRACE_DAYS - 1, "owner": of if dim == "spoke" else "company",
                          "figures": {name: float(number) for name, number in figures.items()}})
    return found
