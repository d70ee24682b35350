// Ethereum's own specification of JSON-RPC (execution-apis): each method's parameters and result as JSON schemas.
//
// Read from DOVETAIL_DATA (default: ../shared beside the repository); it is not part of it.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import Ajv from 'ajv';
import { parse } from 'yaml';

const DATA = process.env.DOVETAIL_DATA ?? fileURLToPath(new URL('../../../shared', import.meta.url));
const FOLDER = join(DATA, 'execution-apis');
const METHOD_FOLDERS = ['eth', 'debug', 'txpool'];
/** Schemas that name themselves in the folder's files refer to each other by this path. */
const ROOT = 'specification';

/** Whether the specification is here. */
export const isPresent = existsSync(FOLDER);

function* documents(folder) {
  for (const file of readdirSync(join(FOLDER, folder)).filter((name) => name.endsWith('.yaml'))) {
    yield parse(readFileSync(join(FOLDER, folder, file), 'utf8'));
  }
}

/** The methods by name, each `{ params: [{ name, required, errors(value) }], errors(result) }`; errors are none or text. */
export function readMethods() {
  const ajv = new Ajv({ strict: false, allErrors: false, validateFormats: false, inlineRefs: false });
  const schemas = Object.assign({}, ...documents('schemas'));
  ajv.addSchema({ $id: ROOT, components: { schemas } });
  const judge = (schema) => {
    const validate = ajv.compile(absolute(schema));
    return (value) => (validate(value) ? undefined : ajv.errorsText(validate.errors));
  };
  const methods = new Map();
  for (const folder of METHOD_FOLDERS) {
    for (const { name, params, result } of [...documents(folder)].flat()) {
      const parameter = ({ name, required, schema }) => ({ name, required: required ?? false, errors: judge(schema) });
      methods.set(name, { params: params.map(parameter), errors: judge(result.schema) });
    }
  }
  return methods;
}

/** `schema` with its references bound to the root, as it is compiled by itself. */
function absolute(schema) {
  if (Array.isArray(schema)) return schema.map(absolute);
  if (schema === null || typeof schema !== 'object') return schema;
  const bound = ([key, value]) => [key, key === '$ref' ? `${ROOT}${value}` : absolute(value)];
  return Object.fromEntries(Object.entries(schema).map(bound));
}

/** Wrong ways to write `text`, each by its name. */
function wrongSpellings(text) {
  return [
    ['without 0x', text.replace(/^0x/, '')],
    ['with 0X', text.replace(/^0x/, '0X')],
    ['with a leading zero', text.replace(/^0x/, '0x0')],
    ['a digit short', text.slice(0, -1)],
    ['a byte too long', `${text}00`],
    ['not hex', `${text.slice(0, -1)}g`],
    ['in capitals', text.replace(/^[a-z]+$/, (tag) => tag[0].toUpperCase() + tag.slice(1))],
    ['empty', ''],
    ['bare 0x', '0x'],
    ['a space before', ` ${text}`],
    ['a number', Number.parseInt(text.slice(0, 10), 16) || 0],
    ['a boolean', true],
    ['a list', [text, 1]],
    ['an object', { value: text }],
  ];
}

/** Every copy of `value` in which one leaf is written wrongly, as `[where and how, copy]`. */
export function* misspelt(value, where = '') {
  if (typeof value === 'string') {
    for (const [how, wrong] of wrongSpellings(value)) if (wrong !== value) yield [`${where} ${how}`, wrong];
  } else if (typeof value === 'boolean') {
    yield [`${where} as text`, `${value}`];
    yield [`${where} as a number`, 1];
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      for (const [how, wrong] of misspelt(item, `${where}[${index}]`)) yield [how, value.with(index, wrong)];
    }
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      for (const [how, wrong] of misspelt(item, `${where}.${key}`)) yield [how, { ...value, [key]: wrong }];
    }
  }
}
