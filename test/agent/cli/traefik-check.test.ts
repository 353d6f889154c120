import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { checkFile } from '../../../agent/cli/traefik/check-file.ts'
import { runInProcess } from './run.ts'

const findings = (text: string, release = '3.0') => checkFile(text, release)

t.test('a dynamic configuration, as Traefik reads it', (t) => {
  const good = `http:
  routers: { web: { rule: "Host(\`x\`)", service: web } }
  services: { web: { loadBalancer: { servers: [ { url: "http://h:1" } ] } } }
`
  t.same(findings(good), [])
  t.same(findings(JSON.stringify({ http: { middlewares: { m: { compress: {} } } } })), [])
  t.match(findings(good.replace('servers:', 'strategy: p2c, servers:')), [
    { level: 'error', at: 'http.services.web.loadBalancer.strategy', message: /known since Traefik 3\.4/ },
  ])
  t.same(findings(good.replace('servers:', 'strategy: p2c, servers:'), '3.4'), [])
  t.match(findings(good.replace('service: web', 'service: other')), [
    { level: 'warning', at: 'http.routers.web', message: /"other", which nobody defines/ },
  ])
  t.match(findings('http: {}'), [{ level: 'error', at: 'http', message: /standalone/ }])
  t.match(findings('{}'), [{ level: 'warning', message: /removes every route/ }])
  t.match(findings('a: 1\na: 2\n'), [{ level: 'error', at: 'line 2', message: /unique/ }])
  t.match(findings('- x'), [{ level: 'error', message: /not an object/ }])
  t.end()
})

t.test('a Compose file is for another command', (t) => {
  t.match(findings('services: { web: { image: x } }'), [
    { level: 'error', message: /constellation compose lint/ },
  ])
  t.end()
})

t.test('the command', async (t) => {
  const folder = t.testdir()
  const file = join(folder, 'x.yaml')
  writeFileSync(file, 'http: { routers: {} }')
  t.match(await runInProcess(['traefik', 'check', file]), {
    code: 1,
    out: /^error: http\.routers: .*standalone element\n$/,
    err: /1 of 1 findings are errors/,
  })
  writeFileSync(file, 'http: { middlewares: { m: { compress: true } } }')
  t.match(await runInProcess(['traefik', 'check', file]), {
    code: 0,
    out: /^ok: .*x\.yaml\n$/,
  })
  t.match(await runInProcess(['traefik', 'check', file, '--traefik', '2.11']), { code: 64 })
  t.match(await runInProcess(['traefik', 'check', join(folder, 'none')]), { code: 1, err: /cannot read/ })
})
