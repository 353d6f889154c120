/** Each protection of the protocol is taken out once, and the script that is there for it must print something else. */
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import type { ScriptResult } from './runner.ts'

const ROOT = join(import.meta.dirname, '../../../..')

interface Mutant {
  readonly protection: string
  readonly script: string
  /** Below discovery/membership. */
  readonly file: string
  readonly from: string
  readonly to: string
}

const MUTANTS: readonly Mutant[] = [
  {
    protection: 'a suspect is told with the first message to it (buddy)',
    script: 'buddy',
    file: 'core/gossip.ts',
    from: 'if (verdict) first.push(verdict)',
    to: '',
  },
  {
    protection: 'others are asked when a ping is not answered',
    script: 'udp-blocked-tcp-ok',
    file: 'core/prober.ts',
    from: 'const wanted = this.#ctx.timings.indirectChecks',
    to: 'const wanted = 0',
  },
  {
    protection: 'helpers say nack',
    script: 'relay',
    file: 'core/prober.ts',
    from: 'this.#send.nack(relay.asker, relay.askerSeq)',
    to: '',
  },
  {
    protection: 'a missing nack speaks against the asker',
    script: 'missing-nacks',
    file: 'core/prober.ts',
    from: 'const missing = probe.helpers.size - probe.nacks.size',
    to: 'const missing = 0',
  },
  {
    protection: 'a node that distrusts itself waits longer',
    script: 'awareness-degraded',
    file: 'core/awareness.ts',
    from: 'return ms * (this.#score + 1)',
    to: 'return ms',
  },
  {
    protection: 'a suspicion starts long and is shortened by confirmations',
    script: 'suspect-dogpile',
    file: 'core/suspicion.ts',
    from: 'const fraction = k < 1 ? 1 : Math.log(confirmations + 1) / Math.log(k + 1)',
    to: 'const fraction = confirmations < 0 ? k : 1',
  },
  {
    protection: 'an accuser confirms once',
    script: 'suspect-double',
    file: 'core/suspicion.ts',
    from: 'this.confirmations >= this.#k || this.#accusers.has(from)',
    to: 'this.confirmations >= this.#k',
  },
  {
    protection: 'a remote failed makes only suspect',
    script: 'merge-state',
    file: 'core/member-table.ts',
    from: "refuted = this.apply({ status: 'suspect', id, incarnation, from }, now) || refuted",
    to: "refuted = this.apply({ status: 'failed', id, incarnation, from }, now) || refuted",
  },
  {
    protection: 'the verdict of another on a member this node is connected to makes only suspect',
    script: 'verdict-of-others',
    file: 'core/swim-core.ts',
    from: "update.status === 'failed' && this.#isDoubtful(update, now)",
    to: 'false',
  },
  {
    protection: 'the verdict of another shortens a suspicion',
    script: 'verdict-of-others',
    file: 'core/member-table.ts',
    from: 'this.#suspicions.conclude(update.id, now)',
    to: '',
  },
  {
    protection: 'a suspicion is cleared by a higher incarnation only',
    script: 'alive-suspect-node',
    file: 'core/member-table.ts',
    from: 'if (known && update.incarnation <= known.incarnation) return',
    to: 'if (known && update.incarnation < known.incarnation) return',
  },
  {
    protection: 'the dead are not revived by old news',
    script: 'dead-alive-replay',
    file: 'core/member-table.ts',
    from: 'if (known && update.incarnation <= known.incarnation) return',
    to: 'if (known && update.incarnation < known.incarnation) return',
  },
  {
    protection: 'the death in a later life is remembered',
    script: 'dead-double',
    file: 'core/member-table.ts',
    from: 'if (!isLive(known) && update.incarnation === known.incarnation) return',
    to: 'if (!isLive(known)) return',
  },
  {
    protection: 'a leave that overtakes the join is kept',
    script: 'join-pending-intent',
    file: 'core/member-table.ts',
    from: 'if (this.#isGone(update, now)) return',
    to: '',
  },
  {
    protection: 'the forgotten are not brought back by old news',
    script: 'reap',
    file: 'core/member-table.ts',
    from: 'if (this.#isGone(update, now)) return',
    to: '',
  },
  {
    protection: 'a name belongs to who had it first',
    script: 'alive-conflict',
    file: 'core/member-table.ts',
    from: 'if (!this.#claimName(update, now)) return',
    to: '',
  },
  {
    protection: 'a newcomer keeps to itself what it learns of all',
    script: 'newcomer',
    file: 'core/member-table.ts',
    from: 'if (known || !this.#newcomer) this.#queue.push(update)',
    to: 'this.#queue.push(update)',
  },
  {
    protection: 'what is said of this node is refuted',
    script: 'dead-refute',
    file: 'core/member-table.ts',
    from: 'this.#set({ ...self, incarnation: update.incarnation + 1 }, now)',
    to: '',
  },
  {
    protection: 'a lost connection alone accuses nobody',
    script: 'hang-and-back',
    file: 'core/swim-core.ts',
    from: 'this.#prober.judge(id, now)',
    to: "this.#accuse('suspect', id, now)\n      this.#prober.judge(id, now)",
  },
  {
    protection: 'a lost connection is judged at once',
    script: 'kill',
    file: 'core/swim-core.ts',
    from: 'this.#prober.judge(id, now)',
    to: '',
  },
  {
    protection: 'who stood still blames nobody',
    script: 'pause-1s-no-false-dead',
    file: 'core/swim-core.ts',
    from: 'if (lateMs <= stallMs) return',
    to: 'if (lateMs > 0) return',
  },
  {
    protection: 'silence says nothing about a later life',
    script: 'late-silence',
    file: 'core/prober.ts',
    from: 'if (target.incarnation === probe.incarnation) this.#verdicts',
    to: 'this.#verdicts',
  },
  {
    protection: 'the failed are dialled for ever',
    script: 'partition-heals',
    file: 'core/links.ts',
    from: 'return this.#ctx.timings.failedRedialMs * (1 + this.#ctx.random())',
    to: 'return Number.POSITIVE_INFINITY',
  },
  {
    protection: 'who still accuses an earlier life is answered',
    script: 'stale-accuser',
    file: 'core/swim-core.ts',
    from: 'outdated = !this.#left',
    to: '',
  },
  {
    protection: 'one who flaps is told seldom',
    script: 'flap-coalesced',
    file: 'core/flap-damper.ts',
    from: 'if (known && now < track.quietUntil) {',
    to: 'if (known && now < 0) {',
  },
  {
    protection: 'what a member says about itself is bounded',
    script: 'meta-limit',
    file: 'wire.ts',
    from: 'if (bytes > META_BYTES_MAX) {',
    to: 'if (bytes > 2 * META_BYTES_MAX) {',
  },
]

