-- Timelines in (timeline.sql); the values of `insight.metrics` out, those of a person's whole window from sets, all others from
-- observations: a metric, the touchpoint it is counted at, and what it adds. The definitions are those of the catalogue.

CREATE TABLE observation (metric VARCHAR, currency VARCHAR, person BIGINT, pos BIGINT, n BIGINT, a BIGINT, b BIGINT, v BIGINT);

INSERT INTO observation
SELECT scale, NULL, person, pos, 1,
    CASE scale WHEN 'nps' THEN answer >= 9 WHEN 'csat' THEN answer >= 4 ELSE answer >= 5 END::BIGINT,
    CASE scale WHEN 'nps' THEN answer <= 6 ELSE false END::BIGINT,
    answer
FROM touch WHERE scale IN ('nps', 'csat', 'ces');

INSERT INTO observation
SELECT 'sentiment', NULL, person, pos, 1, (sentiment < -20)::BIGINT, 0, sentiment FROM touch WHERE sentiment IS NOT NULL;

-- Orders.
INSERT INTO observation SELECT 'orders', NULL, person, pos, 1, 0, 0, NULL FROM kept;
INSERT INTO observation
SELECT m.metric, t.currency, person, pos, 1, 0, 0, t.amount
FROM kept JOIN touch t USING (person, pos), (VALUES ('revenue'), ('average_order_value'), ('margin'), ('customer_value')) m(metric)
WHERE t.amount IS NOT NULL;
INSERT INTO observation
SELECT m.metric, currency, person, pos, 1, 0, 0, amount
FROM touch, (VALUES ('revenue'), ('margin'), ('customer_value')) m(metric)
WHERE kind = 'subscription_renewed' AND amount IS NOT NULL;
INSERT INTO observation
SELECT m.metric, currency, person, pos, 1, 0, 0, -amount
FROM refund, (VALUES ('margin'), ('customer_value')) m(metric)
WHERE taken_back IS NULL;
INSERT INTO observation SELECT 'margin', cost_currency, person, pos, 1, 0, 0, -cost FROM touch WHERE cost IS NOT NULL;

-- New customers.
INSERT INTO observation
SELECT m.metric, NULL, person, pos, 1, 0, 0, NULL
FROM kept, (VALUES ('new_customers'), ('acquisition_cost')) m(metric) WHERE number = 1;
INSERT INTO observation
SELECT 'acquisition_cost', cost_currency, person, pos, 0, 0, 0, cost
FROM touch WHERE cost IS NOT NULL AND list_contains(getvariable('acquisition_spokes'), spoke);
INSERT INTO observation
SELECT 'repurchase_' || days, NULL, f.person, f.pos, 1, coalesce(s.ms - f.ms <= days * 86400000::BIGINT, false)::BIGINT, 0, NULL
FROM kept f LEFT JOIN kept s ON s.person = f.person AND s.number = 2, (VALUES (30), (60), (90)) d(days)
WHERE f.number = 1;
WITH heard AS (
    SELECT f.person, f.pos,
        coalesce(bool_or(t.is_referred), false) AS referred,
        coalesce(bool_or(t.pos < f.pos AND (t.channel IN ('social', 'community')
            OR t.kind IN ('social_mentioned', 'review_posted', 'referral_made'))), false) AS told
    FROM kept f JOIN touch t ON t.person = f.person AND t.pos <= f.pos WHERE f.number = 1 GROUP BY ALL
)
INSERT INTO observation
SELECT 'referral', NULL, person, pos, 1, referred::BIGINT, 0, NULL FROM heard
UNION ALL SELECT 'word_of_mouth', NULL, person, pos, 1, (referred OR told)::BIGINT, 0, NULL FROM heard;

-- Deliveries and returns.
INSERT INTO observation SELECT 'return_rate', NULL, person, pos, 1, 0, 0, NULL FROM delivery;
INSERT INTO observation SELECT 'return_rate', NULL, person, returned, 0, 1, 0, NULL FROM customer_order WHERE returned IS NOT NULL;
INSERT INTO observation
SELECT 'promise_gap', NULL, person, pos, 1, (ms > due)::BIGINT, 0, ms - due FROM delivery JOIN touch USING (person, pos)
WHERE due IS NOT NULL
UNION ALL
SELECT 'on_time', NULL, person, pos, 1, (ms <= due + getvariable('on_time_tolerance_ms'))::BIGINT, 0, NULL
FROM delivery JOIN touch USING (person, pos) WHERE due IS NOT NULL;

