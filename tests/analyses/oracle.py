#!/usr/bin/env python3
"""Seeded inputs in, what the analyses must say about them out: tests/fixtures/analyses.json.

Each number is computed here by another way than the product's: from raw samples instead of sums, by solving the chain again for
each removal, by NumPy's eigenvectors, by SciPy's and statsmodels' functions, by the package `lifetimes`. Run it again only when
an analysis changes its meaning:

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 statsmodels==0.15.0 lifetimes==0.11.3
    venv/bin/python tests/analyses/oracle.py > tests/fixtures/analyses.json
"""

import json
import sys

import numpy as np
from lifetimes import BetaGeoFitter, GammaGammaFitter
from lifetimes.datasets import load_cdnow_summary, load_cdnow_summary_data_with_monetary_value
from scipy import stats
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint


def shares():
    cases = []
    for a1, n1, a2, n2 in [
        (56, 70, 48, 80), (9, 10, 3, 10), (10, 10, 0, 10), (0, 30, 0, 40), (1, 1000, 30, 40), (500, 100000, 700, 90000),
        (30, 30, 31, 31), (17, 33, 29, 71),
    ]:
        low, high = confint_proportions_2indep(a1, n1, a2, n2, method="newcomb", compare="diff")
        wilson = proportion_confint(a1, n1, method="wilson")
        cases.append({"first": [a1, n1], "second": [a2, n2], "value": a1 / n1 - a2 / n2, "low": low, "high": high,
                      "wilson": list(wilson)})
    return cases


def means(random):
    cases = []
    for n1, n2, spread1, spread2 in [(2, 2, 3, 9), (5, 40, 2, 7), (30, 30, 10, 1), (300, 800, 5, 5), (40, 9000, 1, 4)]:
        first = np.rint(random.normal(50, spread1, n1)).astype(int)
        second = np.rint(random.normal(52, spread2, n2)).astype(int)
        test = stats.ttest_ind(first, second, equal_var=False)
        interval = test.confidence_interval(0.95)
        cases.append({
            "first": [int(n1), int(first.sum()), int((first**2).sum())],
            "second": [int(n2), int(second.sum()), int((second**2).sum())],
            "value": float(first.mean() - second.mean()), "low": float(interval.low), "high": float(interval.high)})
    return cases


def students():
    return [[f, float(stats.t.ppf(0.975, f))]
            for f in [1, 1.5, 2, 3.7, 10, 29, 29.5, 60.25, 120, 199.9, 200, 201.5, 1000, 1e6, 1e9]]


def chance(paths, removed=None):
    """P(conversion) of the chain that the paths make, with one step leading to NULL."""
    steps = sorted({step for path, _, _ in paths for step in path})
    at = {step: i for i, step in enumerate(steps)}
    size = len(steps)
    counts = np.zeros((size + 1, size + 2))  # the last row is START; the last columns are CONVERSION and NULL
    for path, converted, n in paths:
        places = [size] + [at[step] for step in path]
        for here, there in zip(places, places[1:]):
            counts[here, there] += n
        counts[places[-1], size if converted else size + 1] += n
    chances = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    if removed is not None:
        chances[at[removed]] = 0
        chances[at[removed], size + 1] = 1
    to_steps = np.linalg.solve(np.eye(size) - chances[:size, :size], chances[:size, size])
    return float(chances[size, :size] @ to_steps + chances[size, size])


def attribution(random):
    cases = []
    for steps, journeys, longest in [(3, 40, 4), (7, 150, 9), (25, 400, 14)]:
        pull = random.dirichlet(np.ones(steps))
        raw = {}
        for _ in range(journeys):
            path = []
            for _ in range(random.integers(0, longest + 1)):
                step = f"s{random.choice(steps, p=pull)}"
                if not path or path[-1] != step:
                    path.append(step)
            converted = bool(random.random() < 0.15 + 0.4 * ("s1" in path))
            key = (tuple(path), converted)
            raw[key] = raw.get(key, 0) + 1
        paths = [(list(path), converted, n) for (path, converted), n in sorted(raw.items())]
        names = sorted({step for path, _, _ in paths for step in path})
        whole = chance(paths)
        effects = {step: 1 - chance(paths, step) / whole for step in names}
        credited = sum(n for path, converted, n in paths if converted and path)
        rules = {step: {"first": 0.0, "last": 0.0, "linear": 0.0, "position": 0.0} for step in names}
        for path, converted, n in paths:
            if not converted or not path:
                continue
            rules[path[0]]["first"] += n
            rules[path[-1]]["last"] += n
            length = len(path)
            weights = {1: [1.0], 2: [0.5, 0.5]}.get(length) or [0.4] + [0.2 / (length - 2)] * (length - 2) + [0.4]
            for step, weight in zip(path, weights):
                rules[step]["linear"] += n / length
                rules[step]["position"] += n * weight
        cases.append({
            "paths": paths, "chance": whole, "credited": credited,
            "steps": {step: {**rules[step], "effect": effects[step],
                             "markov": effects[step] / sum(effects.values()) * credited} for step in names}})
    return cases


