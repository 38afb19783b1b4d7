-- Timelines in (timeline.sql); the segment of each touchpoint, as its department named it or by the rules of rules.txt where
-- those are told, and what each touchpoint counts for out.

-- What was known of a person just before each touchpoint.
CREATE TABLE known AS
WITH paid AS (
    SELECT person, pos, currency, amount FROM touch WHERE kind = 'subscription_renewed'
    UNION ALL
    SELECT person, pos, currency, amount FROM purchase p JOIN touch t USING (person) WHERE t.pos = p.placed
    UNION ALL
    SELECT person, p.cancelled, currency, -amount FROM purchase p JOIN touch t USING (person)
    WHERE t.pos = p.placed AND p.cancelled IS NOT NULL
), of_case AS (
    -- From its opening on, a case is open or resolved.
    SELECT t.person, c.case_no, t.pos, (t.kind <> 'case_resolved')::INTEGER AS is_open
    FROM thing t JOIN support_case c ON c.person = t.person AND t.type = 'case' AND c.case_no = t.name
    WHERE t.pos = c.opened OR (t.pos > c.opened AND t.kind IN ('case_resolved', 'case_reopened'))
), change AS (
    SELECT person, pos, amount AS revenue, 0 AS on_time, 0 AS late, 0 AS cases
    FROM paid WHERE currency = 'EUR' AND amount IS NOT NULL
    UNION ALL
    SELECT person, pos, 0, (ms - due <= getvariable('on_time_tolerance_ms'))::INTEGER,
        (ms - due > getvariable('on_time_tolerance_ms'))::INTEGER, 0
    FROM delivery JOIN touch USING (person, pos) WHERE due IS NOT NULL
    UNION ALL
    SELECT person, pos, 0, 0, 0, is_open - coalesce(lag(is_open) OVER (PARTITION BY person, case_no ORDER BY pos), 0)
    FROM of_case
), changed AS (
    SELECT person, pos, sum(revenue) AS revenue, sum(on_time) AS on_time, sum(late) AS late, sum(cases) AS cases
    FROM change GROUP BY ALL
)
SELECT t.person, t.pos, t.spoke, t.kind, t.segment AS named, t.pos - 1 AS touchpoints,
    (t.ms - min(t.ms) OVER (PARTITION BY t.person)) // 86400000 AS days_known,
    ['before', 'during', 'after'][p.rank + 1] AS phase,
    coalesce(sum(revenue) OVER earlier, 0) AS revenue, coalesce(sum(on_time) OVER earlier, 0) AS on_time,
    coalesce(sum(late) OVER earlier, 0) AS late, coalesce(sum(cases) OVER earlier, 0) AS open_cases,
    last_value(CASE WHEN scale = 'csat' AND item IS NULL THEN answer END IGNORE NULLS) OVER earlier AS csat,
    last_value(t.sentiment IGNORE NULLS) OVER earlier AS felt,
    count(*) FILTER (t.kind = 'page_viewed') OVER earlier AS pages, t.visibility,
    count(*) FILTER (t.kind = 'message_sent') OVER closed_days AS contacts
FROM touch t JOIN phase p USING (person, pos) LEFT JOIN changed USING (person, pos)
WINDOW earlier AS (PARTITION BY t.person ORDER BY t.pos ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING),
    closed_days AS (PARTITION BY t.person ORDER BY t.day RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING);

-- The segment of a touchpoint, and the one in which it leaves the person: where no rule holds, the newest named.
CREATE TABLE segment_of AS
WITH ruled AS (
    SELECT person, pos, named, CASE WHEN getvariable('has_rules') THEN
        CASE WHEN csat <= 2 THEN 'at risk'
            WHEN late > on_time OR open_cases >= 2 THEN 'kept waiting'
            WHEN felt < -20 AND kind <> 'survey_answered' THEN 'out of sorts'
            WHEN revenue >= 10000 AND phase = 'after' THEN 'good customer'
            WHEN contacts >= 5 THEN 'pressed'
            WHEN pages >= 4 AND visibility = 'public' THEN 'curious'
            WHEN touchpoints = 0 OR (days_known < 14 AND spoke IN ('marketing', 'sales')) THEN 'new' END
        END AS by_rule
    FROM known
)
SELECT person, pos, by_rule, coalesce(by_rule, named) AS segment,
    coalesce(by_rule, last_value(named IGNORE NULLS) OVER (PARTITION BY person ORDER BY pos)) AS standing
FROM ruled;

-- What a touchpoint counts for: the company, and each dimension value that it has.
CREATE TABLE slice AS
WITH dims AS (
    SELECT t.person, t.pos, unnest([
        {dim: 'company', value: ''}, {dim: 'spoke', value: spoke}, {dim: 'channel', value: channel},
        {dim: 'segment', value: s.segment}, {dim: 'region', value: region}, {dim: 'product', value: product},
        {dim: 'subject', value: subject}, {dim: 'campaign', value: campaign}, {dim: 'account', value: account},
        {dim: 'phase', value: ['before', 'during', 'after'][p.rank + 1]}
    ], recursive := true)
    FROM touch t JOIN phase p USING (person, pos) JOIN segment_of s USING (person, pos)
)
SELECT * FROM dims WHERE value IS NOT NULL;
