-- The files of a hub in; touchpoints in their order, what was bought, promised, delivered and asked for, phases and windows out.
--
-- A person's timeline is in the order of time, then of what leads to what, then id, then spoke; `pos` is a touchpoint's place in it,
-- from 1.

-- What begins, goes on, ends, is taken back or judged, and answers that, comes after whatever else happens at the same instant.
CREATE MACRO of_its_instant(kind) AS CASE
    WHEN kind IN ('order_placed', 'subscription_started', 'case_opened') THEN 1
    WHEN kind IN ('delivery_promised', 'order_shipped', 'payment_received', 'invoice_issued', 'subscription_renewed',
        'case_replied', 'case_reopened') THEN 2
    WHEN kind IN ('order_delivered', 'case_resolved') THEN 3
    WHEN kind IN ('order_cancelled', 'order_returned', 'refund_issued', 'subscription_cancelled',
        'complaint_made', 'survey_answered', 'review_posted') THEN 4
    WHEN kind = 'follow_up_made' THEN 5
    ELSE 0 END;

-- The day of an instant, in the hub's time zone.
CREATE MACRO day_of(ms) AS
    (timezone(getvariable('time_zone'), timezone('UTC', epoch_ms(ms)))::DATE - DATE '1970-01-01')::INTEGER;

CREATE TABLE touch AS
SELECT
    dense_rank() OVER (ORDER BY person) AS person, person AS person_id, spoke, id, kind, visibility, initiator,
    epoch_ms(occurred_at::TIMESTAMPTZ) AS ms,
    day_of(epoch_ms(occurred_at::TIMESTAMPTZ)) AS day,
    channel, subject, product, region, segment, campaign, account,
    amount.minor AS amount, amount.currency AS currency,
    cost.minor AS cost, cost.currency AS cost_currency,
    score.scale AS scale, score.value AS answer, score.item AS item,
    epoch_ms(promised_at::TIMESTAMPTZ) AS promised,
    sentiment, effort,
    referrer IS NOT NULL AS is_referred,
    identifiers, list_min(identifiers['order']) AS order_no,
    list_min(identifiers['case']) AS case_no,
    list_min(identifiers['contract']) AS contract_no,
    row_number() OVER (PARTITION BY person ORDER BY epoch_ms(occurred_at::TIMESTAMPTZ), of_its_instant(kind), id, spoke) AS pos
FROM read_json(getvariable('touchpoints'), format = 'newline_delimited', columns = {
    person: 'VARCHAR', spoke: 'VARCHAR', id: 'VARCHAR', kind: 'VARCHAR', visibility: 'VARCHAR', initiator: 'VARCHAR',
    occurred_at: 'VARCHAR', identifiers: 'MAP(VARCHAR, VARCHAR[])', channel: 'VARCHAR', subject: 'VARCHAR',
    product: 'VARCHAR', region: 'VARCHAR', segment: 'VARCHAR', campaign: 'VARCHAR', account: 'VARCHAR',
    amount: 'STRUCT(minor BIGINT, currency VARCHAR)', cost: 'STRUCT(minor BIGINT, currency VARCHAR)',
    score: 'STRUCT(scale VARCHAR, value BIGINT, item VARCHAR)', promised_at: 'VARCHAR', sentiment: 'BIGINT', effort: 'BIGINT',
    referrer: 'STRUCT("type" VARCHAR, value VARCHAR)'
});

-- The orders, cases and contracts that a touchpoint names, and the first of each type: it is about all of them.
CREATE TABLE thing AS
SELECT person, pos, kind, type, unnest(names) AS name, list_min(names) AS first_name FROM (
    SELECT person, pos, kind, unnest(map_keys(identifiers)) AS type, unnest(map_values(identifiers)) AS names FROM touch
) WHERE type IN ('order', 'case', 'contract');

-- The last day that has closed: the one before the newest touchpoint's.
CREATE TABLE clock AS SELECT max(day) - 1 AS last_closed FROM touch;

-- What this script leaves out, because no company of the tests has it: a person with more orders or cases than are
-- remembered, and orders or deliveries without a number, which are matched by age.
CREATE TABLE unsupported AS
SELECT 'more ' || type || 's than are remembered' AS what, person FROM thing
GROUP BY person, type HAVING count(DISTINCT name) > CASE type WHEN 'case' THEN 128 ELSE 256 END
UNION ALL
SELECT 'more refunds of an order than are remembered', person FROM touch WHERE kind = 'refund_issued' AND order_no IS NOT NULL
GROUP BY person, order_no HAVING count(*) > 16
UNION ALL
SELECT 'more subjects in a month than are remembered', person FROM touch WHERE subject IS NOT NULL
GROUP BY person, strftime(DATE '1970-01-01' + day, '%Y-%m') HAVING count(DISTINCT (spoke, kind, subject)) > 32
UNION ALL
SELECT 'more identifiers than a record shows', person FROM thing GROUP BY person, type HAVING count(DISTINCT name) > 64
UNION ALL
SELECT 'more items of a survey than are remembered', person FROM touch WHERE item IS NOT NULL
GROUP BY person HAVING count(DISTINCT item) > 16
UNION ALL
SELECT 'a ' || kind || ' without a number', person FROM touch
WHERE kind IN ('order_placed', 'order_delivered', 'order_returned') AND order_no IS NULL;

