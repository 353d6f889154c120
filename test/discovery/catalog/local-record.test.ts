import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { LocalRecord } from '../../../discovery/catalog/local-record.ts'
import { NOT_RUN_OUTPUT } from '../../../discovery/catalog/services-file.ts'
import { tempDir } from '../temp-dir.ts'
import { check, service } from './fixtures.ts'

const log = pino({ level: 'silent' })
const identity = { id: 'a', name: 'a', address: '10.0.0.1', meta: {}, incarnation: 1 }

type After = NonNullable<ConstructorParameters<typeof LocalRecord>[1]['after']>

async function opened(dataDir: string, incarnation = 1, after?: After): Promise<LocalRecord> {
  const local = new LocalRecord({ dataDir }, { log, ...(after ? { after } : {}) })
  await local.open({ ...identity, incarnation })
  return local
}

t.test('each change counts, an unchanged put does not', async (t) => {
  const local = await opened(tempDir(t))
  let fired = 0
  local.onChange(() => fired++)
  local.putService(service('web-1', { meta: { a: '1', b: '2' } }))
  local.putCheck(check('c', 'web-1'))
  t.same(local.record().version, { incarnation: 1, sequence: 2 })
  local.putService(service('web-1', { meta: { b: '2', a: '1' } }))
  local.putCheck(check('c', 'web-1'))
  t.equal(local.removeCheck('nothing'), false)
  t.equal(local.removeService('nothing'), false)
  t.equal(local.record().version.sequence, 2)
  t.equal(fired, 2)
  const before = local.record()
  local.putCheck(check('c', 'web-1', { status: 'critical' }))
  t.equal(before.checks.get('c')?.status, 'passing', 'a record handed out does not change')
  t.ok(local.removeService('web-1'))
  t.equal(local.record().checks.size, 0, 'its checks go with it')
  await local.flush()
})

t.test('instances survive a restart, critical until their checks have run', async (t) => {
  const dir = tempDir(t)
  const first = await opened(dir)
  first.putService(service('web-1', { tags: ['x'], meta: { ['__proto__']: 'kept' } }))
  first.putService(service('db-1'))
  first.putCheck(check('c', 'web-1', { output: 'fine' }))
  await first.flush()
  const second = await opened(dir, 2)
  t.same(second.record().version, { incarnation: 2, sequence: 0 })
  t.same(second.record().services.get('web-1'), first.record().services.get('web-1'))
  t.same(Object.keys(second.record().services.get('web-1')?.meta ?? {}), ['__proto__'])
  t.match(second.record().checks.get('c'), { status: 'critical', output: NOT_RUN_OUTPUT, serviceId: 'web-1' })
  second.putCheck(check('c', 'web-1', { output: 'fine' }))
  t.equal(second.record().checks.get('c')?.status, 'passing')
  second.removeService('web-1')
  await second.flush()
  t.same([...(await opened(dir, 3)).record().services.keys()], ['db-1'])
})

t.test('results of checks are not written to disk', async (t) => {
  const dir = tempDir(t)
  const local = await opened(dir)
  local.putService(service('web-1'))
  local.putCheck(check('c', 'web-1'))
  await local.flush()
  const path = join(dir, 'services.json')
  const { ino } = await stat(path)
  local.putCheck(check('c', 'web-1', { status: 'critical', output: 'refused' }))
  await local.flush()
  t.equal((await stat(path)).ino, ino, 'the file was not replaced')
  local.putCheck(check('c', 'web-1', { interval: '5s' }))
  await local.flush()
  t.not((await stat(path)).ino, ino)
})

t.test('a damaged file is an error that names it, and stays as it is', async (t) => {
  const dir = tempDir(t)
  const path = join(dir, 'services.json')
  const good = service('web-1')
  for (const text of [
    '{"format":1,',
    '[]',
    '{"format":2,"services":[],"checks":[]}',
    JSON.stringify({ format: 1, services: [{ ...good, port: 70_000 }], checks: [] }),
    JSON.stringify({ format: 1, services: [good], checks: [check('c', 'other')] }),
  ]) {
    await writeFile(path, text)
    await t.rejects(opened(dir), { code: 'CAT_FILE_DAMAGED', message: /services\.json/ }, text.slice(0, 40))
    t.equal(await readFile(path, 'utf8'), text)
  }
})

t.test('what is out of bounds is refused with a sentence, and changes nothing', async (t) => {
  const local = await opened(tempDir(t))
  local.putService(service('web-1'))
  const meta = Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, '']))
  const bad = [
    { ...service('web-2'), meta },
    { ...service('web-2'), port: -1 },
    { ...service('web-2'), name: '' },
    { ...service('web-2'), name: 'x'.repeat(256) },
    { ...service(''), name: 'x' },
    { ...service('web-2'), tags: ['x'.repeat(513)] },
    { ...service('web-2'), weights: { passing: 1.5, warning: 1 } },
  ]
  for (const one of bad) t.throws(() => local.putService(one), { code: 'CAT_INVALID', message: /./ })
  t.throws(
    () => local.putService({ ...service('web-2'), meta }),
    /service web-2: meta has 65 pairs, the limit is 64/,
  )
  t.throws(() => local.putCheck(check('c', 'nobody')), { code: 'CAT_UNKNOWN_SERVICE', message: /nobody/ })
  t.throws(() => local.putCheck(check('serfHealth', '')), { code: 'CAT_INVALID' })
  t.equal(local.record().version.sequence, 1)
})

