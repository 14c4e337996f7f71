//! What sites share, exchanged between databases.

mod bodies;
mod cases;
mod line;
mod net;
mod random;
mod targets;
