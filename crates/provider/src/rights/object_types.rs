//! Numbers of object types, as roles and memberships name them.

pub use restock_sitedb::admin::{
    TYPE_GROUP as GROUP, TYPE_PACKAGE as PACKAGE, TYPE_POINT as POINT, TYPE_SITE as SITE,
};

use super::operations::{
    ASSOCIATE, CREATE, DELETE, DISTRIBUTE, MANAGE_FOLDER, MANAGE_FOLDER_ITEM, MODIFY, MODIFY_REPORT, READ,
    RUN_REPORT, SET_SCOPE,
};

/// Status messages.
pub const STATUS_MESSAGE: u32 = 4;
/// Accounts.
pub const ADMIN: u32 = 27;
/// Roles.
pub const ROLE: u32 = 28;
/// Security scopes.
pub const SCOPE: u32 = 29;

/// The operations that exist for an object type; 0 for a type this site has no objects of.
pub fn operations_of(object_type: u32) -> u32 {
    match object_type {
        PACKAGE => {
            READ | MODIFY
                | DELETE
                | SET_SCOPE
                | CREATE
                | MANAGE_FOLDER_ITEM
                | MANAGE_FOLDER
                | RUN_REPORT
                | MODIFY_REPORT
        }
        STATUS_MESSAGE | ADMIN | ROLE | SCOPE => READ | MODIFY | DELETE | CREATE,
        // Beside the common ones: meter, status filters, client health, import machines, connector,
        // operating system deployment certificate.
        SITE => {
            READ | MODIFY | DELETE | SET_SCOPE | CREATE | 0x4000 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x60_0000
        }
        POINT => READ | DISTRIBUTE | SET_SCOPE,
        GROUP => READ | MODIFY | DELETE | DISTRIBUTE | SET_SCOPE | CREATE | ASSOCIATE,
        _ => 0,
    }
}

/// The class whose objects are of the type.
pub fn name_of(object_type: u32) -> Option<&'static str> {
    Some(match object_type {
        PACKAGE => "SMS_Package",
        STATUS_MESSAGE => "SMS_StatusMessage",
        SITE => "SMS_Site",
        ADMIN => "SMS_Admin",
        ROLE => "SMS_Role",
        SCOPE => "SMS_SecuredCategory",
        POINT => "SMS_DistributionPointInfo",
        GROUP => "SMS_DistributionPointGroup",
        _ => return None,
    })
}

/// True when objects of the type are members of scopes; a role on any other type holds everywhere.
pub fn is_scoped(object_type: u32) -> bool {
    matches!(object_type, PACKAGE | SITE | POINT | GROUP)
}
