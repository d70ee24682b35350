// What suites do with hardhat's network helpers (time, blocks, snapshots, fixtures, impersonation, state from nowhere), over
// OpenZeppelin's contracts: written as such suites are, for hardhat's own network. helpers.test.mjs runs it.

import { expect } from 'chai';
import { network } from 'hardhat';

const { ethers, networkHelpers: helpers } = await network.create();
const { time, loadFixture } = helpers;
const DAY = 24n * 60n * 60n;
const somewhere = (number) => ethers.getAddress(`0x${number.toString(16).padStart(40, '2')}`);

// anvil answers before it has mined: a snapshot at once would be of what was before.
const deployed = async (...what) => (await ethers.deployContract(...what)).waitForDeployment();
const done = async (sent) => (await sent).wait();

async function coins() {
  const [owner, friend, stranger] = await ethers.getSigners();
  const coin = await deployed('Coin', ['Gold', 'GLD', 1_000n], owner);
  return { owner, friend, stranger, coin };
}

async function vesting() {
  const { owner, friend, coin } = await loadFixture(coins);
  const start = BigInt(await time.latest()) + 7n * DAY;
  const wallet = await deployed('VestingWallet', [friend, start, 100n * DAY], owner);
  await done(coin.transfer(wallet, 1_000n));
  await done(owner.sendTransaction({ to: wallet, value: 1_000n }));
  return { owner, friend, coin, start, wallet };
}

async function timelock() {
  const { owner, friend, stranger, coin } = await loadFixture(coins);
  const lock = await deployed('TimelockController', [DAY, [owner], [friend], owner], owner);
  await done(coin.transfer(lock, 100n));
  const pay = coin.interface.encodeFunctionData('transfer', [stranger.address, 60n]);
  const operation = [await coin.getAddress(), 0n, pay, ethers.ZeroHash, ethers.id('salt')];
  return { owner, friend, stranger, coin, lock, operation };
}

async function board() {
  const [chair, ...voters] = (await ethers.getSigners()).slice(0, 4);
  const ballot = await deployed('Ballot', [1_000n], chair);
  const lock = await deployed('TimelockController', [DAY, [], [ethers.ZeroAddress], chair], chair);
  const governor = await deployed('Board', [ballot, lock], chair);
  await done(lock.grantRole(await lock.PROPOSER_ROLE(), governor));
  for (const [index, voter] of voters.entries()) {
    await done(ballot.transfer(voter, 100n * BigInt(index + 1)));
    await done(ballot.connect(voter).delegate(voter));
  }
  await done(ballot.transfer(lock, 50n));
  return { chair, voters, ballot, lock, governor };
}

describe('a fixture', () => {
  it('is there', async () => {
    const { coin, friend } = await loadFixture(coins);
    await expect(coin.transfer(friend, 400n)).to.changeTokenBalances(ethers, coin, [friend], [400n]);
  });

  it('is there as it was, after a test has changed it', async () => {
    const { coin, owner, friend } = await loadFixture(coins);
    expect(await coin.balanceOf(friend)).to.equal(0n);
    expect(await coin.balanceOf(owner)).to.equal(1_000n);
    await expect(coin.connect(friend).transfer(owner, 1n)).to.be.revertedWithCustomError(coin, 'ERC20InsufficientBalance');
  });

  it('and ether are as they were', async () => {
    const { owner, friend } = await loadFixture(coins);
    await expect(owner.sendTransaction({ to: friend, value: 5n })).to.changeEtherBalances(ethers, [owner, friend], [-5n, 5n]);
  });
});

describe('time', () => {
  it('vests as it goes by', async () => {
    const { friend, coin, start, wallet } = await loadFixture(vesting);
    for (const quarter of [0n, 1n, 2n, 3n, 4n]) {
      const at = start + quarter * 25n * DAY;
      await time.increaseTo(at);
      expect(await wallet['vestedAmount(address,uint64)'](coin, at)).to.equal(250n * quarter);
      expect(await wallet['releasable()']()).to.be.oneOf([250n * quarter, 250n * quarter + 1n]);
    }
    await expect(wallet['release(address)'](coin)).to.changeTokenBalance(ethers, coin, friend, 1_000n);
    await expect(wallet['release()']()).to.changeEtherBalance(ethers, friend, 1_000n);
  });

  it('is again what it was', async () => {
    const { start } = await loadFixture(vesting);
    expect(BigInt(await time.latest())).to.be.lessThan(start);
  });

  it('is what a transaction was given', async () => {
    const { coin, friend } = await loadFixture(coins);
    const at = BigInt(await time.latest()) + 1_234n;
    await time.setNextBlockTimestamp(at);
    const { blockNumber } = await (await coin.transfer(friend, 1n)).wait();
    expect((await ethers.provider.getBlock(blockNumber)).timestamp).to.equal(Number(at));
    expect(await time.increase(100)).to.be.greaterThanOrEqual(Number(at) + 100);
  });

  it('locks what was scheduled', async () => {
    const { owner, friend, stranger, coin, lock, operation } = await loadFixture(timelock);
    const id = await lock.hashOperation(...operation);
    await expect(lock.connect(owner).schedule(...operation, DAY)).to.emit(lock, 'CallScheduled');
    const ready = await lock.getTimestamp(id);
    await expect(lock.connect(friend).execute(...operation)).to.be.revertedWithCustomError(lock, 'TimelockUnexpectedOperationState');
    await time.increaseTo(ready - 10n);
    expect(await lock.isOperationReady(id)).to.equal(false);
    await time.increaseTo(ready);
    expect(await lock.isOperationReady(id)).to.equal(true);
    await expect(lock.connect(friend).execute(...operation)).to.changeTokenBalances(ethers, coin, [lock, stranger], [-60n, 60n]);
    expect(await lock.isOperationDone(id)).to.equal(true);
  });
});