def relative_weights(matrix, r):
    """Johnson (2000), by NumPy's eigenvectors."""
    values, vectors = np.linalg.eigh(matrix)
    closest = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    beta = np.linalg.solve(closest, r)
    return (closest**2) @ (beta**2)


def drivers(random):
    """Persons with gaps: three drivers that go together, one that is constant, one that nearly nobody has, and an outcome."""
    persons, rows = 400, []
    common = random.normal(size=persons)
    for at in range(persons):
        csat = int(np.clip(round(3 + common[at] + random.normal()), 1, 5))
        hours = int(round(50 - 20 * common[at] + 15 * random.normal()))
        contacts = int(max(0, round(2 - common[at] + random.normal())))
        bought = int(random.random() < 1 / (1 + np.exp(-1.2 * common[at] + 0.4 * contacts)))
        row = [csat, hours * 3_600_000, contacts, 7, 5 if at < 20 else None, bought]
        rows.append([value if value is not None and (random.random() > gap) else None
                     for value, gap in zip(row, [0.3, 0.1, 0.0, 0.0, 0.0, 0.0])])
    names = range(3)

    def pair(i, j):
        both = [(row[i], row[j]) for row in rows if row[i] is not None and row[j] is not None]
        found = stats.pearsonr([float(x) for x, _ in both], [float(y) for _, y in both])
        interval = found.confidence_interval(0.95)
        return {"i": i, "j": j, "n": len(both), "r": float(found.statistic),
                "low": float(interval.low), "high": float(interval.high)}

    pairs = [pair(i, 5) for i in names] + [pair(i, j) for i in names for j in names if i < j]
    matrix = np.eye(3)
    for it in pairs[3:]:
        matrix[it["i"], it["j"]] = matrix[it["j"], it["i"]] = it["r"]
    r = np.array([it["r"] for it in pairs[:3]])
    weights = relative_weights(matrix, r)
    assert np.isclose(weights.sum(), r @ np.linalg.solve(matrix, r))
    return {"persons": rows, "pairs": pairs, "weights": weights.tolist(), "r_squared": float(weights.sum())}


def repaired(random):
    """Three measures of which each pair was asked of other people, so that their correlations contradict each other."""
    rows, sample = [], random.normal(size=(3, 60))
    for (i, j, sign), noise in zip([(0, 1, 1), (0, 2, 1), (1, 2, -1)], sample):
        for value in noise:
            row = [None, None, None]
            row[i] = int(round(1000 * value))
            row[j] = sign * row[i] + int(round(300 * random.normal()))
            rows.append(row)
    matrix = np.eye(3)
    for i, j in [(0, 1), (0, 2), (1, 2)]:
        both = np.array([(row[i], row[j]) for row in rows if row[i] is not None and row[j] is not None], dtype=float)
        matrix[i, j] = matrix[j, i] = np.corrcoef(both.T)[0, 1]
    values, vectors = np.linalg.eigh(matrix)
    assert values[0] < 0
    raised = vectors @ np.diag(np.maximum(values, 1e-6)) @ vectors.T
    scale = 1 / np.sqrt(np.diag(raised))
    raised = raised * np.outer(scale, scale)
    weights = relative_weights(raised[:2, :2], raised[:2, 2])
    return {"persons": rows, "smallest": float(values[0]), "weights": weights.tolist()}


def fitted(fitter):
    return {name: float(value) for name, value in fitter.params_.items()}


def buying(random):
    """Customers made by the models, and what `lifetimes` fits to them.."""
    r, alpha, a, b = 0.8, 6.0, 0.9, 3.0
    p, q, nu = 6.0, 4.0, 1500.0
    rows = []
    for at in range(400):
        age = int(random.integers(150, 365))
        rate, leave = random.gamma(r, 1 / alpha), random.beta(a, b)
        mean = random.gamma(q, 1 / nu)
        repeats, last, now, total = 0, 0, 0.0, 0
        while True:
            now += random.exponential(1 / rate) * 7
            if now > age:
                break
            repeats, last = repeats + 1, int(now)
            total += int(round(random.gamma(p, 1 / mean))) + 1
            if random.random() < leave:
                break
        rows.append([repeats, last, age, total])
    rows.sort()
    x, last, age, total = (np.array(column, dtype=float) for column in zip(*rows))
    purchases = BetaGeoFitter(penalizer_coef=0.0).fit(x, last / 7, age / 7)
    again = x > 0
    spend = GammaGammaFitter(penalizer_coef=0.0).fit(x[again], total[again] / x[again] / 100)
    errors = purchases.standard_errors_
    few = slice(0, None, 16)
    return {
        "customers": rows, "purchases": fitted(purchases), "errors": {k: float(v) for k, v in errors.items()},
        "spend": fitted(spend),
        "alive": np.asarray(purchases.conditional_probability_alive(x, last / 7, age / 7))[few].tolist(),
        "expected": np.asarray(purchases.conditional_expected_number_of_purchases_up_to_time(
            26, x, last / 7, age / 7))[few].tolist(),
        "amounts": np.asarray(spend.conditional_expected_average_profit(
            x, total / np.maximum(x, 1) / 100))[few].tolist(),
    }


