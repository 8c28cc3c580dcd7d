-- What operators see of every organization, whatever worker they ask, and what they have done.

-- State of each organization as its owner reports it, as JSON. A row of an earlier term than the owner's reports nothing.
CREATE TABLE handoffd_reports (
    organization bytea PRIMARY KEY,
    worker uuid NOT NULL,
    term int8 NOT NULL,
    at timestamptz NOT NULL,
    report text NOT NULL
) WITH (fillfactor = 50);

-- Time at which all reports of a worker were as new as it could write them: an unchanged report is not written again.
ALTER TABLE handoffd_workers ADD COLUMN reported_at timestamptz;

-- Actions of operators, as JSON: the last thousand.
CREATE TABLE handoffd_actions (id uuid PRIMARY KEY, at int8 NOT NULL, action text NOT NULL);
CREATE INDEX handoffd_actions_at ON handoffd_actions (at);

-- Sessions of the page that were signed out, until their cookies end by themselves.
CREATE TABLE handoffd_ended_sessions (session uuid PRIMARY KEY, over_at int8 NOT NULL);
