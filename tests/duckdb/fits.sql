-- Purchases in (timeline.sql, customers.sql); how each customer had bought by the end of each of the newest twelve months that are
-- over out. A month counts what was known at its end: what is cancelled later was bought. When the last purchase was counts in weeks
-- after the first: the seven days after that are the first week.

CREATE TABLE bought_by AS
WITH bought AS (
    SELECT b.*, c.day AS cancelled_on FROM buying b LEFT JOIN touch c ON c.person = b.person AND c.pos = b.cancelled
), months AS (
    SELECT name, past - 1 AS close FROM windows, clock
    WHERE kind = 'month' AND past - 1 <= last_closed AND past > (SELECT min(day) FROM bought) ORDER BY first DESC LIMIT 12
), per_day AS (
    SELECT m.name AS month, m.close, b.person, b.day, sum(b.amount)::BIGINT AS amount
    FROM months m JOIN bought b ON b.day <= m.close AND (b.cancelled_on IS NULL OR b.cancelled_on > m.close) GROUP BY ALL
), told AS (
    SELECT *, day > min(day) OVER (PARTITION BY month, person) AS again FROM per_day
)
SELECT month, person, count(*) FILTER (again) AS repeats, (max(day) - min(day) + 6) // 7 AS last, any_value(close) - min(day) AS age,
    count(amount) FILTER (again) AS paid,
    coalesce(sum(amount) FILTER (again), 0)::BIGINT AS total
FROM told GROUP BY month, person;
