import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { KeptFile } from '../membership/kept-file.ts'
import { CatalogError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { type Fields, readCheck, readFields, readList, readService } from './shapes.ts'
import type { HealthCheck, NodeRecord, ServiceInstance } from './types.ts'

/** What a check says until it has run: an instance must not count as healthy because its agent restarted. */
export const NOT_RUN_OUTPUT = 'The check has not run since the agent started.'

const FORMAT = 1

/** The registrations of this node over a restart. Checks come back critical, with the results forgotten. */
export interface KeptRegistrations {
  readonly services: readonly ServiceInstance[]
  readonly checks: readonly HealthCheck[]
}

/** `<dataDir>/services.json`: the instances of this node and which checks decide about them. */
export class ServicesFile {
  readonly path: string
  readonly #file: KeptFile

  constructor(options: { readonly dataDir: string }, collaborators: { readonly log: Logger }) {
    this.path = join(options.dataDir, 'services.json')
    this.#file = new KeptFile({ path: this.path, throttleMs: 20 }, collaborators)
  }

  /** @throws CatalogError `CAT_FILE_DAMAGED` (the file stays as it is) or `CAT_FILE_FAILED` */
  async load(): Promise<KeptRegistrations> {
    let text: string
    try {
      text = await readFile(this.path, 'utf8')
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { services: [], checks: [] }
      throw new CatalogError('CAT_FILE_FAILED', `cannot read ${this.path}`, { cause })
    }
    try {
      return decode(JSON.parse(text))
    } catch (cause) {
      const reason = cause instanceof CatalogError ? cause.message : 'not valid JSON'
      throw new CatalogError(
        'CAT_FILE_DAMAGED',
        `the registered services in ${this.path} are damaged (${reason}): repair the file, or move it away and register them again`,
        { cause },
      )
    }
  }

  /** Writes the registrations of the record `current` answers, soon and in the background. */
  save(current: () => NodeRecord): void {
    this.#file.save(() => encode(current()))
  }

  /** Resolves when everything saved is on disk. @throws CatalogError `CAT_FILE_FAILED` */
  async flush(): Promise<void> {
    try {
      await this.#file.flush()
    } catch (cause) {
      throw new CatalogError('CAT_FILE_FAILED', `cannot write ${this.path}`, { cause })
    }
  }
}

function encode(record: NodeRecord): string {
  const checks = [...record.checks.values()].map(({ status: _status, output: _output, ...rest }) => rest)
  return `${JSON.stringify({ format: FORMAT, services: [...record.services.values()], checks }, null, 2)}\n`
}

function decode(value: unknown): KeptRegistrations {
  const fields = readFields(value, 'the file')
  if (fields.format !== FORMAT) throw new CatalogError('CAT_INVALID', 'unknown format')
  const services = readList(fields.services, LIMITS.services, 'services').map(readService)
  const checks = readList(fields.checks, LIMITS.checks, 'checks').map((check) =>
    keptCheck(readFields(check, 'a check')),
  )
  const ids = new Set(services.map((service) => service.id))
  for (const { id, serviceId } of checks) {
    if (serviceId !== '' && !ids.has(serviceId)) {
      throw new CatalogError('CAT_INVALID', `check ${id} belongs to the unknown service ${serviceId}`)
    }
  }
  return { services, checks }
}

/** Maintenance is run by nobody: it is as it was. */
function keptCheck(fields: Fields): HealthCheck {
  const output = fields.type === 'maintenance' ? '' : NOT_RUN_OUTPUT
  return readCheck({ ...fields, status: 'critical', output })
}
