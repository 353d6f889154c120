import { StringDecoder } from 'node:string_decoder'

/** Something that may have changed a container. Hints only: what it is like now is looked at afresh. */
export interface EngineEvent {
  /** Id of the container. */
  readonly container: string
  /** In Docker's words, such as `start`, `die`, `destroy`, `health_status`; Podman's are translated. */
  readonly action: string
  /** Signal of a `kill`, such as `15` or `SIGTERM`; "" for everything else. */
  readonly signal: string
}

/** Longest line of the stream; a longer one is dropped. */
export const LINE_CHARS_MAX = 1024 * 1024

/** What says nothing about the state of a container. HEALTHCHECK alone makes three of them with each run. */
const NOISE: ReadonlySet<string> = new Set([
  'exec_create',
  'exec_start',
  'exec_die',
  'exec_detach',
  'exec_died',
  'top',
  'attach',
  'detach',
  'resize',
  'copy',
  'archive-path',
  'extract-to-dir',
  'export',
  'commit',
  'checkpoint',
])

/** Podman's words for what Docker calls otherwise (podman 4.3, measured). */
const PODMAN_WORDS: ReadonlyMap<string, string> = new Map([
  ['died', 'die'],
  ['remove', 'destroy'],
])

/**
 * Reads one line of the stream of events. Null for what does not concern containers, and for what is not understood: the next
 * look at everything makes up for it.
 */
export function readEvent(line: string): EngineEvent | null {
  let event: unknown
  try {
    event = JSON.parse(line)
  } catch {
    return null
  }
  const { Type, Action, status, Actor, id } = fields(event)
  const { ID, Attributes } = fields(Actor)
  const attributes = fields(Attributes)
  const [word = ''] = String(Action ?? status ?? '').split(':')
  const action = PODMAN_WORDS.get(word) ?? word
  if (action === '' || NOISE.has(action)) return null
  // A network event is about the network; the container that joined or left it is an attribute.
  const container = Type === 'network' ? attributes.container : (ID ?? id)
  if ((Type !== 'container' && Type !== 'network') || typeof container !== 'string' || container === '') {
    return null
  }
  const signal = action === 'kill' ? String(attributes.signal ?? '') : ''
  return { container, action: Type === 'network' ? `network ${action}` : action, signal }
}

/** Cuts a stream of bytes into lines. A chunk may hold several lines, half of one, or half of a character. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8')
  #rest = ''
  /** The line so far is too long: the rest of it is not wanted either. */
  #skipping = false

  push(chunk: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.write(Buffer.from(chunk))).split('\n')
    this.#rest = lines.pop() ?? ''
    if (lines.length > 0 && this.#skipping) {
      lines.shift()
      this.#skipping = false
    }
    if (this.#skipping || this.#rest.length > LINE_CHARS_MAX) {
      this.#rest = ''
      this.#skipping = true
    }
    return lines.filter((line) => line.trim() !== '' && line.length <= LINE_CHARS_MAX)
  }
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}
}
