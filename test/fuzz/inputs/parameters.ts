import fc from 'fast-check'
import type { Operation } from '../operations.ts'
import { type Request, request } from '../request.ts'
import { goodTarget, INDEX_NOW, percentEncode, value } from './values.ts'

/** Parameters that the description does not list and something may read all the same. */
const UNLISTED: readonly string[] = [
  ...[
    'dc',
    'datacenter',
    'ns',
    'partition',
    'peer',
    'filter',
    'near',
    'segment',
    'cached',
    'max_stale',
    'leader',
  ],
  ...['token', 'seperator', 'node-meta', 'enable', 'reason', 'prune', 'wan', 'ttl', 'prefix', 'name', 'type'],
  ...['__proto__', 'constructor', 'toString', 'hasOwnProperty', '', '[]', 'a[b]', '\xff', 'INDEX', ' index'],
]

/** One `name=value`, encoded well or badly. */
function pair(name: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const spelled = fc.constantFrom<(name: string, text: string) => string>(
    (each, text) => `${percentEncode(each)}=${percentEncode(text)}`,
    (each, text) => `${percentEncode(each)}=${percentEncode(text)}`,
    (each, text) => `${each}=${text}`,
    (each) => each,
    (each) => `${each}=`,
    (each, text) => `${each}=${text}&${each}=${percentEncode(text)}&${each}`,
    (each, text) => `${each}[]=${text}`,
    (each, text) => `${each}=${text}%`,
    (each, text) => `${each}==${text};`,
  )
  return fc.tuple(name, value, spelled).map(([each, text, spell]) => spell(each, text))
}

/** Known parameters with wrong, huge, empty and repeated values; `all`: the names any operation has. */
export function parameters(operation: Operation, all: readonly string[]): fc.Arbitrary<Request> {
  const { method, path, parameters } = operation
  const others = pair(fc.constantFrom(...all, ...UNLISTED))
  const own = parameters.length === 0 ? others : pair(fc.constantFrom(...parameters))
  const waits = fc.constantFrom(`index=${INDEX_NOW}`, `index=${INDEX_NOW}&wait=1ns`, 'index=1&wait=0.001ms')
  const each = fc.oneof(
    { weight: 6, arbitrary: own },
    { weight: 3, arbitrary: others },
    { weight: parameters.includes('index') ? 1 : 0, arbitrary: waits },
  )
  const query = fc.tuple(
    fc.array(each, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('&', '&', '&', '&&', ';', '&amp;'),
  )
  const body = fc.constantFrom('', '', 'x', '{}')
  return fc
    .tuple(goodTarget(path), query, body)
    .map(([target, [pairs, separator], text]) =>
      request(method, `${target}?${pairs.join(separator)}`, { body: method === 'GET' ? '' : text }),
    )
}
