// Vault and twin alone, each behind a mailbox that delivers whatever it is told to: their ledgers, caps, deadlines and pauses.

import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { encodeAbiParameters, getAddress, pad } from 'viem';
import { compileTest, startChain } from './chain.mjs';

const HERE = 0xd0010001;
const THERE = 31337;
const SHARD_MAILBOX = pad('0xd07e', { size: 32 });
const TWIN = pad('0x7717', { size: 32 });
const ALICE = getAddress('0x00000000000000000000000000000000000a11ce');
const WINDOW = 1000n;
const FAR = 2n ** 63n;

let chain;
before(async () => (chain = await startChain()));
after(() => chain.stop());

const words = (types, values) => encodeAbiParameters(types.map((type) => ({ type })), values);
const home = (to, amount, from, deadline) => words(['address', 'uint256', 'bytes32', 'uint64'], [to, amount, from, deadline]);
const end = (id, status) => words(['bytes32', 'uint256'], [id, status]);
const mint = (to, amount) => words(['bytes32', 'uint256'], [pad(to, { size: 32 }), amount]);

describe('a vault', () => {
  let token, mailbox, vault;

  beforeEach(async () => {
    token = await chain.deploy('OddToken', [], compileTest('OddToken'));
    mailbox = await chain.deploy('StubMailbox', [], compileTest('StubMailbox'));
    vault = await chain.deploy('Vault', [token.address, mailbox.address, 1_000n, WINDOW]);
    await chain.send(vault, 'name', [HERE, SHARD_MAILBOX, TWIN]);
    await chain.send(token, 'mint', [chain.account.address, 10_000n]);
  });

  const lock = (amount) => chain.send(vault, 'lock', [pad(ALICE, { size: 32 }), amount]);
  const deliver = (sender, body) => chain.send(mailbox, 'deliver', [vault.address, HERE, sender, body]);
  const locked = () => chain.read(vault, 'locked');
  const balance = (of) => chain.read(token, 'balanceOf', [of]);

  it('pays out no faster than its cap, however it is split', async () => {
    await lock(5_000n);
    for (let part = 0; part < 4; part += 1) {
      assert.equal((await deliver(TWIN, home(ALICE, 240n, TWIN, FAR))).status, 'success');
    }
    const over = await deliver(TWIN, home(getAddress(pad('0xbeef', { size: 20 })), 240n, TWIN, FAR));
    assert.equal(over.status, 'reverted');
    assert.ok((await chain.read(vault, 'releasable')) < 240n);
    await chain.tester.increaseTime({ seconds: 500 });
    await chain.tester.mine({ blocks: 1 });
    assert.equal((await deliver(TWIN, home(ALICE, 240n, TWIN, FAR))).status, 'success');
    assert.equal(await locked(), 5_000n - 5n * 240n);
    assert.equal(await balance(vault.address), await locked());
  });

  it('sends back what comes after its deadline, and pays nobody', async () => {
    await lock(500n);
    const count = await chain.read(mailbox, 'count');
    await deliver(TWIN, home(ALICE, 200n, pad('0x51', { size: 32 }), 1n));
    assert.equal(await chain.read(mailbox, 'count'), count + 1n);
    assert.equal(await chain.read(mailbox, 'lastBody'), words(['bytes32', 'uint256'], [pad('0x51', { size: 32 }), 200n]));
    assert.deepEqual([await balance(ALICE), await locked()], [0n, 500n]);
    // The twin could not mint it: then the payee gets it after all, once.
    const id = await chain.read(mailbox, 'lastId');
    assert.equal((await deliver(SHARD_MAILBOX, end(id, 2n))).status, 'success');
    assert.deepEqual([await balance(ALICE), await locked()], [200n, 300n]);
    assert.equal((await deliver(SHARD_MAILBOX, end(id, 2n))).status, 'reverted');
  });

  it('gives a failed lock back once, and a delivered one never', async () => {
    await lock(300n);
    const id = await chain.read(mailbox, 'lastId');
    await deliver(SHARD_MAILBOX, end(id, 3n));
    assert.deepEqual([await balance(chain.account.address), await locked()], [10_000n, 0n]);
    assert.equal((await deliver(SHARD_MAILBOX, end(id, 3n))).status, 'reverted');
    await lock(300n);
    const second = await chain.read(mailbox, 'lastId');
    await deliver(SHARD_MAILBOX, end(second, 1n));
    assert.equal((await deliver(SHARD_MAILBOX, end(second, 2n))).status, 'reverted');
    assert.equal(await locked(), 300n);
  });

  it('pays out no more than is locked, whoever asks (Qubit, Meter, Allbridge)', async () => {
    await lock(100n);
    await chain.send(token, 'mint', [vault.address, 1_000n]);
    assert.equal((await deliver(TWIN, home(ALICE, 101n, TWIN, FAR))).status, 'reverted');
    assert.equal((await deliver(pad('0x66', { size: 32 }), home(ALICE, 1n, TWIN, FAR))).status, 'reverted');
    const direct = await chain.call(vault, 'handle', [HERE, TWIN, home(ALICE, 1n, TWIN, FAR)]);
    assert.equal(direct.error, 'NotMailbox');
  });

  it('locks nothing new while it is paused, and what is under way arrives', async () => {
    await lock(400n);
    await chain.send(vault, 'setPaused', [true]);
    assert.equal((await chain.call(vault, 'lock', [pad(ALICE, { size: 32 }), 1n])).error, 'Paused');
    assert.equal((await deliver(TWIN, home(ALICE, 100n, TWIN, FAR))).status, 'success');
    assert.equal(await balance(ALICE), 100n);
    await chain.send(vault, 'setPaused', [false]);
    assert.equal((await lock(1n)).status, 'success');
  });

  it('counts what arrived of a token that takes a fee', async () => {
    await chain.send(token, 'set', [1, vault.address]);
    await lock(1_000n);
    assert.deepEqual([await locked(), await balance(vault.address)], [900n, 900n]);
  });

  it('owes nothing for a token that says it moved and did not', async () => {
    await chain.send(token, 'set', [5, vault.address]);
    await lock(1_000n);
    assert.equal(await locked(), 0n);
  });

  it('keeps a payment for later where its token reverts or refuses', async () => {
    await lock(200n);
    for (const manner of [2, 3]) {
      await chain.send(token, 'set', [manner, vault.address]);
      assert.equal((await deliver(TWIN, home(ALICE, 100n, TWIN, FAR))).status, 'reverted');
      assert.equal(await locked(), 200n);
    }
    await chain.send(token, 'set', [0, vault.address]);
    assert.equal((await deliver(TWIN, home(ALICE, 100n, TWIN, FAR))).status, 'success');
  });

  it('lets no token in again while it moves', async () => {
    await lock(200n);
    await chain.send(token, 'set', [4, vault.address]);
    assert.equal((await deliver(TWIN, home(ALICE, 100n, TWIN, FAR))).status, 'reverted');
    assert.equal((await lock(1n)).status, 'reverted');
  });

  it('is not made without a cap', async () => {
    const { error } = await chain.deploy('Vault', [token.address, mailbox.address, 0n, WINDOW]).then(
      () => ({}),
      (error) => ({ error }),
    );
    assert.ok(error, 'a cap of zero is none');
  });
});

