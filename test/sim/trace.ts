/** A number or word of a trace line. */
export type TraceValue = number | string

interface Line {
  readonly at: number
  readonly node: string
  readonly event: string
  readonly values: readonly TraceValue[]
}

const KEPT_LINES = 80

const MESSAGE = ['', 'term', 'index', 'entries', 'commit', 'refused']
const ROLE = ['term', 'leader']

/** What the values of an event are, in order; '' says itself. */
const LABELS: Readonly<Record<string, readonly string[]>> = {
  append: MESSAGE,
  appendResponse: MESSAGE,
  heartbeat: MESSAGE,
  heartbeatResponse: MESSAGE,
  preVote: MESSAGE,
  preVoteResponse: MESSAGE,
  vote: MESSAGE,
  voteResponse: MESSAGE,
  timeoutNow: MESSAGE,
  snapshot: ['', 'term', 'index'],
  follower: ROLE,
  'pre-candidate': ROLE,
  candidate: ROLE,
  leader: ROLE,
  start: ['term', 'last'],
  crash: ['term', 'last'],
  configuration: ['index', 'voters', 'outgoing', 'learners'],
  'took over': ['index'],
  'saved snapshot': ['index', 'compacted'],
  'unsynced write': ['', 'entries'],
  written: ['', 'sequence', 'seen'],
  read: ['', 'sequence', 'seen'],
  traffic: ['writes', 'reads', 'seen'],
}

/**
 * What happened, in order: every line goes into a rolling hash, so that two runs are the same run if their hashes agree;
 * the last lines are kept for the report of a failure.
 */
export class Trace {
  readonly #print: ((line: string) => void) | null
  readonly #ring: Line[] = []
  readonly #wordHashes = new Map<string, number>()
  #high = 0x811c9dc5
  #low = 0x01000193
  #count = 0

  /** `print` gets every line as text; null prints nothing. */
  constructor(print: ((line: string) => void) | null) {
    this.#print = print
  }

  get count(): number {
    return this.#count
  }

  /** The rolling hash so far, 16 hexadecimal digits. */
  get hash(): string {
    const hex = (lane: number) => (lane >>> 0).toString(16).padStart(8, '0')
    return hex(this.#high) + hex(this.#low)
  }

  add(at: number, node: string, event: string, ...values: TraceValue[]): void {
    // Microseconds: a float's last bits are no event, but the same run has the same ones anyway.
    this.#mix(Math.round(at * 1000))
    this.#mix(this.#wordHash(node))
    this.#mix(this.#wordHash(event))
    for (const value of values) this.#mix(typeof value === 'number' ? value | 0 : this.#wordHash(value))
    const line = { at, node, event, values }
    this.#ring[this.#count++ % KEPT_LINES] = line
    this.#print?.(format(line))
  }

  /** The last lines, oldest first. */
  lastLines(): string[] {
    const start = Math.max(0, this.#count - KEPT_LINES)
    const lines: string[] = []
    for (let i = start; i < this.#count; i++) {
      const line = this.#ring[i % KEPT_LINES]
      if (line !== undefined) lines.push(format(line))
    }
    return lines
  }

  #mix(value: number): void {
    this.#high = Math.imul(this.#high ^ value, 0x01000193) ^ (this.#low >>> 15)
    this.#low = Math.imul(this.#low ^ (value >>> 16) ^ this.#high, 0x85ebca6b)
  }

  #wordHash(word: string): number {
    let hash = this.#wordHashes.get(word)
    if (hash === undefined) {
      hash = 0x811c9dc5
      for (let i = 0; i < word.length; i++) hash = Math.imul(hash ^ word.charCodeAt(i), 0x01000193)
      this.#wordHashes.set(word, hash)
    }
    return hash
  }
}

/** Nothing is said of a value that is empty or, in a message, 0. */
function format({ at, node, event, values }: Line): string {
  const labels = LABELS[event] ?? []
  const parts = values.flatMap((value, i) => {
    const label = labels[i] ?? ''
    if (label === '') return [String(value)]
    return value === '' || (labels === MESSAGE && value === 0) ? [] : [`${label}=${value}`]
  })
  return `${(at / 1000).toFixed(4).padStart(9)}  ${node.padEnd(7)} ${event.padEnd(18)} ${parts.join(' ')}`.trimEnd()
}
