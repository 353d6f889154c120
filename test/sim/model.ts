import type { LogRecord } from '../../consensus/state/codec.ts'
import type { Command, CommandResult, Session } from '../../consensus/state/types.ts'

/** A key as the model knows it. */
export interface ModelEntry {
  readonly value: string
  readonly session: string | null
  readonly lockIndex: number
  readonly modifyIndex: number
}

/** Bytes as text, for comparisons. */
export function valueText(value: Uint8Array): string {
  return new TextDecoder().decode(value)
}

/**
 * The same commands applied in the plainest way: one map, every result kept for ever. It grows with the run and that is
 * fine; the real state machine has to agree with it at every index.
 */
export class Model {
  readonly entries = new Map<string, ModelEntry>()
  readonly #sessions = new Map<string, Pick<Session, 'behavior' | 'lockDelayMs'>>()
  readonly #freeAt = new Map<string, number>()
  readonly #results = new Map<string, CommandResult>()
  readonly #acknowledged = new Map<string, number>()
  #now = 0

  /** Applies one record and answers what its result must be. */
  apply(index: number, { at, origin, sequence, acknowledged, command }: LogRecord): CommandResult {
    const id = `${origin}#${sequence}`
    const settled = this.#acknowledged.get(origin) ?? 0
    // Below what the proposer acknowledged, only that nothing happens is promised.
    if (sequence < settled) return { index, ok: false, error: 'repeated proposal' }
    const earlier = this.#results.get(id)
    if (earlier !== undefined) return earlier
    this.#now = Math.max(this.#now, at)
    const outcome = this.#execute(index, command)
    const result =
      typeof outcome === 'boolean' ? { index, ok: outcome } : { index, ok: false, error: outcome }
    this.#results.set(id, result)
    this.#acknowledged.set(origin, Math.max(settled, acknowledged))
    return result
  }

  #execute(index: number, command: Command): boolean | string {
    switch (command.type) {
      case 'kv.set': {
        const modified = this.entries.get(command.key)?.modifyIndex ?? 0
        if (command.cas !== undefined && command.cas !== modified) return false
        this.#write(index, command.key, { value: valueText(command.value) })
        return true
      }
      case 'kv.acquire': {
        if (!this.#sessions.has(command.session)) return `invalid session "${command.session}"`
        const { session, lockIndex } = this.entries.get(command.key) ?? { session: null, lockIndex: 0 }
        const isHeld = session === command.session
        if (session !== null && !isHeld) return false
        if (!isHeld && (this.#freeAt.get(command.key) ?? 0) > this.#now) return false
        this.#freeAt.delete(command.key)
        this.#write(index, command.key, {
          value: valueText(command.value),
          session: command.session,
          lockIndex: lockIndex + (isHeld ? 0 : 1),
        })
        return true
      }
      case 'kv.release':
        if (this.entries.get(command.key)?.session !== command.session) return false
        this.#write(index, command.key, { value: valueText(command.value), session: null })
        return true
      case 'session.create':
        if (this.#sessions.has(command.session.id)) return `session "${command.session.id}" exists`
        this.#sessions.set(command.session.id, command.session)
        return true
      case 'session.destroy':
        this.#destroy(index, command.id)
        return true
      default:
        throw new TypeError(`the model does not know ${command.type}`)
    }
  }

  #destroy(index: number, id: string): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    for (const [key, entry] of this.entries) {
      if (entry.session !== id) continue
      if (session.behavior === 'delete') this.entries.delete(key)
      else this.#write(index, key, { session: null })
      if (session.lockDelayMs > 0) this.#freeAt.set(key, this.#now + session.lockDelayMs)
    }
    this.#sessions.delete(id)
  }

  #write(index: number, key: string, change: Partial<ModelEntry>): void {
    const before = this.entries.get(key)
    const after = { value: '', session: null, lockIndex: 0, modifyIndex: index, ...before, ...change }
    const isSame =
      before !== undefined &&
      before.value === after.value &&
      before.session === after.session &&
      before.lockIndex === after.lockIndex
    if (!isSame) this.entries.set(key, { ...after, modifyIndex: index })
  }
}
