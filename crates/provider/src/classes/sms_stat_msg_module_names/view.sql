-- The modules of the messages there are.
WITH modules (name, library, is_audit) AS (
    VALUES ('SMS Provider', 'provmsgs.dll', 1), ('SMS Server', 'srvmsgs.dll', 0)
)
SELECT
    o.name AS "ModuleName",
    o.library AS "MsgDLLName"
FROM modules AS o
WHERE EXISTS (SELECT 1 FROM status_messages AS m
    WHERE CASE WHEN m.message_type = 768 THEN 1 ELSE 0 END = o.is_audit)
