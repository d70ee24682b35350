import { expect } from 'chai';
import { accountsOf, deployed, done, ethers, until } from './stage.js';

const DURATION_S = 4n;

describe('VestingWallet', () => {
  it('releases ether and tokens as time goes by', async () => {
    const [payer, worker] = await accountsOf('vesting');
    const coin = await deployed('Coin', ['Pay', 'PAY', 100n], payer);
    const { timestamp } = await ethers.provider.getBlock('latest');
    const wallet = await ethers.deployContract('VestingWallet', [worker, timestamp + 1, DURATION_S], payer);
    await wallet.waitForDeployment();
    await done('fund with tokens', coin.transfer(wallet, 100n));
    await done('fund with ether', payer.sendTransaction({ to: wallet, value: 1_000n, gasLimit: 60_000n }));
    await until(async () => (await ethers.provider.getBlock('latest')).timestamp > (await wallet.end()));
    expect(await wallet['releasable()']()).to.equal(1_000n);
    // Of tokens and ether alike all that is due goes out, and nothing is left for a second time.
    await done('release ether', wallet['release()']());
    await done('release tokens', wallet['release(address)'](coin));
    expect(await coin.balanceOf(worker)).to.equal(100n);
    expect(await ethers.provider.getBalance(wallet)).to.equal(0n);
    expect(await wallet['releasable(address)'](coin)).to.equal(0n);
  });
});
