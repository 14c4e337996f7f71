-- source scopes
-- The security scopes of source roots: who holds a role on packages within one may set paths that lie there.
CREATE TABLE source_root_scopes (
    name TEXT NOT NULL REFERENCES source_roots (name) ON DELETE CASCADE,
    scope_id TEXT NOT NULL {nocase} REFERENCES scopes (scope_id),
    PRIMARY KEY (name, scope_id)
) {strict};
CREATE INDEX source_root_scopes_by_scope ON source_root_scopes (scope_id);
INSERT INTO source_root_scopes (name, scope_id) SELECT name, 'SMS00UNA' FROM source_roots;
