-- Timelines in (timeline.sql, metrics.sql, drivers.sql); out what is compared of kinds of contact in a month, of subjects and the
-- persons whom they touched, and of metrics before and after something was done. Counts and sums: intervals are the script's.

-- Kinds of contact by month. Money is that in EUR.
CREATE TABLE contact AS
SELECT w.name AS month, t.spoke || ':' || t.kind || ':' || coalesce(t.channel, '') AS name, count(*) AS touchpoints,
    coalesce(sum(cost) FILTER (cost_currency = 'EUR'), 0)::BIGINT AS cost, coalesce(sum(effort), 0)::BIGINT AS effort,
    count(cost) FILTER (cost_currency <> 'EUR') AS costs_left_out,
    count(*) FILTER (scale = 'csat') AS score_n, coalesce(sum(answer) FILTER (scale = 'csat'), 0)::BIGINT AS score_sum,
    coalesce(sum(answer * answer) FILTER (scale = 'csat'), 0)::BIGINT AS score_squares,
    count(sentiment) AS sentiment_n, coalesce(sum(sentiment), 0)::BIGINT AS sentiment_sum,
    coalesce(sum(sentiment * sentiment), 0)::BIGINT AS sentiment_squares
FROM touch t JOIN of_day w USING (day) WHERE w.kind = 'month' GROUP BY ALL;

-- Persons in months that are over, at each kind of contact that touched them: what they felt there. Means are integers in thousandths,
-- durations in milliseconds, rounded down.
CREATE TABLE contact_person AS
WITH dated AS (
    SELECT t.*, w.name AS month, t.spoke || ':' || t.kind || ':' || coalesce(t.channel, '') AS contact
    FROM touch t JOIN of_day w USING (day), clock WHERE w.kind = 'month' AND w.past - 1 <= last_closed
), there AS (
    SELECT d.person, d.month, d.contact,
        floor(1000 * sum(answer) FILTER (scale = 'csat') / count(*) FILTER (scale = 'csat')) AS csat,
        floor(1000 * sum(answer) FILTER (scale = 'nps') / count(*) FILTER (scale = 'nps')) AS nps,
        floor(1000 * sum(sentiment) / count(sentiment)) AS sentiment,
        floor(sum(took) / sum(replies)) AS first_response_time,
        floor(1000 * sum(kept) / sum(promises)) AS on_time, floor(sum(gap) / sum(promises)) AS promise_gap
    FROM dated d LEFT JOIN answered_with r USING (person, pos) LEFT JOIN delivered_with y USING (person, pos) GROUP BY ALL
)
SELECT h.month, h.contact AS name, h.csat::BIGINT AS csat, h.nps::BIGINT AS nps, h.sentiment::BIGINT AS sentiment,
    h.first_response_time::BIGINT AS first_response_time, h.on_time::BIGINT AS on_time,
    h.promise_gap::BIGINT AS promise_gap, p.bought_again
FROM there h JOIN person_month p USING (person, month);

-- A person's months, numbered from the year 0 on, of which the month after is over as well.
CREATE TABLE told_month AS
WITH months AS (
    SELECT t.person, w.name, w.first, w.past, min(t.pos) AS since, max(t.pos) AS until
    FROM touch t JOIN of_day w USING (day) WHERE w.kind = 'month' GROUP BY ALL
)
SELECT m.person, m.name, since, until,
    (year(DATE '1970-01-01' + m.first) * 12 + month(DATE '1970-01-01' + m.first))::INTEGER AS number
FROM months m JOIN windows n ON n.kind = 'month' AND n.first = m.past, clock
WHERE n.past - 1 <= last_closed;

-- In which month a purchase was placed and cancelled, and what was paid at which touchpoint.
CREATE MACRO month_of(day) AS (year(DATE '1970-01-01' + day) * 12 + month(DATE '1970-01-01' + day))::INTEGER;
CREATE TABLE dated_purchase AS
SELECT p.person, p.placed, p.cancelled, month_of(t.day) AS placed_in, month_of(c.day) AS cancelled_in,
    CASE WHEN t.currency = 'EUR' THEN t.amount END AS amount
FROM purchase p JOIN touch t ON t.person = p.person AND t.pos = p.placed
LEFT JOIN touch c ON c.person = p.person AND c.pos = p.cancelled;
CREATE TABLE payment AS
SELECT person, placed_in AS number, amount, cancelled_in FROM dated_purchase WHERE amount IS NOT NULL
UNION ALL SELECT person, month_of(day), amount, NULL FROM touch
WHERE kind = 'subscription_renewed' AND currency = 'EUR' AND amount IS NOT NULL;

