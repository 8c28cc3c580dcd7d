//! Behaviour of a whole environment, without HTTP.
