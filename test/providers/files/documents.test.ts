import t from 'tap'
import { FILE_BYTES_MAX, readDefinitions } from '../../../providers/files/documents.ts'

t.test('one definition, a list, and the shapes of Consul’s files, in YAML and JSON', (t) => {
  const web = { name: 'web', port: 80 }
  const db = { name: 'db' }
  const good: [string, unknown[]][] = [
    ['name: web\nport: 80\n', [web]],
    ['{"name":"web","port":80}', [web]],
    ['- {name: web, port: 80}\n- name: db\n', [web, db]],
    ['{"service":{"name":"web","port":80}}', [web]],
    ['Services:\n  - name: web\n    port: 80\n  - name: db\n', [web, db]],
    ['{"service":{"name":"db"},"services":[{"name":"web","port":80}]}', [db, web]],
    ['name: web\nport: 80\n---\nname: db\n---\n', [web, db]],
    ['# nothing but this\nservice: &a {name: web, port: 80}\nservices: [*a]\n', [web, web]],
    [
      'name: web\ncheck: {http: "http://localhost/", interval: 10s, header: {a: [b]}}\n',
      [{ name: 'web', check: { http: 'http://localhost/', interval: '10s', header: { a: ['b'] } } }],
    ],
  ]
  for (const [text, definitions] of good) t.same(readDefinitions(text), definitions, text)
  t.end()
})

t.test('what is no definition is refused with the place', (t) => {
  const bad: [string, string, string | RegExp][] = [
    ['', 'FIL_INVALID', 'it holds no service'],
    ['services: []', 'FIL_INVALID', 'it holds no service'],
    ['name: [', 'FIL_SYNTAX', /line 1, column \d+$/],
    ['name: web\n  port: 80', 'FIL_SYNTAX', /line \d, column \d+$/],
    ['name: web\nname: db', 'FIL_SYNTAX', /unique.* line 2/],
    ['name: *none', 'FIL_SYNTAX', /none/],
    ['just words', 'FIL_INVALID', /^the file must be a mapping/],
    ['- web', 'FIL_INVALID', /^each entry of the list must be a mapping/],
    ['service: web', 'FIL_INVALID', /^service must be a mapping/],
    ['services: {name: web}', 'FIL_INVALID', 'services must be a list'],
    ['service: {name: web}\nport: 80', 'FIL_INVALID', '"port" cannot stand beside service'],
    [`name: ${'x'.repeat(FILE_BYTES_MAX)}`, 'FIL_TOO_LARGE', /bytes$/],
    [`a: &a [${'1,'.repeat(200)}]\nb: [${'*a,'.repeat(200)}]`, 'FIL_SYNTAX', /alias/i],
  ]
  for (const [text, code, message] of bad) {
    t.throws(() => readDefinitions(text), { code, message }, text.slice(0, 60))
  }
  try {
    readDefinitions('check: {header: {a: secret}\nname: x: y')
    t.fail('it is no YAML')
  } catch (error) {
    t.notMatch((error as Error).message, 'secret', 'the text around the fault is not quoted')
  }
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  readDefinitions('{"name":"x","__proto__":{"polluted":1}}')
  t.equal(({} as Record<string, unknown>).polluted, undefined)
  t.end()
})
