import t from 'tap'
import { TraefikView } from '../../../providers/traefik/view.ts'
import { memoryLog } from '../../discovery/health/fixtures.ts'
import { FakeCatalog, instance } from './fixtures.ts'

const labels = { 'traefik.http.routers.web.rule': 'Host(`x`)' }

t.test('renders once per change of the catalogue', (t) => {
  const catalog = new FakeCatalog([instance({ labels })])
  const view = new TraefikView({ entryPoints: [] }, { catalog, log: memoryLog().log })
  const first = view.document()
  t.equal(view.document(), first)
  t.equal(catalog.reads, 1)

  catalog.set([instance({ labels }), instance({ service: 'unrelated' })])
  const second = view.document()
  t.equal(catalog.reads, 2)
  t.equal(second.body, first.body)
  t.equal(second.etag, first.etag)
  t.match(first.etag, /^"[\w-]{22}"$/)

  catalog.set([instance({ labels, port: 81 })])
  t.not(view.document().etag, first.etag)
  t.end()
})

t.test('logs a problem when it appears, and not at every change', (t) => {
  const { log, lines } = memoryLog()
  const bad = () => instance({ labels: { 'traefik.http.routers.web.rul': 'x' } })
  const catalog = new FakeCatalog([bad()])
  const view = new TraefikView({ entryPoints: [] }, { catalog, log })
  t.match(view.document().problems, [{ code: 'label' }])
  catalog.set([bad()])
  view.document()
  t.equal(lines.length, 1)
  t.match(JSON.parse(lines[0] ?? '{}'), { level: 40, service: 'web', msg: /no field "rul"/ })
  t.end()
})
