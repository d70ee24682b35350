"""The network under test, and Python stubs made from proto/ for this run alone."""

import importlib
import json
import os
import sys
from pathlib import Path

import grpc
import pytest
from eth_account import Account
from grpc_tools import protoc

from wallet import Chain

PROTO = Path(__file__).resolve().parents[3] / "proto"
PAYER_INDEX = 4


@pytest.fixture(scope="session")
def network():
    """What `dovetail devnet --json` printed; run.mjs hands it down."""
    text = os.environ.get("DOVETAIL_NETWORK")
    if not text:
        pytest.fail("no network to test: run `node run.mjs`, or set DOVETAIL_NETWORK to what `dovetail devnet --json` prints")
    return json.loads(text)


@pytest.fixture(scope="session")
def v1(tmp_path_factory):
    """The generated modules of package dovetail.v1, by the names of their files."""
    out = tmp_path_factory.mktemp("stubs")
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.rglob("*.proto"))
    code = protoc.main(["protoc", f"-I{PROTO}", f"--python_out={out}", f"--grpc_python_out={out}", *files])
    assert code == 0, "protoc refused proto/"
    sys.path.insert(0, str(out))

    class Modules:
        coordinator = importlib.import_module("dovetail.v1.coordinator_pb2")
        services = importlib.import_module("dovetail.v1.coordinator_pb2_grpc")

    return Modules


@pytest.fixture(scope="session")
def channel(network):
    """A plain channel to the coordinator."""
    target = network["coordinator_grpc"].removeprefix("http://")
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        yield channel


@pytest.fixture(scope="session")
def coordinator(channel, v1):
    """The coordinator's stub."""
    return v1.services.CoordinatorServiceStub(channel)


@pytest.fixture(scope="session")
def chain(network):
    """The same network through JSON-RPC, to look at what gRPC did."""
    accounts = network["accounts"]
    return Chain(network["rpc"], Account.from_key(accounts[PAYER_INDEX % len(accounts)]["private_key"]))
