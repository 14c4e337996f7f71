-- provider
ALTER TABLE packages ADD COLUMN package_type {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN share_name TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN share_type {int} NOT NULL DEFAULT 1;
ALTER TABLE packages ADD COLUMN pkg_flags {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN forced_disconnect_delay {int} NOT NULL DEFAULT 5;
ALTER TABLE packages ADD COLUMN forced_disconnect_enabled {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN forced_disconnect_retries {int} NOT NULL DEFAULT 2;
ALTER TABLE packages ADD COLUMN ignore_address_schedule {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN isv_string TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN mif_filename TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN mif_name TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN mif_publisher TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN mif_version TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN preferred_address_type TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN alternate_content_providers TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN stored_pkg_path TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE packages ADD COLUMN default_image_flags {int} NOT NULL DEFAULT 2;
ALTER TABLE packages ADD COLUMN transform_readiness {int} NOT NULL DEFAULT 0;
ALTER TABLE packages ADD COLUMN transform_analysis_at {int};
ALTER TABLE packages ADD COLUMN extended_data {bytes};
ALTER TABLE packages ADD COLUMN isv_data {bytes};
ALTER TABLE packages ADD COLUMN icon {bytes};
-- Tokens of 16 hexadecimal digits, one after the other.
ALTER TABLE packages ADD COLUMN refresh_schedule TEXT NOT NULL DEFAULT '';
-- When the schedule was set or last looked at; runs up to then have been asked for.
ALTER TABLE packages ADD COLUMN schedule_seen_at {int};
ALTER TABLE packages ADD COLUMN schedule_next_at {int};
-- Replaced by every Put.
ALTER TABLE packages ADD COLUMN sedo_version TEXT NOT NULL DEFAULT '';
-- The account that set the source path.
ALTER TABLE packages ADD COLUMN source_set_by {int};
CREATE INDEX packages_by_id_nocase ON packages (package_id {nocase});
CREATE INDEX packages_by_name ON packages (name);
CREATE INDEX packages_scheduled ON packages (schedule_next_at) WHERE schedule_next_at IS NOT NULL;
CREATE INDEX packages_schedule_seen ON packages (schedule_seen_at) WHERE schedule_next_at IS NOT NULL;

-- SMS_DistributionPointInfo.ID.
ALTER TABLE distribution_points ADD COLUMN number {int} NOT NULL DEFAULT 0;
ALTER TABLE distribution_points ADD COLUMN description TEXT NOT NULL DEFAULT '' {nocase};
ALTER TABLE distribution_points ADD COLUMN is_in_maintenance {int} NOT NULL DEFAULT 0;

CREATE TABLE programs (
    package_id TEXT NOT NULL REFERENCES packages (package_id) ON DELETE CASCADE,
    program_name TEXT NOT NULL {nocase},
    -- Every other property that was put, as one JSON object by property name.
    properties TEXT NOT NULL,
    PRIMARY KEY (package_id, program_name)
) {strict};

CREATE TABLE dp_groups (
    group_id TEXT NOT NULL {nocase} PRIMARY KEY,
    -- Given once, for the keys of rows about its targets.
    number {int} NOT NULL,
    name TEXT NOT NULL {nocase},
    description TEXT NOT NULL {nocase},
    source_site TEXT NOT NULL {nocase},
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL,
    modified_by TEXT NOT NULL {nocase},
    modified_at {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX dp_groups_by_name ON dp_groups (name);
CREATE UNIQUE INDEX dp_groups_by_number ON dp_groups (number);

CREATE TABLE dp_group_members (
    group_id TEXT NOT NULL {nocase} REFERENCES dp_groups (group_id) ON DELETE CASCADE,
    point TEXT NOT NULL REFERENCES distribution_points (name) ON DELETE CASCADE,
    PRIMARY KEY (group_id, point)
) {strict};
CREATE INDEX dp_group_members_by_point ON dp_group_members (point);

CREATE TABLE dp_group_packages (
    group_id TEXT NOT NULL {nocase} REFERENCES dp_groups (group_id) ON DELETE CASCADE,
    package_id TEXT NOT NULL REFERENCES packages (package_id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, package_id)
) {strict};
CREATE INDEX dp_group_packages_by_package ON dp_group_packages (package_id);

CREATE TABLE dp_group_collections (
    group_id TEXT NOT NULL {nocase} REFERENCES dp_groups (group_id) ON DELETE CASCADE,
    collection_id TEXT NOT NULL {nocase},
    PRIMARY KEY (group_id, collection_id)
) {strict};

CREATE TABLE admins (
    admin_id {int} PRIMARY KEY,
    logon_name TEXT NOT NULL {nocase},
    display_name TEXT NOT NULL {nocase},
    -- argon2id in PHC form; none: the account signs in with tokens only.
    password_hash TEXT,
    -- Raised by every change of password, roles or scopes: what was remembered is void.
    generation {int} NOT NULL,
    is_disabled {int} NOT NULL,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL,
    modified_by TEXT NOT NULL {nocase},
    modified_at {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX admins_by_name ON admins (logon_name);

CREATE TABLE roles (
    role_id TEXT NOT NULL {nocase} PRIMARY KEY,
    name TEXT NOT NULL {nocase},
    description TEXT NOT NULL {nocase},
    copied_from TEXT NOT NULL {nocase},
    is_built_in {int} NOT NULL,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL,
    modified_by TEXT NOT NULL {nocase},
    modified_at {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX roles_by_name ON roles (name);

-- What a role grants on objects of a type: a bit field of operations.
CREATE TABLE role_operations (
    role_id TEXT NOT NULL {nocase} REFERENCES roles (role_id) ON DELETE CASCADE,
    object_type {int} NOT NULL,
    operations {int} NOT NULL,
    PRIMARY KEY (role_id, object_type)
) {strict};

-- Security scopes; SMS00ALL (All) holds every object and has no members listed.
CREATE TABLE scopes (
    scope_id TEXT NOT NULL {nocase} PRIMARY KEY,
    name TEXT NOT NULL {nocase},
    description TEXT NOT NULL {nocase},
    is_built_in {int} NOT NULL,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL,
    modified_by TEXT NOT NULL {nocase},
    modified_at {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX scopes_by_name ON scopes (name);

-- An account has a role within a scope (SMS_APermission).
CREATE TABLE admin_permissions (
    admin_id {int} NOT NULL REFERENCES admins (admin_id) ON DELETE CASCADE,
    role_id TEXT NOT NULL {nocase} REFERENCES roles (role_id),
    scope_id TEXT NOT NULL {nocase} REFERENCES scopes (scope_id),
    PRIMARY KEY (admin_id, role_id, scope_id)
) {strict};

-- Objects of a scope: type 2 by package ID, 42 by the name of the distribution point, 43 by group ID, 6 by site code.
CREATE TABLE scope_members (
    scope_id TEXT NOT NULL {nocase} REFERENCES scopes (scope_id),
    object_type {int} NOT NULL,
    object_key TEXT NOT NULL {nocase},
    PRIMARY KEY (scope_id, object_type, object_key)
) {strict};
CREATE INDEX scope_members_by_object ON scope_members (object_type, object_key);

CREATE TABLE api_tokens (
    token_hash {bytes} PRIMARY KEY,
    admin_id {int} NOT NULL REFERENCES admins (admin_id) ON DELETE CASCADE,
    name TEXT NOT NULL {nocase},
    -- A role that limits it further, or none.
    role_id TEXT {nocase},
    created_at {int} NOT NULL,
    expires_at {int} NOT NULL,
    last_used_at {int},
    revoked_at {int}
) {strict};
CREATE UNIQUE INDEX api_tokens_by_name ON api_tokens (admin_id, name);

-- Append-only and hash-chained: docs/formats/audit.md.
CREATE TABLE audit_records (
    sequence {int} PRIMARY KEY,
    at {int} NOT NULL,
    account TEXT NOT NULL,
    address TEXT NOT NULL,
    door TEXT NOT NULL,
    operation TEXT NOT NULL,
    path TEXT NOT NULL,
    method TEXT NOT NULL,
    parameters TEXT NOT NULL,
    package_id TEXT,
    result {int} NOT NULL,
    correlation TEXT NOT NULL,
    before_digest {bytes},
    after_digest {bytes},
    hash {bytes} NOT NULL
) {strict};

-- Which text each view had when it was made.
CREATE TABLE views (
    name TEXT PRIMARY KEY,
    hash {bytes} NOT NULL
) {strict};

-- What configuration decides and views must know, written at every start.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value {int} NOT NULL
) {strict};

CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) {strict};

-- What comes with the program. The times are set when the site's row is made.
INSERT INTO roles (role_id, name, description, copied_from, is_built_in, created_by, created_at, modified_by, modified_at)
VALUES
    ('SMS0001R', 'Full Administrator', 'Grants every operation on every object.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS0002R', 'Read-only Analyst', 'Grants reading every object.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS0008R', 'Application Author', 'Grants making and changing packages, not distributing them.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS0009R', 'Application Administrator', 'Grants making, changing and distributing packages.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS000BR', 'Infrastructure Manager', 'Grants managing the site, distribution points and their groups.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS000ER', 'Operations Administrator', 'Grants everything except accounts, roles and scopes.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS000FR', 'Security Administrator', 'Grants managing accounts, roles and scopes.', '', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0));
INSERT INTO role_operations (role_id, object_type, operations)
VALUES
    ('SMS0001R', 2, 805446679), ('SMS0001R', 4, 1031), ('SMS0001R', 6, 7160855), ('SMS0001R', 27, 1031), ('SMS0001R', 28, 1031), ('SMS0001R', 29, 1031), ('SMS0001R', 42, 25), ('SMS0001R', 43, 1049631),
    ('SMS0002R', 2, 1), ('SMS0002R', 4, 1), ('SMS0002R', 6, 1), ('SMS0002R', 27, 1), ('SMS0002R', 28, 1), ('SMS0002R', 29, 1), ('SMS0002R', 42, 1), ('SMS0002R', 43, 1),
    ('SMS0008R', 2, 805446679), ('SMS0008R', 4, 1), ('SMS0008R', 6, 1), ('SMS0008R', 29, 1), ('SMS0008R', 42, 1), ('SMS0008R', 43, 1),
    ('SMS0009R', 2, 805446679), ('SMS0009R', 4, 1), ('SMS0009R', 6, 1), ('SMS0009R', 29, 1), ('SMS0009R', 42, 9), ('SMS0009R', 43, 9),
    ('SMS000BR', 2, 1), ('SMS000BR', 4, 1031), ('SMS000BR', 6, 7160855), ('SMS000BR', 29, 1), ('SMS000BR', 42, 25), ('SMS000BR', 43, 1049631),
    ('SMS000ER', 2, 805446679), ('SMS000ER', 4, 1031), ('SMS000ER', 6, 7160855), ('SMS000ER', 27, 1), ('SMS000ER', 28, 1), ('SMS000ER', 29, 1), ('SMS000ER', 42, 25), ('SMS000ER', 43, 1049631),
    ('SMS000FR', 2, 17), ('SMS000FR', 4, 1), ('SMS000FR', 6, 17), ('SMS000FR', 27, 1031), ('SMS000FR', 28, 1031), ('SMS000FR', 29, 1031), ('SMS000FR', 42, 17), ('SMS000FR', 43, 17);
INSERT INTO scopes (scope_id, name, description, is_built_in, created_by, created_at, modified_by, modified_at)
VALUES
    ('SMS00ALL', 'All', 'Holds every object.', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0)),
    ('SMS00UNA', 'Default', 'Holds every object that was put into no other scope.', 1, '', COALESCE((SELECT created_at FROM site), 0), '', COALESCE((SELECT created_at FROM site), 0));
INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 2, package_id FROM packages;
INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 42, name FROM distribution_points;
INSERT INTO scope_members (scope_id, object_type, object_key) SELECT 'SMS00UNA', 6, site_code FROM site;

-- Functions that views call and that only one of the engines has.
{functions}

-- The site it belongs to, and the NAL path by which scripts name it. Both are made of the name and
-- the site's code, which never change.
ALTER TABLE distribution_points ADD COLUMN site_code TEXT NOT NULL DEFAULT '';
ALTER TABLE distribution_points ADD COLUMN nal_path TEXT NOT NULL DEFAULT '';
UPDATE distribution_points SET
    number = (SELECT COUNT(*) FROM distribution_points AS o WHERE o.name <= distribution_points.name),
    site_code = COALESCE((SELECT s.site_code FROM site AS s), ''),
    nal_path = COALESCE((SELECT '["Display=\\' || name || '\"]MSWNET:["SMS_SITE=' || s.site_code || '"]\\' || name || '\' FROM site AS s), '');
INSERT INTO counters (name, value) SELECT 'point', COUNT(*) FROM distribution_points;
CREATE UNIQUE INDEX distribution_points_by_number ON distribution_points (number);
CREATE INDEX distribution_points_by_nal_path ON distribution_points (nal_path {nocase});
CREATE INDEX distribution_points_by_name_nocase ON distribution_points (name {nocase});

-- The key of rows about this target, as long as there is one.
ALTER TABLE targets ADD COLUMN number {int} NOT NULL DEFAULT 0;
UPDATE targets SET number = n.place
FROM (SELECT package_id, point, ROW_NUMBER() OVER (ORDER BY package_id, point) AS place FROM targets) AS n
WHERE n.package_id = targets.package_id AND n.point = targets.point;
CREATE UNIQUE INDEX targets_by_number ON targets (number);
-- Counters are read from these alone.
CREATE INDEX targets_by_package_state ON targets (package_id, state, asked_at);
CREATE INDEX targets_by_point_state ON targets (point, state, asked_at);
DROP INDEX targets_by_point;
-- The same words as the summarizer_state of the view target_status, which is found by them.
CREATE INDEX targets_by_summarizer_state ON targets ((CASE state
    WHEN 'waiting' THEN 1
    WHEN 'receiving' THEN CASE WHEN serving_version = 0 THEN 1 ELSE 7 END
    WHEN 'complete' THEN 7
    WHEN 'retrying' THEN 2
    WHEN 'failed' THEN 3
    WHEN 'installed' THEN 0
    WHEN 'damaged' THEN 8
    WHEN 'removal_asked' THEN 4
    WHEN 'removal_retrying' THEN 5
    WHEN 'removal_failed' THEN 6
END));
-- What callers keep with a target.
ALTER TABLE targets ADD COLUMN isv_data {bytes};
ALTER TABLE targets ADD COLUMN isv_string TEXT NOT NULL DEFAULT '' {nocase};

-- The distribution point it is about.
ALTER TABLE status_messages ADD COLUMN point TEXT;
UPDATE status_messages SET point =
    (SELECT d.name FROM status_message_attributes AS a JOIN distribution_points AS d ON d.nal_path = a.value
     WHERE a.record = status_messages.record AND a.attribute = 404);
CREATE INDEX status_messages_by_target ON status_messages (package_id, point, record);

-- How associations name a package, in the words of their views.
CREATE INDEX packages_by_path ON packages (('SMS_Package.PackageID=' || json_quote(package_id)) {nocase});
CREATE INDEX admin_permissions_by_role ON admin_permissions (role_id, admin_id);
CREATE INDEX admin_permissions_by_scope ON admin_permissions (scope_id, admin_id);
-- Audit messages are few among all.
CREATE INDEX status_messages_audit ON status_messages (record) WHERE message_type = 768;