-- Cases.
INSERT INTO observation
SELECT 'first_response_time', NULL, person, replied, 1, 0, 0, t.ms - opened_at
FROM support_case c JOIN touch t USING (person) WHERE t.pos = replied
UNION ALL
SELECT 'resolution_time', NULL, person, resolved, 1, 0, 0, t.ms - opened_at
FROM support_case c JOIN touch t USING (person) WHERE t.pos = resolved
UNION ALL
SELECT 'full_resolution_time', NULL, person, resolved_last, 1, 0, 0, t.ms - opened_at
FROM support_case c JOIN touch t USING (person) WHERE t.pos = resolved_last
UNION ALL
SELECT 'contact_rate', NULL, person, opened, 0, 1, 0, NULL FROM support_case WHERE opened IS NOT NULL
UNION ALL
SELECT 'contact_rate', NULL, person, pos, 0, 1, 0, NULL FROM touch WHERE kind = 'case_opened' AND case_no IS NULL;
WITH resolved AS (
    SELECT c.person, c.case_no, c.resolved, t.ms, coalesce(t.subject, c.opened_subject) AS subject
    FROM support_case c JOIN touch t ON t.person = c.person AND t.pos = c.resolved
)
INSERT INTO observation
SELECT 'first_contact_resolution', NULL, r.person, r.resolved, 1, (NOT EXISTS (
        SELECT 1 FROM touch t
        WHERE t.person = r.person AND t.pos > r.resolved AND t.ms <= r.ms + 7 * 86400000::BIGINT
            AND t.initiator = 'customer' AND t.kind <> 'survey_answered'
            AND (list_contains(t.identifiers['case'], r.case_no) OR t.subject = r.subject)
    ))::BIGINT, 0, NULL
FROM resolved r;
WITH follow_up AS (
    SELECT person, pos, ms, coalesce(lag(pos) OVER (PARTITION BY person ORDER BY pos), 0) AS before
    FROM touch WHERE kind = 'follow_up_made' AND initiator = 'agent' AND visibility = 'public'
), cause AS (
    SELECT f.person, f.pos, f.ms - min(t.ms) AS took
    FROM follow_up f JOIN touch t ON t.person = f.person AND t.pos >= f.before AND t.pos < f.pos
        AND (t.kind = 'complaint_made' OR (t.scale = 'nps' AND t.answer <= 6))
    GROUP BY f.person, f.pos, f.ms
)
INSERT INTO observation
SELECT 'follow_up_time', NULL, person, pos, 1, (took <= 2 * 86400000::BIGINT)::BIGINT, 0, took FROM cause;

-- Expectation and perception of one item: in a row of answers that alternate, each odd one goes with the next.
CREATE TABLE gap AS
WITH answer AS (
    SELECT person, item, pos, scale, answer,
        coalesce(scale = lag(scale) OVER w, false)::BIGINT AS repeats
    FROM touch WHERE scale IN ('expectation', 'perception')
    WINDOW w AS (PARTITION BY person, item ORDER BY pos)
), grouped AS (
    SELECT *, sum(repeats) OVER (PARTITION BY person, item ORDER BY pos) AS series FROM answer
), numbered AS (
    SELECT *, row_number() OVER w AS number, lag(answer) OVER w AS earlier
    FROM grouped WINDOW w AS (PARTITION BY person, item, series ORDER BY pos)
)
SELECT person, pos, item, CASE scale WHEN 'perception' THEN answer - earlier ELSE earlier - answer END AS gap
FROM numbered WHERE number % 2 = 0;
INSERT INTO observation SELECT 'expectation_gap', NULL, person, pos, 1, (gap < 0)::BIGINT, 0, gap FROM gap;

-- Everything that was observed, in its windows and slices. Percentiles by nearest rank, exact.
CREATE TABLE place AS
SELECT s.dim, s.value AS dim_value, s.person, s.pos, w.kind, w.first
FROM slice s JOIN touch t USING (person, pos) JOIN of_day w USING (day);

