-- Timelines in (timeline.sql, segments.sql); the journeys that ended out, by goal, month and segment: their paths, what followed what, and
-- what goes with the goal.
--
-- A journey begins with the first touchpoint that can begin one, and ends where the goal is reached, where it is given up, or
-- where nothing happens for 30 days. Each of these is a bound: between two bounds there is at most one journey. What customers
-- cannot see is no step. A purchase keeps the journey that began after the one before it, whatever becomes of that one; where all
-- before it are cancelled while it stands, that journey led to the first purchase.

-- The segment that a person is in after a touchpoint.
CREATE TABLE segment_at AS SELECT person, pos, standing AS segment FROM segment_of;

CREATE TABLE seen AS
SELECT t.person, t.pos, t.ms, t.kind, t.spoke || ':' || t.kind || ':' || coalesce(t.channel, '') AS step,
    p.is_customer AS was_customer, q.is_customer AS is_customer,
    b.placed IS NOT NULL AS buys, b.cancelled IS NOT NULL AS taken_back,
    row_number() OVER w AS number,
    coalesce(t.ms - lag(t.ms) OVER w > 30 * 86400000::BIGINT, false) AS after_pause
FROM touch t
JOIN phase p ON p.person = t.person AND p.pos = t.pos
JOIN phase q ON q.person = t.person AND q.pos = t.pos + 1
LEFT JOIN purchase b ON b.person = t.person AND b.placed = t.pos
WHERE t.visibility <> 'internal'
WINDOW w AS (PARTITION BY t.person ORDER BY t.pos);

-- Where there is nothing to arrive at any more: who has no purchase buys none again, and a first purchase that customers cannot
-- see is no step, but it was the first.
CREATE TABLE pointless AS
SELECT g.goal, t.person, t.pos, t.ms
FROM touch t
JOIN phase p ON p.person = t.person AND p.pos = t.pos
JOIN phase q ON q.person = t.person AND q.pos = t.pos + 1,
    (VALUES ('first_purchase'), ('repurchase')) g(goal)
WHERE CASE g.goal WHEN 'repurchase' THEN p.is_customer AND NOT q.is_customer
    ELSE t.visibility = 'internal' AND NOT p.is_customer AND q.is_customer END;

-- What a touchpoint does for a goal: it arrives (`alone`: even where nothing led there), gives up, or can begin.
CREATE TABLE does AS
SELECT g.goal, s.*,
    (SELECT count(*) FROM pointless d WHERE d.goal = g.goal AND d.person = s.person AND d.pos <= s.pos) AS pointless,
    CASE g.goal WHEN 'first_purchase' THEN buys WHEN 'repurchase' THEN buys WHEN 'resolution' THEN kind = 'case_resolved'
        WHEN 'renewal' THEN kind = 'subscription_renewed' ELSE kind = 'referral_made' END AS arrives,
    CASE g.goal WHEN 'first_purchase' THEN NOT was_customer WHEN 'repurchase' THEN was_customer
        WHEN 'referral' THEN true ELSE false END AS alone,
    g.goal = 'renewal' AND kind = 'subscription_cancelled' AS gives_up,
    CASE g.goal WHEN 'first_purchase' THEN NOT buys AND NOT is_customer WHEN 'repurchase' THEN NOT buys AND is_customer
        WHEN 'resolution' THEN kind = 'case_opened' WHEN 'renewal' THEN kind = 'subscription_started'
        ELSE kind <> 'referral_made' AND is_customer END AS begins
FROM seen s, (VALUES ('first_purchase'), ('repurchase'), ('resolution'), ('renewal'), ('referral')) g(goal);

