-- Several workers. Times of the fleet are by this server's clock.

-- True for an event that is finished: no other worker changes its record any more.
ALTER TABLE handoffd_events ADD COLUMN answered bool NOT NULL DEFAULT false;

-- Workers. `id` is of one start of a process, never of its name. `lists` counts the changes of both lists.
CREATE TABLE handoffd_workers (
    id uuid PRIMARY KEY,
    name text NOT NULL,
    version text NOT NULL,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease interval NOT NULL,
    state text NOT NULL CHECK (state IN ('joined', 'leaving', 'lost')),
    able bool NOT NULL,
    in_flight int8 NOT NULL,
    lists int8 NOT NULL,
    configured bytea[] NOT NULL,
    former bytea[] NOT NULL
);

-- Owner of each organization; nobody's while `worker` is null. `released` says why it was given back.
CREATE TABLE handoffd_owners (
    organization bytea PRIMARY KEY,
    worker uuid,
    term int8 NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    released text
);

-- What the next owner of an organization must know of its environment, as JSON.
CREATE TABLE handoffd_organization_state (organization bytea PRIMARY KEY, state text NOT NULL);

-- Number of changes of what operators set. Workers poll it.
CREATE TABLE handoffd_revision (single bool PRIMARY KEY DEFAULT true CHECK (single), revision int8 NOT NULL);
INSERT INTO handoffd_revision (revision) VALUES (1);
CREATE FUNCTION handoffd_revise() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE handoffd_revision SET revision = revision + 1;
    RETURN NULL;
END $$;
CREATE TRIGGER handoffd_revise AFTER INSERT OR UPDATE OR DELETE ON handoffd_pauses
    FOR EACH STATEMENT EXECUTE FUNCTION handoffd_revise();
CREATE TRIGGER handoffd_revise AFTER INSERT OR UPDATE OR DELETE ON handoffd_organizations
    FOR EACH STATEMENT EXECUTE FUNCTION handoffd_revise();
CREATE TRIGGER handoffd_revise AFTER INSERT OR UPDATE OR DELETE ON handoffd_queues
    FOR EACH STATEMENT EXECUTE FUNCTION handoffd_revise();
