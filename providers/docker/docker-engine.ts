import type Docker from 'dockerode'
import { openDockerClient } from '../../discovery/health/docker-client.ts'
import { type Container, readContainer } from './container.ts'
import { DockerError } from './errors.ts'
import { type EngineEvent, LineSplitter, readEvent } from './events.ts'
import type { Engine, EngineAddress, EngineInfo, EventStream } from './types.ts'

/** Settings of the client of an engine. */
export interface DockerEngineOptions {
  readonly address: EngineAddress
  /** How long one answer may take. Default 10,000. */
  readonly timeoutMs?: number
}

/** What the types of the client leave out. */
interface Client {
  version(options: { readonly abortSignal: AbortSignal }): Promise<unknown>
}

/** Versions of the API this client was written against: engines newer and older speak one of them. */
const NEWEST: readonly [number, number] = [1, 52]
const OLDEST: readonly [number, number] = [1, 24]
const TIMEOUT_MS = 10_000
/** A restart waits until the program has ended, which the engine gives it ten seconds for, or as many as its container says. */
const RESTART_TIMEOUT_MS = 120_000
const START_TIMEOUT_MS = 60_000

/**
 * Talks to Docker and to Podman's socket of the same kind. The version of the API is negotiated: a fixed one would be refused by
 * Docker 29 if it is below 1.44, and by an old Docker if it is above its own.
 */
export class DockerEngine implements Engine {
  readonly #address: EngineAddress
  readonly #timeoutMs: number
  #client: Docker | null = null

  constructor(options: DockerEngineOptions) {
    this.#address = options.address
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS
  }

  async connect(signal: AbortSignal): Promise<EngineInfo> {
    const plain = await this.#open('')
    const info = await this.#call(signal, async (abortSignal) => {
      // A proxy of the socket may keep the version for itself: then nothing is put in front of the paths.
      const answer = await (plain as unknown as Client).version({ abortSignal }).catch((error: unknown) => {
        if (statusOf(error) === 403) return null
        throw error
      })
      return answer === null ? { product: 'docker' as const, version: '', apiVersion: '' } : agree(answer)
    })
    this.#client = await this.#open(info.apiVersion === '' ? '' : `v${info.apiVersion}`)
    return info
  }

  async events(onEvent: (event: EngineEvent) => void, signal: AbortSignal): Promise<EventStream> {
    const client = await this.#connected(signal)
    const closing = new AbortController()
    const opened = AbortSignal.timeout(this.#timeoutMs)
    const giveUp = () => closing.abort(opened.reason)
    opened.addEventListener('abort', giveUp, { once: true })
    const stream = await this.#call(
      signal,
      async () => {
        // Labels and actions are filtered here: Podman filters before it translates its words into Docker's.
        const filters = JSON.stringify({ type: ['container', 'network'] })
        return client.getEvents({ filters, abortSignal: AbortSignal.any([signal, closing.signal]) })
      },
      Number.POSITIVE_INFINITY,
    ).finally(() => opened.removeEventListener('abort', giveUp))
    const splitter = new LineSplitter()
    const ended = Promise.withResolvers<Error>()
    const end = (cause?: unknown) =>
      ended.resolve(
        new DockerError('DKR_STREAM_ENDED', `${this.#name} closed the stream of events`, { cause }),
      )
    stream.on('data', (chunk: Buffer) => {
      for (const line of splitter.push(chunk)) {
        const event = readEvent(line)
        if (event !== null) onEvent(event)
      }
    })
    stream.once('end', () => end())
    stream.once('close', () => end())
    stream.on('error', end)
    return { ended: ended.promise, close: () => closing.abort() }
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    const client = await this.#connected(signal)
    const answer = await this.#call(signal, (abortSignal) =>
      client.listContainers({ all: true, abortSignal }),
    )
    if (!Array.isArray(answer)) throw this.#garbled('the list of containers')
    return answer.map(({ Id }) => Id).filter((id) => typeof id === 'string' && id !== '')
  }

  async inspect(id: string, signal: AbortSignal): Promise<Container | null> {
    const client = await this.#connected(signal)
    return this.#call(signal, async (abortSignal) => {
      try {
        return readContainer(await client.getContainer(id).inspect({ abortSignal }))
      } catch (error) {
        if (statusOf(error) === 404) return null
        throw error
      }
    })
  }

  async restart(id: string, signal: AbortSignal): Promise<void> {
    const client = await this.#connected(signal)
    await this.#call(
      signal,
      (abortSignal) => client.getContainer(id).restart({ abortSignal }),
      RESTART_TIMEOUT_MS,
    )
  }

  async start(id: string, signal: AbortSignal): Promise<void> {
    const client = await this.#connected(signal)
    await this.#call(
      signal,
      (abortSignal) => unlessDone(client.getContainer(id).start({ abortSignal })),
      START_TIMEOUT_MS,
    )
  }

  async stop(id: string, graceSeconds: number | null, signal: AbortSignal): Promise<void> {
    const client = await this.#connected(signal)
    const grace = graceSeconds === null ? {} : { t: graceSeconds }
    await this.#call(
      signal,
      (abortSignal) => unlessDone(client.getContainer(id).stop({ ...grace, abortSignal })),
      RESTART_TIMEOUT_MS,
    )
  }

  get #name(): string {
    return engineName(this.#address)
  }

  async #connected(signal: AbortSignal): Promise<Docker> {
    if (this.#client === null) await this.connect(signal)
    if (this.#client === null) throw this.#garbled('its version')
    return this.#client
  }

  /** @param version prefix of the paths, such as `v1.44`; "" = none */
  async #open(version: string): Promise<Docker> {
    const address = this.#address
    const where =
      address.kind === 'unix'
        ? { socketPath: address.path }
        : { host: address.host, port: address.port, protocol: 'http' as const }
    return openDockerClient({ ...where, ...(version === '' ? {} : { version }) })
  }

  async #call<T>(
    signal: AbortSignal,
    call: (abortSignal: AbortSignal) => Promise<T>,
    timeoutMs = this.#timeoutMs,
  ): Promise<T> {
    const timeout = Number.isFinite(timeoutMs) ? AbortSignal.timeout(timeoutMs) : new AbortController().signal
    try {
      return await call(AbortSignal.any([signal, timeout]))
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof DockerError) throw error
      if (timeout.aborted || (error instanceof Error && error.name === 'AbortError')) {
        throw new DockerError('DKR_TIMEOUT', `${this.#name} does not answer`, { cause: error })
      }
      throw this.#failure(error)
    }
  }

  #failure(cause: unknown): DockerError {
    const status = statusOf(cause)
    if (status === 403) {
      const what = `${this.#name} does not allow this request: ${saidBy(cause)}`
      return new DockerError('DKR_DENIED', what, { cause })
    }
    if (status !== undefined) {
      return new DockerError('DKR_REFUSED', `${this.#name} refused a request: ${saidBy(cause)}`, { cause })
    }
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
    if (code === 'EACCES') {
      const what = `${this.#name} may not be opened by this user: the group of the socket must be one of its groups`
      return new DockerError('DKR_DENIED', what, { cause })
    }
    const why = cause instanceof Error ? cause.message : String(cause)
    return new DockerError('DKR_UNREACHABLE', `${this.#name} does not answer: ${why}`, { cause })
  }

  #garbled(what: string): DockerError {
    return new DockerError('DKR_GARBLED', `${this.#name} answered with something else than ${what}`)
  }
}

