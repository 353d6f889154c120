import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { parseArgs } from 'node:util'

/*
 * Stands in for `constellation agent` in the tests of `dev`: answers /readyz and /api/v1/nodes, and ends on SIGTERM or when its
 * standard input does. Files in the data folder of the cluster change its manners: `die-<node>` ends it before it is ready,
 * `stubborn-<node>` makes it ignore SIGTERM.
 */
const { values } = parseArgs({
  args: process.argv.slice(3),
  options: {
    node: { type: 'string', default: '' },
    'data-dir': { type: 'string', default: '' },
    http: { type: 'string', default: '' },
    mesh: { type: 'string' },
    dns: { type: 'string' },
    join: { type: 'string', multiple: true },
    'bootstrap-expect': { type: 'string' },
    'cluster-key-file': { type: 'string' },
    'log-level': { type: 'string' },
    'log-format': { type: 'string' },
  },
})
const name = values.node
const folder = join(values['data-dir'], '..')
mkdirSync(values['data-dir'], { recursive: true })
appendFileSync(
  join(folder, 'starts.jsonl'),
  `${JSON.stringify({ pid: process.pid, ...values, env: process.env.CONSTELLATION_NODE_NAME })}\n`,
)

const say = (level: number, msg: string) => process.stdout.write(`${JSON.stringify({ level, msg })}\n`)
const end = (why: string) => {
  appendFileSync(join(folder, 'ends.log'), `${name} ${why}\n`)
  process.exit(0)
}
say(30, 'quiet line')
say(40, 'loud line')
if (existsSync(join(folder, `die-${name}`))) {
  process.stderr.write('Error: cannot go on\n')
  process.exit(3)
}
process.on('SIGTERM', () => {
  if (!existsSync(join(folder, `stubborn-${name}`))) end('SIGTERM')
})
process.stdin.on('end', () => end('parent gone')).resume()
const [host, port] = values.http.split(':')
createServer((request, response) => {
  if (request.url === '/api/v1/nodes') {
    const nodes = ['n1', 'n2', 'n3'].map((node) => ({
      name: node,
      role: node === 'n2' ? 'leader' : 'follower',
    }))
    response.end(JSON.stringify(nodes))
  } else response.end('ok')
}).listen(Number(port), host)
