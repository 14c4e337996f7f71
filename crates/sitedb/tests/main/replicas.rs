//! What sites share, exchanged between databases.

mod bodies;
mod cases;
mod content;
mod line;
mod net;
mod owners;
mod random;
mod spoilt;
mod targets;
