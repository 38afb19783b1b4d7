-- What was counted, by metric, window and dimension value (metrics.sql), in; the values of `insight.metrics` out: of each dimension
-- those with the most observations, and the others together.

-- What each value is made of: integers that add up over values.
CREATE TABLE part AS
WITH counted AS (
    SELECT metric, currency, dim, dim_value, kind, first, n, a, b, s, squares, sorted FROM cell
    UNION ALL
    SELECT metric, NULL, dim, dim_value, kind, first, n, 0, 0, 0, 0, NULL
    FROM active, (VALUES ('contact_rate'), ('customer_value')) m(metric)
    UNION ALL
    SELECT 'reach', NULL, dim, dim_value, kind, first, count(*), 0, 0, 0, 0, NULL FROM present GROUP BY ALL
    UNION ALL
    SELECT 'advocacy', NULL, dim, dim_value, kind, first, count(*), count(*) FILTER (spoke_well), 0, 0, 0, NULL
    FROM present WHERE active GROUP BY ALL
    UNION ALL
    SELECT 'retention', NULL, dim, dim_value, kind, first, n, still, 0, 0, 0, NULL FROM stayed, clock WHERE first <= last_closed + 1
    UNION ALL
    SELECT 'churn', NULL, dim, dim_value, kind, first, running, lost, before, still, 0, NULL
    FROM churn, clock WHERE first <= last_closed + 1
    UNION ALL
    SELECT 'conversion', NULL, dim, value, kind, first, count(*), count(*) FILTER (converts), 0, 0, 0, NULL
    FROM entry JOIN slice USING (person, pos) GROUP BY ALL
    UNION ALL
    SELECT metric, NULL, dim, dim_value, kind, first, n, 0, 0, 0, 0, NULL FROM level JOIN shown USING (day) WHERE metric <> 'running'
    UNION ALL
    SELECT 'contact_pressure', NULL, dim, dim_value, kind, first, n, above, 0, sent, 0, NULL FROM pressure JOIN shown USING (day)
    UNION ALL
    SELECT 'content_credibility', NULL, dim, dim_value, kind, first, n, a, others, others_on, 0, NULL FROM content
)
SELECT metric, currency, dim, dim_value, kind, first, sum(n)::BIGINT AS n, sum(a)::BIGINT AS a, sum(b)::BIGINT AS b,
    sum(s)::BIGINT AS s, sum(squares)::HUGEINT AS squares, any_value(sorted) AS sorted
FROM counted GROUP BY metric, currency, dim, dim_value, kind, first;

-- Whose customers are those of every currency: their values compete once for all currencies.
CREATE MACRO competes_in(metric, currency) AS
    CASE WHEN metric NOT IN ('customer_value', 'acquisition_cost') THEN coalesce(currency, '') ELSE '' END;

-- The values beyond those with the most observations, of equals the first by name.
CREATE TABLE other_value AS
WITH weighed AS (
    SELECT metric, competes_in(metric, currency) AS competes, dim, kind, first, dim_value,
        coalesce(max(CASE WHEN metric = 'churn' AND n = 0 THEN b ELSE n END)
            FILTER (currency IS NULL OR competes_in(metric, currency) <> ''), 0) AS n
    FROM part WHERE dim <> 'company' GROUP BY ALL
)
SELECT metric, competes, dim, kind, first, dim_value FROM weighed
QUALIFY row_number() OVER (PARTITION BY metric, competes, dim, kind, first ORDER BY n DESC, dim_value)
    > getvariable('dimension_values_max');

-- Each value, the others too (alerts look at them), and those together: `others` says of how many values it is, of one 0.
CREATE TABLE whole AS
WITH placed AS (
    SELECT p.*, competes_in(p.metric, p.currency) AS competes, o.dim_value IS NOT NULL AS is_other
    FROM part p LEFT JOIN other_value o ON o.metric = p.metric AND o.competes = competes_in(p.metric, p.currency)
        AND o.dim = p.dim AND o.kind = p.kind AND o.first = p.first AND o.dim_value = p.dim_value
), others AS (
    SELECT metric, competes, dim, kind, first, count(*) AS others FROM other_value GROUP BY ALL
)
SELECT metric, currency, dim, dim_value, kind, first, 0 AS others, NOT is_other AS published, n, a, b, s, squares, sorted FROM placed
UNION ALL
SELECT metric, currency, dim, 'other', kind, first, any_value(others), true, sum(n)::BIGINT, sum(a)::BIGINT, sum(b)::BIGINT,
    sum(s)::BIGINT, sum(squares)::HUGEINT, list_sort(flatten(list(sorted) FILTER (sorted IS NOT NULL)))
