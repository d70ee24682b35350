// What a team deploys at once: a token, a vault over it, a box behind a proxy, and calls between them.

import { buildModule } from '@nomicfoundation/hardhat-ignition/modules';

export default buildModule('System', (m) => {
  const owner = m.getParameter('owner');
  const coin = m.contract('Coin', ['Gold', 'GLD', 1_000n]);
  const vault = m.contract('Vault', [coin]);
  const allowed = m.call(coin, 'approve', [vault, 600n]);
  m.call(vault, 'deposit', [500n, owner], { after: [allowed] });
  const code = m.contract('Box', []);
  const proxy = m.contract('ERC1967Proxy', [code, m.encodeFunctionCall(code, 'initialize', [owner])]);
  const box = m.contractAt('Box', proxy, { id: 'BoxBehindProxy' });
  const stored = m.call(box, 'store', [7n]);
  m.readEventArgument(stored, 'Stored', 'value', { emitter: box });
  return { coin, vault, box };
});
