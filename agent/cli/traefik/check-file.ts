import { LineCounter, parseDocument } from 'yaml'
import { findDangling } from '../../../providers/traefik/references.ts'
import { decodeDocument } from '../../../providers/traefik/strict-decoder.ts'

/** What is wrong with a file. `error`: Traefik would refuse all of it; `warning`: less than that. */
export interface CheckFinding {
  readonly level: 'error' | 'warning'
  /** Path of the element, or the line. */
  readonly at: string
  readonly message: string
}

/**
 * Checks a dynamic configuration as Traefik `release` would read it. JSON or YAML, as Traefik reads both as YAML.
 */
export function checkFile(text: string, release: string): readonly CheckFinding[] {
  const lines = new LineCounter()
  const parsed = parseDocument(text, { lineCounter: lines, uniqueKeys: true })
  const [broken] = parsed.errors
  if (broken !== undefined) {
    const { line } = lines.linePos(broken.pos[0])
    const message = broken.message.split('\n', 1)[0] ?? broken.message
    return [{ level: 'error', at: `line ${line}`, message }]
  }
  const value: unknown = parsed.toJS({ maxAliasCount: 100 })
  if (isRecord(value) && isRecord(value.services) && !isRecord(value.http)) {
    const message = 'this is a Compose file, which `constellation compose lint` checks'
    return [{ level: 'error', at: 'services', message }]
  }
  return checkDynamic(value, release)
}

function checkDynamic(value: unknown, release: string): readonly CheckFinding[] {
  const { errors, warnings, empty, accepted, value: document } = decodeDocument(value, { release })
  const found: CheckFinding[] = [
    ...errors.map(({ path, message }) => ({ level: 'error' as const, at: path.join('.'), message })),
    ...warnings.map(({ path, message }) => ({ level: 'warning' as const, at: path.join('.'), message })),
  ]
  if (empty) {
    const message = 'nothing in it: Traefik takes it and removes every route of this provider'
    found.push({ level: 'warning', at: '(all)', message })
  }
  if (accepted) {
    for (const { key, message } of findDangling(document)) found.push({ level: 'warning', at: key, message })
  }
  return found
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
