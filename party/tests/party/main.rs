//! Parties as others use them: real directories, real sockets, real certificates.

mod common;
mod homes;
mod services;
