import { readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { MembershipError } from './errors.ts'
import { KeptFile } from './kept-file.ts'
import { INCARNATION_STEP_MAX } from './plausibility.ts'

const FORMAT = 1
const PEERS_MAX = 1000
const ADDRESS_CHARS_MAX = 300

/** What a node remembers over a restart: its incarnation, so that the next one is higher, and where it found the others. */
export interface RememberedState {
  readonly incarnation: number
  /** host:port of other members. */
  readonly peers: readonly string[]
}

/** `<dataDir>/membership.json`. */
export class MembershipFile {
  readonly #file: KeptFile
  readonly #log: Logger

  constructor(options: { readonly dataDir: string }, collaborators: { readonly log: Logger }) {
    const path = join(options.dataDir, 'membership.json')
    this.#file = new KeptFile({ path, throttleMs: 1000 }, collaborators)
    this.#log = collaborators.log
  }

  /**
   * What was saved last. A damaged file is set aside and nothing is remembered: the cluster still knows this node's
   * incarnation, and it refutes what it hears.
   */
  async load(): Promise<RememberedState> {
    const { path } = this.#file
    try {
      return decode(JSON.parse(await readFile(path, 'utf8')))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { incarnation: 0, peers: [] }
      if (!(error instanceof SyntaxError || error instanceof ShapeError)) {
        throw new MembershipError('MBR_FILE_FAILED', `cannot read ${path}`, { cause: error })
      }
      this.#log.warn({ file: path }, `${path} is damaged: it is set aside as ${path}.damaged`)
      await rename(path, `${path}.damaged`)
      return { incarnation: 0, peers: [] }
    }
  }

  save(state: () => RememberedState): void {
    this.#file.save(() => {
      const { incarnation, peers } = state()
      return `${JSON.stringify({ format: FORMAT, incarnation, peers: peers.slice(0, PEERS_MAX) })}\n`
    })
  }

  /** Resolves when everything saved is on disk. @throws MembershipError `MBR_FILE_FAILED` */
  async flush(): Promise<void> {
    try {
      await this.#file.flush()
    } catch (cause) {
      throw new MembershipError('MBR_FILE_FAILED', `cannot write ${this.#file.path}`, { cause })
    }
  }
}

class ShapeError extends Error {}

function decode(value: unknown): RememberedState {
  if (typeof value !== 'object' || value === null) throw new ShapeError()
  const { format, incarnation, peers } = value as Record<string, unknown>
  const counts = typeof incarnation === 'number' && Number.isSafeInteger(incarnation) && incarnation >= 0
  // What nobody would believe is damage as well: the others know better, and say so.
  if (format !== FORMAT || !counts || incarnation > INCARNATION_STEP_MAX || !Array.isArray(peers))
    throw new ShapeError()
  const known = peers.filter((p): p is string => typeof p === 'string' && p.length <= ADDRESS_CHARS_MAX)
  return { incarnation, peers: known.slice(0, PEERS_MAX) }
}
