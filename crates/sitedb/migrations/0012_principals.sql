-- principals
-- Kerberos principals that people and programs sign in as. Each site's own.
CREATE TABLE admin_principals (
    -- NAME@REALM; letter case counts.
    principal TEXT PRIMARY KEY,
    admin_id {int} NOT NULL REFERENCES admins (admin_id) ON DELETE CASCADE,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL
) {strict};
CREATE INDEX admin_principals_by_account ON admin_principals (admin_id);
