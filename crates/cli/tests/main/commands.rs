//! Commands for operators: plans, differences, reasons, files, the doctor, reports, shells.

mod documents;
mod files;
mod plans;
mod reports;