def cdnow():
    """What `lifetimes` fits to its own CDNOW data; the data themselves are not repeated here."""
    data = load_cdnow_summary(index_col=[0])
    purchases = BetaGeoFitter(penalizer_coef=0.0).fit(data["frequency"], data["recency"], data["T"])
    with_amounts = load_cdnow_summary_data_with_monetary_value()
    again = with_amounts[with_amounts["frequency"] > 0]
    spend = GammaGammaFitter(penalizer_coef=0.0).fit(again["frequency"], again["monetary_value"])
    alive = purchases.conditional_probability_alive(data["frequency"], data["recency"], data["T"])
    return {"purchases": fitted(purchases), "spend": fitted(spend),
            "alive": [round(float(it), 6) for it in np.asarray(alive)[::5]]}


def share_difference(first, second):
    low, high = confint_proportions_2indep(*first, *second, method="newcomb", compare="diff")
    return [first[0] / first[1] - second[0] / second[1], float(low), float(high)]


def mean_difference(first, second):
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    return [float(np.mean(first) - np.mean(second)), float(interval.low), float(interval.high)]


def priorities(random):
    """Persons with the subjects that touched them, what is known of them, and each subject's drops."""
    subjects = ["delivery", "price", "return", "usability"]
    persons = []
    for _ in range(600):
        touched = [s for s, part in zip(subjects, [0.3, 0.2, 0.09, 0.4]) if random.random() < part]
        bad = ("delivery" in touched) * 1.0 + ("price" in touched) * 0.5 + ("return" in touched) * 0.7 - ("usability" in touched) * 0.2
        outcome = int(random.random() < 0.6 - 0.3 * bad) if random.random() < 0.45 else None
        score = int(np.clip(round(4 - bad + random.normal()), 1, 5)) if random.random() < 0.9 else None
        persons.append([touched, outcome, score, int(random.integers(0, 100_000))])
    found = {}
    for subject in subjects:
        groups = [[p for p in persons if (subject in p[0]) == with_it] for with_it in (True, False)]
        known = [[p[1] for p in group if p[1] is not None] for group in groups]
        scores = [[p[2] for p in group if p[2] is not None] for group in groups]
        here = {"persons": len(groups[0]), "revenue": sum(p[3] for p in groups[0]), "outcome": None, "score": None}
        if min(map(len, known)) >= 30:
            here["outcome"] = share_difference(*[(sum(k), len(k)) for k in reversed(known)])
        if min(map(len, scores)) >= 30:
            here["score"] = mean_difference(scores[1], scores[0])
        found[subject] = here
    return {"persons": persons, "subjects": found}


def changes(random):
    """A metric's answers before and after."""
    before, after = random.choice(11, 150, p=[0.05] * 6 + [0.1] * 3 + [0.2] * 2), random.choice(11, 90)
    points = [np.where(it >= 9, 100, np.where(it <= 6, -100, 0)) for it in (before, after)]
    days = [np.rint(random.gamma(2, mean, n) * 86_400_000).astype(int) for mean, n in [(3.0, 200), (2.2, 120)]]
    late = [(int((it > 5 * 86_400_000).sum()), len(it)) for it in days]

    def percent(it):
        return [100 * value for value in it]

    def in_days(it):
        return [value / 86_400_000 for value in it]
    return {
        "answers": [before.tolist(), after.tolist()], "nps": mean_difference(points[1], points[0]),
        "milliseconds": [it.tolist() for it in days], "days": in_days(mean_difference(days[1], days[0])),
        "late": late, "share": percent(share_difference(late[1], late[0]))}


def main():
    random = np.random.default_rng(20240701)
    json.dump({
        "shares": shares(), "means": means(random), "students": students(), "attribution": attribution(random),
        "drivers": drivers(random), "repaired": repaired(random), "buying": buying(random), "cdnow": cdnow(),
        "priorities": priorities(random), "changes": changes(random),
    }, sys.stdout, separators=(",", ":"))
    print()


if __name__ == "__main__":
    main()
