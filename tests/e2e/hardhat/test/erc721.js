import { expect } from 'chai';
import { accountsOf, deployed, done, ethers, note } from './stage.js';

describe('ERC721', () => {
  it('is handed out, passed on and counted', async () => {
    const [registrar, owner, other] = await accountsOf('erc721');
    const [deeds, safe, coin] = [
      await deployed('Deeds', [], registrar),
      await deployed('Safe', [], registrar),
      await deployed('Coin', ['No safe', 'NO', 0n], registrar),
    ];
    await done('grant', deeds.grantRole(await deeds.REGISTRAR(), registrar));
    await done('first', deeds.register(owner, 1n));
    await done('second', deeds.register(owner, 2n));
    await expect(deeds.register(coin, 3n)).to.be.revertedWithCustomError(deeds, 'ERC721InvalidReceiver').withArgs(coin);
    await expect(deeds.register(owner, 1n)).to.be.revertedWithCustomError(deeds, 'ERC721InvalidSender');

    const mine = deeds.connect(owner);
    await done('to a safe', mine['safeTransferFrom(address,address,uint256)'](owner, safe, 1n));
    await done('approve', mine.approve(other, 2n));
    await done('by whom it was approved for', deeds.connect(other).transferFrom(owner, other, 2n));
    expect(await deeds.ownerOf(1n)).to.equal(await safe.getAddress());
    expect(await deeds.tokenOfOwnerByIndex(other, 0n)).to.equal(2n);
    expect(await deeds.balanceOf(owner)).to.equal(0n);
    await expect(deeds.ownerOf(9n)).to.be.revertedWithCustomError(deeds, 'ERC721NonexistentToken').withArgs(9n);
    note('supply', await deeds.totalSupply());
    expect(await deeds.supportsInterface('0x780e9d63')).to.equal(true);
    expect(await ethers.provider.getCode(deeds)).to.not.equal('0x');
  });
});