describe('blocks', () => {
  it('are mined for a governor, who then acts through his timelock', async () => {
    const { chair, voters, ballot, lock, governor } = await loadFixture(board);
    const pay = ballot.interface.encodeFunctionData('transfer', [chair.address, 50n]);
    const actions = [[await ballot.getAddress()], [0n], [pay]];
    const proposal = [...actions, ethers.id('Pay the chair')];
    await governor.propose(...actions, 'Pay the chair');
    const id = await governor.hashProposal(...proposal);
    await helpers.mineUpTo((await governor.proposalSnapshot(id)) + 1n);
    for (const [index, voter] of voters.entries()) await governor.connect(voter).castVote(id, BigInt(index % 2));
    await helpers.mineUpTo((await governor.proposalDeadline(id)) + 1n);
    expect([...(await governor.proposalVotes(id))]).to.deep.equal([400n, 200n, 0n]);
    expect(await governor.state(id)).to.equal(3n, 'defeated');
  });

  it('are mined for one that passes', async () => {
    const { chair, voters, ballot, lock, governor } = await loadFixture(board);
    const pay = ballot.interface.encodeFunctionData('transfer', [chair.address, 50n]);
    const actions = [[await ballot.getAddress()], [0n], [pay]];
    const proposal = [...actions, ethers.id('Pay the chair')];
    await governor.propose(...actions, 'Pay the chair');
    const id = await governor.hashProposal(...proposal);
    await helpers.mineUpTo((await governor.proposalSnapshot(id)) + 1n);
    for (const voter of voters) await governor.connect(voter).castVote(id, 1n);
    await helpers.mineUpTo((await governor.proposalDeadline(id)) + 1n);
    await governor.queue(...proposal);
    await time.increaseTo(await governor.proposalEta(id));
    await expect(governor.execute(...proposal)).to.changeTokenBalances(ethers, ballot, [lock, chair], [-50n, 50n]);
    expect(await governor.state(id)).to.equal(7n, 'executed');
  });

  it('are mined at once with times apart', async () => {
    const [number, at] = [await time.latestBlock(), await time.latest()];
    await helpers.mine(1_000, { interval: 60 });
    expect(await time.latestBlock()).to.be.greaterThanOrEqual(number + 1_000);
    expect(await time.latest()).to.be.greaterThanOrEqual(at + 999 * 60);
  });
});

describe('state', () => {
  it('is written from nowhere', async () => {
    const { coin, owner } = await loadFixture(coins);
    const account = somewhere(1);
    await helpers.setBalance(account, ethers.parseEther('3'));
    await helpers.setNonce(account, 7);
    expect(await ethers.provider.getBalance(account)).to.equal(ethers.parseEther('3'));
    expect(await ethers.provider.getTransactionCount(account)).to.equal(7);
    // What a token's balance is kept in.
    const slot = ethers.solidityPackedKeccak256(['uint256', 'uint256'], [account, 0n]);
    await helpers.setStorageAt(await coin.getAddress(), slot, ethers.toBeHex(55n, 32));
    expect(await coin.balanceOf(account)).to.equal(55n);
    expect(BigInt(await helpers.getStorageAt(await coin.getAddress(), slot))).to.equal(55n);
    await helpers.setCode(somewhere(2), await ethers.provider.getCode(coin));
    expect(await coin.attach(somewhere(2)).balanceOf(owner)).to.equal(0n);
  });

  it('is changed by whom one is not', async () => {
    const { coin, owner, friend } = await loadFixture(coins);
    const account = somewhere(3);
    await helpers.setBalance(account, ethers.parseEther('1'));
    await coin.transfer(account, 9n);
    await helpers.impersonateAccount(account);
    const signer = await ethers.getSigner(account);
    await expect(coin.connect(signer).transfer(friend, 9n)).to.changeTokenBalances(ethers, coin, [account, friend], [-9n, 9n]);
    await helpers.stopImpersonatingAccount(account);
    expect(await coin.balanceOf(owner)).to.equal(991n);
    const refused = await signer.sendTransaction({ to: owner, value: 1n }).then(() => false, () => true);
    expect(refused).to.equal(true);
  });

  it('is gone back to', async () => {
    const { coin, friend } = await loadFixture(coins);
    const snapshot = await helpers.takeSnapshot();
    // anvil answers before it has mined, and goes back past what is mined only.
    await (await coin.transfer(friend, 9n)).wait();
    await snapshot.restore();
    expect(await coin.balanceOf(friend)).to.equal(0n);
    await (await coin.transfer(friend, 8n)).wait();
    await snapshot.restore();
    expect(await coin.balanceOf(friend)).to.equal(0n);
  });
});
