-- The object types of this site and the operations there are on them; Create is one of the whole type.
-- What is granted depends on who asks: GrantedOperations and Operations are filled in by code.
WITH types (number, name, operations) AS (
    VALUES
        (2, 'SMS_Package', 805446679),
        (4, 'SMS_StatusMessage', 1031),
        (6, 'SMS_Site', 7160855),
        (27, 'SMS_Admin', 1031),
        (28, 'SMS_Role', 1031),
        (29, 'SMS_SecuredCategory', 1031),
        (42, 'SMS_DistributionPointInfo', 25),
        (43, 'SMS_DistributionPointGroup', 1049631)
)
SELECT
    o.operations - (o.operations & 1024) AS "AvailableInstanceOperations",
    o.operations & 1024 AS "AvailableTypeOperations",
    CAST(NULL AS BIGINT) AS "GrantedOperations",
    o.number AS "ObjectTypeID",
    o.name AS "ObjectTypeName",
    CAST(NULL AS TEXT) AS "Operations"
FROM types AS o
