SELECT
    m.component AS "Component",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 1)
        AS "InsString1",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 10)
        AS "InsString10",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 2)
        AS "InsString2",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 3)
        AS "InsString3",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 4)
        AS "InsString4",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 5)
        AS "InsString5",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 6)
        AS "InsString6",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 7)
        AS "InsString7",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 8)
        AS "InsString8",
    (SELECT i.value FROM status_message_strings AS i WHERE i.record = m.record AND i.position = 9)
        AS "InsString9",
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
    0 AS "ResourceID",
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
