import { expect } from 'chai';
import { accountsOf, connection } from './stage.js';
import system from '../ignition/system.js';

describe('Ignition', () => {
  it('deploys what belongs together', async () => {
    const [owner] = await accountsOf('ignition');
    const { coin, vault, box } = await connection.ignition.deploy(system, {
      defaultSender: owner.address,
      parameters: { System: { owner: owner.address } },
    });
    expect(await coin.balanceOf(vault)).to.equal(500n);
    expect(await box.value()).to.equal(7n);
  });
});
