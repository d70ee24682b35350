"""web3.py, unmodified: deploys, sends, reads blocks gone by, filters and decodes errors."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from web3 import Web3
from web3.exceptions import ContractCustomError, TransactionNotFound, Web3RPCError
from web3.middleware import SignAndSendRawMiddlewareBuilder

ARTIFACTS = Path(__file__).resolve().parents[3] / "contracts" / "artifacts"
RECEIPT_S_MAX = 20
POLL_S = 0.05


@pytest.fixture(scope="module")
def w3(network):
    return Web3(Web3.HTTPProvider(network["rpc"]))


@pytest.fixture
def owner(w3, chain):
    """A new funded account that web3.py signs for."""
    account = chain.user()
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0, name="owner")
    yield account
    w3.middleware_onion.remove("owner")


def outcome(w3, hash):
    return w3.eth.wait_for_transaction_receipt(hash, timeout=RECEIPT_S_MAX, poll_latency=POLL_S)


@pytest.fixture
def token(w3, owner):
    """A token of `owner`'s, who has 1,000 of it."""
    made = json.loads((ARTIFACTS / "Token.json").read_text())
    factory = w3.eth.contract(abi=made["abi"], bytecode=made["bytecode"])
    receipt = outcome(w3, factory.constructor("Gold", "GLD").transact({"from": owner.address}))
    token = w3.eth.contract(address=receipt["contractAddress"], abi=made["abi"])
    outcome(w3, token.functions.mint(owner.address, 1_000).transact({"from": owner.address}))
    return token


def test_it_is_connected_and_knows_the_chain(w3, chain):
    assert w3.is_connected()
    assert w3.eth.chain_id == chain.id
    assert w3.eth.syncing is False


def test_a_transfer_changes_the_state_from_its_own_block_on(w3, token, owner):
    other = Account.create().address
    receipt = outcome(w3, token.functions.transfer(other, 7).transact({"from": owner.address}))
    number = receipt["blockNumber"]
    balance = token.functions.balanceOf(other)
    assert [balance.call(block_identifier=at) for at in (number - 1, number, "latest")] == [0, 7, 7]
    assert balance.call(block_identifier=receipt["blockHash"]) == 7


def test_logs_are_found_by_event_and_by_filter(w3, token, owner):
    other = Account.create().address
    receipt = outcome(w3, token.functions.transfer(other, 3).transact({"from": owner.address}))
    block = receipt["blockNumber"]
    found = token.events.Transfer.get_logs(from_block=block, to_block=block, argument_filters={"to": other})
    assert [log["args"]["amount"] for log in found] == [3]
    assert [log["transactionHash"] for log in found] == [receipt["transactionHash"]]
    entries = token.events.Transfer.create_filter(from_block=block, argument_filters={"to": other})
    assert [log["args"]["amount"] for log in entries.get_all_entries()] == [3]


def test_a_custom_error_reaches_the_caller(token, owner):
    with pytest.raises(ContractCustomError):
        token.functions.transfer(owner.address, 1_001).call({"from": Account.create().address})


def test_what_does_not_exist_is_not_found(w3):
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction("0x" + "12" * 32)


def test_fees_of_the_last_blocks_are_told(w3):
    history = w3.eth.fee_history(4, "latest", [25, 75])
    assert len(history["baseFeePerGas"]) == 5
    assert len(history["reward"]) == 4


def test_a_nonce_that_was_used_is_refused(w3, owner):
    outcome(w3, w3.eth.send_transaction({"from": owner.address, "to": owner.address, "value": 0}))
    with pytest.raises(Web3RPCError, match="nonce too low"):
        w3.eth.send_transaction({"from": owner.address, "to": owner.address, "value": 1, "nonce": 0})


def test_a_block_carries_its_transactions(w3, owner):
    hash = w3.eth.send_transaction({"from": owner.address, "to": owner.address, "value": 0})
    receipt = outcome(w3, hash)
    block = w3.eth.get_block(receipt["blockNumber"], full_transactions=True)
    assert hash in [transaction["hash"] for transaction in block["transactions"]]
    assert w3.eth.get_block_transaction_count(block["hash"]) == len(block["transactions"])
