"""What SQL has no functions for: intervals of shares, absorbing chains, correlations and relative weights."""

import numpy as np
from scipy import stats

Z = stats.norm.ppf(0.975)
DRIVERS = ["csat", "nps", "sentiment", "first_response_time", "on_time", "promise_gap", "contacts"]
OUTCOMES = ["bought_again", "revenue", "margin", "churned", "referred"]
PERSONS_MIN = 30
EIGENVALUE_MIN = 1e-6


def wilson(successes, trials):
    """The two shares that differ from the observed one by z of their own standard errors (E. B. Wilson 1927): 0 to 1."""
    share = successes / trials
    a, b, c = 1 + Z * Z / trials, -(2 * share + Z * Z / trials), share * share
    root = np.sqrt(np.maximum(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def difference(first, second):
    """A difference of two shares (successes, trials) with R. G. Newcombe's interval (1998, method 10): 0 to 1."""
    (low1, high1), (low2, high2) = wilson(*first), wilson(*second)
    share1, share2 = first[0] / first[1], second[0] / second[1]
    value = share1 - share2
    return (value, max(value - np.hypot(share1 - low1, high2 - share2), -1.0),
            min(value + np.hypot(high1 - share1, share2 - low2), 1.0))


def shares(first, second):
    """The same, with thirty on each side at least."""
    return difference(first, second) if min(first[1], second[1]) >= PERSONS_MIN else None


def means(first, second):
    """A difference of two means, of (n, sum, sum of squares) each, with B. L. Welch's interval (1947). `None` where one is of fewer
    than thirty, or where nothing scatters."""
    if min(first[0], second[0]) < PERSONS_MIN:
        return None
    # Exactly, in integers, as far as it goes.
    (n1, s1, q1), (n2, s2, q2) = ([int(part) for part in side] for side in (first, second))
    of_mean = [(q * n - s * s) / (n * n * (n - 1)) for n, s, q in ((n1, s1, q1), (n2, s2, q2))]
    both = sum(of_mean)
    if both <= 0:
        return None
    freedom = both**2 / (of_mean[0] ** 2 / (n1 - 1) + of_mean[1] ** 2 / (n2 - 1))
    value, half = s1 / n1 - s2 / n2, float(stats.t.ppf(0.975, freedom)) * both**0.5
    return value, value - half, value + half


def conversion_chance(steps, transitions, removed=None):
    """The chance to arrive from the start of a chain, with one step leading to nothing: one linear system."""
    at = {step: i for i, step in enumerate(steps)}
    size = len(steps)
    counts = np.zeros((size + 1, size + 1))
    left = np.zeros(size + 1)
    for (came_from, went_to), n in transitions.items():
        row = at.get(came_from, size)
        left[row] += n
        if went_to in at:
            counts[row, at[went_to]] += n
        elif went_to == "(goal)":
            counts[row, size] += n
    chances = counts / np.maximum(left, 1)[:, None]
    if removed is not None:
        chances[at[removed]] = 0
    # A step that is only left for itself would make the system singular; no journey ends there, so there is none.
    to_goal = np.linalg.solve(np.eye(size) - chances[:size, :size], chances[:size, size]) if size else np.zeros(0)
    return float(chances[size, :size] @ to_goal + chances[size, size])


def credits(paths, transitions):
    """What each step is credited with, by step; `paths`: (steps, converted)."""
    steps = sorted({step for path, _ in paths for step in path})
    credited = sum(converted for path, converted in paths if path)
    whole = conversion_chance(steps, transitions)
    effects = {step: 1 - conversion_chance(steps, transitions, step) / whole for step in steps}
    unit = credited / sum(effects.values()) if sum(effects.values()) > 0 else 0.0
    found = {step: dict.fromkeys(["conversions", "first", "last", "linear", "position"], 0.0) for step in steps}
    for path, converted in paths:
        length = len(path)
        for step in set(path):
            found[step]["conversions"] += converted
        for place, step in enumerate(path):
            credit = found[step]
            is_end = place in (0, length - 1)
            credit["first"] += converted * (place == 0)
            credit["last"] += converted * (place == length - 1)
            credit["linear"] += converted / length
            credit["position"] += converted * (1 / length if length <= 2 else 0.4 if is_end else 0.2 / (length - 2))
    for step, credit in found.items():
        credit |= {"removal_effect": effects[step], "markov": effects[step] * unit}
    return {"credited": credited, "chance": whole, "steps": found}


def correlation(x, y):
    """Pearson's r of those who have both, with R. A. Fisher's interval; `None` below thirty and where one is constant."""
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < PERSONS_MIN or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    r = float(np.clip(stats.pearsonr(x, y).statistic, -1, 1))
    half = Z / np.sqrt(len(x) - 3)
    ends = [float(np.tanh(np.arctanh(r) + shift)) if abs(r) < 1 - 1e-12 else r for shift in (-half, half)]
    return {"n": len(x), "correlation": r, "interval_low": ends[0], "interval_high": ends[1]}


def relative_weights(columns, outcome):
    """J. W. Johnson's weights (2000) from pairwise correlations, by driver; the smallest n; whether they were adjusted."""
    def found(a, b):
        return correlation(columns[a], columns[b])

    kept = [driver for driver in DRIVERS if found(driver, outcome)]
    while True:
        lacking = {driver: sum(found(driver, other) is None for other in kept if other != driver) for driver in kept}
        if not any(lacking.values()):
            break
        kept.remove(max(kept, key=lambda it: (lacking[it], -found(it, outcome)["n"], DRIVERS.index(it))))
    if not kept:
        return None
    names = kept + [outcome]
    matrix = np.eye(len(names))
    n_min = None
    for i, a in enumerate(names):
        for j in range(i + 1, len(names)):
            pair = found(a, names[j])
            matrix[i, j] = matrix[j, i] = pair["correlation"]
            n_min = pair["n"] if n_min is None else min(n_min, pair["n"])
    values, vectors = np.linalg.eigh(matrix)
    adjusted = bool(values.min() < EIGENVALUE_MIN)
    if adjusted:
        matrix = (vectors * np.maximum(values, EIGENVALUE_MIN)) @ vectors.T
        scale = 1 / np.sqrt(np.diag(matrix))
        matrix = matrix * scale[:, None] * scale[None, :]
    values, vectors = np.linalg.eigh(matrix[:-1, :-1])
    root = (vectors * np.sqrt(values)) @ vectors.T
    beta = np.linalg.solve(root, matrix[:-1, -1])
    weights = (root**2) @ (beta**2)
    # They sum to the explained part of an ordinary regression.
    explained = float(matrix[:-1, -1] @ np.linalg.solve(matrix[:-1, :-1], matrix[:-1, -1]))
    return {"weights": dict(zip(kept, map(float, weights))), "r_squared": explained, "n_min": n_min, "adjusted": adjusted}
