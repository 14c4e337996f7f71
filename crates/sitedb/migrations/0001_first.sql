-- first
CREATE TABLE site (
    one {int} PRIMARY KEY CHECK (one = 1),
    site_code TEXT NOT NULL,
    epoch {int} NOT NULL,
    ca_fingerprint TEXT NOT NULL,
    root_public_key TEXT NOT NULL,
    created_at {int} NOT NULL
) {strict};

CREATE TABLE counters (
    name TEXT PRIMARY KEY,
    value {int} NOT NULL
) {strict};

CREATE TABLE packages (
    package_id TEXT PRIMARY KEY,
    name TEXT NOT NULL {nocase},
    package_version TEXT NOT NULL {nocase},
    manufacturer TEXT NOT NULL {nocase},
    language TEXT NOT NULL {nocase},
    description TEXT NOT NULL {nocase},
    source_path TEXT NOT NULL {nocase},
    source_flag {int} NOT NULL,
    priority {int} NOT NULL,
    is_public {int} NOT NULL,
    allow_empty {int} NOT NULL,
    source_site TEXT NOT NULL {nocase},
    source_version {int} NOT NULL,
    stored_version {int} NOT NULL,
    epoch {int} NOT NULL,
    is_deleting {int} NOT NULL,
    settings {int} NOT NULL,
    created_at {int} NOT NULL,
    last_refresh_at {int}
) {strict};

CREATE TABLE refreshes (
    package_id TEXT PRIMARY KEY REFERENCES packages (package_id) ON DELETE CASCADE,
    requested_seq {int} NOT NULL,
    creation_seq {int} NOT NULL,
    started_seq {int} NOT NULL,
    done_seq {int} NOT NULL,
    failed_seq {int} NOT NULL,
    asked_since_start {int} NOT NULL,
    runs {int} NOT NULL,
    lease_run {int},
    lease_owner TEXT,
    leased_until {int},
    attempts {int} NOT NULL,
    next_attempt {int} NOT NULL,
    requested_at {int} NOT NULL,
    why TEXT
) {strict};
CREATE INDEX refreshes_pending ON refreshes (next_attempt) WHERE requested_seq > done_seq;

CREATE TABLE versions (
    package_id TEXT NOT NULL REFERENCES packages (package_id) ON DELETE CASCADE,
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
    PRIMARY KEY (package_id, epoch, version)
) {strict};

CREATE TABLE distribution_points (
    name TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    certificate_expires {int} NOT NULL,
    enrolled_at {int} NOT NULL,
    library_id TEXT,
    serve_urls TEXT NOT NULL,
    software TEXT,
    connected_to TEXT,
    last_seen_at {int}
) {strict};

CREATE TABLE targets (
    package_id TEXT NOT NULL REFERENCES packages (package_id),
    point TEXT NOT NULL REFERENCES distribution_points (name),
    state TEXT NOT NULL,
    wanted_version {int} NOT NULL,
    serving_version {int} NOT NULL,
    job {int} NOT NULL,
    job_kind TEXT,
    is_redistributing {int} NOT NULL,
    has_given_up {int} NOT NULL,
    skip_until {int} NOT NULL,
    attempts {int} NOT NULL,
    next_attempt {int},
    cause {int},
    why TEXT,
    asked_at {int} NOT NULL,
    last_copied_at {int},
    bytes_received {int} NOT NULL,
    settings {int} NOT NULL,
    PRIMARY KEY (package_id, point)
) {strict};
CREATE INDEX targets_by_point ON targets (point);
CREATE INDEX targets_retrying ON targets (next_attempt) WHERE next_attempt IS NOT NULL;

CREATE TABLE stops (
    point TEXT NOT NULL REFERENCES distribution_points (name),
    job {int} NOT NULL,
    package_id TEXT NOT NULL,
    version {int} NOT NULL,
    epoch {int} NOT NULL,
    asked_at {int} NOT NULL,
    PRIMARY KEY (point, job)
) {strict};

CREATE TABLE source_roots (
    name TEXT PRIMARY KEY,
    folder TEXT NOT NULL,
    aliases TEXT NOT NULL,
    created_at {int} NOT NULL
) {strict};

CREATE TABLE tokens (
    hash {bytes} PRIMARY KEY,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    used_at {int},
    used_by {bytes}
) {strict};

CREATE TABLE status_messages (
    record {auto_id},
    message_id {int} NOT NULL,
    severity {int} NOT NULL,
    message_type {int} NOT NULL,
    component TEXT NOT NULL,
    time {int} NOT NULL,
    package_id TEXT
) {strict};
CREATE INDEX status_messages_by_package ON status_messages (package_id, record);
CREATE INDEX status_messages_by_time ON status_messages (time);

CREATE TABLE status_message_strings (
    record {int} NOT NULL REFERENCES status_messages (record) ON DELETE CASCADE,
    position {int} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (record, position)
) {strict};

CREATE TABLE status_message_attributes (
    record {int} NOT NULL REFERENCES status_messages (record) ON DELETE CASCADE,
    attribute {int} NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (record, attribute, value)
) {strict};

CREATE TABLE requests (
    request_id TEXT PRIMARY KEY,
    operation TEXT NOT NULL,
    answer TEXT NOT NULL,
    at {int} NOT NULL
) {strict};
CREATE INDEX requests_by_time ON requests (at);

CREATE TABLE loops (
    name TEXT PRIMARY KEY,
    last_run_at {int} NOT NULL,
    result TEXT NOT NULL,
    queue {int} NOT NULL
) {strict};