describe('a twin', () => {
  const VAULT = pad('0x4a17', { size: 32 });
  let mailbox, twin;

  beforeEach(async () => {
    mailbox = await chain.deploy('StubMailbox', [], compileTest('StubMailbox'));
    twin = await chain.deploy('Twin', [mailbox.address, THERE, VAULT, 1_000n, WINDOW]);
  });

  const deliver = (sender, body) => chain.send(mailbox, 'deliver', [twin.address, THERE, sender, body]);

  it('mints what its vault says and nobody else, as fast as its cap', async () => {
    assert.equal((await deliver(VAULT, mint(ALICE, 700n))).status, 'success');
    assert.equal((await deliver(VAULT, mint(ALICE, 400n))).status, 'reverted');
    assert.equal((await deliver(TWIN, mint(ALICE, 1n))).status, 'reverted');
    assert.equal(await chain.read(twin, 'totalSupply'), 700n);
  });

  it('burns before it sends home, and says who and until when', async () => {
    const own = chain.account.address;
    await deliver(VAULT, mint(own, 500n));
    await chain.send(twin, 'sendHome', [ALICE, 200n, 77n]);
    assert.equal(await chain.read(twin, 'totalSupply'), 300n);
    assert.equal(await chain.read(mailbox, 'lastBody'), home(ALICE, 200n, pad(own.toLowerCase(), { size: 32 }), 77n));
    assert.equal((await chain.call(twin, 'sendHome', [ALICE, 301n, 77n])).error, 'InsufficientBalance');
  });

  it('sends nothing home while it is paused, and mints what is under way', async () => {
    await deliver(VAULT, mint(chain.account.address, 500n));
    await chain.send(twin, 'setPaused', [true]);
    assert.equal((await chain.call(twin, 'sendHome', [ALICE, 1n, 77n])).error, 'Paused');
    assert.equal((await deliver(VAULT, mint(ALICE, 5n))).status, 'success');
    const stranger = await chain.call(twin, 'setPaused', [false], { account: ALICE });
    assert.equal(stranger.error, 'NotGuardian');
  });
});
