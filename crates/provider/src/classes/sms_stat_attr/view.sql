SELECT
    a.attribute AS "AttributeID",
    (SELECT m.time FROM status_messages AS m WHERE m.record = a.record) AS "AttributeTime",
    a.value AS "AttributeValue",
    a.record AS "RecordID"
FROM status_message_attributes AS a
