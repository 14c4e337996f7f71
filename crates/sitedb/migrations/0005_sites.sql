-- sites
-- 1 secondary, 2 primary, 4 central.
ALTER TABLE site ADD COLUMN site_type {int} NOT NULL DEFAULT 2;
-- Another text after each restore: neighbours then send everything again. Empty until it is first asked for.
ALTER TABLE site ADD COLUMN incarnation TEXT NOT NULL DEFAULT '';
-- When the database was last restored from a backup or promoted.
ALTER TABLE site ADD COLUMN restored_at {int};

-- Every site of the hierarchy that is known here, also the own.
CREATE TABLE sites (
    site_code TEXT NOT NULL {nocase} PRIMARY KEY,
    -- The site above; none for the top.
    parent TEXT {nocase},
    site_type {int} NOT NULL,
    name TEXT NOT NULL {nocase},
    server_name TEXT NOT NULL {nocase},
    url TEXT NOT NULL,
    software TEXT NOT NULL,
    root_public_key TEXT NOT NULL,
    key_list {bytes} NOT NULL,
    ca_fingerprint TEXT NOT NULL,
    -- As SMS_Site.Status: 1 active, 2 pending, 4 deleted, 8 recovering.
    status {int} NOT NULL,
    -- Whether it is this site or stands below it: content it needs passes through here.
    is_below {int} NOT NULL
) {strict};
CREATE INDEX sites_below ON sites (site_code) WHERE is_below = 1;
INSERT INTO sites (site_code, parent, site_type, name, server_name, url, software, root_public_key, key_list,
    ca_fingerprint, status, is_below)
SELECT site_code, NULL, 2, site_code, '', '', '', root_public_key, {no_bytes}, ca_fingerprint, 1, 1 FROM site;

-- A link to the site above or to one below.
CREATE TABLE site_links (
    peer TEXT NOT NULL {nocase} PRIMARY KEY,
    is_above {int} NOT NULL,
    -- SHA-256 of the public key of its certificate, in hex.
    fingerprint TEXT NOT NULL,
    -- Pinned when the link was made.
    root_public_key TEXT NOT NULL,
    url TEXT NOT NULL,
    -- The peer's database, in whose numbers `received` counts; empty before the first connection.
    incarnation TEXT NOT NULL,
    -- The peer's changes up to this number are applied here.
    received {int} NOT NULL,
    -- The peer has applied the changes of this site up to this number.
    acknowledged {int} NOT NULL,
    is_revoked {int} NOT NULL,
    -- The site process it is connected to.
    connected_to TEXT,
    last_seen_at {int},
    joined_at {int} NOT NULL,
    -- Why it is not connected.
    why TEXT
) {strict};

-- The state of everything that sites share: docs/formats/replicas.md. Empty until there is a link.
CREATE TABLE replicas (
    kind TEXT NOT NULL,
    object_key TEXT NOT NULL {nocase},
    clock {int} NOT NULL,
    writer TEXT NOT NULL,
    -- When it was written, by the writer's clock.
    written_at {int} NOT NULL,
    -- JSON; none: it was deleted.
    body TEXT,
    -- The order in which this site took or made the states it has.
    seq {int} NOT NULL,
    -- The neighbour it came from, which has it; none when it was made here.
    came_from TEXT,
    -- The package it belongs to, with which it goes.
    package_id TEXT,
    -- When the deletion was first seen by the cleaning.
    deleted_at {int},
    PRIMARY KEY (kind, object_key)
) {strict};
CREATE UNIQUE INDEX replicas_by_seq ON replicas (seq);
CREATE INDEX replicas_by_package ON replicas (package_id) WHERE package_id IS NOT NULL;
CREATE INDEX replicas_deleted ON replicas (seq) WHERE body IS NULL;

-- Objects that arrived before what they refer to: taken once that is there.
CREATE TABLE replicas_waiting (
    kind TEXT NOT NULL,
    object_key TEXT NOT NULL {nocase},
    peer TEXT NOT NULL,
    -- What they wait for.
    for_kind TEXT NOT NULL,
    for_key TEXT NOT NULL {nocase},
    object TEXT NOT NULL,
    -- When the cleaning saw it first.
    seen_at {int},
    PRIMARY KEY (kind, object_key, peer)
) {strict};
CREATE INDEX replicas_waiting_for ON replicas_waiting (for_kind, for_key);
CREATE INDEX replicas_waiting_by_peer ON replicas_waiting (peer);

-- The newest version of each package that is known here, wherever it was published, with its statement.
CREATE TABLE announced (
    package_id TEXT PRIMARY KEY REFERENCES packages (package_id) ON DELETE CASCADE,
    epoch {int} NOT NULL,
    version {int} NOT NULL,
    root {bytes} NOT NULL,
    root_length {int} NOT NULL,
    pages {int} NOT NULL,
    entries {int} NOT NULL,
    chunks {int} NOT NULL,
    bytes {int} NOT NULL,
    files {int} NOT NULL,
    bytes_read {int} NOT NULL,
    chunks_new {int} NOT NULL,
    bytes_new {int} NOT NULL,
    published_at {int} NOT NULL,
    duration_ms {int} NOT NULL,
    signer TEXT NOT NULL,
    statement {bytes} NOT NULL,
    -- Failed attempts to fetch its content, and when the next one may start.
    attempts {int} NOT NULL,
    next_attempt {int} NOT NULL,
    -- Held for sites below only, until then.
    is_draft {int} NOT NULL,
    lease_until {int},
    why TEXT
) {strict};

-- What each site holds of a package: SMS_PackageStatus rows of type 1.
CREATE TABLE copies (
    package_id TEXT NOT NULL REFERENCES packages (package_id) ON DELETE CASCADE,
    site TEXT NOT NULL {nocase},
    epoch {int} NOT NULL,
    version {int} NOT NULL,
    -- 0 asked, 1 being sent, 3 stored, 4 tried again, 5 failed.
    state {int} NOT NULL,
    why TEXT,
    at {int} NOT NULL,
    PRIMARY KEY (package_id, site)
) {strict};
CREATE INDEX copies_by_site ON copies (site);

-- Refreshes that were asked for at sites that do not own the package.
CREATE TABLE forwarded (
    package_id TEXT NOT NULL REFERENCES packages (package_id) ON DELETE CASCADE,
    -- Where it was asked.
    site TEXT NOT NULL,
    -- How many were asked there.
    asked {int} NOT NULL,
    -- The request at the owner that covers them; 0 at other sites.
    request {int} NOT NULL,
    -- How many of them have ended.
    done {int} NOT NULL,
    PRIMARY KEY (package_id, site)
) {strict};

ALTER TABLE packages ADD COLUMN owner_epoch {int} NOT NULL DEFAULT 1;
-- No version with this number or a lower one is published here again.
ALTER TABLE packages ADD COLUMN version_floor {int} NOT NULL DEFAULT 0;
UPDATE packages SET version_floor = stored_version;
-- What the owner's requests are, where this site does not own the package.
ALTER TABLE refreshes ADD COLUMN asked {int} NOT NULL DEFAULT 0;
ALTER TABLE refreshes ADD COLUMN owner_state TEXT;
-- Wishes about a target that are counted, so that each site acts on each once.
ALTER TABLE targets ADD COLUMN redistributes {int} NOT NULL DEFAULT 0;
ALTER TABLE targets ADD COLUMN cancels {int} NOT NULL DEFAULT 0;
-- The site that raised it.
ALTER TABLE status_messages ADD COLUMN site TEXT NOT NULL DEFAULT '';
UPDATE status_messages SET site = COALESCE((SELECT s.site_code FROM site AS s), '');
