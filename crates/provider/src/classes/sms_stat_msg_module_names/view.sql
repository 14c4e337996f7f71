-- The modules of the messages there are.
SELECT
    'SMS Provider' AS "ModuleName",
    'provmsgs.dll' AS "MsgDLLName"
WHERE EXISTS (SELECT 1 FROM status_messages AS m WHERE m.message_type = 768)
UNION ALL
SELECT
    'SMS Server' AS "ModuleName",
    'srvmsgs.dll' AS "MsgDLLName"
WHERE EXISTS (SELECT 1 FROM status_messages AS m WHERE m.message_type <> 768)
