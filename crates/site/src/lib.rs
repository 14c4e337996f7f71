//! What a site keeps doing: the refresh and distribute loops.
