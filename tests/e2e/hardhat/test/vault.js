import { expect } from 'chai';
import { accountsOf, deployed, done } from './stage.js';

describe('ERC4626', () => {
  it('takes a token that lives elsewhere and gives it back', async () => {
    const [owner, other] = await accountsOf('vault');
    const coin = await deployed('Coin', ['Silver', 'SLV', 900n], owner);
    const vault = await deployed('Vault', [coin], owner);
    await expect(vault.deposit(1n, owner)).to.be.revertedWithCustomError(coin, 'ERC20InsufficientAllowance');
    await done('approve', coin.approve(vault, 900n));
    await done('deposit', vault.deposit(300n, owner));
    await done('a gift', coin.transfer(vault, 300n));
    expect(await vault.totalAssets()).to.equal(600n);
    expect(await vault.convertToAssets(150n)).to.equal(299n);
    await expect(vault.withdraw(10_000n, owner, owner)).to.be.revertedWithCustomError(vault, 'ERC4626ExceededMaxWithdraw');
    await done('redeem', vault.redeem(150n, other, owner));
    expect(await coin.balanceOf(other)).to.equal(299n);
  });
});
