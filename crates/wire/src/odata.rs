//! OData v4 in JSON, as the AdminService speaks it.
//!
//! Source: docs/formats/adminservice.md; OData 4.01 URL conventions and JSON format.
