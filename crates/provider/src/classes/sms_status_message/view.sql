-- Audit messages (MessageType 768) are the provider's, all others the site server's.
SELECT
    m.component AS "Component",
    CASE
        WHEN m.site = (SELECT o.site_code FROM site AS o)
            THEN COALESCE((SELECT f.value FROM facts AS f WHERE f.name = 'server_name'), '')
        ELSE COALESCE((SELECT s.server_name FROM sites AS s WHERE s.site_code = m.site), '')
    END AS "MachineName",
    m.message_id AS "MessageID",
    m.message_type AS "MessageType",
    CASE WHEN m.message_type = 768 THEN 'SMS Provider' ELSE 'SMS Server' END AS "ModuleName",
    0 AS "PerClient",
    0 AS "ProcessID",
    m.record AS "RecordID",
    0 AS "ReportFunction",
    m.severity AS "Severity",
    m.site AS "SiteCode",
    0 AS "SuccessfulTransaction",
    0 AS "ThreadID",
    m.time AS "Time",
    (SELECT COALESCE(MIN(s.site_code), (SELECT o.site_code FROM site AS o)) FROM sites AS s
     WHERE s.parent IS NULL AND s.status <> 4) AS "TopLevelSiteCode",
    0 AS "Transaction",
    0 AS "Win32Error"
FROM status_messages AS m
