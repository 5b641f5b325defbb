//! MySQL and MariaDB: dumps in mydumper's layout, read and loaded over the wire, many connections at once.

mod address;
mod connect;
mod failure;
mod quote;
mod script;
mod session;
