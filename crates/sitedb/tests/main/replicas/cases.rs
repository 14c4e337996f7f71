//! Single cases of the exchange.
