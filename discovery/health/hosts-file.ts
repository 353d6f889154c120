import type { LookupAddress } from 'node:dns'
import { readFileSync, statSync } from 'node:fs'
import { isIP } from 'node:net'

/** A larger file, such as a list of blocked names, is left to the system's own lookup. */
const BYTES_MAX = 256 * 1024
/** Addresses of the host itself: known without asking anybody. */
const LOOPBACK: readonly LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]

/** The names this host knows without a name server: those of its hosts file, which is read again when it changes, and localhost. */
export class HostsFile {
  readonly #path: string
  #stamp = ''
  #names: ReadonlyMap<string, readonly LookupAddress[]> = new Map()

  /** @param path Default `/etc/hosts` */
  constructor(path = '/etc/hosts') {
    this.#path = path
  }

  /** The addresses of a name in the order of the file; undefined if a name server has to be asked. */
  find(name: string): readonly LookupAddress[] | undefined {
    this.#read()
    const lower = name.toLowerCase()
    const found = this.#names.get(lower)
    if (found !== undefined) return found
    return lower === 'localhost' || lower.endsWith('.localhost') ? LOOPBACK : undefined
  }

  #read(): void {
    try {
      const { mtimeMs, size, ino } = statSync(this.#path)
      const stamp = `${mtimeMs} ${size} ${ino}`
      if (stamp === this.#stamp) return
      this.#names = size > BYTES_MAX ? new Map() : parse(readFileSync(this.#path, 'utf8'))
      this.#stamp = stamp
    } catch {
      // Then the system's own lookup says what it can.
      this.#names = new Map()
      this.#stamp = ''
    }
  }
}

function parse(text: string): ReadonlyMap<string, readonly LookupAddress[]> {
  const names = new Map<string, LookupAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const alias of aliases) {
      const key = alias.toLowerCase()
      const known = names.get(key)
      if (known === undefined) names.set(key, [{ address, family }])
      else if (!known.some((other) => other.address === address)) known.push({ address, family })
    }
  }
  return names
}
