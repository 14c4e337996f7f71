//! Each class is live: what a command, a loop or a distribution point changes is seen in its rows.

mod groups;
mod messages;
mod packages;
mod points;
mod rights;
mod site;
mod status;
