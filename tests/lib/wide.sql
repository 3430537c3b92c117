-- wide: 53 tables in three schemas, with every common type, for the worker's tests: a customer and all that hangs on one, references of
-- all kinds, and tables that no reference reaches. Values of personal columns begin with "canary".
CREATE SCHEMA billing;
CREATE SCHEMA support;
CREATE TYPE public.mood AS ENUM ('bad', 'so so', 'fine');
CREATE TYPE public.money_amount AS (amount numeric(12,2), currency char(3));
CREATE DOMAIN public.percent AS numeric(5,2) CHECK (value BETWEEN 0 AND 100);
CREATE DOMAIN public.short_text AS varchar(40);

CREATE TABLE public.organisations (id int PRIMARY KEY, title text, vat_number text, country char(2));
CREATE TABLE public.countries (code char(2) PRIMARY KEY, title text);
CREATE TABLE public.customers (
	id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES public.organisations, full_name text, email text, phone text, date_of_birth date,
	iban text, passport text, home_address jsonb, newsletter boolean, mood public.mood, discount public.percent, joined timestamptz,
	referred_by bigint REFERENCES public.customers, country char(2) REFERENCES public.countries, password_hash text, note text);
INSERT INTO organisations SELECT i, 'Organisation ' || i, 'canaryvat' || i, 'DE' FROM generate_series(1, 3) i;
INSERT INTO countries VALUES ('DE', 'Germany'), ('FR', 'France'), ('JP', 'Japan');
INSERT INTO customers SELECT i, 1 + i % 3, 'Canary' || chr(64 + i % 26 + 1) || 'na Longname' || chr(97 + i % 26), 'canary-mail-' || i || '@example.org',
	'+49 170 ' || 1000000 + i, date '1960-01-01' + i * 97, 'DE89370400440532013000', 'canarypass' || i,
	jsonb_build_object('street', 'canary-street-' || i, 'no', i), i % 2 = 0, (ARRAY['bad', 'so so', 'fine'])[1 + i % 3]::mood, i % 100,
	timestamptz '2020-01-01 00:00+00' + i * interval '1 day 01:02:03.5', nullif(i - 1, 0), (ARRAY['DE', 'FR', 'JP'])[1 + i % 3], 'canary-hash-' || i,
	'canary-note-' || i FROM generate_series(1, 60) i;

-- A reference in a circle, one of two columns, and one that only looks like one.
CREATE TABLE billing.contracts (id uuid PRIMARY KEY, customer_id bigint REFERENCES customers, latest_version uuid, signed date);
CREATE TABLE billing.versions (id uuid PRIMARY KEY, contract_id uuid REFERENCES billing.contracts, part int, UNIQUE (contract_id, part), body text);
ALTER TABLE billing.contracts ADD FOREIGN KEY (latest_version) REFERENCES billing.versions DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE billing.clauses (contract_id uuid, part int, n int, words text, PRIMARY KEY (contract_id, part, n),
	FOREIGN KEY (contract_id, part) REFERENCES billing.versions (contract_id, part));
CREATE TABLE support.sessions (id bigint PRIMARY KEY, customer_id bigint, ip_address inet, device macaddr);
INSERT INTO billing.contracts SELECT md5('c' || i)::uuid, i, NULL, date '2021-01-01' + i FROM generate_series(1, 60) i;
INSERT INTO billing.versions SELECT md5('v' || i)::uuid, md5('c' || i)::uuid, 1, 'Version ' || i FROM generate_series(1, 60) i;
UPDATE billing.contracts c SET latest_version = v.id FROM billing.versions v WHERE v.contract_id = c.id;
INSERT INTO billing.clauses SELECT md5('c' || i)::uuid, 1, n, 'Clause ' || n FROM generate_series(1, 60) i, generate_series(1, 3) n;
INSERT INTO support.sessions SELECT i, 1 + i % 60, '192.0.2.1', '08:00:2b:01:02:03' FROM generate_series(1, 120) i;

