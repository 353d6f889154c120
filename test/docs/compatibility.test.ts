import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { harness } from '../agent/http/harness.ts'
import { parseTranscript } from '../real/golden/transcript.ts'
import { page, ROOT, section } from './pages.ts'

const CLIENTS = [
  'consul lock',
  'consul operator raft',
  'consul operator autopilot',
  'consul-template',
  'Vault',
  'Patroni',
  'Traefik',
  'valkeyrie',
  'Prometheus',
  'Fabio',
  'registrator',
  'Spring Cloud Consul',
]
const TEXT = page('docs/compatibility.md')

t.test('the version of npm consul is the one that is installed', async (t) => {
  const { devDependencies } = JSON.parse(page('package.json')) as { devDependencies: Record<string, string> }
  t.ok(section(TEXT, '## Run unchanged').includes(`| npm \`consul\` | ${devDependencies.consul} |`))
})

t.test('the clients that are named are replayed', async (t) => {
  const folder = join(ROOT, 'test/real/golden')
  const titles = readdirSync(folder)
    .filter((file) => file.endsWith('.txt'))
    .flatMap((file) => parseTranscript(readFileSync(join(folder, file), 'utf8')))
    .map(({ title }) => title)
    .join('\n')
  const replayed = section(TEXT, '## Replayed')
  for (const client of CLIENTS) {
    t.ok(titles.includes(client), `${client} is replayed`)
    t.ok(replayed.includes(client), `${client} is named`)
  }
})

t.test('what is not there is answered as shown', async (t) => {
  const { app } = harness()
  t.teardown(() => app.close())
  const rows = [
    ...section(TEXT, '## What is not there, and what is answered instead').matchAll(
      /^\| (.*) \| (\d{3})(.*) \|$/gm,
    ),
  ]
  t.ok(rows.length > 5, 'the rows were read')
  for (const [, requests = '', status, answer = ''] of rows) {
    const [, text = ''] = /`(.*)`/.exec(answer) ?? []
    for (const [, method = '', url = ''] of requests.matchAll(/`(GET|PUT|POST) (\/\S+)`/g)) {
      const reply = await app.inject({
        method: method as 'GET',
        url,
        payload: method === 'GET' ? '' : '[{"Node":{"Verb":"get","Node":{"Node":"n1"}}}]',
      })
      t.equal(String(reply.statusCode), status, url)
      if (text !== '') t.equal(reply.body, text, url)
    }
  }
})