CREATE TABLE cell AS
WITH observed AS (
    SELECT metric, currency, dim, dim_value, kind, first, n, a, b, v FROM observation JOIN place USING (person, pos)
    UNION ALL
    SELECT 'expectation_gap', NULL, 'item', gap.item, w.kind, w.first, 1, (gap < 0)::BIGINT, 0, gap
    FROM gap JOIN touch t USING (person, pos) JOIN of_day w USING (day) WHERE gap.item IS NOT NULL
)
SELECT metric, currency, dim, dim_value, kind, first,
    sum(n)::BIGINT AS n, sum(a)::BIGINT AS a, sum(b)::BIGINT AS b, sum(v)::BIGINT AS s, sum(v::HUGEINT * v) AS squares,
    list_sort(list(v) FILTER (metric IN ('promise_gap', 'follow_up_time', 'first_response_time', 'resolution_time',
        'full_resolution_time'))) AS sorted
FROM observed GROUP BY ALL;

-- Persons in windows: there at all, active, and speaking well.
CREATE TABLE present AS
SELECT person, dim, dim_value, p.kind, first,
    bool_or(t.initiator = 'customer') AS active,
    coalesce(bool_or(t.kind = 'referral_made' OR (scale = 'review' AND answer >= 4) OR (scale = 'nps' AND answer >= 9)), false)
        AS spoke_well
FROM place p JOIN touch t USING (person, pos) GROUP BY ALL;

CREATE TABLE active AS SELECT dim, dim_value, kind, first, count(*) AS n FROM present WHERE active GROUP BY ALL;

-- Of the persons active in a window, how many are in the next one: at that one.
CREATE TABLE stayed AS
SELECT b.dim, b.dim_value, b.kind, w.past AS first, count(*) AS n, count(l.person) AS still
FROM present b
JOIN windows w USING (kind, first)
LEFT JOIN present l ON l.active AND l.person = b.person AND l.dim = b.dim AND l.dim_value = b.dim_value AND l.kind = b.kind
    AND l.first = w.past
WHERE b.active GROUP BY ALL;

-- Who enters, with the first touchpoint and with each after a purchase that is not cancelled within 90 days, and when they
-- buy after that; of a person's entries in a window the first counts.
CREATE TABLE entry AS
WITH goal AS (
    SELECT person, placed AS pos, ms FROM purchase WHERE cancelled IS NULL OR cancelled_at > ms + 90 * 86400000::BIGINT
), entered AS (
    SELECT DISTINCT person, pos FROM (
        SELECT person, 1 AS pos FROM touch WHERE pos = 1 UNION ALL SELECT g.person, g.pos + 1 FROM goal g
    ) JOIN touch USING (person, pos)
), with_goal AS (
    SELECT e.person, e.pos, min(g.ms) AS reached
    FROM entered e LEFT JOIN goal g ON g.person = e.person AND g.pos >= e.pos GROUP BY ALL
)
SELECT person, pos, kind, first, reached - ms <= (past - first) * 86400000::BIGINT AS converts FROM (
    SELECT e.person, e.pos, e.reached, t.ms, w.kind, w.first, w.past,
        row_number() OVER (PARTITION BY e.person, w.kind, w.first ORDER BY e.pos) AS number
    FROM with_goal e JOIN touch t USING (person, pos) JOIN of_day w USING (day)
) WHERE number = 1;

-- What stands at the close of each day: from a day until before another.
CREATE TABLE standing AS
SELECT 'overdue' AS metric, p.person, p.made AS pos, greatest(m.day, day_of(p.due)) AS since, e.day AS until
FROM promise p JOIN touch m ON m.person = p.person AND m.pos = p.made
LEFT JOIN touch e ON e.person = p.person AND e.pos = p.ended
UNION ALL
SELECT 'unanswered', c.person, c.opened,
    day_of(c.opened_at + getvariable('unanswered_target_ms')), e.day
FROM support_case c LEFT JOIN touch e ON e.person = c.person AND e.pos = least(c.replied, c.resolved)
WHERE c.opened IS NOT NULL
UNION ALL
SELECT 'running', c.person, c.began, b.day, e.day
FROM contract c JOIN touch b ON b.person = c.person AND b.pos = c.began
LEFT JOIN touch e ON e.person = c.person AND e.pos = c.cancelled;