FROM placed JOIN others USING (metric, competes, dim, kind, first) WHERE is_other GROUP BY metric, currency, dim, kind, first;

-- What each value must say. `successes` of `trials` is what an interval is about.
CREATE TABLE figure (
    metric VARCHAR, currency VARCHAR, dim VARCHAR, dim_value VARCHAR, kind VARCHAR, first INTEGER, others BIGINT, published BOOLEAN,
    unit VARCHAR, n BIGINT, numerator BIGINT, denominator BIGINT, value DOUBLE, standard_error DOUBLE,
    p50 DOUBLE, p90 DOUBLE, p99 DOUBLE, successes BIGINT, trials BIGINT, details MAP(VARCHAR, DOUBLE)
);

CREATE MACRO share(part, whole) AS CASE WHEN whole > 0 THEN 100.0::DOUBLE * part / whole END;
CREATE MACRO error_of_mean(n, s, squares) AS
    CASE WHEN n >= 2 THEN sqrt((n * squares - s::HUGEINT * s)::DOUBLE / (n::DOUBLE * n * (n - 1))) END;
CREATE MACRO rank_at(sorted, percent) AS sorted[(percent * len(sorted) + 99) // 100];

INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'points', n, a - b, n, 100.0::DOUBLE * (a - b) / n,
    100 * sqrt(greatest((a + b) / n - ((a - b) / n) ** 2, 0) / n), NULL, NULL, NULL, NULL, NULL,
    MAP {'promoters_share': a / n, 'detractors_share': b / n}
FROM whole WHERE metric = 'nps';
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'percent', n, a, n, share(a, n),
    NULL, NULL, NULL, NULL, a, n, MAP {'mean': s / n}
FROM whole WHERE metric = 'csat';
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'points', n, s, n, s / n, error_of_mean(n, s, squares),
    NULL, NULL, NULL, NULL, NULL,
    MAP {CASE metric WHEN 'ces' THEN 'share_easy' WHEN 'sentiment' THEN 'share_negative' ELSE 'share_below' END: a / n}
FROM whole WHERE metric IN ('ces', 'sentiment', 'expectation_gap');
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, unit, n, s, n, s / n / unit_ms,
    error_of_mean(n, s, squares) / unit_ms,
    rank_at(sorted, 50) / unit_ms, rank_at(sorted, 90) / unit_ms, rank_at(sorted, 99) / unit_ms, NULL, NULL,
    CASE metric WHEN 'promise_gap' THEN MAP {'share_late': a / n}
        WHEN 'follow_up_time' THEN MAP {'share_within_48_hours': a / n} END
FROM whole, (VALUES ('days', 86400000.0::DOUBLE), ('seconds', 1000.0::DOUBLE)) u(unit, unit_ms)
WHERE len(sorted) > 0 AND (metric = 'promise_gap') = (unit = 'days');
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'percent', n, a, n, share(a, n),
    NULL, NULL, NULL, NULL, a, n, NULL
FROM whole
WHERE metric IN ('on_time', 'return_rate', 'first_contact_resolution', 'repurchase_30', 'repurchase_60', 'repurchase_90',
    'referral', 'word_of_mouth');
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, CASE metric WHEN 'orders' THEN 'orders' ELSE 'customers' END,
    n, n, 1, n, NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM whole WHERE metric IN ('orders', 'new_customers');
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'minor_units', n, s, 1, s,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM whole WHERE metric IN ('revenue', 'margin');
INSERT INTO figure
SELECT metric, currency, dim, dim_value, kind, first, others, published, 'minor_units', n, s, n, s / n, error_of_mean(n, s, squares),
    NULL, NULL, NULL, NULL, NULL, NULL
FROM whole WHERE metric = 'average_order_value';
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published, 'cases_per_customer', n, a, n, a / nullif(n, 0),
    NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM whole WHERE metric = 'contact_rate';
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published,
    CASE metric WHEN 'reach' THEN 'customers' WHEN 'overdue' THEN 'orders' ELSE 'cases' END, n, n, 1, n,
    NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM whole WHERE metric IN ('reach', 'overdue', 'unanswered');
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published, 'percent', n, a, n, share(a, n),
    NULL, NULL, NULL, NULL, a, n, NULL
FROM whole WHERE metric IN ('advocacy', 'retention', 'conversion');
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published, 'percent', of_whom, gone, of_whom, share(gone, of_whom),
    NULL, NULL, NULL, NULL, gone, of_whom,
    MAP {'subscriptions_running': n::DOUBLE, 'subscriptions_cancelled': a, 'persons_active_before': b, 'persons_still_active': s}
FROM whole, LATERAL (SELECT CASE WHEN n > 0 THEN n ELSE b END AS of_whom, CASE WHEN n > 0 THEN a ELSE b - s END AS gone)
WHERE metric = 'churn';
-- Of each currency in which there is an amount, however many customers it is divided by.
INSERT INTO figure
SELECT c.metric, c.currency, c.dim, c.dim_value, c.kind, c.first, c.others, c.published, 'minor_units', coalesce(w.n, 0), c.s,
    coalesce(w.n, 0), c.s / nullif(w.n, 0), NULL, NULL, NULL, NULL, NULL, NULL, NULL
FROM whole c LEFT JOIN (
    SELECT metric, dim, dim_value, kind, first, others, n FROM whole WHERE currency IS NULL
) w USING (metric, dim, dim_value, kind, first, others)
WHERE c.metric IN ('customer_value', 'acquisition_cost') AND c.currency IS NOT NULL;
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published, 'messages', n, s, n, s / n,
    NULL, NULL, NULL, NULL, NULL, NULL, MAP {'share_above_cap': a / n}
FROM whole WHERE metric = 'contact_pressure';
INSERT INTO figure
SELECT metric, NULL, dim, dim_value, kind, first, others, published, 'percentage_points', n, a, n, share(a, n) - share(s, b),
    NULL, NULL, NULL, NULL, NULL, NULL,
    map_from_entries(list_filter([
        {k: 'share', v: a / nullif(n, 0)}, {k: 'share_of_others', v: s / nullif(b, 0)},
        {k: 'others', v: b::DOUBLE}, {k: 'others_who_went_on', v: s::DOUBLE}
    ], lambda it: it.v IS NOT NULL))
FROM whole WHERE metric = 'content_credibility';

-- Outside the promise, but known here: what arrived, by the day of arrival.
INSERT INTO figure
WITH arrival AS (
    SELECT spoke, day_of(at_ms) AS day, rejected
    FROM read_json(getvariable('arrivals'), format = 'newline_delimited',
        columns = {spoke: 'VARCHAR', at_ms: 'BIGINT', rejected: 'BOOLEAN'})
)
SELECT 'data_quality', NULL, 'spoke', spoke, kind, first, 0, true, 'share', NULL,
    count(*) FILTER (NOT rejected), count(*), count(*) FILTER (NOT rejected) / count(*),
    NULL, NULL, NULL, NULL, NULL, NULL,
    MAP {'accepted': count(*) FILTER (NOT rejected)::DOUBLE, 'rejected': count(*) FILTER (rejected)::DOUBLE}
FROM arrival JOIN of_day USING (day) GROUP BY spoke, kind, first;

CREATE TABLE expected AS
SELECT f.* EXCLUDE (published), metric || '|' || w.name || '|' || concat_ws('&', 'currency=' || currency,
    CASE WHEN others > 0 THEN 'others=' || dim WHEN dim <> 'company' THEN dim || '=' || escaped(dim_value) END) AS key
FROM figure f JOIN windows w USING (kind, first) WHERE published;
