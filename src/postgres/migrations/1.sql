-- Names of organizations and events are bytes, because a text of PostgreSQL can't hold a NUL. To read one:
-- convert_from(event, 'UTF8'). Times are nanoseconds since 1970: to_timestamp(finished_at / 1e9).

-- Events, each with its record. `id` is a digest of organization and event.
CREATE TABLE handoffd_events (
    id uuid PRIMARY KEY,
    organization bytea NOT NULL,
    event bytea NOT NULL,
    first_seen int8 NOT NULL,
    finished_at int8,
    record text NOT NULL
);
CREATE INDEX handoffd_events_unfinished ON handoffd_events (first_seen) WHERE finished_at IS NULL;

-- Search terms of ended events, a partition for each UTC day. A row whose event has another `finished_at` by now is
-- stale and never read. Rows are only ever inserted, and go with their partition.
CREATE TABLE handoffd_outcomes (
    finished_at int8 NOT NULL,
    id uuid NOT NULL,
    organization uuid NOT NULL,
    status int2 NOT NULL,
    terms uuid[] NOT NULL,
    PRIMARY KEY (finished_at, id)
) PARTITION BY RANGE (finished_at);
CREATE INDEX handoffd_outcomes_organization ON handoffd_outcomes (organization, finished_at);
CREATE INDEX handoffd_outcomes_status ON handoffd_outcomes (status, finished_at) WHERE status > 0;
-- Without the list of pending entries: emptying it would stop some commit for a long time.
CREATE INDEX handoffd_outcomes_terms ON handoffd_outcomes USING gin (terms) WITH (fastupdate = off);

-- What each event did for its session. `session` is a digest of organization and session.
CREATE TABLE handoffd_sessions (
    session uuid NOT NULL,
    event uuid NOT NULL,
    first int8 NOT NULL,
    at int8 NOT NULL,
    entry text NOT NULL,
    PRIMARY KEY (session, event)
);
CREATE INDEX handoffd_sessions_at ON handoffd_sessions (at);

-- Contacts. `id` is a digest of organization and email; the email itself is not stored.
CREATE TABLE handoffd_contacts (
    id uuid PRIMARY KEY,
    contact uuid NOT NULL,
    at int8 NOT NULL
);
CREATE INDEX handoffd_contacts_at ON handoffd_contacts (at);

CREATE TABLE handoffd_environments (organization bytea PRIMARY KEY, learned text NOT NULL);
CREATE TABLE handoffd_organizations (organization bytea PRIMARY KEY, document text NOT NULL);
CREATE TABLE handoffd_pauses (organization bytea PRIMARY KEY, since int8 NOT NULL);
CREATE TABLE handoffd_queues (organization bytea PRIMARY KEY, declared int8 NOT NULL);

-- Creates the partition of a day (days since 1970). A worker calls it, which need not be the owner of the tables.
CREATE FUNCTION handoffd_add_day(day int8) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
DECLARE
    name text := 'handoffd_outcomes_' || to_char(to_timestamp(day * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD');
BEGIN
    PERFORM pg_advisory_xact_lock(1751215717, hashtext(current_schema()));
    IF to_regclass(name) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE handoffd_outcomes INCLUDING ALL)', name);
        EXECUTE format('ALTER TABLE handoffd_outcomes ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)',
            name, day * 86400000000000, (day + 1) * 86400000000000);
    END IF;
END $$;

-- Drops the oldest partition if it is older than a day. Returns true if it did. Dropping locks the whole table for a
-- moment, so it waits for that lock only briefly, and the next sweep tries again.
CREATE FUNCTION handoffd_drop_day(before int8) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '500ms' AS $$
DECLARE
    oldest text;
BEGIN
    PERFORM pg_advisory_xact_lock(1751215717, hashtext(current_schema()));
    SELECT c.relname INTO oldest FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'handoffd_outcomes'::regclass
      AND c.relname < 'handoffd_outcomes_' || to_char(to_timestamp(before * 86400) AT TIME ZONE 'UTC', 'YYYYMMDD')
    ORDER BY c.relname LIMIT 1;
    IF oldest IS NOT NULL THEN
        EXECUTE format('DROP TABLE %I', oldest);
    END IF;
    RETURN oldest IS NOT NULL;
END $$;
REVOKE ALL ON FUNCTION handoffd_add_day(int8), handoffd_drop_day(int8) FROM PUBLIC;
