-- Timelines in (timeline.sql, metrics.sql); one row per person and month that is over out: what they experienced and what
-- became of it. Means are integers in thousandths, rounded down; durations in milliseconds; money in minor units of EUR.

CREATE TABLE person_month AS
WITH months AS (
    SELECT t.person, w.first, w.past, w.name, min(t.pos) AS since, max(t.pos) AS until
    FROM touch t JOIN of_day w USING (day), clock
    WHERE w.kind = 'month' AND w.past - 1 <= last_closed GROUP BY ALL
), of_touch AS (
    SELECT m.person, m.first,
        floor(1000 * sum(answer) FILTER (scale = 'csat') / count(*) FILTER (scale = 'csat')) AS csat,
        floor(1000 * sum(answer) FILTER (scale = 'nps') / count(*) FILTER (scale = 'nps')) AS nps,
        floor(1000 * sum(sentiment) / count(sentiment)) AS sentiment,
        count(*) FILTER (t.kind = 'message_sent') AS contacts,
        sum(amount) FILTER (currency = 'EUR' AND t.kind = 'subscription_renewed') AS renewed,
        sum(cost) FILTER (cost_currency = 'EUR') AS costs,
        bool_or(t.kind = 'subscription_cancelled') AS cancelled,
        bool_or(t.kind = 'referral_made') AS referred
    FROM months m JOIN touch t ON t.person = m.person AND t.pos BETWEEN m.since AND m.until GROUP BY ALL
), of_refund AS (
    -- What a cancellation takes back counts in its month, as what it takes back of revenue does.
    SELECT m.person, m.first, sum(CASE WHEN r.pos BETWEEN m.since AND m.until THEN amount ELSE 0 END
        - CASE WHEN r.taken_back BETWEEN m.since AND m.until THEN amount ELSE 0 END) AS refunded
    FROM months m JOIN refund r USING (person) WHERE r.currency = 'EUR' GROUP BY ALL
), of_reply AS (
    SELECT m.person, m.first, floor(sum(t.ms - c.opened_at) / count(*)) AS first_response_time
    FROM months m JOIN support_case c USING (person) JOIN touch t ON t.person = c.person AND t.pos = c.replied
    WHERE c.replied BETWEEN m.since AND m.until GROUP BY ALL
), of_delivery AS (
    SELECT m.person, m.first, floor(sum(t.ms - d.due) / count(*)) AS promise_gap,
        floor(1000 * count(*) FILTER (t.ms - d.due <= getvariable('on_time_tolerance_ms')) / count(*)) AS on_time
    FROM months m JOIN delivery d USING (person) JOIN touch t ON t.person = d.person AND t.pos = d.pos
    WHERE d.due IS NOT NULL AND d.pos BETWEEN m.since AND m.until GROUP BY ALL
), of_purchase AS (
    -- As the month's close has it: what is cancelled later was bought.
    SELECT m.person, m.first,
        sum(t.amount) FILTER (p.placed >= m.since AND t.currency = 'EUR') AS bought,
        sum(t.amount) FILTER (p.cancelled BETWEEN m.since AND m.until AND t.currency = 'EUR') AS taken_back,
        bool_or(p.cancelled IS NULL OR p.cancelled > m.until) AS is_customer
    FROM months m JOIN purchase p ON p.person = m.person AND p.placed <= m.until
    JOIN touch t ON t.person = p.person AND t.pos = p.placed GROUP BY ALL
), again AS (
    -- Another purchase stood when it was placed.
    SELECT m.person, m.first, p.placed, p.cancelled, EXISTS (
        SELECT 1 FROM purchase o WHERE o.person = p.person AND o.placed < p.placed
            AND coalesce(o.cancelled > p.placed, true)) AS repeats
    FROM months m JOIN purchase p ON p.person = m.person AND p.placed BETWEEN m.since AND m.until
), taken AS (
    -- A cancellation, of one or several: all repeats of the month that stood, less those that stand. Of what stands, the earliest is none.
    SELECT m.person, m.first, count(*) FILTER (p.cancelled = c.cancelled AND p.placed >= m.since)
        - (min(p.placed) >= m.since)::INTEGER
        + coalesce(min(p.placed) FILTER (p.cancelled IS DISTINCT FROM c.cancelled) >= m.since, false)::INTEGER AS n
    FROM months m JOIN (SELECT DISTINCT person, cancelled FROM purchase) c
        ON c.person = m.person AND c.cancelled BETWEEN m.since AND m.until
    JOIN purchase p ON p.person = c.person AND p.placed < c.cancelled AND coalesce(p.cancelled >= c.cancelled, true)
    GROUP BY m.person, m.first, m.since, c.cancelled
), repeats AS (
    SELECT person, first, sum(n) AS repeats FROM (
        SELECT person, first, repeats::INTEGER AS n FROM again
        UNION ALL
        SELECT person, first, -n FROM taken
    ) GROUP BY ALL
)
SELECT m.person, m.name AS month, s.segment,
    csat::BIGINT AS csat, nps::BIGINT AS nps, sentiment::BIGINT AS sentiment,
    first_response_time::BIGINT AS first_response_time, on_time::BIGINT AS on_time, promise_gap::BIGINT AS promise_gap,
    contacts::BIGINT AS contacts,
    CASE WHEN is_customer THEN (coalesce(r.repeats, 0) > 0)::BIGINT END AS bought_again,
    CASE WHEN is_customer THEN money.revenue END AS revenue,
    CASE WHEN is_customer THEN money.revenue - coalesce(refunded, 0)::BIGINT - coalesce(costs, 0)::BIGINT END AS margin,
    CASE WHEN is_customer OR t.cancelled THEN t.cancelled::BIGINT END AS churned,
    CASE WHEN is_customer THEN referred::BIGINT END AS referred
FROM months m
JOIN of_touch t USING (person, first)
JOIN segment_at s ON s.person = m.person AND s.pos = m.until
LEFT JOIN of_refund USING (person, first)
LEFT JOIN of_reply USING (person, first)
LEFT JOIN of_delivery USING (person, first)
LEFT JOIN of_purchase USING (person, first)
LEFT JOIN repeats r USING (person, first),
    LATERAL (SELECT (coalesce(bought, 0) - coalesce(taken_back, 0) + coalesce(renewed, 0))::BIGINT AS revenue) money;