-- What is cancelled counts in a month up to the twelfth one after it.
CREATE MACRO stands(cancelled_in, number) AS (cancelled_in IS NULL OR cancelled_in > number + 12);
CREATE TABLE told_person AS
WITH paid AS (
    SELECT m.person, m.number, sum(y.amount)::BIGINT AS revenue
    FROM told_month m JOIN payment y ON y.person = m.person AND y.number BETWEEN m.number - 11 AND m.number
    WHERE stands(y.cancelled_in, m.number) GROUP BY ALL
), bought AS (
    SELECT m.person, m.number,
        bool_or(p.placed <= m.until) AS is_customer, bool_or(p.placed_in = m.number + 1) AS buys
    FROM told_month m JOIN dated_purchase p USING (person) WHERE stands(p.cancelled_in, m.number) GROUP BY ALL
), answered AS (
    SELECT m.person, m.number, floor(1000 * sum(answer) / count(*))::BIGINT AS score
    FROM told_month m JOIN touch t ON t.person = m.person AND t.pos BETWEEN m.since AND m.until
    WHERE scale = 'csat' GROUP BY ALL
)
SELECT m.*, coalesce(revenue, 0) AS revenue, CASE WHEN is_customer THEN buys END AS buys, score
FROM told_month m LEFT JOIN paid USING (person, number) LEFT JOIN bought USING (person, number)
LEFT JOIN answered USING (person, number);

-- Persons of a month, and those whom a subject touched: `subject` is NULL for all of them.
CREATE TABLE touched AS
WITH named AS (
    SELECT DISTINCT m.person, m.name, m.number, {spoke: t.spoke, kind: t.kind, subject: t.subject} AS subject
    FROM told_month m JOIN touch t ON t.person = m.person AND t.pos BETWEEN m.since AND m.until WHERE t.subject IS NOT NULL
    UNION ALL SELECT person, name, number, NULL FROM told_month
), persons AS (
    SELECT n.name AS month, n.subject.spoke AS spoke, n.subject.kind AS kind, n.subject.subject AS subject,
        count(*) AS persons, count(buys) AS known, count(*) FILTER (buys) AS yes, sum(revenue)::BIGINT AS revenue,
        count(score) AS score_n, coalesce(sum(score), 0)::BIGINT AS score_sum, coalesce(sum(score * score), 0)::BIGINT AS score_squares
    FROM named n JOIN told_person USING (person, number) GROUP BY ALL
), said AS (
    -- What touchpoints say that a subject takes.
    SELECT m.name AS month, t.spoke, t.kind, t.subject, count(*) AS efforts, sum(t.effort)::BIGINT AS effort
    FROM told_month m JOIN touch t ON t.person = m.person AND t.pos BETWEEN m.since AND m.until
    WHERE t.subject IS NOT NULL AND t.effort IS NOT NULL GROUP BY ALL
)
SELECT p.*, coalesce(efforts, 0) AS efforts, coalesce(effort, 0) AS effort
FROM persons p LEFT JOIN said USING (month, spoke, kind, subject);

-- What was done about what, and the 28 days before and after the day of it. Of those who bought first, those before had the days in
-- which they could buy again before it. Of nps, promoters are one and detractors minus one.
CREATE TABLE done AS
WITH told AS (
    SELECT DISTINCT t.person, t.pos, t.day, t.spoke, t.effort, s.dim, s.value AS dim_value
    FROM touch t JOIN slice s USING (person, pos) WHERE t.kind = 'change_enacted' AND s.dim NOT IN ('spoke', 'phase', 'segment')
    -- Of segments, the one that it names.
    UNION SELECT person, pos, day, spoke, effort, 'segment', segment FROM touch
    WHERE kind = 'change_enacted' AND segment IS NOT NULL
)
SELECT day, spoke, dim, dim_value, sum(effort)::BIGINT AS effort FROM told GROUP BY ALL;
CREATE TABLE moved AS
SELECT w.name AS day, d.spoke, d.dim, d.dim_value, d.effort, c.metric, c.first > d.day AS after,
    sum(n)::BIGINT AS n, sum(a)::BIGINT AS a, sum(CASE metric WHEN 'nps' THEN a - b ELSE s END)::HUGEINT AS total,
    sum(CASE metric WHEN 'nps' THEN a + b ELSE squares END)::HUGEINT AS squares
FROM done d JOIN of_day w ON w.day = d.day AND w.kind = 'day'
JOIN cell c ON c.dim = d.dim AND c.dim_value = d.dim_value AND c.kind = 'day' AND c.currency IS NULL
    AND (c.first BETWEEN d.day + 1 AND d.day + 28 OR c.first BETWEEN d.day - 28 AND d.day - 1)
GROUP BY ALL;
