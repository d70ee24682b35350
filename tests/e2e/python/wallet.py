"""Signs transactions, and looks at the network through JSON-RPC."""

import json
import time
import urllib.request

from eth_account import Account
from eth_utils import to_checksum_address

NOBODY = to_checksum_address("0x00000000000000000000000000000000000e15e1")
RECEIPT_S_MAX = 20
POLL_S = 0.05


class Chain:
    """The network as one chain; `payer` is a funded account."""

    def __init__(self, rpc, payer):
        self.rpc = rpc
        self.payer = payer
        self.id = self.number("eth_chainId")
        self.max_fee = 2 * self.number("eth_gasPrice")
        self.gas_limit = int(self.call("eth_getBlockByNumber", "latest", False)["gasLimit"], 16)

    def call(self, method, *params):
        """The result of a JSON-RPC call; an error is an assertion's."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self.rpc, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=RECEIPT_S_MAX) as response:
            answer = json.loads(response.read())
        assert "error" not in answer, answer
        return answer["result"]

    def number(self, method, *params):
        """The result of a JSON-RPC call that answers a number."""
        return int(self.call(method, *params), 16)

    # What gRPC tells is newer than the last closed block, so these look at the newest state.

    def balance(self, address):
        return self.number("eth_getBalance", address, "pending")

    def nonce(self, address):
        return self.number("eth_getTransactionCount", address, "pending")

    def receipt(self, hash):
        """The receipt of a transaction, once there is one."""
        end = time.monotonic() + RECEIPT_S_MAX
        while time.monotonic() < end:
            receipt = self.call("eth_getTransactionReceipt", "0x" + hash.hex())
            if receipt:
                return receipt
            time.sleep(POLL_S)
        raise AssertionError(f"no receipt for 0x{hash.hex()} within {RECEIPT_S_MAX} s")

    def sign(self, account, **fields):
        """A transfer of one wei to nobody, but for `fields`: its EIP-2718 bytes and its hash."""
        sane = {
            "type": 2,
            "chainId": self.id,
            "nonce": 0,
            "to": NOBODY,
            "value": 1,
            "gas": 21_000,
            "maxFeePerGas": self.max_fee,
            "maxPriorityFeePerGas": 0,
        }
        fields = {name: value for name, value in {**sane, **fields}.items() if value is not None}
        signed = account.sign_transaction(fields)
        return bytes(signed.raw_transaction), bytes(signed.hash)

    def user(self, budget=10**18):
        """A new account with `budget` wei."""
        user = Account.create()
        nonce = self.nonce(self.payer.address)
        raw, hash = self.sign(self.payer, nonce=nonce, to=user.address, value=budget)
        self.call("eth_sendRawTransaction", "0x" + raw.hex())
        assert self.receipt(hash)["status"] == "0x1"
        return user
