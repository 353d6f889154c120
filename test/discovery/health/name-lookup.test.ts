import type { LookupAddress } from 'node:dns'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { HostsFile } from '../../../discovery/health/hosts-file.ts'
import { NameLookup, type NameLookupOptions } from '../../../discovery/health/name-lookup.ts'
import { systemProbe } from '../../../discovery/health/prober.ts'
import { CheckRunner } from '../../../discovery/health/runner.ts'
import { tempDir } from '../temp-dir.ts'
import { definition, EMPTY_CATALOG, FakeLocal, FakeTimers, httpKind, memoryLog, until } from './fixtures.ts'

const V4: readonly LookupAddress[] = [{ address: '10.0.0.7', family: 4 }]
const failure = (code: string) => Object.assign(new Error(`getaddrinfo ${code}`), { code })

/** Lookups that are answered by hand. */
class Asked {
  readonly asked: string[] = []
  readonly #open = new Map<string, PromiseWithResolvers<readonly LookupAddress[]>>()

  readonly resolve = (name: string): Promise<readonly LookupAddress[]> => {
    this.asked.push(name)
    const open = Promise.withResolvers<readonly LookupAddress[]>()
    this.#open.set(name, open)
    return open.promise
  }

  get open(): string[] {
    return [...this.#open.keys()]
  }

  async answer(name: string, answer: readonly LookupAddress[] | Error): Promise<void> {
    const open = this.#open.get(name)
    this.#open.delete(name)
    if (answer instanceof Error) open?.reject(answer)
    else open?.resolve(answer)
    await turn()
  }
}

function setup(options: NameLookupOptions = {}) {
  const asked = new Asked()
  const timers = new FakeTimers()
  const names = new NameLookup(options, { timers, resolve: asked.resolve, hosts: { find: () => undefined } })
  const never = new AbortController().signal
  const look = (name: string, signal = never) => {
    const found = names.addresses(name, signal)
    // A refusal may come before the test asks for it.
    found.catch(() => undefined)
    return found
  }
  return { asked, timers, look }
}

t.test('addresses, names of the hosts file and localhost are known without asking', async (t) => {
  const path = join(t.testdir(), 'hosts')
  writeFileSync(path, '# a comment\n10.0.0.1 db DB.example # the old one\nfd00::1\tdb\nnonsense x\n')
  const asked = new Asked()
  const names = new NameLookup({}, { resolve: asked.resolve, hosts: new HostsFile(path) })
  const { signal } = new AbortController()
  const look = async (name: string) => (await names.addresses(name, signal)).map(({ address }) => address)
  t.same(await look('10.0.0.9'), ['10.0.0.9'])
  t.same(await look('fe80::1%eth0'), ['fe80::1%eth0'])
  t.same(await look('DB'), ['10.0.0.1', 'fd00::1'])
  t.same(await look('db.example'), ['10.0.0.1'])
  t.same(await look('localhost'), ['127.0.0.1', '::1'])
  t.same(await look('app.localhost'), ['127.0.0.1', '::1'])
  writeFileSync(path, '10.0.0.20 db\n127.0.0.2 localhost\n')
  t.same(await look('db'), ['10.0.0.20'], 'the file is read again')
  t.same(await look('localhost'), ['127.0.0.2'])
  t.same(asked.asked, [])
})

t.test('one lookup per name at a time, and the next one asks again', async (t) => {
  const { asked, look } = setup()
  const both = Promise.all([look('web'), look('web')])
  t.same(asked.asked, ['web'])
  await asked.answer('web', V4)
  t.same(await both, [V4, V4])
  const third = look('web')
  t.same(asked.asked, ['web', 'web'])
  await asked.answer('web', failure('ENOTFOUND'))
  await t.rejects(third, { code: 'ENOTFOUND' })
})

t.test('lookups are bounded, those of slow names more than others', async (t) => {
  const { asked, timers, look } = setup({ lookupsMax: 3, slowMax: 1 })
  const all = ['s1', 's2', 's3', 's4'].map((name) => look(name).catch(() => 'failed'))
  t.same(asked.open, ['s1', 's2', 's3'])
  timers.advance(20_000)
  for (const name of ['s1', 's2', 's3', 's4']) await asked.answer(name, failure('EAI_AGAIN'))
  await Promise.all(all)
  const again = ['s1', 's2', 's3'].map((name) => look(name).catch(() => 'failed'))
  t.same(asked.open, ['s1'], 'what was slow leaves places to others')
  const quick = [look('q1'), look('q2')]
  t.same(asked.open, ['s1', 'q1', 'q2'])
  for (const name of ['q1', 'q2', 's1', 's2', 's3']) await asked.answer(name, V4)
  t.same(await Promise.all(quick), [V4, V4])
  t.same(await Promise.all(again), [V4, V4, V4])
})

t.test('what nobody waits for any more is not asked', async (t) => {
  const { asked, look } = setup({ lookupsMax: 1 })
  const abort = new AbortController()
  const first = look('slow', abort.signal)
  const second = look('gone', abort.signal)
  const third = look('web')
  abort.abort(new Error('the check was removed'))
  await t.rejects(first, { message: 'the check was removed' })
  await t.rejects(second, { message: 'the check was removed' })
  await t.rejects(look('late', abort.signal), { message: 'the check was removed' })
  await asked.answer('slow', V4)
  await asked.answer('web', V4)
  t.same(await third, V4)
  t.same(asked.asked, ['slow', 'web'])
})

t.test('the last good answer stands in while none comes, for a while', async (t) => {
  const { asked, timers, look } = setup({ staleMaxMs: 60_000 })
  const good = look('web')
  await asked.answer('web', V4)
  await good
  const waiting = look('web')
  timers.advance(499)
  await turn()
  timers.advance(1)
  t.same(await waiting, V4)
  const failed = look('web')
  await asked.answer('web', failure('EAI_AGAIN'))
  t.same(await failed, V4, 'the servers fail, which says nothing of the name')
  const missing = look('web')
  await asked.answer('web', failure('ENOTFOUND'))
  await t.rejects(missing, { code: 'ENOTFOUND' }, 'it is gone')
  const after = look('web')
  await asked.answer('web', failure('EAI_AGAIN'))
  await t.rejects(after, { code: 'EAI_AGAIN' })

  const anew = look('web')
  await asked.answer('web', V4)
  await anew
  timers.advance(60_001)
  const old = look('web')
  await asked.answer('web', failure('EAI_AGAIN'))
  await t.rejects(old, { code: 'EAI_AGAIN' }, 'too old')
})

t.test('of many names the answers of those asked last are kept', async (t) => {
  const { asked, look } = setup({ namesMax: 2 })
  for (const name of ['a', 'b', 'c']) {
    const found = look(name)
    await asked.answer(name, V4)
    await found
  }
  const kept = look('b')
  const gone = look('a')
  for (const name of ['a', 'b']) await asked.answer(name, failure('EAI_AGAIN'))
  t.same(await kept, V4)
  await t.rejects(gone, { code: 'EAI_AGAIN' })
})

t.test('names whose server is silent turn no check of a name that is known critical', async (t) => {
  const server = createServer((_request, response) => void response.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const asked = new Asked()
  const timers = new FakeTimers()
  const names = new NameLookup({}, { timers, resolve: asked.resolve })
  const local = new FakeLocal()
  const runner = new CheckRunner(
    { dataDir: tempDir(t) },
    {
      local,
      catalog: EMPTY_CATALOG,
      log: memoryLog().log,
      timers,
      random: () => 0.5,
      probe: systemProbe({ names }),
    },
  )
  t.teardown(() => runner.stop())
  await runner.start()
  for (let i = 1; i <= 20; i++) {
    runner.put(definition({ id: `slow${i}`, kind: httpKind(`http://slow${i}.example/`) }))
  }
  runner.put(definition({ id: 'local', kind: httpKind(`http://localhost:${port}/`) }))
  await until(() => local.status('local') === 'passing')
  t.equal(asked.open.length, 6)
  timers.advance(10_000)
  await until(() => /no answer within 10s/.test(local.checks.get('slow1')?.output ?? ''))
  t.equal(local.status('local'), 'passing')
})
