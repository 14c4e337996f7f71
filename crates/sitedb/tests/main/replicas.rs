//! What sites share, exchanged between databases.

mod cases;
mod net;
mod random;