t.test('the record has a size limit; a result gets in with less of its output', async (t) => {
  const local = await opened(tempDir(t))
  for (let i = 0; i < 100; i++) local.putService(service(`web-${i}`))
  for (let i = 0; i < 100; i++) {
    local.putCheck(check(`c${i}`, `web-${i}`, { status: 'warning', output: 'x'.repeat(5000) }))
  }
  const { checks, version } = local.record()
  t.equal(checks.size, 100)
  for (const id of ['c0', 'c99']) t.match(checks.get(id), { status: 'warning', output: /^x{1000,4096}$/ })
  local.putCheck(check('c99', 'web-99', { status: 'warning', output: 'x'.repeat(5000) }))
  t.equal(local.record().version.sequence, version.sequence, 'the same long output is no change')
  const big = service('big-1', {
    meta: Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`k${i}`, 'x'.repeat(512)])),
  })
  let taken = 0
  const fill = () => {
    for (; taken < 100; taken++) local.putService({ ...big, id: `big-${taken}` })
  }
  t.throws(fill, {
    code: 'CAT_TOO_LARGE',
    message: /service big-\d+ does not fit: with it .* would have \d{6} bytes as JSON, the limit is 262144/,
  })
  const long = 'y'.repeat(1000)
  local.putCheck(check('c1', 'web-1', { status: 'critical', output: long }))
  t.equal(local.record().checks.get('c1')?.status, 'critical', 'a result gets through')
  for (let i = 0; i < 30; i++) local.removeService(`web-${i}`)
  local.putService({ ...big, id: `big-${taken}` })
  t.ok(local.record().services.has(`big-${taken}`), 'room that was given back can be used')
})

t.test('a check that is refused leaves no room behind that is not there', async (t) => {
  const local = await opened(tempDir(t))
  const output = 'x'.repeat(4096)
  local.putService(service('web-1'))
  for (let i = 0; i < 33; i++) local.putCheck(check(`c${i}`, 'web-1', { output }))
  const fill = () => {
    for (let i = local.record().services.size; i < 5000; i++) local.putService(service(`s-${i}`))
  }
  t.throws(fill, { code: 'CAT_TOO_LARGE' })
  // Too large even after the other outputs were cut for it.
  const large = check('large', 'web-1', { notes: '\u0001'.repeat(4096) })
  t.throws(() => local.putCheck(large), { code: 'CAT_TOO_LARGE', message: /check large does not fit/ })
  t.throws(fill, { code: 'CAT_TOO_LARGE' })
  const { services, checks } = local.record()
  const bytes = [...services.values(), ...checks.values()].map(
    (e) => Buffer.byteLength(JSON.stringify(e)) + 1,
  )
  const sum = bytes.reduce((a, b) => a + b)
  t.ok(sum <= 262_144, `${sum} bytes`)
})

t.test('the first output of a check is told at once', async (t) => {
  const local = await opened(tempDir(t))
  const told: string[] = []
  local.putService(service('web-1'))
  local.putCheck(check('c', 'web-1'))
  local.onChange((record) => told.push(record.checks.get('c')?.output ?? ''))
  local.putCheck(check('c', 'web-1', { output: 'fine' }))
  local.putCheck(check('c', 'web-1', { output: 'still fine' }))
  t.same(told, ['fine'])
  t.equal(local.published().checks.get('c')?.output, 'fine')
})

t.test('a new output alone is told later, with all others; a status at once', async (t) => {
  const timers: { readonly delayMs: number; readonly fire: () => void; cancelled: boolean }[] = []
  const local = await opened(tempDir(t), 1, (delayMs, fire) => {
    const timer = { delayMs, fire, cancelled: false }
    timers.push(timer)
    return () => {
      timer.cancelled = true
    }
  })
  for (const id of ['web-1', 'web-2']) {
    local.putService(service(id))
    local.putCheck(check(`c-${id}`, id, { output: 'load 0' }))
  }
  const told: number[] = []
  local.onChange((record) => told.push(record.version.sequence))
  t.equal(local.published(), local.record())
  const { sequence } = local.record().version
  for (let i = 1; i <= 5; i++) {
    for (const id of ['web-1', 'web-2']) local.putCheck(check(`c-${id}`, id, { output: `load ${i}` }))
  }
  t.same(told, [])
  t.equal(local.record().checks.get('c-web-1')?.output, 'load 5', 'here it shows at once')
  t.equal(local.published().version.sequence, sequence)
  t.same(
    timers.map(({ delayMs }) => delayMs),
    [10_000],
    'one timer, from the first of them',
  )
  timers[0]?.fire()
  t.same(told, [sequence + 10])
  t.equal(local.published(), local.record())

  local.putCheck(check('c-web-1', 'web-1', { output: 'load 6' }))
  local.putCheck(check('c-web-2', 'web-2', { status: 'critical', output: 'refused' }))
  t.same(told, [sequence + 10, sequence + 12], 'a status takes the outputs along')
  t.equal(timers[1]?.cancelled, true)
  local.putCheck(check('c-web-1', 'web-1', { output: 'load 7', notes: 'new' }))
  local.removeCheck('c-web-2')
  t.equal(told.length, 4, 'everything else is told at once')
  local.putCheck(check('c-web-1', 'web-1', { output: 'load 8', notes: 'new' }))
  local.close()
  t.equal(timers.at(-1)?.cancelled, true)
})

t.test('raise goes beyond what others remember', async (t) => {
  const local = await opened(tempDir(t))
  local.putService(service('web-1'))
  local.raise(41)
  t.same(local.record().version, { incarnation: 42, sequence: 0 })
  local.raise(7)
  t.same(local.record().version, { incarnation: 42, sequence: 0 })
})

t.test('nothing works before it is open', async (t) => {
  const local = new LocalRecord({ dataDir: tempDir(t) }, { log })
  t.throws(() => local.record(), { code: 'CAT_NOT_STARTED' })
  t.throws(() => local.putService(service('web-1')), { code: 'CAT_NOT_STARTED' })
})
