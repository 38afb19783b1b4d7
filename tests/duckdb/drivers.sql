-- Timelines in (timeline.sql, metrics.sql); one row per person and month that is over out: what they experienced and what
-- became of it. Means are integers in thousandths, rounded down; durations in milliseconds; money in minor units of EUR.

CREATE TABLE person_month AS
WITH months AS (
    -- What is cancelled counts in a month up to the end of the twelfth one after it.
    SELECT t.person, w.first, w.past, w.name, min(t.pos) AS since, max(t.pos) AS until,
        (DATE '1970-01-01' + w.first + INTERVAL 13 MONTH)::DATE - DATE '1970-01-01' AS settled
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
    SELECT m.person, m.first, sum(r.amount) AS refunded
    FROM months m JOIN refund r ON r.person = m.person AND r.pos BETWEEN m.since AND m.until
    LEFT JOIN touch c ON c.person = r.person AND c.pos = r.taken_back
    WHERE r.currency = 'EUR' AND (c.day IS NULL OR c.day >= m.settled) GROUP BY ALL
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
    -- Of what was bought by the month's end and not taken back: the last is a further one if it is not the first.
    SELECT m.person, m.first, true AS is_customer,
        sum(t.amount) FILTER (p.placed >= m.since AND t.currency = 'EUR') AS bought,
        max(p.placed) >= any_value(m.since) AND max(p.placed) > min(p.placed) AS again
    FROM months m JOIN purchase p ON p.person = m.person AND p.placed <= m.until
    JOIN touch t ON t.person = p.person AND t.pos = p.placed
    LEFT JOIN touch c ON c.person = p.person AND c.pos = p.cancelled
    WHERE c.day IS NULL OR c.day >= m.settled GROUP BY ALL
)
SELECT m.person, m.name AS month, s.segment,
    csat::BIGINT AS csat, nps::BIGINT AS nps, sentiment::BIGINT AS sentiment,
    first_response_time::BIGINT AS first_response_time, on_time::BIGINT AS on_time, promise_gap::BIGINT AS promise_gap,
    contacts::BIGINT AS contacts,
    CASE WHEN is_customer THEN again::BIGINT END AS bought_again,
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
LEFT JOIN of_purchase USING (person, first),
    LATERAL (SELECT (coalesce(bought, 0) + coalesce(renewed, 0))::BIGINT AS revenue) money;