-- Orders by number: first placed (a touchpoint is one purchase, and has one amount: of the first order that it names), cancelled after that, first delivered, first returned. What is said of an order is `off` from its
-- cancellation on: what is said before the placing, or without one, from the first cancellation of all.
CREATE TABLE mention AS
WITH said AS (
    SELECT t.* REPLACE (n.name AS order_no), n.name = n.first_name AS is_first,
        min(pos) FILTER (t.kind = 'order_placed' AND n.name = n.first_name) OVER (PARTITION BY person, n.name) AS placed
    FROM touch t JOIN thing n USING (person, pos)
    WHERE n.type = 'order' AND t.kind IN ('order_placed', 'delivery_promised', 'order_shipped', 'order_delivered',
        'order_cancelled', 'order_returned', 'refund_issued')
)
SELECT *,
    CASE WHEN pos >= placed THEN min(pos) FILTER (kind = 'order_cancelled' AND pos > placed) OVER (PARTITION BY person, order_no)
        ELSE min(pos) FILTER (kind = 'order_cancelled') OVER (PARTITION BY person, order_no) END AS off
FROM said;

CREATE TABLE customer_order AS
SELECT
    person, order_no, any_value(placed) AS placed,
    min(pos) FILTER (kind = 'order_cancelled' AND pos > placed) AS cancelled,
    min(pos) FILTER (kind = 'order_delivered') AS delivered,
    min(pos) FILTER (kind = 'order_returned') AS returned
FROM mention GROUP BY person, order_no;

-- A promise stands until the next one, the delivery or the cancellation; for the same moment once more, it is the same promise,
-- if that was not off by then.
CREATE TABLE promise AS
WITH told AS (
    SELECT person, order_no, pos, promised, off, delivered,
        lag(promised) OVER (PARTITION BY person, order_no, off ORDER BY pos) AS before
    FROM mention JOIN customer_order o USING (person, order_no)
    WHERE kind IN ('order_placed', 'delivery_promised', 'order_shipped') AND promised IS NOT NULL
        AND pos < coalesce(least(off, delivered), 9223372036854775807)
)
SELECT person, order_no, pos AS made, promised AS due, off,
    least(lead(pos) OVER (PARTITION BY person, order_no ORDER BY pos), off, delivered) AS ended
FROM told WHERE before IS DISTINCT FROM promised;

CREATE TABLE delivery AS
SELECT o.person, o.delivered AS pos,
    coalesce(t.promised, CASE WHEN p.off < o.delivered THEN NULL ELSE p.due END) AS due
FROM customer_order o
JOIN touch t ON t.person = o.person AND t.pos = o.delivered
LEFT JOIN (SELECT person, order_no, arg_max(due, made) AS due, arg_max_null(off, made) AS off FROM promise GROUP BY ALL) p
    ON p.person = o.person AND p.order_no = o.order_no;

-- What was paid back, and the cancellation of its order that takes it back; after that nothing counts.
CREATE TABLE refund AS
SELECT person, pos, abs(amount) AS amount, currency, off AS taken_back FROM mention
WHERE kind = 'refund_issued' AND amount IS NOT NULL AND is_first AND (off IS NULL OR pos < off)
UNION ALL
SELECT person, pos, abs(amount), currency, NULL FROM touch
WHERE kind = 'refund_issued' AND amount IS NOT NULL AND order_no IS NULL;

