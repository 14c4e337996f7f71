//! The operations of the SMS Provider as functions over one transaction.
