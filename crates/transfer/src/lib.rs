//! Content on the wire: control channel, pull connections, TLS, enrolment.
