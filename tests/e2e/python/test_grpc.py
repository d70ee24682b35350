"""A Python client of CoordinatorService, generated from proto/: submits, follows, and is told what was wrong."""

import grpc
import pytest
from eth_account import Account
from eth_utils import to_checksum_address
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

SERVICE = "dovetail.v1.CoordinatorService"
CALL_S_MAX = 10
LIFE_S_MAX = 20
TRANSACTION_BYTES_MAX = 256 << 10
REVERTING_CODE = "0x60006000fd"
MARK = to_checksum_address("0x" + "ab" * 20)


def submit(v1, coordinator, raw):
    request = v1.coordinator.SubmitTransactionRequest(transaction=raw)
    return coordinator.SubmitTransaction(request, timeout=CALL_S_MAX).id


def life(v1, coordinator, id, after=0):
    """Every event of a submission's life, to its end."""
    request = v1.coordinator.WatchTransactionRequest(id=id, after=after)
    return [answer.event for answer in coordinator.WatchTransaction(request, timeout=LIFE_S_MAX)]


def known(v1, coordinator, id):
    return coordinator.GetTransaction(v1.coordinator.GetTransactionRequest(id=id), timeout=CALL_S_MAX)


def refusal(call):
    """The code, reason and whole status of a call that must be refused, from its error details."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    assert status is not None, f"no error details: {caught.value}"
    info = error_details_pb2.ErrorInfo()
    assert any(detail.Unpack(info) for detail in status.details), f"no ErrorInfo in {status}"
    assert info.domain == "dovetail.v1"
    assert caught.value.details(), "a refusal says what was wrong"
    return caught.value.code(), info.reason, status


def has_retry_info(status):
    return any(detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for detail in status.details)


# --- a transaction's life ------------------------------------------------------------------------------------------------


def test_a_transaction_is_followed_from_submission_to_commit(v1, coordinator, chain):
    user = chain.user()
    raw, hash = chain.sign(user, to=MARK, value=7)
    held = chain.balance(MARK)
    id = submit(v1, coordinator, raw)
    assert id == hash

    events = life(v1, coordinator, id)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    stages = [event.stage for event in events]
    assert stages[0] == v1.coordinator.LIFE_STAGE_ACCEPTED
    assert stages[-1] == v1.coordinator.LIFE_STAGE_COMMITTED
    assert v1.coordinator.LIFE_STAGE_EXECUTED in stages
    assert all(event.time_ms > 0 for event in events)

    answer = known(v1, coordinator, id)
    assert answer.last == events[-1]
    assert [outcome.transaction_hash for outcome in answer.outcomes] == [hash]
    assert (answer.outcomes[0].succeeded, answer.outcomes[0].gas_used) == (True, 21_000)
    assert list(answer.participants) == sorted(set(answer.participants)) and len(answer.participants) >= 1
    assert not answer.HasField("rejection")

    receipt = chain.receipt(hash)
    assert (receipt["status"], int(receipt["gasUsed"], 16)) == ("0x1", 21_000)
    assert chain.balance(MARK) == held + 7


def test_a_life_is_resumed_after_the_last_event_seen(v1, coordinator, chain):
    raw, hash = chain.sign(chain.user())
    events = life(v1, coordinator, submit(v1, coordinator, raw))
    for seen in range(len(events)):
        assert life(v1, coordinator, hash, after=seen) == events[seen:]


def test_a_transaction_across_shards_shows_its_votes_and_decision(v1, coordinator, chain):
    user = chain.user()
    for nonce in range(32):
        raw, _ = chain.sign(user, nonce=nonce, to=Account.create().address)
        id = submit(v1, coordinator, raw)
        events = life(v1, coordinator, id)
        answer = known(v1, coordinator, id)
        if len(answer.participants) > 1:
            break
    else:
        pytest.fail("32 transfers to random addresses all stayed on one shard")
    voted = {event.shard for event in events if event.stage == v1.coordinator.LIFE_STAGE_VOTED}
    assert voted == set(answer.participants)
    assert v1.coordinator.LIFE_STAGE_DECIDED in [event.stage for event in events]
    assert len(answer.decision.votes) == len(answer.participants)
    assert all(len(event.attempt) == 32 for event in events if event.stage == v1.coordinator.LIFE_STAGE_VOTED)


def test_a_reverting_transaction_commits_with_its_gas_spent(v1, coordinator, chain):
    user = chain.user()
    raw, hash = chain.sign(user, to=None, value=0, data=REVERTING_CODE, gas=100_000)
    events = life(v1, coordinator, submit(v1, coordinator, raw))
    assert events[-1].stage == v1.coordinator.LIFE_STAGE_COMMITTED
    assert chain.receipt(hash)["status"] == "0x0"
    assert chain.nonce(user.address) == 1


def test_a_bundle_commits_whole(v1, coordinator, chain):
    users = [chain.user(), chain.user()]
    signed = [chain.sign(user) for user in users]
    request = v1.coordinator.SubmitBundleRequest(transactions=[raw for raw, _ in signed])
    answer = coordinator.SubmitBundle(request, timeout=CALL_S_MAX)
    assert list(answer.transaction_hashes) == [hash for _, hash in signed]
    assert life(v1, coordinator, answer.id)[-1].stage == v1.coordinator.LIFE_STAGE_COMMITTED
    assert [outcome.transaction_hash for outcome in known(v1, coordinator, answer.id).outcomes] == [hash for _, hash in signed]
    assert [chain.nonce(user.address) for user in users] == [1, 1]


def test_a_bundle_whose_second_transaction_fails_leaves_nothing(v1, coordinator, chain):
    users = [chain.user(), chain.user()]
    held = [chain.balance(user.address) for user in users]
    first, _ = chain.sign(users[0])
    second, _ = chain.sign(users[1], to=None, value=0, data=REVERTING_CODE, gas=100_000)
    request = v1.coordinator.SubmitBundleRequest(transactions=[first, second])
    try:
        id = coordinator.SubmitBundle(request, timeout=CALL_S_MAX).id
    except grpc.RpcError:
        assert refusal(lambda: coordinator.SubmitBundle(request, timeout=CALL_S_MAX))[1] == "BUNDLE_FAILED"
    else:
        assert life(v1, coordinator, id)[-1].stage == v1.coordinator.LIFE_STAGE_REFUSED
        assert known(v1, coordinator, id).rejection.reason == "BUNDLE_FAILED"
    assert [chain.nonce(user.address) for user in users] == [0, 0]
    assert [chain.balance(user.address) for user in users] == held


# --- bad input -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spender(chain, v1, coordinator):
    """A user whose nonce 0 is used."""
    user = chain.user()
    raw, _ = chain.sign(user)
    life(v1, coordinator, submit(v1, coordinator, raw))
    return user


# name: fields of the transaction, code, reason, whether the same may succeed later.
BAD_TRANSACTIONS = {
    "for another chain": ({"chainId": 999_999}, StatusCode.INVALID_ARGUMENT, "WRONG_CHAIN_ID", False),
    "with a used nonce": ({"nonce": 0, "value": 2}, StatusCode.FAILED_PRECONDITION, "NONCE_TOO_LOW", False),
    "with a nonce far ahead": ({"nonce": 100_000}, StatusCode.FAILED_PRECONDITION, "NONCE_TOO_HIGH", True),
    "over its funds": ({"value": 10**24}, StatusCode.FAILED_PRECONDITION, "INSUFFICIENT_FUNDS", False),
    "with too little gas": ({"gas": 20_999}, StatusCode.INVALID_ARGUMENT, "INTRINSIC_GAS_TOO_LOW", False),
    "with more gas than a block has": ({"gas": 10**12}, StatusCode.OUT_OF_RANGE, "GAS_LIMIT_TOO_HIGH", False),
    "under the base fee": ({"maxFeePerGas": 1}, StatusCode.FAILED_PRECONDITION, "FEE_TOO_LOW", False),
}


@pytest.mark.parametrize("name", BAD_TRANSACTIONS)
def test_a_transaction_is_refused(name, v1, coordinator, chain, spender):
    fields, code, reason, again = BAD_TRANSACTIONS[name]
    raw, hash = chain.sign(spender, **{"nonce": 1, **fields})
    got_code, got_reason, status = refusal(lambda: submit(v1, coordinator, raw))
    assert (got_code, got_reason, has_retry_info(status)) == (code, reason, again)
    assert chain.nonce(spender.address) == 1


def test_bytes_that_are_no_transaction_are_refused(v1, coordinator, chain, spender):
    raw, _ = chain.sign(spender, nonce=1)
    for bad in (b"", b"\xde\xad\xbe\xef", raw[:-1], raw + b"\0", b"\x7e" + raw[1:]):
        code, reason, _ = refusal(lambda: submit(v1, coordinator, bad))
        assert (code, reason) == (StatusCode.INVALID_ARGUMENT, "MALFORMED"), bad[:4]


def test_an_oversized_transaction_is_refused(v1, coordinator):
    code, reason, _ = refusal(lambda: submit(v1, coordinator, b"\x02" + bytes(TRANSACTION_BYTES_MAX)))
    assert (code, reason) == (StatusCode.OUT_OF_RANGE, "OVER_BOUND")


def test_too_many_transactions_in_a_bundle_are_refused(v1, coordinator):
    request = v1.coordinator.SubmitBundleRequest(transactions=[b"\x02"] * 65)
    code, reason, _ = refusal(lambda: coordinator.SubmitBundle(request, timeout=CALL_S_MAX))
    assert (code, reason) == (StatusCode.OUT_OF_RANGE, "OVER_BOUND")


def test_an_unknown_submission_is_not_found(v1, coordinator):
    assert refusal(lambda: known(v1, coordinator, b"\x11" * 32))[:2] == (StatusCode.NOT_FOUND, "NOT_FOUND")
    assert refusal(lambda: life(v1, coordinator, b"\x11" * 32))[:2] == (StatusCode.NOT_FOUND, "NOT_FOUND")


def test_an_id_of_another_length_is_refused(v1, coordinator):
    assert refusal(lambda: known(v1, coordinator, b"\x11" * 31))[0] == StatusCode.INVALID_ARGUMENT
    assert refusal(lambda: known(v1, coordinator, b"\x11" * 33))[0] == StatusCode.OUT_OF_RANGE


def test_bytes_that_are_no_protobuf_are_refused(channel):
    call = channel.unary_unary(f"/{SERVICE}/SubmitTransaction")
    code, reason, _ = refusal(lambda: call(b"\xff\xff\xff", timeout=CALL_S_MAX))
    assert (code, reason) == (StatusCode.INVALID_ARGUMENT, "MALFORMED")


def test_an_oversized_protobuf_is_refused(channel):
    call = channel.unary_unary(f"/{SERVICE}/SubmitTransaction")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\x0a" + bytes(32 << 20), timeout=CALL_S_MAX)
    assert caught.value.code() in (StatusCode.OUT_OF_RANGE, StatusCode.RESOURCE_EXHAUSTED)


def test_a_payload_with_an_environment_of_its_own_is_not_for_this_network(v1, coordinator):
    request = v1.coordinator.SubmitPayloadRequest(payload=b"\x01" * 8)
    assert refusal(lambda: coordinator.SubmitPayload(request, timeout=CALL_S_MAX))[0] in (
        StatusCode.INVALID_ARGUMENT,
        StatusCode.FAILED_PRECONDITION,
        StatusCode.UNIMPLEMENTED,
    )


def test_an_unknown_method_is_unimplemented(channel):
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=CALL_S_MAX)
    assert caught.value.code() == StatusCode.UNIMPLEMENTED


def test_nothing_is_lost_by_all_that(v1, coordinator, chain, spender):
    raw, hash = chain.sign(spender, nonce=1)
    assert life(v1, coordinator, submit(v1, coordinator, raw))[-1].stage == v1.coordinator.LIFE_STAGE_COMMITTED
    assert chain.nonce(spender.address) == 2


# --- what a stranger may ask -----------------------------------------------------------------------------------------------


def test_the_network_says_what_it_is(v1, coordinator, chain, network):
    answer = coordinator.GetNetwork(v1.coordinator.GetNetworkRequest(), timeout=CALL_S_MAX)
    assert answer.network == chain.id
    assert [info.shard for info in answer.shards] == list(range(len(network["shards"])))
    assert all(info.endpoint and info.epoch >= 1 and info.validators for info in answer.shards)
    assert not answer.replay


def test_the_server_says_that_it_serves(channel):
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", SERVICE):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=CALL_S_MAX)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="dovetail.v1.Nothing"), timeout=CALL_S_MAX)
    assert caught.value.code() == StatusCode.NOT_FOUND


@pytest.mark.parametrize("package", ["grpc.reflection.v1", "grpc.reflection.v1alpha"])
def test_the_server_describes_its_services(channel, package):
    # The v1 service speaks the bytes of v1alpha, for which alone the Python package has types.
    ask = channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, described = ask(iter(requests), timeout=CALL_S_MAX)
    assert SERVICE in [service.name for service in listed.list_services_response.service]
    assert described.file_descriptor_response.file_descriptor_proto
