-- Timelines in (timeline.sql, journeys.sql); what is said of each customer, and which alerts are open at the last close out. How
-- somebody buys is the script's: here is when.

CREATE TABLE customer AS
WITH told AS (
    SELECT person, any_value(person_id) AS person_id, min(ms) AS first_seen, max(ms) AS last_seen, count(*) AS touchpoints,
        arg_max(region, pos) FILTER (region IS NOT NULL) AS region,
        arg_max(account, pos) FILTER (account IS NOT NULL) AS account, max(pos) + 1 AS past,
        count(sentiment) AS sentiment_n, sum(sentiment)::BIGINT AS sentiment_sum,
        arg_max(sentiment, pos) FILTER (sentiment IS NOT NULL) AS sentiment_last,
        count(*) FILTER (kind = 'message_sent' AND day BETWEEN last_closed - 29 AND last_closed) AS contacts_30_days
    FROM touch, clock GROUP BY person
), bought AS (SELECT person, count(*) AS orders FROM kept GROUP BY person
), asked AS (
    SELECT c.person,
        count(*) FILTER (resolved_last IS NULL OR reopened_last > resolved_last) AS open_cases,
        count(replied) AS replied, sum(r.ms - opened_at)::BIGINT AS replied_ms,
        count(resolved) AS resolved, sum(e.ms - opened_at)::BIGINT AS resolved_ms
    FROM support_case c LEFT JOIN touch r ON r.person = c.person AND r.pos = c.replied
    LEFT JOIN touch e ON e.person = c.person AND e.pos = c.resolved WHERE opened IS NOT NULL GROUP BY c.person
), received AS (
    SELECT person, count(*) FILTER (ms - due <= getvariable('on_time_tolerance_ms')) AS on_time,
        count(*) FILTER (ms - due > getvariable('on_time_tolerance_ms')) AS late
    FROM delivery JOIN touch USING (person, pos) WHERE due IS NOT NULL GROUP BY person
), awaited AS (
    SELECT p.person, count(*) AS open, count(*) FILTER (greatest(m.day, day_of(p.due)) <= last_closed) AS overdue
    FROM promise p JOIN touch m ON m.person = p.person AND m.pos = p.made, clock WHERE p.ended IS NULL GROUP BY p.person
)
SELECT t.*, s.standing AS segment, ['before', 'during', 'after'][p.rank + 1] AS phase,
    coalesce(orders, 0) AS orders, greatest(coalesce(orders, 0) - 1, 0) AS frequency, coalesce(open_cases, 0) AS open_cases,
    coalesce(replied, 0) AS replied, replied_ms, coalesce(resolved, 0) AS resolved, resolved_ms,
    coalesce(on_time, 0) AS on_time, coalesce(late, 0) AS late, coalesce(open, 0) AS open_promises, coalesce(overdue, 0) AS overdue
FROM told t JOIN phase p ON p.person = t.person AND p.pos = t.past JOIN segment_of s ON s.person = t.person AND s.pos = t.past - 1
LEFT JOIN bought b ON b.person = t.person LEFT JOIN asked a ON a.person = t.person
LEFT JOIN received r ON r.person = t.person LEFT JOIN awaited w ON w.person = t.person;

-- Numbers by words, of each customer: `what` is the field.
CREATE TABLE tally AS
SELECT person, 'touchpoints_by_spoke' AS what, spoke AS word, count(*)::DOUBLE AS number FROM touch GROUP BY ALL
UNION ALL SELECT person, 'touchpoints_by_kind', kind, count(*) FROM touch GROUP BY ALL
UNION ALL SELECT person, 'touchpoints_by_channel', channel, count(*) FROM touch WHERE channel IS NOT NULL GROUP BY ALL
UNION ALL SELECT person, 'monetary_value', currency, sum(amount) / count(*) FROM kept JOIN touch USING (person, pos)
WHERE amount IS NOT NULL GROUP BY ALL
UNION ALL SELECT person, 'revenue', currency, sum(amount) FROM (
    SELECT person, currency, amount FROM kept JOIN touch USING (person, pos)
    UNION ALL SELECT person, currency, amount FROM touch WHERE kind = 'subscription_renewed'
) WHERE amount IS NOT NULL GROUP BY person, currency;
CREATE TABLE answers AS
SELECT person, scale || coalesce(':' || item, '') AS scale, count(*) AS n, sum(answer)::BIGINT AS total, arg_max(answer, pos) AS last
FROM touch WHERE scale IS NOT NULL GROUP BY ALL;

