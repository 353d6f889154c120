import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Docker from 'dockerode'
import { until } from '../until.ts'
import { writeImage } from './image.ts'

/** Name of the image of all containers of the tests. */
export const IMAGE = 'localhost/bb:1'

/** How a container of a test is to be. */
export interface RunOptions {
  readonly labels?: Readonly<Record<string, string>>
  /** `80/tcp` → `ADDRESS:PORT`, or `:PORT` for every address. */
  readonly publish?: Readonly<Record<string, string>>
  readonly expose?: readonly string[]
  /** Healthy while this file exists in it. */
  readonly healthyWhile?: string
  readonly network?: string
  readonly command?: readonly string[]
  readonly restartPolicy?: string
}

/** An engine of its own, in a folder that goes away with it. Its process is started again with the same data. */
export class RealEngine {
  readonly folder: string
  readonly socket: string
  readonly client: Docker
  readonly product: 'docker' | 'podman'
  readonly #logFile: string
  #child: ChildProcess | null = null

  constructor(product: 'docker' | 'podman') {
    this.product = product
    // The path of a socket is short.
    this.folder = mkdtempSync(join(tmpdir(), 'cst-engine-'))
    this.socket = join(this.folder, 'e.sock')
    this.#logFile = join(this.folder, 'log')
    this.client = new Docker({ socketPath: this.socket })
  }

  /** @throws Error with the end of the engine's log if it does not start */
  async start(): Promise<void> {
    const [program, args, env] = this.product === 'docker' ? this.#dockerd() : this.#podman()
    const log = openSync(this.#logFile, 'a')
    const child = spawn(program, args, { stdio: ['ignore', log, log], env: { ...process.env, ...env } })
    closeSync(log)
    this.#child = child
    let ended = false
    child.once('exit', () => {
      ended = true
    })
    child.once('error', () => {
      ended = true
    })
    await until(`${this.product} answers`, async () => ended || (await this.client.ping().then(() => true)), {
      timeoutMs: 30_000,
      state: () => this.#logTail(),
    })
    if (ended) throw new Error(`${this.product} ended: ${this.#logTail()}`)
  }

  /** Ends the engine and waits; its containers run on if it was told so. */
  async end(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null) return
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const kill = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await exited
    clearTimeout(kill)
  }

  /** Takes away containers, engine and files. */
  async close(): Promise<void> {
    if (this.#child !== null) {
      for (const { Id } of await this.client.listContainers({ all: true }).catch(() => [])) {
        await this.client
          .getContainer(Id)
          .remove({ force: true })
          .catch(() => {})
      }
    }
    await this.end()
    unmountBelow(this.folder)
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 })
  }

  async load(): Promise<void> {
    const file = writeImage(this.folder)
    // Podman 4.3 names what comes in over its socket otherwise.
    if (this.product === 'podman') return this.podman('import', file, IMAGE)
    const [repo, tag] = IMAGE.split(':')
    const query = new URLSearchParams({ fromSrc: '-', repo: repo ?? '', tag: tag ?? '' })
    await new Promise<void>((resolve, reject) => {
      this.client.modem.dial(
        {
          path: `/images/create?${query}&`,
          method: 'POST',
          file,
          isStream: true,
          statusCodes: { 200: true, 500: 'server error' },
        },
        (error, stream) => {
          if (error) return reject(error)
          this.client.modem.followProgress(stream as NodeJS.ReadableStream, (failure) =>
            failure ? reject(failure) : resolve(),
          )
        },
      )
    })
  }

  /** Makes a container and starts it. */
  async run(name: string, options: RunOptions = {}): Promise<Docker.Container> {
    const container = await this.create(name, options)
    await container.start()
    return container
  }

  /** Makes a container. */
  create(name: string, options: RunOptions = {}): Promise<Docker.Container> {
    const { publish = {}, healthyWhile } = options
    const exposed = [...Object.keys(publish), ...(options.expose ?? [])]
    return this.client.createContainer({
      name,
      Image: IMAGE,
      Cmd: [...(options.command ?? ['/bin/httpd', '-f', '-p', '80', '-h', '/www'])],
      Labels: { ...options.labels },
      StopTimeout: 1,
      ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])),
      HostConfig: {
        Ulimits: [
          { Name: 'nofile', Soft: 1024, Hard: 1024 },
          { Name: 'nproc', Soft: 1024, Hard: 1024 },
        ],
        RestartPolicy: { Name: options.restartPolicy ?? 'unless-stopped' },
        ...(options.network === undefined ? {} : { NetworkMode: options.network }),
        PortBindings: Object.fromEntries(
          Object.entries(publish).map(([port, at]) => {
            const colon = at.lastIndexOf(':')
            return [port, [{ HostIp: at.slice(0, colon), HostPort: at.slice(colon + 1) }]]
          }),
        ),
      },
      ...(healthyWhile === undefined
        ? {}
        : {
            Healthcheck: {
              Test: ['CMD', '/bin/test', '-f', healthyWhile],
              Interval: 500_000_000,
              Timeout: 5_000_000_000,
              Retries: 2,
              StartPeriod: 0,
            },
          }),
    })
  }

  /** Runs a program in a container and waits for its end. */
  async exec(name: string, ...command: string[]): Promise<void> {
    // Over its socket Podman keeps a process for five minutes for each.
    if (this.product === 'podman') return this.podman('exec', name, ...command)
    const exec = await this.client.getContainer(name).exec({ Cmd: command, AttachStdout: true })
    const stream = await exec.start({})
    stream.resume()
    await once(stream, 'end')
  }

  #dockerd(): readonly [string, readonly string[], NodeJS.ProcessEnv] {
    const { folder, socket } = this
    const args = [
      ...['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')],
      ...['--pidfile', join(folder, 'pid'), '--host', `unix://${socket}`],
      ...['--iptables=false', '--ip6tables=false', '--storage-driver=vfs', '--bip=172.30.0.1/24'],
      // What the engine is restarted for: containers run on without it.
      '--live-restore',
    ]
    return ['dockerd', args, {}]
  }

  /** Runs a command of Podman on what is in this engine. */
  podman(...command: string[]): void {
    spawnSync('podman', [...this.#podmanArgs(), ...command], {
      env: { ...process.env, ...this.#podmanEnv() },
    })
  }

  #podmanArgs(): readonly string[] {
    const { folder } = this
    return [
      ...['--root', join(folder, 'data'), '--runroot', join(folder, 'run')],
      ...['--storage-driver', 'vfs', '--runtime', '/usr/sbin/runc', '--cgroup-manager', 'cgroupfs'],
      ...['--events-backend', 'file', '--tmpdir', join(folder, 'tmp')],
    ]
  }

  #podmanEnv(): NodeJS.ProcessEnv {
    return { CONTAINERS_CONF: join(this.folder, 'containers.conf'), DISABLE_HC_SYSTEMD: 'true' }
  }

  #podman(): readonly [string, readonly string[], NodeJS.ProcessEnv] {
    const { folder, socket } = this
    const configuration = join(folder, 'containers.conf')
    writeFileSync(
      configuration,
      `[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n`,
    )
    const args = [...this.#podmanArgs(), 'system', 'service', '--time=0', `unix://${socket}`]
    return ['podman', args, this.#podmanEnv()]
  }

  #logTail(): string {
    return readFileSync(this.#logFile, 'utf8').split('\n').slice(-12).join('\n')
  }
}

/** What an engine leaves mounted when it ends while its containers may run on. */
function unmountBelow(folder: string): void {
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${folder}/`))
  for (const path of mounts.toReversed()) spawnSync('umount', ['--lazy', path])
}
