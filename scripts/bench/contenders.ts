import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Site } from '../../test/real/thirty/fabric.ts'
import { type Verdict, verdictOf } from '../../test/real/thirty/verdicts.ts'

/** How many found a cluster of ours; everybody knows these to join through, in either program. */
export const FOUNDERS = 3
/** In the folder of a run: the key of the cluster. */
export const KEY_FILE = 'cluster.key'

/** One of the programs that are compared. */
export interface Contender {
  readonly name: string
  /** Flags and program for a site; `seeds` are addresses to join through. */
  command(site: Site, seeds: readonly string[], folder: string): readonly string[]
  /** What a line of the log of `observer` says of another member; null if nothing. */
  verdict(observer: string, line: string): Pick<Verdict, 'member' | 'what'> | null
  /** Makes it leave in order. */
  readonly leaveSignal: NodeJS.Signals
}

const SERF_EVENT = /serf: EventMember(Join|Failed|Leave): (\S+)/
const SERF_WORDS: Readonly<Record<string, Verdict['what']>> = {
  Join: 'alive',
  Failed: 'failed',
  Leave: 'left',
}

/** Debian's serf with the settings it has for local networks, encrypted as the mesh is. */
export const serf: Contender = {
  name: 'serf',
  command: ({ name, host }, seeds, folder) => [
    ...['serf', 'agent', `-node=${name}`, `-bind=${host}:7946`, `-rpc-addr=${host}:7373`, '-log-level=info'],
    ...['-encrypt', serfKey(folder)],
    ...seeds.map((seed) => `-retry-join=${seed}`),
    '-retry-interval=1s',
  ],
  verdict(observer, line) {
    const [, event = '', member = ''] = SERF_EVENT.exec(line) ?? []
    const what = SERF_WORDS[event]
    return what === undefined || member === observer ? null : { member, what }
  },
  leaveSignal: 'SIGINT',
}

/** `program`: the executable. Three found the cluster. */
export function constellation(program: string): Contender {
  return {
    name: 'constellation',
    command: ({ name, host, ports, address }, seeds, folder) => [
      ...[program, 'agent', '--node', name, '--data-dir', join(folder, name), '--log-format', 'json'],
      ...['--http', `${host}:${ports.http}`, '--mesh', address, '--dns', `${host}:${ports.dns}`],
      ...['--cluster-key-file', join(folder, KEY_FILE), '--bootstrap-expect', String(FOUNDERS)],
      ...seeds.flatMap((seed) => ['--join', seed]),
    ],
    verdict: (observer, line) => verdictOf(observer, line),
    leaveSignal: 'SIGTERM',
  }
}

/** Both encrypt with the same 32 bytes. */
function serfKey(folder: string): string {
  return readFileSync(join(folder, KEY_FILE), 'utf8').trim()
}
