//! End-to-end tests: the real binary, over loopback, each with a data directory of its own.

mod end_to_end;
