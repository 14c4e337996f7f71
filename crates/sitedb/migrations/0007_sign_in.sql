-- sign_in
-- The NTLM secret of an account, sealed with a key that is not in the database. Each site's own.
CREATE TABLE ntlm_secrets (
    admin_id {int} PRIMARY KEY REFERENCES admins (admin_id) ON DELETE CASCADE,
    sealed {bytes} NOT NULL,
    -- It was asked for although the account may do everything.
    is_forced {int} NOT NULL,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL
) {strict};

-- Certificates that people sign in with. Each site's own.
CREATE TABLE admin_certificates (
    -- SHA-256 of the certificate.
    fingerprint {bytes} PRIMARY KEY,
    admin_id {int} NOT NULL REFERENCES admins (admin_id) ON DELETE CASCADE,
    name TEXT NOT NULL {nocase},
    subject TEXT NOT NULL,
    not_before {int} NOT NULL,
    not_after {int} NOT NULL,
    created_by TEXT NOT NULL {nocase},
    created_at {int} NOT NULL
) {strict};
CREATE UNIQUE INDEX admin_certificates_by_name ON admin_certificates (admin_id, name);
