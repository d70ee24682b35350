// What Ponder keeps: each transfer with what the chain said at its block, and what all of them come to.

import { onchainTable, primaryKey } from 'ponder';

export const transfer = onchainTable('transfer', (t) => ({
  id: t.text().primaryKey(),
  token: t.hex().notNull(),
  to: t.hex().notNull(),
  value: t.bigint().notNull(),
  block: t.bigint().notNull(),
  /** What the receiver has after the transfer's block, read from the contract. */
  balance: t.bigint().notNull(),
}));

export const holding = onchainTable(
  'holding',
  (t) => ({ token: t.hex().notNull(), holder: t.hex().notNull(), value: t.bigint().notNull() }),
  (table) => ({ pk: primaryKey({ columns: [table.token, table.holder] }) }),
);
