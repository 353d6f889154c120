import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { runInProcess } from './run.ts'

const STACK = `services:
  web:
    ports: ["8080:80"]
    labels:
      - traefik.enable=true
      - traefik.http.routers.web.rule=Host(\`web.\${DOMAIN}\`)
  db: { image: postgres }
`

t.test('compose lint prints what is published, and fails only for errors', async (t) => {
  const file = join(t.testdir({ 'compose.yaml': STACK, '.env': 'DOMAIN=example.com\n' }), 'compose.yaml')
  const good = await runInProcess(['compose', 'lint', file, '--node', 'n1', '--address', '10.0.0.1'])
  t.equal(good.code, 0, good.err)
  t.match(good.out, /1 of 2 services would be published/)
  t.match(good.out, /web +web-[a-z0-9-]+ +80\/tcp at 10\.0\.0\.1:8080/)
  t.match(good.out, /web +http web +Host\(`web\.example\.com`\) +\(default\)/)
  t.match(good.out, /db is not published: it does not say constellation\.enable=true/)

  writeFileSync(file, STACK.replace('8080:80', '127.0.0.1:8080:80'))
  const bad = await runInProcess(['compose', 'lint', file])
  t.equal(bad.code, 1)
  t.match(bad.out, /compose\.yaml:3: error: web: port 80\/tcp is published on 127\.0\.0\.1:8080/)

  const json = JSON.parse((await runInProcess(['compose', 'lint', '--json', file])).out)
  t.match(json, {
    services: [{ name: 'web' }, { name: 'db', service: null }],
    findings: [{ severity: 'error' }],
  })
})

t.test('compose import writes a file once, and says what it leaves out', async (t) => {
  const folder = t.testdir({ 'compose.yaml': STACK })
  const [file, output] = [join(folder, 'compose.yaml'), join(folder, 'out.yaml')]
  const env = { DOMAIN: 'example.org' }
  const printed = await runInProcess(['compose', 'import', file], { env })
  t.equal(printed.code, 0, printed.err)
  t.match(printed.out, /port: 8080\n[\s\S]*Host\(`web\.example\.org`\)/)
  t.match(printed.err, /^db is left out: it does not say constellation\.enable=true/)

  const written = await runInProcess(['compose', 'import', file, '--output', output], { env })
  t.match(written, { code: 0, out: /^wrote .*out\.yaml: web-/ })
  t.equal(readFileSync(output, 'utf8'), printed.out)
  const again = await runInProcess(['compose', 'import', file, '--output', output], { env })
  t.match(again, { code: 1, err: /cannot write .*out\.yaml: it is there already/ })
})

t.test('what cannot be read is one line with its place', async (t) => {
  const folder = t.testdir({
    'bad.yaml': 'services:\n  web: [\n',
    'none.yaml': 'services: { a: { image: x } }',
  })
  const run = (...args: string[]) => runInProcess(['compose', ...args])
  t.match(await run('lint', join(folder, 'gone.yaml')), { code: 1, err: /there is no file .*gone\.yaml/ })
  t.match(await run('lint', join(folder, 'bad.yaml')), { code: 1, err: /bad\.yaml:3: not valid YAML/ })
  t.match(await run('lint', folder), { code: 1, err: /cannot read/ })
  t.match(await run('import', join(folder, 'none.yaml')), { code: 1, err: /no service of these files/ })
  t.match(await run('lint'), { code: 64 })
})
