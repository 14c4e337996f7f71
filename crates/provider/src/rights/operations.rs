//! Operations as bits. The same bit means another operation for some object types.
//!
//! Source: `SMS_ARoleOperation.GrantedOperations`.

/// Bit 0.
pub const READ: u32 = 1;
/// Bit 1.
pub const MODIFY: u32 = 1 << 1;
/// Bit 2.
pub const DELETE: u32 = 1 << 2;
/// Bit 3, of distribution points and their groups: Copy to Distribution Point.
pub const DISTRIBUTE: u32 = 1 << 3;
/// Bit 4.
pub const SET_SCOPE: u32 = 1 << 4;
/// Bit 10; of accounts: Add.
pub const CREATE: u32 = 1 << 10;
/// Bit 13.
pub const MANAGE_FOLDER_ITEM: u32 = 1 << 13;
/// Bit 17.
pub const MANAGE_FOLDER: u32 = 1 << 17;
/// Bit 20, of distribution point groups.
pub const ASSOCIATE: u32 = 1 << 20;
/// Bit 28.
pub const RUN_REPORT: u32 = 1 << 28;
/// Bit 29.
pub const MODIFY_REPORT: u32 = 1 << 29;

const NAMES: [(u32, &str); 11] = [
    (READ, "Read"),
    (MODIFY, "Modify"),
    (DELETE, "Delete"),
    (DISTRIBUTE, "Copy to Distribution Point"),
    (SET_SCOPE, "Set Security Scope"),
    (CREATE, "Create"),
    (MANAGE_FOLDER_ITEM, "Manage Folder Item"),
    (MANAGE_FOLDER, "Manage Folder"),
    (ASSOCIATE, "Associate"),
    (RUN_REPORT, "Run Report"),
    (MODIFY_REPORT, "Modify Report"),
];

/// The names of the operations in a bit field, joined by commas; a bit without a name is `bit n`.
pub fn names(bits: u32) -> String {
    let name = |bit: u32| {
        let known = NAMES.iter().find(|(mask, _)| *mask == 1 << bit);
        known.map_or_else(|| format!("bit {bit}"), |(_, name)| (*name).to_owned())
    };
    let names: Vec<String> = (0..32).filter(|bit| bits & (1 << bit) != 0).map(name).collect();
    names.join(", ")
}