-- Between pauses, where one gives up, and where there is nothing to arrive at any more: for renewal, whoever arrived once is on the way to the next.
CREATE TABLE stretch AS
WITH paused AS (
    SELECT *, sum((after_pause OR coalesce(gave_up OR pointless > pointless_before, false))::INTEGER)
        OVER (PARTITION BY goal, person ORDER BY number) AS stretch
    FROM (
        SELECT *, lag(gives_up) OVER w AS gave_up, lag(pointless) OVER w AS pointless_before
        FROM does WINDOW w AS (PARTITION BY goal, person ORDER BY number)
    )
), renewing AS (
    SELECT *, begins OR (goal = 'renewal' AND arrives AND coalesce(bool_or(begins) OVER (
        PARTITION BY goal, person, stretch ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), false)) AS can_begin
    FROM paused
)
-- An arrival belongs to the journey that it ends; the next one begins after it, for renewal with it.
SELECT *, coalesce(sum(arrives::INTEGER) OVER (
    PARTITION BY goal, person, stretch ORDER BY number ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS leg
FROM renewing;

CREATE TABLE leg AS
WITH steps AS (
    SELECT goal, person, stretch, leg, number, pos, ms, step, arrives, alone, gives_up, can_begin, taken_back FROM stretch
    UNION ALL
    -- The step that a renewal's next journey begins with.
    SELECT goal, person, stretch, leg + 1, number, pos, ms, step, false, false, false, true, false
    FROM stretch WHERE goal = 'renewal' AND arrives AND can_begin
)
SELECT *,
    min(number) FILTER (can_begin AND NOT arrives AND NOT gives_up) OVER w AS begun,
    max(number) OVER (PARTITION BY goal, person) AS newest
FROM steps WINDOW w AS (PARTITION BY goal, person, stretch, leg);

CREATE TABLE journey AS
WITH ended AS (
    SELECT goal, person, stretch, leg,
        any_value(begun) AS begun,
        max(number) FILTER (arrives) AS arrived,
        max(number) FILTER (gives_up) AS gave_up,
        bool_or(arrives AND alone) AS alone,
        bool_or(arrives AND taken_back AND goal LIKE '%purchase') AS taken_back,
        max(number) AS last_number, max(pos) AS last_pos, max(ms) AS last_at,
        min(ms) FILTER (number = begun) AS begun_at,
        max(pos) FILTER (arrives OR gives_up) AS end_pos, max(ms) FILTER (arrives OR gives_up) AS end_at,
        any_value(newest) AS newest
    FROM leg GROUP BY goal, person, stretch, leg
)
SELECT goal, e.person, stretch, leg, begun, coalesce(arrived, gave_up, last_number + 1) AS past,
    -- What is not over is none yet.
    CASE WHEN arrived IS NOT NULL OR gave_up IS NOT NULL THEN day_of(end_at)
        ELSE day_of(last_at + 30 * 86400000::BIGINT) END AS day,
    CASE WHEN arrived IS NOT NULL AND NOT taken_back THEN end_at - coalesce(begun_at, end_at) END AS took,
    CASE WHEN arrived IS NOT NULL THEN end_pos END AS arrived_pos,
    coalesce(end_pos, CASE WHEN last_number = newest THEN 9223372036854775807 ELSE (
        -- Up to what came before the next step.
        SELECT min(s.pos) - 1 FROM seen s WHERE s.person = e.person AND s.number = e.last_number + 1) END) AS segment_pos
FROM ended e, clock
WHERE CASE WHEN arrived IS NOT NULL THEN begun IS NOT NULL OR alone
        -- What became pointless before it expired counts nowhere.
        ELSE begun IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM pointless d WHERE d.goal = e.goal AND d.person = e.person AND d.pos > e.last_pos
                AND d.ms <= e.last_at + 30 * 86400000::BIGINT) END
    AND (arrived IS NOT NULL OR gave_up IS NOT NULL OR last_number < newest
        OR day_of(last_at + 30 * 86400000::BIGINT) <= last_closed);

-- Paths: equal steps in a row once, the newest 16 of them.
CREATE TABLE path_of AS
WITH step AS (
    SELECT j.goal, j.person, j.stretch, j.leg, l.number, l.step,
        lag(l.step) OVER (PARTITION BY j.goal, j.person, j.stretch, j.leg ORDER BY l.number) AS before
    FROM journey j JOIN leg l USING (goal, person, stretch, leg)
    WHERE l.number >= j.begun AND l.number < j.past
)
SELECT goal, person, stretch, leg, list(step ORDER BY number)[-16:] AS path
FROM step WHERE before IS DISTINCT FROM step GROUP BY ALL;

-- Purchases of customers before which none is left: those are cancelled, and that while it stands.
CREATE TABLE first_after_all AS
SELECT b.person, b.placed FROM purchase b
WHERE NOT EXISTS (SELECT 1 FROM purchase o WHERE o.person = b.person AND o.placed < b.placed
    AND coalesce(o.cancelled >= coalesce(b.cancelled, 9223372036854775807), true));

CREATE TABLE ended_journey AS
WITH located AS (
    SELECT j.* REPLACE (CASE WHEN j.goal = 'repurchase' AND EXISTS (
            SELECT 1 FROM first_after_all f WHERE f.person = j.person AND f.placed = j.arrived_pos
        ) THEN 'first_purchase' ELSE j.goal END AS goal), coalesce(p.path, []) AS path, (
        SELECT arg_max_null(s.segment, s.pos) FROM segment_at s WHERE s.person = j.person AND s.pos <= j.segment_pos
    ) AS segment
    FROM journey j LEFT JOIN path_of p USING (goal, person, stretch, leg)
), placed AS (SELECT *, '' AS suffix FROM located
    UNION ALL SELECT *, '&segment=' || escaped(segment) FROM located WHERE segment IS NOT NULL)
SELECT w.name || '|goal=' || p.goal || p.suffix AS family, path, took
FROM placed p JOIN of_day w USING (day) WHERE w.kind = 'month';

CREATE TABLE travelled AS
SELECT family, path, array_to_string(path, '>') AS name, count(took) AS converted, count(*) - count(took) AS lost,
    sum(took)::BIGINT AS took, list_sort(list(took) FILTER (took IS NOT NULL)) AS sorted
FROM ended_journey GROUP BY family, path;

CREATE TABLE family AS
SELECT family, count(*) AS journeys, count(took) AS converted, count(*) - count(took) AS lost, sum(took)::BIGINT AS took,
    list_sort(list(took) FILTER (took IS NOT NULL)) AS sorted
FROM ended_journey GROUP BY family;

CREATE TABLE transition AS
WITH ends AS (
    SELECT family, path, converted AS n, '(goal)' AS last FROM travelled WHERE converted > 0
    UNION ALL SELECT family, path, lost, '(lost)' FROM travelled WHERE lost > 0
), chain AS (
    SELECT family, n, list_concat(['(start)'], path, [last]) AS places FROM ends
), single AS (
    SELECT family, n, places, unnest(generate_series(1, len(places) - 1)) AS i FROM chain
)
SELECT family, places[i] AS came_from, places[i + 1] AS went_to, sum(n)::BIGINT AS n FROM single GROUP BY ALL;

-- Journeys with a step, and with two steps in this order.
CREATE TABLE presence AS
WITH numbered AS (
    SELECT family, name, converted, lost, path, unnest(path) AS step, generate_subscripts(path, 1) AS i FROM travelled
), single AS (SELECT DISTINCT family, name, converted, lost, [step] AS steps FROM numbered),
pair AS (
    SELECT DISTINCT a.family, a.name, a.converted, a.lost, [a.step, b.step] AS steps
    FROM numbered a JOIN numbered b ON a.family = b.family AND a.name = b.name AND a.i < b.i
)
SELECT s.family, s.steps, sum(s.converted)::BIGINT AS with_converted, sum(s.converted + s.lost)::BIGINT AS with_n,
    any_value(f.converted) - sum(s.converted)::BIGINT AS without_converted,
    any_value(f.journeys) - sum(s.converted + s.lost)::BIGINT AS without_n
FROM (FROM single UNION ALL FROM pair) s JOIN family f USING (family)
GROUP BY s.family, s.steps HAVING with_n >= 30 AND without_n >= 30;
