-- Timelines in (timeline.sql, drivers.sql); out what `insight.scorecards` counts of departments' months, and of persons in them.

CREATE TABLE department AS
WITH dated AS (SELECT t.*, w.name AS month FROM touch t JOIN of_day w USING (day) WHERE w.kind = 'month'
), counted AS (
    SELECT month, spoke, count(*) AS touchpoints, count(*) FILTER (kind = 'case_opened') AS cases FROM dated GROUP BY ALL
), told AS (
    SELECT month, spoke, count(*) AS promises, count(*) FILTER (ms - due <= getvariable('on_time_tolerance_ms')) AS kept
    FROM delivery JOIN dated USING (person, pos) WHERE due IS NOT NULL GROUP BY ALL
)
SELECT month, spoke, touchpoints, cases, coalesce(promises, 0) AS promises, coalesce(kept, 0) AS kept
FROM counted LEFT JOIN told USING (month, spoke);

-- Persons in months that are over, at each department that touched them: whether it failed them, what they did and thought
-- elsewhere, and what they felt there. Means are integers in thousandths, durations in milliseconds, rounded down.
CREATE TABLE department_person AS
WITH dated AS (
    SELECT t.*, w.name AS month FROM touch t JOIN of_day w USING (day), clock WHERE w.kind = 'month' AND w.past - 1 <= last_closed
), opening AS (
    SELECT person, opened AS pos, count(*) AS cases FROM support_case WHERE opened IS NOT NULL GROUP BY ALL
    UNION ALL SELECT person, pos, 1 FROM touch WHERE kind = 'case_opened' AND case_no IS NULL
), there AS (
    SELECT d.person, d.month, d.spoke, coalesce(sum(o.cases), 0) AS cases,
        bool_or(coalesce(y.kept < y.promises, false) OR coalesce(d.sentiment < -20, false)
            OR coalesce((d.scale IN ('csat', 'review') AND d.answer <= 2) OR (d.scale = 'nps' AND d.answer <= 6), false)) AS failed,
        count(*) FILTER (scale = 'csat') AS csat_n, coalesce(sum(answer) FILTER (scale = 'csat'), 0) AS csat_sum,
        floor(1000 * sum(answer) FILTER (scale = 'csat') / count(*) FILTER (scale = 'csat')) AS csat,
        floor(1000 * sum(answer) FILTER (scale = 'nps') / count(*) FILTER (scale = 'nps')) AS nps,
        floor(1000 * sum(sentiment) / count(sentiment)) AS sentiment,
        floor(sum(took) / sum(replies)) AS first_response_time,
        floor(1000 * sum(kept) / sum(promises)) AS on_time, floor(sum(gap) / sum(promises)) AS promise_gap
    FROM dated d LEFT JOIN opening o USING (person, pos) LEFT JOIN answered_with r USING (person, pos)
    LEFT JOIN delivered_with y USING (person, pos)
    GROUP BY ALL
), everywhere AS (
    SELECT person, month, sum(cases) AS cases, sum(csat_n) AS csat_n, sum(csat_sum) AS csat_sum FROM there GROUP BY ALL
)
SELECT h.month, h.spoke, h.failed, (e.cases - h.cases)::BIGINT AS cases_elsewhere,
    floor(1000 * (e.csat_sum - h.csat_sum) / nullif(e.csat_n - h.csat_n, 0))::BIGINT AS csat_elsewhere,
    h.csat::BIGINT AS csat, h.nps::BIGINT AS nps, h.sentiment::BIGINT AS sentiment,
    h.first_response_time::BIGINT AS first_response_time, h.on_time::BIGINT AS on_time,
    h.promise_gap::BIGINT AS promise_gap, p.bought_again
FROM there h JOIN everywhere e USING (person, month) JOIN person_month p USING (person, month);

-- Promises that are open at the end of a month, whoever ended them later, and those of them that were to be kept by then.
CREATE TABLE open_promise AS
WITH dated AS (
    SELECT m.spoke, m.day AS made, greatest(m.day, day_of(p.due)) AS due, e.day AS until
    FROM promise p JOIN touch m ON m.person = p.person AND m.pos = p.made
    LEFT JOIN touch e ON e.person = p.person AND e.pos = p.ended
)
SELECT w.name AS month, spoke, count(*) AS open_promises, count(*) FILTER (due < w.past) AS overdue_promises
FROM dated d JOIN windows w ON w.kind = 'month' AND d.made < w.past AND (d.until IS NULL OR d.until >= w.past) GROUP BY ALL;
