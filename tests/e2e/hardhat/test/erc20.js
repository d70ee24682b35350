import { expect } from 'chai';
import { accountsOf, connection, deployed, done, ethers, moved, note } from './stage.js';

describe('ERC20', () => {
  let holder, spender, other, coin;
  before(async () => {
    [holder, spender, other] = await accountsOf('erc20');
    coin = await deployed('Coin', ['Gold', 'GLD', 1_000n], holder);
  });

  it('moves tokens and tells of it', async () => {
    const transfer = coin.transfer(other, 10n);
    await expect(transfer).to.emit(coin, 'Transfer').withArgs(holder, other, 10n);
    const { blockNumber } = await done('transfer', transfer);
    expect(await moved(coin, holder, blockNumber)).to.equal(-10n);
    expect(await moved(coin, other, blockNumber)).to.equal(10n);
  });

  it('refuses in the words of its errors', async () => {
    await expect(coin.connect(spender).transfer(other, 1n))
      .to.be.revertedWithCustomError(coin, 'ERC20InsufficientBalance')
      .withArgs(spender, 0n, 1n);
    await expect(coin.transfer(ethers.ZeroAddress, 1n))
      .to.be.revertedWithCustomError(coin, 'ERC20InvalidReceiver')
      .withArgs(ethers.ZeroAddress);
  });

  it('has what reverts in a block, with its gas', async () => {
    const receipt = await done('too much', coin.connect(spender).transfer(other, 1n, { gasLimit: 100_000n }));
    expect(receipt.status).to.equal(0);
  });

  it('lets be spent what was approved, by signature as well', async () => {
    await done('approve', coin.approve(spender, 5n));
    await done('transferFrom', coin.connect(spender).transferFrom(holder, other, 3n));
    expect(await coin.allowance(holder, spender)).to.equal(2n);

    const { chainId } = await connection.ethers.provider.getNetwork();
    const domain = { name: 'Gold', version: '1', chainId, verifyingContract: await coin.getAddress() };
    const types = {
      Permit: ['owner address', 'spender address', 'value uint256', 'nonce uint256', 'deadline uint256'].map((field) => {
        const [name, type] = field.split(' ');
        return { name, type };
      }),
    };
    const permit = { owner: holder.address, spender: spender.address, value: 77n, nonce: 0n, deadline: ethers.MaxUint256 };
    const { v, r, s } = ethers.Signature.from(await holder.signTypedData(domain, types, permit));
    // The signature is of the chain's id, so its gas may differ by a byte of zero.
    await (await coin.connect(spender).permit(holder, spender, 77n, ethers.MaxUint256, v, r, s)).wait();
    expect(await coin.allowance(holder, spender)).to.equal(77n);
  });

  it('shows its history', async () => {
    const { blockNumber } = await done('burn', coin.burn(7n));
    expect(await coin.totalSupply({ blockTag: blockNumber - 1 })).to.equal(1_000n);
    expect(await coin.totalSupply({ blockTag: blockNumber })).to.equal(993n);
    const transfers = await coin.queryFilter(coin.filters.Transfer(), 0, 'latest');
    note('transfers', transfers.map(({ args }) => [...args]));
    expect(transfers.length).to.equal(4);
  });
});
