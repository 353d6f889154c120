import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { readlinkSync } from 'node:fs'
import { until } from '../until.ts'
import { type Fabric, FabricError, pairsAcross, type Site, type Traffic } from './fabric.ts'

const HUB = '10.77.255.254'
const PORTS = { http: 8500, mesh: 7946, dns: 8600 }
const COMMAND_MS = 20_000
const READY_MS = 10_000

/** Set in a process that runs in a network namespace made for it. */
const MARK = 'CONSTELLATION_TEST_NAMESPACE'

const RULES = `table bridge constellation {
  set cut { type ipv4_addr . ipv4_addr; }
  chain cut_off { type filter hook forward priority 0; ip saddr . ip daddr @cut counter drop; }
  chain lossy { type filter hook forward priority 1; }
}
`

/** Why network namespaces cannot be used here; null if they can. Changes nothing. */
export function namespacesUnavailable(): string | null {
  if (process.platform !== 'linux') return 'needs Linux for network namespaces'
  if (process.getuid?.() !== 0) return 'needs root for network namespaces'
  for (const program of ['unshare', 'nsenter', 'ip', 'nft']) {
    const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`])
    if (found.status !== 0) return `needs the program ${program}`
  }
  const probe = spawnSync('unshare', ['--net', 'sh', '-c', PROBE], { encoding: 'utf8', env: environment() })
  return probe.status === 0
    ? null
    : `network namespaces do not work here: ${probe.stderr.trim().slice(0, 200)}`
}

const PROBE = `ip link add br0 type bridge && ip link add v0 type veth peer name v1 && nft -f - <<'END'
${RULES.replace('lossy { type filter hook forward priority 1; }', 'lossy { type filter hook forward priority 1; numgen random mod 100 < 5 counter drop; }')}END
`

/** True in a process started by {@link enterNamespace}. */
export function isInNamespace(): boolean {
  return process.env[MARK] === '1'
}

/** This program again, with the same arguments, in a network namespace of its own; answers its exit code. */
export function enterNamespace(): Promise<number> {
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const child = spawn('unshare', ['--net', ...self], {
    stdio: 'inherit',
    env: { ...environment(), [MARK]: '1' },
  })
  // A Ctrl-C reaches both; the one inside ends in order and this one waits for it.
  process.on('SIGINT', () => {})
  process.on('SIGTERM', () => child.kill('SIGTERM'))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? (signal === null ? 1 : 130)))
  })
}

/**
 * One network namespace per site, joined by a bridge in the namespace of this process, whose filter cuts sites off and
 * loses packets. Everything goes away with the processes: this one holds the ends of the pipes that keep the sites.
 */
export class NamespaceFabric implements Fabric {
  readonly title = 'network namespaces on one bridge'
  readonly canLose = true
  readonly sites: readonly Site[]
  readonly #holders: readonly ChildProcess[]

  private constructor(sites: readonly Site[], holders: readonly ChildProcess[]) {
    this.sites = sites
    this.#holders = holders
  }

  /** Makes `names.length` sites. This process runs in a network namespace of its own: see {@link enterNamespace}. */
  static async create(names: readonly string[]): Promise<NamespaceFabric> {
    run('sh', [
      '-c',
      `ip link set lo up && ip link add br0 type bridge && ip addr add ${HUB}/16 dev br0 && ip link set br0 up`,
    ])
    nft(RULES)
    const sites: Site[] = []
    const holders: ChildProcess[] = []
    for (const [i, name] of names.entries()) {
      const host = `10.77.${Math.floor((i + 1) / 250)}.${((i + 1) % 250) + 1}`
      const holder = await hold()
      holders.push(holder)
      connectSite(holder.pid ?? 0, i, host)
      const launcher = ['nsenter', `--net=/proc/${holder.pid}/ns/net`, '--']
      sites.push({ name, host, ports: PORTS, address: `${host}:${PORTS.mesh}`, launcher })
    }
    return new NamespaceFabric(sites, holders)
  }

  async cut(groups: readonly (readonly string[])[]): Promise<void> {
    const pairs = pairsAcross(groups).map(([a, b]) => `${this.#host(a)} . ${this.#host(b)}`)
    nft(`flush set bridge constellation cut\nadd element bridge constellation cut { ${pairs.join(', ')} }\n`)
  }

  async heal(): Promise<void> {
    nft('flush set bridge constellation cut\n')
  }

  async lose(percent: number): Promise<void> {
    const between = `ip saddr != ${HUB} ip daddr != ${HUB}`
    const rule =
      percent > 0
        ? `add rule bridge constellation lossy ${between} numgen random mod 1000 < ${Math.round(percent * 10)} counter drop\n`
        : ''
    nft(`flush chain bridge constellation lossy\n${rule}`)
  }

  async lost(): Promise<number> {
    const text = run('nft', ['list', 'table', 'bridge', 'constellation'])
    return [...text.matchAll(/counter packets (\d+) bytes \d+ drop/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    )
  }

  async traffic(): Promise<ReadonlyMap<string, Traffic>> {
    interface Link {
      readonly ifname: string
      readonly stats64: Record<'rx' | 'tx', { readonly bytes: number; readonly packets: number }>
    }
    const links = JSON.parse(run('ip', ['-s', '-j', 'link', 'show', 'master', 'br0'])) as readonly Link[]
    return new Map(
      links.map(({ ifname, stats64: { rx, tx } }) => [
        this.sites[Number(ifname.slice(1))]?.name ?? ifname,
        { bytes: rx.bytes + tx.bytes, packets: rx.packets + tx.packets },
      ]),
    )
  }

  async close(): Promise<void> {
    for (const holder of this.#holders) holder.kill('SIGKILL')
    run('ip', ['link', 'del', 'br0'])
    nft('delete table bridge constellation\n')
  }

  #host(name: string): string {
    const site = this.sites.find((each) => each.name === name)
    if (site === undefined) throw new FabricError('FAB_COMMAND', `no site is called ${name}`)
    return site.host
  }
}

/** A process that keeps a new network namespace until this one closes its pipe or ends. */
async function hold(): Promise<ChildProcess> {
  const holder = spawn('unshare', ['--net', 'cat'], {
    stdio: ['pipe', 'ignore', 'ignore'],
    env: environment(),
  })
  holder.stdin.on('error', () => {})
  const own = readlinkSync('/proc/self/ns/net')
  await until('a network namespace is made', () => readlinkSync(`/proc/${holder.pid}/ns/net`) !== own, {
    timeoutMs: READY_MS,
    intervalMs: 2,
  })
  return holder
}

function connectSite(pid: number, index: number, host: string): void {
  const inside = `ip addr add ${host}/16 dev eth0 && ip link set eth0 up && ip link set lo up`
  run('sh', [
    '-c',
    `ip link add v${index} type veth peer name eth0 netns ${pid} && ip link set v${index} master br0 up && ` +
      `nsenter --net=/proc/${pid}/ns/net sh -c '${inside}'`,
  ])
}

function nft(script: string): void {
  run('nft', ['-f', '-'], script)
}

function run(program: string, args: readonly string[], input = ''): string {
  const done = spawnSync(program, args, { input, encoding: 'utf8', timeout: COMMAND_MS, env: environment() })
  if (done.status === 0) return done.stdout
  const why = done.error?.message ?? done.stderr.trim()
  throw new FabricError('FAB_COMMAND', `${program} ${args.join(' ')}: ${why.slice(0, 500)}`)
}

/** The search path of a user may lack the folders of `ip` and `nft`. */
function environment(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin` }
}
