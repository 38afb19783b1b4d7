"""How customers buy, fitted: histories from SQL, likelihoods, their slopes and curvatures from here."""

import numpy as np
from scipy import optimize
from scipy.special import gammaln

import analyses
from contacts import month_window
from report import is_close

PERSONS_MIN = 30
# The newest months are fitted anew; of all others it is looked whether the hub's parameters are a top of the likelihood.
FITTED_ANEW = 2
LETTERS = {"purchases": ["r", "alpha", "a", "b"], "spend": ["p", "q", "nu"]}
UNITS = {"alpha": "weeks", "nu": "minor_units"}
WIDTH_MAX = 14


def rise(x, more):
    """ln Γ(x + more) − ln Γ(x), with its digits where x is so large that both are nearly the same (Stirling's series)."""
    if x < 50:
        return gammaln(x + more) - gammaln(x)
    series = lambda z: 1 / (12 * z) - 1 / (360 * z**3) + 1 / (1260 * z**5)
    return (x + more - 0.5) * np.log1p(more / x) + more * (np.log(x) - 1) + series(x + more) - series(x)


def buying(counts):
    """BG/NBD: the logarithm of the likelihood of all, by the logarithms of the parameters (Fader, Hardie, Lee 2005, equation 6).
    `counts`: repeats, the week of the last, days until now, customers."""
    x, last, age, n = counts
    # The middle of its week.
    last, age = np.where(last > 0, np.minimum(7 * last - 3, age), 0) / 7, age / 7

    def likelihood(logarithms):
        r, alpha, a, b = np.exp(logarithms)
        # r·ln α and (r + x)·ln(α + T) would be millions where customers hardly differ.
        common = rise(r, x) - x * np.log(alpha)
        stayed = rise(b, x) - rise(a + b, x) - (r + x) * np.log1p(age / alpha)
        before = np.maximum(x, 1) - 1
        dropped = np.log(a / (a + b)) + rise(b, before) - rise(a + b + 1, before) - (r + x) * np.log1p(last / alpha)
        return float(np.sum(n * (common + np.logaddexp(stayed, np.where(x > 0, dropped, -np.inf)))))

    return likelihood


def spending(counts):
    """Gamma-Gamma (Fader, Hardie 2013). `counts`: repeats, total in minor units, customers."""
    x, total, n = counts
    mean = total / x

    def likelihood(logarithms):
        p, q, nu = np.exp(logarithms)
        return float(np.sum(n * (rise(q, p * x) - gammaln(p * x) + p * x * np.log(x / nu) + (p * x - 1) * np.log(mean)
                                 - (p * x + q) * np.log1p(total / nu))))

    return likelihood


def slope(likelihood, at, step=1e-3):
    return np.array([(8 * (likelihood(at + s) - likelihood(at - s)) - likelihood(at + 2 * s) + likelihood(at - 2 * s)) / (12 * step)
                     for s in np.eye(len(at)) * step])


def curvature(likelihood, at, step=1e-2):
    found = np.array([(slope(likelihood, at + s, step) - slope(likelihood, at - s, step)) / (2 * step) for s in np.eye(len(at)) * step])
    return -(found + found.T) / 2


def errors_at(likelihood, at):
    """The standard errors of the logarithms of parameters; infinite where the likelihood is flat."""
    try:
        variances = np.diag(np.linalg.inv(curvature(likelihood, at)))
    except np.linalg.LinAlgError:
        return np.full(len(at), np.inf)
    return np.sqrt(np.where(variances > 0, variances, np.inf))


