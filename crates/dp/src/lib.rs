//! A distribution point: receives content and serves it over HTTP.