-- Fifteen tables in each schema, each with three of the types, and every third below another of them.
DO $$
DECLARE
	schemas text[] := '{public,billing,support}';
	-- type, and an expression over i
	types text[][] := ARRAY[
		['smallint', 'i % 100'], ['integer', 'i * 7'], ['bigint', 'i::bigint * 10000000000'], ['numeric', 'i * 1.23456789012345678901'],
		['numeric(14,2)', 'i * 10.25'], ['real', 'i / 7.0'], ['double precision', 'i / 3.0'], ['money', '(i * 1.5)::numeric::money'],
		['boolean', 'i % 3 = 0'], ['text', '''text '' || i'], ['varchar(40)', '''var '' || i'], ['char(8)', '''c'' || i'],
		['uuid', 'md5(i::text)::uuid'], ['bytea', 'decode(md5(i::text), ''hex'')'], ['date', 'date ''2024-01-01'' + i'],
		['timestamp', 'timestamp ''2024-01-01 12:00'' + i * interval ''1 hour'''], ['timestamptz', 'timestamptz ''2024-01-01 12:00+02'' + i * interval ''1 min'''],
		['time', 'time ''00:00'' + i * interval ''1 min'''], ['timetz', '''01:02:03+02''::timetz'], ['interval', 'i * interval ''1 day 2 hours'''],
		['json', 'json_build_object(''n'', i)'], ['jsonb', 'jsonb_build_array(i, ''x'')'], ['integer[]', 'ARRAY[i, NULL, i + 1]'],
		['text[]', 'ARRAY[''a'', ''b '' || i]'], ['mood', '''fine''::mood'], ['int4range', 'int4range(i, i + 5)'],
		['tstzrange', 'tstzrange(''2024-01-01 00:00+00'', NULL)'], ['int4multirange', '''{[1,3),[5,9)}''::int4multirange'],
		['inet', '''10.0.0.1''::inet'], ['cidr', '''10.1.0.0/16''::cidr'], ['macaddr', '''08:00:2b:01:02:03''::macaddr'],
		['bit(4)', 'B''1010'''], ['varbit', 'B''10101'''], ['tsvector', 'to_tsvector(''simple'', ''word '' || i)'],
		['xml', 'xmlparse(content ''<a>'' || i || ''</a>'')'], ['money_amount', 'ROW(i, ''EUR'')::money_amount'], ['percent', 'i % 100'],
		['short_text', '''short '' || i'], ['oid', 'i::oid'], ['point', 'point(i, 1)']];
	t text; parent text; k int; n int;
BEGIN
	FOR n IN 0..44 LOOP
		t := format('%I.%I', schemas[1 + n % 3], 'part_' || n);
		parent := CASE WHEN n >= 9 AND n % 3 = 0 THEN format('%I.%I', schemas[1 + (n - 9) % 3], 'part_' || n - 9) ELSE 'public.customers' END;
		EXECUTE format('CREATE TABLE %s (id bigint PRIMARY KEY, owner_id bigint REFERENCES %s, contact_email text)', t, parent);
		EXECUTE format('INSERT INTO %s SELECT i, 1 + i %% 60, ''canary-part-'' || i || ''@example.org'' FROM generate_series(1, 240) i', t);
		FOR k IN 0..2 LOOP
			EXECUTE format('ALTER TABLE %s ADD c%s %s', t, k, types[1 + (3 * n + k) % 40][1]);
			EXECUTE format('UPDATE %s SET c%s = %s FROM generate_series(1, 240) i WHERE id = i AND i %% 10 <> 0', t, k, types[1 + (3 * n + k) % 40][2]);
		END LOOP;
		EXECUTE format('CREATE INDEX ON %s (owner_id)', t);
	END LOOP;
END $$;

CREATE TABLE support.logs (at timestamptz, line text);
ANALYZE;
