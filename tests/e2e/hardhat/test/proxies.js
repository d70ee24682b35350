import { expect } from 'chai';
import { accountsOf, deployed, done, ethers, note } from './stage.js';

/** Where a proxy keeps the address of its code, and of its admin (ERC-1967). */
const CODE_SLOT = '0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc';
const ADMIN_SLOT = '0xb53127684a568b3173ae13b9f8a6016e243e63b6e8ee1178d6a717850b5d6103';

const held = async (proxy, slot) => ethers.getAddress(`0x${(await ethers.provider.getStorage(proxy, slot)).slice(26)}`);

describe('Proxies', () => {
  it('exchange their code (UUPS) and keep their state', async () => {
    const [owner, stranger] = await accountsOf('proxies');
    const first = await deployed('Box', [], owner);
    const second = await deployed('DoubleBox', [], owner);
    const initialize = first.interface.encodeFunctionData('initialize', [owner.address]);
    const proxy = await deployed('ERC1967Proxy', [first, initialize], owner);
    const box = await ethers.getContractAt('Box', proxy, owner);
    await done('store', box.store(21n));
    await expect(box.initialize(stranger)).to.be.revertedWithCustomError(box, 'InvalidInitialization');
    await expect(box.connect(stranger).upgradeToAndCall(second, '0x'))
      .to.be.revertedWithCustomError(box, 'NotTheOwner')
      .withArgs(stranger);
    await done('upgrade', box.upgradeToAndCall(second, second.interface.encodeFunctionData('store', [4n])));
    expect(await held(proxy, CODE_SLOT)).to.equal(await second.getAddress());
    expect(await box.value()).to.equal(8n);
  });

  it('are administered by another contract (transparent)', async () => {
    const [owner, user] = (await accountsOf('proxies')).slice(2);
    const [first, second] = [await deployed('Box', [], owner), await deployed('DoubleBox', [], owner)];
    const initialize = first.interface.encodeFunctionData('initialize', [owner.address]);
    const proxy = await deployed('TransparentUpgradeableProxy', [first, owner, initialize], owner);
    const admin = await ethers.getContractAt('ProxyAdmin', await held(proxy, ADMIN_SLOT), owner);
    await done('upgrade', admin.upgradeAndCall(proxy, second, '0x'));
    const box = await ethers.getContractAt('DoubleBox', proxy, user);
    await done('store', box.store(5n));
    note('value', await box.value());
    expect(await box.value()).to.equal(10n);
  });
});
