import { expect } from 'chai';
import { accountsOf, deployed, done, ethers } from './stage.js';

describe('AccessControl', () => {
  it('gives and takes roles', async () => {
    const [admin, clerk, stranger] = await accountsOf('access');
    const deeds = await deployed('Deeds', [], admin);
    const role = await deeds.REGISTRAR();
    const unauthorized = (who, wanted) => [who.address, wanted];
    await expect(deeds.connect(stranger).grantRole(role, stranger))
      .to.be.revertedWithCustomError(deeds, 'AccessControlUnauthorizedAccount')
      .withArgs(...unauthorized(stranger, ethers.ZeroHash));
    const granted = deeds.grantRole(role, clerk);
    await expect(granted).to.emit(deeds, 'RoleGranted').withArgs(role, clerk, admin);
    await done('grant', granted);
    await done('register', deeds.connect(clerk).register(clerk, 5n));
    await done('renounce', deeds.connect(clerk).renounceRole(role, clerk));
    await expect(deeds.connect(clerk).register(clerk, 6n))
      .to.be.revertedWithCustomError(deeds, 'AccessControlUnauthorizedAccount')
      .withArgs(...unauthorized(clerk, role));
    expect(await deeds.hasRole(role, clerk)).to.equal(false);
  });
});