/** The scripts run on a copy of the membership with one text replaced. */
async function runMutated(root: string, { file, from, to, script }: Mutant): Promise<ScriptResult> {
  const scripts = join(root, 'test/discovery/membership/scripts')
  await mkdir(join(root, 'test/consensus'), { recursive: true })
  await cp(join(ROOT, 'discovery/membership'), join(root, 'discovery/membership'), { recursive: true })
  await cp(import.meta.dirname, scripts, { recursive: true })
  await cp(join(ROOT, 'test/consensus/scripts'), join(root, 'test/consensus/scripts'), {
    recursive: true,
    filter: (path) => !/\.(txt|test\.ts)$/.test(path),
  })
  await writeFile(join(root, 'package.json'), '{"type":"module"}')
  const path = join(root, 'discovery/membership', file)
  const text = await readFile(path, 'utf8')
  if (text.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`)
  await writeFile(path, text.replace(from, to))
  const runner: typeof import('./runner.ts') = await import(pathToFileURL(join(scripts, 'runner.ts')).href)
  return runner.runScript(script, await readFile(join(scripts, `${script}.txt`), 'utf8'))
}

for (const mutant of MUTANTS) {
  t.test(`${mutant.script}: ${mutant.protection}`, async (t) => {
    const root = await mkdtemp(join(tmpdir(), 'constellation-mutant-'))
    t.teardown(() => rm(root, { recursive: true }))
    t.not((await runMutated(root, mutant)).diff, '', 'the script notices')
  })
}