-- Each time that a contract ran: from a start when it did not, to the next cancellation.
CREATE TABLE contract AS
WITH said AS (
    SELECT person, name AS contract_no, pos, kind, lag(kind) OVER w AS before,
        min(CASE WHEN kind = 'subscription_cancelled' THEN pos END)
            OVER (w ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS cancelled
    FROM thing
    WHERE type = 'contract' AND kind IN ('subscription_started', 'subscription_cancelled')
    WINDOW w AS (PARTITION BY person, name ORDER BY pos)
)
SELECT person, contract_no, pos AS began, cancelled FROM said
WHERE kind = 'subscription_started' AND before IS DISTINCT FROM 'subscription_started';

-- What was bought: orders, and subscriptions, of which nothing is awaited and which no order's cancellation takes back; those that
-- start together were bought once.
CREATE TABLE purchase AS
SELECT b.person, b.placed, b.cancelled, b.delivered, t.ms, c.ms AS cancelled_at
FROM (
    SELECT person, placed, cancelled, delivered FROM customer_order WHERE placed IS NOT NULL
    UNION ALL
    SELECT DISTINCT person, began, NULL, began FROM contract
    UNION ALL
    SELECT person, pos, NULL, pos FROM touch WHERE kind = 'subscription_started' AND contract_no IS NULL
) b
JOIN touch t ON t.person = b.person AND t.pos = b.placed
LEFT JOIN touch c ON c.person = b.person AND c.pos = b.cancelled;

-- Purchases that were never cancelled, a person's first one first.
CREATE TABLE kept AS
SELECT person, placed AS pos, ms, row_number() OVER (PARTITION BY person ORDER BY placed) AS number
FROM purchase WHERE cancelled IS NULL;

-- In which phase a touchpoint finds a person, and in which it leaves them: before the first purchase, during (something is
-- awaited), after. A purchase is there from the touchpoint after it up to the one that ends it.
CREATE TABLE phase AS
WITH change AS (
    SELECT person, placed + 1 AS pos, 1 AS bought, 0 AS awaited FROM purchase
    UNION ALL SELECT person, cancelled + 1, -1, 0 FROM purchase WHERE cancelled IS NOT NULL
    UNION ALL SELECT person, placed + 1, 0, 1 FROM purchase WHERE coalesce(least(cancelled, delivered), placed + 1) > placed
    UNION ALL SELECT person, least(cancelled, delivered) + 1, 0, -1 FROM purchase WHERE least(cancelled, delivered) > placed
), place AS (
    -- One more than there are touchpoints: what the last one leaves.
    SELECT person, pos, 0 AS bought, 0 AS awaited FROM touch
    UNION ALL SELECT person, max(pos) + 1, 0, 0 FROM touch GROUP BY person
    UNION ALL SELECT * FROM change
), state AS (
    SELECT DISTINCT person, pos,
        sum(bought) OVER (PARTITION BY person ORDER BY pos) AS bought,
        sum(awaited) OVER (PARTITION BY person ORDER BY pos) AS awaited
    FROM place
)
SELECT person, pos, bought > 0 AS is_customer,
    CASE WHEN bought = 0 THEN 0 WHEN awaited = 0 THEN 2 ELSE 1 END AS rank
FROM state;

-- Cases by number, from their opening on.
CREATE TABLE support_case AS
WITH opened AS (
    SELECT t.* REPLACE (n.name AS case_no), min(pos) FILTER (t.kind = 'case_opened') OVER (PARTITION BY person, n.name) AS opening
    FROM touch t JOIN thing n USING (person, pos)
    WHERE n.type = 'case' AND t.kind IN ('case_opened', 'case_replied', 'case_resolved', 'case_reopened')
), ends AS (
    SELECT person, case_no, any_value(opening) AS opened,
        min(pos) FILTER (kind = 'case_replied' AND initiator = 'agent' AND visibility = 'public') AS replied,
        min(pos) FILTER (kind = 'case_resolved') AS resolved,
        max(pos) FILTER (kind = 'case_resolved') AS resolved_last, max(pos) FILTER (kind = 'case_reopened') AS reopened_last
    FROM opened WHERE pos >= opening GROUP BY person, case_no
)
SELECT e.*, o.ms AS opened_at, o.subject AS opened_subject
FROM ends e JOIN touch o ON o.person = e.person AND o.pos = e.opened;

-- What a touchpoint answered and what it delivered of what was promised: of several cases and orders, all.
CREATE TABLE answered_with AS
SELECT c.person, c.replied AS pos, count(*) AS replies, sum(t.ms - c.opened_at) AS took
FROM support_case c JOIN touch t ON t.person = c.person AND t.pos = c.replied GROUP BY ALL;
CREATE TABLE delivered_with AS
SELECT person, pos, count(*) AS promises, sum(ms - due) AS gap,
    count(*) FILTER (ms - due <= getvariable('on_time_tolerance_ms')) AS kept
FROM delivery JOIN touch USING (person, pos) WHERE due IS NOT NULL GROUP BY ALL;

-- A key's part: what separates is escaped.
CREATE MACRO escaped(part) AS
    replace(replace(replace(replace(part, '%', '%25'), '|', '%7C'), '=', '%3D'), '&', '%26');

-- The windows of each day.
CREATE TABLE of_day AS
WITH days AS (
    SELECT unnest(generate_series((SELECT min(day) - 40 FROM touch), (SELECT max(day) + 80 FROM touch)))::INTEGER AS day
), dated AS (SELECT day, DATE '1970-01-01' + day AS date FROM days)
SELECT day, 'day' AS kind, day AS first, day + 1 AS past, 'day:' || strftime(date, '%Y-%m-%d') AS name FROM dated
UNION ALL
SELECT day, 'week', (day - isodow(date) + 1)::INTEGER, (day - isodow(date) + 8)::INTEGER, 'week:' || strftime(date, '%G-W%V') FROM dated
UNION ALL
SELECT day, 'month', (date_trunc('month', date)::DATE - DATE '1970-01-01')::INTEGER,
    ((date_trunc('month', date) + INTERVAL 1 MONTH)::DATE - DATE '1970-01-01')::INTEGER,
    'month:' || strftime(date, '%Y-%m')
FROM dated;

CREATE TABLE windows AS SELECT DISTINCT kind, first, past, name FROM of_day;
