SELECT
    i.position AS "InsStrIndex",
    i.value AS "InsStrValue",
    i.record AS "RecordID"
FROM status_message_strings AS i
