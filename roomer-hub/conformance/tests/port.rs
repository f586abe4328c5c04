//! Tests the check whether a port is in use.

use std::net::{Ipv4Addr, TcpListener};

use roomer_conformance::port::{bind, own_port};

#[test]
fn server_can_start_while_check_of_its_port_exists() {
    let port = own_port();
    let _copy = bind(port).unwrap();
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn port_with_server_is_in_use() {
    let port = own_port();
    let _server = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    bind(port).unwrap_err();
}
