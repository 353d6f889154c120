import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { KeptFile } from '../membership/kept-file.ts'
import { OUTPUT_CHARS_MAX, type ProbeResult } from './probe.ts'
import { expiredText } from './ttl-check.ts'

const FORMAT = 1
/** Changes within this time share one write. */
const THROTTLE_MS = 200

/** The last result of a check as it is kept. */
export interface KeptResult extends ProbeResult {
  readonly id: string
  /**
   * For a ttl check: how long its last report was still valid when the file was written. A check whose time ran out while
   * no agent was there has expired.
   */
  readonly validMs?: number
}

/** What is known of a check from the last run. */
interface Loaded extends ProbeResult {
  /** On the machine's clock. */
  readonly validUntilMs: number | undefined
}

/**
 * `<dataDir>/check-results.json`: what the checks of this node found last, so that a restart of the agent turns nothing
 * critical that is well. Losing it costs no more than that, so a damaged file is reported and left behind.
 */
export class ResultStore {
  readonly path: string
  readonly #log: Logger
  readonly #wall: () => number
  readonly #file: KeptFile
  readonly #loaded = new Map<string, Loaded>()
  #loading: Promise<void> | null = null

  /** @param collaborators `wall`: milliseconds of the machine's clock, for the time between two runs of the agent */
  constructor(
    options: { readonly dataDir: string },
    collaborators: { readonly log: Logger; readonly wall?: () => number },
  ) {
    this.path = join(options.dataDir, 'check-results.json')
    this.#log = collaborators.log
    this.#wall = collaborators.wall ?? Date.now
    this.#file = new KeptFile({ path: this.path, throttleMs: THROTTLE_MS }, collaborators)
  }

  /** Reads the results of the last run, once. Never rejects. */
  load(): Promise<void> {
    this.#loading ??= this.#load()
    return this.#loading
  }

  /** What the check with this id found last in the last run; undefined if that is not known. */
  get(id: string): ProbeResult | undefined {
    const known = this.#loaded.get(id)
    return known && { status: known.status, output: known.output }
  }

  /** How many milliseconds the last report of a ttl check is still valid; undefined if that is not known. */
  restMs(id: string): number | undefined {
    const known = this.#loaded.get(id)
    if (known?.validUntilMs === undefined) return undefined
    return Math.max(0, known.validUntilMs - this.#wall())
  }

  /** Writes what `current` answers, soon and in the background. */
  save(current: () => readonly KeptResult[]): void {
    this.#file.save(() => this.#render(current()))
  }

  /** Writes the results of a run that ends and waits until they are on disk. @throws the error of the file system */
  async close(results: readonly KeptResult[]): Promise<void> {
    this.#file.save(() => this.#render(results))
    await this.#file.flush()
    this.#loaded.clear()
    this.#loading = null
  }

  #render(results: readonly KeptResult[]): string {
    return `${JSON.stringify({ format: FORMAT, atMs: this.#wall(), results })}\n`
  }

  async #load(): Promise<void> {
    try {
      const { atMs, results } = decode(JSON.parse(await readFile(this.path, 'utf8')))
      // A clock that was set back says nothing.
      const awayMs = Math.max(0, this.#wall() - atMs)
      for (const { id, status, output, validMs } of results) {
        const validUntilMs = validMs === undefined ? undefined : this.#wall() + validMs - awayMs
        const expired = validMs !== undefined && status !== 'critical' && awayMs > validMs
        const result = expired
          ? { status: 'critical' as const, output: expiredText(output) }
          : { status, output }
        this.#loaded.set(id, { ...result, validUntilMs })
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      this.#log.warn(
        { file: this.path },
        'the last results of the checks cannot be read: each is critical until it has run',
      )
    }
  }
}

function decode(file: unknown): { readonly atMs: number; readonly results: readonly KeptResult[] } {
  const { format, atMs, results } = file as { format?: unknown; atMs?: unknown; results?: unknown }
  if (format !== FORMAT || typeof atMs !== 'number' || !Array.isArray(results))
    throw new Error('unknown format')
  return { atMs, results: results.map(decodeResult) }
}

function decodeResult(value: unknown): KeptResult {
  const { id, status, output, validMs } = value as Readonly<Record<keyof KeptResult, unknown>>
  if (typeof id !== 'string' || typeof output !== 'string') throw new Error('not a result')
  if (status !== 'passing' && status !== 'warning' && status !== 'critical') throw new Error('no status')
  const kept: KeptResult = { id, status, output: output.slice(0, OUTPUT_CHARS_MAX) }
  return typeof validMs === 'number' ? { ...kept, validMs } : kept
}
