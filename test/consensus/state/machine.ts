import type { LogRecord } from '../../../consensus/state/codec.ts'
import { textToKey } from '../../../consensus/state/keys.ts'
import { type Changes, StateMachine } from '../../../consensus/state/state-machine.ts'
import type { Command, CommandResult, KvEntry, SessionSpec } from '../../../consensus/state/types.ts'

/** A state machine that is fed commands one by one, as a log would. */
export class Machine {
  state = new StateMachine()
  /** What the last command changed. */
  changes: Changes = { keys: new Set(), sessions: false }
  index = 0
  at = 1000
  #sequence = 0

  apply(command: Command, stamp: Partial<LogRecord> = {}): CommandResult {
    this.index++
    const sequence = ++this.#sequence
    const record = { at: this.at, origin: 'o', sequence, acknowledged: sequence, command, ...stamp }
    const { result, changes } = this.state.apply(this.index, record)
    this.changes = changes
    return result
  }

  set(key: string, value: string, cas?: number): boolean {
    const command = { type: 'kv.set', key: textToKey(key), value: bytes(value), flags: 0n } as const
    return this.apply(cas === undefined ? command : { ...command, cas }).ok
  }

  lock(type: 'acquire' | 'release', key: string, session: string, value = ''): CommandResult {
    return this.apply({ type: `kv.${type}`, key: textToKey(key), value: bytes(value), flags: 0n, session })
  }

  delete(key: string, cas?: number): boolean {
    const command = { type: 'kv.delete', key: textToKey(key) } as const
    return this.apply(cas === undefined ? command : { ...command, cas }).ok
  }

  session(id: string, spec: Partial<SessionSpec> = {}): CommandResult {
    return this.apply({ type: 'session.create', session: { ...SESSION, id, ...spec } })
  }

  destroy(id: string): void {
    this.apply({ type: 'session.destroy', id })
  }

  get(key: string): KvEntry | undefined {
    return this.state.kvGet(textToKey(key))
  }

  value(key: string): string | undefined {
    const entry = this.get(key)
    return entry === undefined ? undefined : new TextDecoder().decode(entry.value)
  }
}

export const SESSION: SessionSpec = {
  id: 's',
  name: '',
  node: 'n1',
  behavior: 'release',
  lockDelayMs: 0,
  ttl: '',
  expiresAfterMs: 0,
  nodeChecks: [],
  serviceChecks: null,
}

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** The snapshot as one string: equal states have equal ones. */
export function snapshotBytes(state: StateMachine): string {
  return Buffer.concat([...state.snapshot()]).toString('base64')
}