def classes(repeats, totals):
    """Totals in classes of 64 to a power of two, those below 128 by themselves, of each number of repeats: each taken for the mean of
    its class, rounded to a minor unit."""
    magnitude = np.abs(totals)
    shift = np.maximum(np.floor(np.log2(np.maximum(magnitude, 1))).astype(int) - 6, 0)
    of = np.stack([repeats, np.sign(totals) * (shift * 64 + (magnitude >> shift))], axis=1)
    names, inverse, n = np.unique(of, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros(len(names), dtype=np.int64)
    np.add.at(sums, inverse.ravel(), totals)
    return names[:, 0], (sums + n // 2) // n, n


def expected_fits(con):
    table = con.execute("FROM bought_by").fetchnumpy()
    months = np.ma.asarray(table["month"]).tolist()
    columns = {name: np.asarray(table[name], dtype=np.int64) for name in ["repeats", "last", "age", "paid", "total"]}
    by_month = {}
    for index, month in enumerate(months):
        by_month.setdefault(month, []).append(index)
    expected = {}
    for month, index in by_month.items():
        of = {name: column[index] for name, column in columns.items()}
        history, n = np.unique(np.stack([of["repeats"], of["last"], of["age"]], axis=1), axis=0, return_counts=True)
        has_paid = of["paid"] > 0
        spent = classes(of["paid"][has_paid], of["total"][has_paid])
        known = [column[spent[1] > 0] for column in spent]
        expected[f"parameters|{month}|model=buying"] = {
            "month": month, "customers": len(index), "repeat_buyers": int((of["repeats"] > 0).sum()),
            "purchases": {"n": len(index), "left_out": 0, "is_fitted": (of["repeats"] > 0).sum() >= PERSONS_MIN, "correlation": None,
                          "likelihood": buying([*history.T.astype(float), n])},
            "spend": {"n": int(known[2].sum()), "left_out": int(spent[2].sum() - known[2].sum()),
                      "is_fitted": known[2].sum() >= PERSONS_MIN, "correlation": weighted_correlation(known),
                      "likelihood": spending([it.astype(float) for it in known])},
        }
    newest = sorted(expected)[-FITTED_ANEW:]
    for key in newest:
        for model in LETTERS:
            it = expected[key][model]
            if it["is_fitted"]:
                it["best"] = best(it["likelihood"], model, it["n"])
    return expected


def weighted_correlation(known):
    x, total, n = (it.astype(float) for it in known)
    if n.sum() < PERSONS_MIN:
        return None
    mean = total / x
    dx, dy = x - np.average(x, weights=n), mean - np.average(mean, weights=n)
    scatter = np.sqrt(np.sum(n * dx * dx) * np.sum(n * dy * dy))
    return float(np.sum(n * dx * dy) / scatter) if scatter > 0 else None


def best(likelihood, model, n):
    """Where the likelihood is greatest, from a usual place on, without knowing what the hub found."""
    start = np.log([1.0, 10.0, 1.0, 3.0] if model == "purchases" else [5.0, 5.0, 5000.0])
    found = optimize.minimize(lambda at: -likelihood(at) / n, start, jac=lambda at: -slope(likelihood, at) / n, method="BFGS",
                              options={"gtol": 1e-9, "maxiter": 500})
    return found.x, likelihood(found.x)


def check_fits(expected, actual, report):
    report.keys("catalogue", set(expected), set(actual))
    for key in expected.keys() & actual.keys():
        wanted, record = expected[key], actual[key]

        def same(field, value, found, tolerance=None, key=key):
            report.value("catalogue", "catalogue", key, field, value, found, tolerance)

        for field, value in [("window", month_window(wanted["month"])), ("currency", "EUR"), ("customers", wanted["customers"]),
                             ("repeat_buyers", wanted["repeat_buyers"]), ("n_min", PERSONS_MIN)]:
            same(field, value, record[field])
        for model, letters in LETTERS.items():
            check_model(model, letters, wanted[model], record[model], same, report)


def check_model(model, letters, wanted, record, same, report):
    for field in ["n", "left_out"]:
        same(f"{model} {field}", wanted[field], record[field])
    if not wanted["is_fitted"]:
        same(f"{model}: nothing", ("too_few", None, None, []), tuple(
            record[field] for field in ["convergence", "log_likelihood", "frequency_correlation", "parameters"]))
        return
    same(f"{model} frequency_correlation", wanted["correlation"], record["frequency_correlation"], 1e-9)
    named = [(it["name"], it["unit"]) for it in record["parameters"]]
    same(f"{model} parameters", [(name, UNITS.get(name, "")) for name in letters], named)
    if len(record["parameters"]) != len(letters):
        return
    values = np.array([it["value"] for it in record["parameters"]])
    if (values <= 0).any():
        same(f"{model} parameters: above zero", True, False)
        return
    at, likelihood = np.log(values), wanted["likelihood"]
    report.compared[f"likelihoods of {model}"] += 1
    same(f"{model} log_likelihood", likelihood(at), record["log_likelihood"], 1e-9)
    if record["convergence"] != "converged":
        same(f"{model} convergence", True, record["convergence"] in ("undetermined", "unfinished"))
        if "best" in wanted:
            place, top = wanted["best"]
            missing = abs(top - likelihood(at))
            is_near = missing <= 1e-3 or f"{record['convergence']}, {missing:.3g} less likely at {values} than at {np.exp(place)}"
            same(f"{model}: nearly as likely as can be", True, is_near)
            # Were they known within a fifth, the hub would have to know them.
            same(f"{model}: undetermined", True, not (errors_at(likelihood, place) < 0.2).all())
        for it in record["parameters"]:
            ends = (it["standard_error"], it["interval_low"], it["interval_high"])
            same(f"{model} {it['name']}: no interval", (None, None, None), ends)
        return
    report.compared[f"fits of {model}"] += 1
    steepest = float(np.abs(slope(likelihood, at)).max()) / wanted["n"]
    same(f"{model}: at the top", True, steepest < 2e-6)
    errors = errors_at(likelihood, at)
    for it, value, error in zip(record["parameters"], values, errors):
        # Both are curvatures by differences: one of an interval wider than e^±14 would be rounding.
        same(f"{model} {it['name']}: known at all", True, analyses.Z * it["standard_error"] / value <= WIDTH_MAX)
        same(f"{model} {it['name']} standard_error", True, is_close(1.0, it["standard_error"] / (value * error), 5e-3))
        report.compared[f"standard errors of {model}"] += 1
        # Symmetric in the logarithm.
        own = analyses.Z * it["standard_error"] / value
        same(f"{model} {it['name']} interval_low", float(value * np.exp(-own)), it["interval_low"], 1e-9)
        same(f"{model} {it['name']} interval_high", float(value * np.exp(own)), it["interval_high"], 1e-9)
    if "best" in wanted:
        place, top = wanted["best"]
        same(f"{model}: as likely as can be", True, abs(top - likelihood(at)) <= 1e-6)
        for name, own, found in zip(letters, np.exp(place), values):
            same(f"{model} {name}: as fitted anew", True, abs(found / own - 1) < 0.01)
