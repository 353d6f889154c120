import { spawn, spawnSync } from 'node:child_process'
import { constants } from 'node:os'

/** Set in a process that runs in namespaces made for it. */
const MARK = 'CONSTELLATION_TEST_ENGINE_NAMESPACE'

/** The address of this host for others, in the namespace; published ports are reached there. */
export const HOST_ADDRESS = '10.88.0.1'

/** Why namespaces and the programs a container engine needs cannot be used here; null if they can. */
export function unavailable(programs: readonly string[]): string | null {
  if (process.platform !== 'linux') return 'needs Linux'
  if (process.getuid?.() !== 0) return 'needs root for a container engine'
  for (const program of ['unshare', 'ip', ...programs]) {
    const found = spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${program}`])
    if (found.status !== 0) return `needs the program ${program}`
  }
  const probe = spawnSync('unshare', ['--net', '--mount', 'true'], { encoding: 'utf8' })
  return probe.status === 0 ? null : `namespaces do not work here: ${probe.stderr.trim().slice(0, 200)}`
}

/** True in a process started by {@link enterOwnNamespace}. */
export function isInOwnNamespace(): boolean {
  return process.env[MARK] === '1'
}

/**
 * This program again in a network and a mount namespace of its own, so that the bridges, ports and mounts of an engine are
 * nobody else's and go away with it. Answers its exit code.
 */
export function enterOwnNamespace(): Promise<number> {
  const self = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const setUp = `ip link set lo up && ip addr add ${HOST_ADDRESS}/32 dev lo && exec "$@"`
  const child = spawn('unshare', ['--net', '--mount', 'sh', '-c', setUp, 'sh', ...self], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, [MARK]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    )
  })
}