-- What was bought on which day, by purchase, and which of them are kept.
CREATE TABLE buying AS
SELECT p.person, p.placed, p.cancelled, t.day, t.spoke, CASE WHEN t.currency = 'EUR' THEN t.amount END AS amount
FROM purchase p JOIN touch t ON t.person = p.person AND t.pos = p.placed;

-- Identifiers by type.
CREATE TABLE named AS
SELECT person, type, list_sort(list(DISTINCT value)) AS values FROM (
    SELECT person, type, unnest(list) AS value FROM (
        SELECT person, unnest(map_keys(identifiers)) AS type, unnest(map_values(identifiers)) AS list FROM touch
    )
) GROUP BY ALL;

-- Steps after the newest purchase, equal ones in a row once, the newest 32.
CREATE TABLE way AS
WITH since AS (SELECT person, max(placed) AS placed FROM purchase GROUP BY person
), step AS (
    SELECT t.person, t.pos, {spoke: spoke, kind: kind, channel: channel} AS step,
        lag({spoke: spoke, kind: kind, channel: channel}) OVER (PARTITION BY t.person ORDER BY t.pos) AS before
    FROM touch t LEFT JOIN since s ON s.person = t.person WHERE t.pos > coalesce(s.placed, 0)
)
SELECT person, list(step ORDER BY pos)[-32:] AS steps FROM step WHERE before IS DISTINCT FROM step GROUP BY person;

-- Alerts but for those of customers who lapsed: cause, what it is about, since which day, whose it is.
CREATE TABLE open_alert AS
SELECT 'promise_overdue' AS cause, p.person, 'order' AS thing, p.order_no AS about, greatest(m.day, day_of(p.due)) AS since,
    m.spoke AS owner, p.due AS happened_at, MAP {}::MAP(VARCHAR, DOUBLE) AS figures
FROM promise p JOIN touch m ON m.person = p.person AND m.pos = p.made WHERE p.ended IS NULL
UNION ALL
SELECT 'case_unanswered', c.person, 'case', c.case_no, day_of(c.opened_at + getvariable('unanswered_target_ms')), o.spoke,
    c.opened_at, MAP {'target_hours': getvariable('unanswered_target_ms') / 3600000.0}
FROM support_case c JOIN touch o ON o.person = c.person AND o.pos = c.opened WHERE replied IS NULL AND resolved IS NULL;
INSERT INTO open_alert
WITH followed AS (SELECT person, max(pos) AS pos FROM touch WHERE kind = 'follow_up_made' AND initiator = 'agent' AND visibility = 'public' GROUP BY person
), waiting AS (
    SELECT t.*, row_number() OVER (PARTITION BY t.person ORDER BY t.pos DESC) AS age
    FROM touch t LEFT JOIN followed f USING (person)
    WHERE t.pos > coalesce(f.pos, 0) AND (t.kind = 'complaint_made' OR (scale = 'nps' AND answer <= 6))
)
SELECT 'follow_up_missing', person, NULL, NULL, day_of(ms + 2 * 86400000::BIGINT), spoke, ms,
    CASE WHEN scale = 'nps' AND answer <= 6 THEN MAP {'target_hours': 48.0, 'score': answer} ELSE MAP {'target_hours': 48.0} END
FROM waiting WHERE age <= 16;
-- Over the cap at the last close, and since when without a pause.
INSERT INTO open_alert
WITH sent AS (
    SELECT person, pos, day, spoke, row_number() OVER (PARTITION BY person ORDER BY pos) AS number
    FROM touch WHERE kind = 'message_sent'
), closes AS (
    SELECT person, close, count(*) AS n FROM (
        SELECT person, unnest(generate_series(day, day + 29))::INTEGER AS close FROM sent
    ), clock WHERE close <= last_closed GROUP BY ALL
), over AS (
    SELECT *, close - row_number() OVER (PARTITION BY person ORDER BY close) AS run
    FROM closes WHERE n > getvariable('contact_cap')
), running AS (
    SELECT person, min(close) AS since, max(close) AS until, arg_max(n, close) AS n FROM over GROUP BY person, run
), begun AS (
    -- The message with which there were more than the cap on that day.
    SELECT r.person, r.since, r.n, list(s.spoke ORDER BY s.pos)[(getvariable('contact_cap') + 1)::BIGINT] AS owner
    FROM running r JOIN sent s ON s.person = r.person AND s.day BETWEEN r.since - 29 AND r.since, clock
    WHERE r.until = last_closed GROUP BY ALL
)
SELECT 'contact_cap_exceeded', person, NULL, NULL, since, owner, NULL,
    MAP {'messages_30_days': n::DOUBLE, 'cap': getvariable('contact_cap')::DOUBLE}
FROM begun;
DELETE FROM open_alert WHERE since > (SELECT last_closed FROM clock);
