-- The same rows as SMS_StatusMessage, under the name that older queries use.
SELECT
    m.component AS "Component",
    COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '') AS "MachineName",
    m.message_id AS "MessageID",
    m.message_type AS "MessageType",
    CASE WHEN m.message_type = 768 THEN 'SMS Provider' ELSE 'SMS Server' END AS "ModuleName",
    0 AS "PerClient",
    0 AS "ProcessID",
    m.record AS "RecordID",
    0 AS "ReportFunction",
    m.severity AS "Severity",
    (SELECT s.site_code FROM site AS s) AS "SiteCode",
    0 AS "SuccessfulTransaction",
    0 AS "ThreadID",
    m.time AS "Time",
    (SELECT s.site_code FROM site AS s) AS "TopLevelSiteCode",
    0 AS "Transaction",
    0 AS "Win32Error"
FROM status_messages AS m
