import { CORDON_PREFIX, keyToText, textToKey } from './state/keys.ts'
import type { Command, StateView } from './state/types.ts'

/** The command that cordons a node. Its name is kept for people who read the key. */
export function cordonCommand(id: string, name: string): Command {
  const value = new TextEncoder().encode(JSON.stringify({ name }))
  return { type: 'kv.set', key: textToKey(CORDON_PREFIX + id), value, flags: 0n }
}

/** The command that lifts the cordon of a node. */
export function uncordonCommand(id: string): Command {
  return { type: 'kv.delete', key: textToKey(CORDON_PREFIX + id) }
}

/** Ids of the cordoned nodes, sorted, as this state has them. */
export function cordonedNodes(view: Pick<StateView, 'kvList'>): string[] {
  return view.kvList(textToKey(CORDON_PREFIX)).map(({ key }) => keyToText(key).slice(CORDON_PREFIX.length))
}
