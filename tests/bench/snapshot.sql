-- The data of the worker's line in the benchmark: :subjects customers with orders and their items, :rows in all. The first
-- :large customers have 10,000 rows each: themselves, 2,999 orders and 7,000 items. psql -v subjects=… -v rows=… -v large=…
SET synchronous_commit = off;
CREATE UNLOGGED TABLE customers(id int, name text, email text, city text, created_at timestamptz, vip boolean);
CREATE UNLOGGED TABLE orders(id int, customer_id int, amount numeric(12,2), status text, placed_at timestamptz, note text);
CREATE UNLOGGED TABLE items(id int, order_id int, sku text, quantity int, cents bigint, weight float8, details jsonb);
INSERT INTO customers
SELECT i, 'Customer ' || i, 'customer' || i || '@example.com', 'City ' || i % 97, timestamptz '2020-01-01' + i * interval '1 minute', i % 9 = 0
FROM generate_series(1, :subjects) i;
-- A third of what is not customers is orders, dealt out to the customers that are not large.
INSERT INTO orders
SELECT i, CASE WHEN i <= :large * 2999 THEN 1 + (i - 1) / 2999 ELSE :large + 1 + i % (:subjects - :large) END, (i * 7919::bigint % 1000000) / 100.0,
  (ARRAY['open','paid','sent','returned'])[1 + i % 4], timestamptz '2023-01-01' + i * interval '13 seconds', 'note number ' || i % 1013
FROM generate_series(1, (:rows - :subjects - :large * 9999) / 3 + :large * 2999) i;
INSERT INTO items
SELECT i, CASE WHEN i <= :large * 7000 THEN (i - 1) / 7000 * 2999 + 1 + i % 2999 ELSE :large * 2999 + 1 + i % ((:rows - :subjects - :large * 9999) / 3) END,
  'sku-' || i % 10007, 1 + i % 9, i * 31::bigint % 100000, (i % 1000) / 8.0, jsonb_build_object('colour', (ARRAY['red','blue','green'])[1 + i % 3], 'n', i % 100)
FROM generate_series(1, (:rows - :subjects - :large * 9999) * 2 / 3 + :large * 7000) i;
ALTER TABLE customers ADD PRIMARY KEY (id);
CREATE INDEX ON orders(customer_id);
CREATE INDEX ON items(order_id);
ANALYZE;
