import { expect } from 'chai';
import { accountsOf, deployed, done, ethers, moved, until } from './stage.js';

const [ACTIVE, SUCCEEDED, QUEUED, EXECUTED] = [1n, 4n, 5n, 7n];
const DELAY_S = 1n;

describe('Governor', () => {
  it('proposes, votes, queues and executes over a token that votes', async () => {
    const [chair, ...voters] = await accountsOf('governor');
    const ballot = await deployed('Ballot', [1_000n], chair);
    const lock = await deployed('TimelockController', [DELAY_S, [], [ethers.ZeroAddress], chair], chair);
    const board = await deployed('Board', [ballot, lock], chair);
    await done('role', lock.grantRole(await lock.PROPOSER_ROLE(), board));
    for (const [index, voter] of voters.entries()) await done('hand out', ballot.transfer(voter, 100n * BigInt(index + 1)));
    await done('pay the lock', ballot.transfer(lock, 50n));
    // Each votes for itself, all at once.
    await Promise.all(voters.map((voter, index) => done(`delegate ${index}`, ballot.connect(voter).delegate(voter))));

    const pay = ballot.interface.encodeFunctionData('transfer', [chair.address, 50n]);
    const actions = [[await ballot.getAddress()], [0n], [pay]];
    const text = 'Pay the chair';
    const proposal = [...actions, ethers.id(text)];
    const { blockNumber } = await (await board.propose(...actions, text)).wait();
    const id = await board.hashProposal(...proposal);
    // NUMBER in a transaction is the number of the block that shows it, and so is the clock of what votes.
    expect(await board.proposalSnapshot(id)).to.equal(BigInt(blockNumber) + (await board.votingDelay()));
    expect(await ballot.clock({ blockTag: blockNumber })).to.equal(BigInt(blockNumber));
    await until(async () => (await board.state(id)) === ACTIVE);
    const [no, yes, abstain] = voters;
    await Promise.all([
      done('no', board.connect(no).castVote(id, 0n)),
      done('yes', board.connect(yes).castVoteWithReason(id, 1n, 'because')),
      done('abstain', board.connect(abstain).castVote(id, 2n)),
    ]);
    await expect(board.connect(no).castVote(id, 1n)).to.be.revertedWithCustomError(board, 'GovernorAlreadyCastVote');
    expect([...(await board.proposalVotes(id))]).to.deep.equal([100n, 200n, 300n]);
    await until(async () => (await board.state(id)) === SUCCEEDED);
    await (await board.queue(...proposal)).wait();
    expect(await board.state(id)).to.equal(QUEUED);
    const eta = await board.proposalEta(id);
    await until(async () => BigInt((await ethers.provider.getBlock('latest')).timestamp) > eta);
    const executed = board.execute(...proposal);
    const after = await done('execute', executed);
    expect(await moved(ballot, lock, after.blockNumber)).to.equal(-50n);
    expect(await moved(ballot, chair, after.blockNumber)).to.equal(50n);
    expect(await board.state(id)).to.equal(EXECUTED);
  });
});
