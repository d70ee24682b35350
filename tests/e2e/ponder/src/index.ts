// A transfer moves holdings; the contract is asked at the transfer's own block.

import { ponder } from 'ponder:registry';
import { holding, transfer } from 'ponder:schema';

ponder.on('Token:Transfer', async ({ event, context }) => {
  const { from, to, value } = event.args;
  const token = event.log.address;
  // Without a block of its own, a read is at the event's.
  const balance = await context.client.readContract({
    abi: context.contracts.Token.abi,
    address: token,
    functionName: 'balanceOf',
    args: [to],
  });
  await context.db.insert(transfer).values({ id: event.id, token, to, value, block: event.block.number, balance });
  for (const [holder, moved] of [[from, -value], [to, value]] as const) {
    await context.db
      .insert(holding)
      .values({ token, holder, value: moved })
      .onConflictDoUpdate((row) => ({ value: row.value + moved }));
  }
});