/** How an engine is called in messages. */
export function engineName(address: EngineAddress): string {
  return `the engine at ${address.kind === 'unix' ? address.path : `tcp://${address.host}:${address.port}`}`
}

/** The newest version of the API both sides speak. @throws DockerError `DKR_VERSION` if there is none */
export function agree(answer: unknown): EngineInfo {
  const { ApiVersion, MinAPIVersion, Version, Components } = (answer ?? {}) as Record<string, unknown>
  const server = versionOf(ApiVersion)
  if (server === null)
    throw new DockerError('DKR_GARBLED', 'the engine did not say which API version it speaks')
  const least = versionOf(MinAPIVersion) ?? OLDEST
  const spoken = isBelow(NEWEST, server) ? NEWEST : server
  if (isBelow(spoken, OLDEST) || isBelow(spoken, least)) {
    throw new DockerError(
      'DKR_VERSION',
      `the engine speaks API versions ${least.join('.')} to ${server.join('.')}, this agent ${OLDEST.join('.')} to ${NEWEST.join('.')}`,
    )
  }
  const isPodman =
    Array.isArray(Components) &&
    Components.some((part: { Name?: unknown } | null) => /podman/i.test(String(part?.Name)))
  return {
    product: isPodman ? 'podman' : 'docker',
    version: typeof Version === 'string' ? Version : '',
    apiVersion: spoken.join('.'),
  }
}

function versionOf(value: unknown): readonly [number, number] | null {
  const [, major, minor] = /^([0-9]{1,4})\.([0-9]{1,4})$/.exec(String(value)) ?? []
  return major === undefined || minor === undefined ? null : [Number(major), Number(minor)]
}

function isBelow(a: readonly [number, number], b: readonly [number, number]): boolean {
  return a[0] < b[0] || (a[0] === b[0] && a[1] < b[1])
}

/** The engine answers 304 to what is so already. */
async function unlessDone(call: Promise<unknown>): Promise<void> {
  await call.catch((error: unknown) => {
    if (statusOf(error) !== 304) throw error
  })
}

function statusOf(error: unknown): number | undefined {
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined
  return typeof status === 'number' ? status : undefined
}

/** What the engine said, without the decoration of its client. */
function saidBy(error: unknown): string {
  const json = error instanceof Error && 'json' in error ? error.json : undefined
  const message = (json as { message?: unknown } | null | undefined)?.message
  const text = typeof message === 'string' ? message : error instanceof Error ? error.message : String(error)
  return text.trim().slice(0, 300)
}