CREATE TABLE level AS
WITH days AS (
    SELECT metric, person, pos,
        unnest(generate_series(since, coalesce(least(until - 1, last_closed), last_closed)))::INTEGER AS day
    FROM standing, clock
)
SELECT metric, dim, value AS dim_value, day, count(*) AS n FROM days JOIN slice USING (person, pos) GROUP BY ALL;

-- The close at which a window shows a level.
CREATE TABLE shown AS
SELECT kind, first, least(past - 1, last_closed) AS day FROM windows, clock WHERE first <= last_closed;

CREATE TABLE churn AS
WITH running AS (
    -- At the close of the day before.
    SELECT dim, dim_value, w.kind, w.first, l.n AS running
    FROM level l JOIN windows w ON w.first = l.day + 1 WHERE l.metric = 'running'
), lost AS (
    SELECT s.dim, s.value AS dim_value, w.kind, w.first, count(*) AS lost
    FROM standing x JOIN of_day w ON w.day = x.until JOIN slice s USING (person, pos)
    WHERE x.metric = 'running' AND w.first > x.since GROUP BY ALL
)
SELECT dim, dim_value, kind, first, coalesce(running, 0) AS running, coalesce(lost, 0) AS lost,
    coalesce(stayed.n, 0) AS before, coalesce(still, 0) AS still
FROM running FULL JOIN lost USING (dim, dim_value, kind, first) FULL JOIN stayed USING (dim, dim_value, kind, first);

-- The messages of the 30 days up to each close, of each person who got any.
CREATE TABLE pressure AS
WITH per_day AS (
    SELECT s.person, s.dim, s.value AS dim_value, t.day, count(*) AS sent
    FROM slice s JOIN touch t USING (person, pos) WHERE t.kind = 'message_sent' GROUP BY ALL
), closes AS (
    SELECT person, dim, dim_value, unnest(generate_series(day, day + 29))::INTEGER AS day, sent FROM per_day
), per_person AS (
    SELECT person, dim, dim_value, day, sum(sent)::BIGINT AS sent FROM closes, clock WHERE day <= last_closed GROUP BY ALL
)
SELECT dim, dim_value, day, count(*) AS n, sum(sent)::BIGINT AS sent, count(*) FILTER (sent > getvariable('contact_cap')) AS above
FROM per_person GROUP BY ALL;

-- Of each month and value, whether somebody went on within 30 days of the first content, or of being active first where there was
-- none: whatever the value of what followed.
CREATE TABLE content AS
WITH begun AS (
    SELECT p.person, p.dim, p.dim_value, p.kind, p.first,
        min(pos) FILTER (t.kind = 'content_consumed') AS consumed, min(pos) FILTER (initiator = 'customer') AS acted
    FROM place p JOIN touch t USING (person, pos) WHERE p.kind = 'month' GROUP BY ALL
), followed AS (
    SELECT t.person, t.pos, t.ms, p.rank, q.placed IS NOT NULL AS bought
    FROM touch t JOIN phase p ON p.person = t.person AND p.pos = t.pos + 1
    LEFT JOIN (SELECT DISTINCT person, placed FROM purchase) q ON q.person = t.person AND q.placed = t.pos
), went AS (
    SELECT f.person, f.pos, coalesce(bool_or(l.bought OR l.rank > f.rank), false) AS went_on
    FROM (SELECT DISTINCT person, coalesce(consumed, acted) AS pos FROM begun) b
    JOIN followed f USING (person, pos)
    LEFT JOIN followed l ON l.person = f.person AND l.pos > f.pos AND l.ms <= f.ms + 30 * 86400000::BIGINT
    GROUP BY ALL
)
SELECT dim, dim_value, kind, first, count(consumed) AS n, count(consumed) FILTER (went_on) AS a,
    count(*) FILTER (consumed IS NULL) AS others, count(*) FILTER (consumed IS NULL AND went_on) AS others_on
FROM begun b JOIN went w ON w.person = b.person AND w.pos = coalesce(b.consumed, b.acted) GROUP BY ALL;
