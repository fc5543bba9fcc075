"""Ports that nobody has, the same as last time if possible."""

import socket

import pytest

from ops.stack import ports
from ops.stack.ports import free_port, free_ports

pytestmark = pytest.mark.unit


def test_the_preferred_port_is_taken_when_it_is_free():
    port = free_port()
    assert free_port(port) == port


def test_another_port_is_taken_when_somebody_listens_on_the_preferred():
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) != taken


def test_somebody_who_listens_on_all_addresses_counts_too():
    with socket.create_server(("0.0.0.0", 0)) as server:
        taken = server.getsockname()[1]
        assert free_port(taken) != taken


def test_connections_of_a_server_that_ended_are_no_obstacle():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)) as client:
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        assert client.recv(1) == b""
    assert free_port(port) == port


def test_no_two_are_alike_though_the_same_is_preferred():
    port = free_port()
    found = free_ports(port, port, 0, 0)
    assert found[0] == port
    assert len(set(found)) == 4


def test_they_can_be_listened_on():
    for port in free_ports(0, 0, 0):
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_no_client_can_be_given_the_port_by_the_kernel():
    assert all(ports._LOWEST <= port < ports._first_outgoing() for port in free_ports(*[0] * 50))
