import { CORDON_PREFIX, keyToText, textToKey } from './state/keys.ts'
import type { Command, StateView } from './state/types.ts'

/** The command that cordons a node, or drains it. Its name is kept for people who read the key. */
export function cordonCommand(id: string, name: string, drain: boolean): Command {
  const value = new TextEncoder().encode(JSON.stringify(drain ? { name, drain } : { name }))
  return { type: 'kv.set', key: textToKey(CORDON_PREFIX + id), value, flags: 0n }
}

/** The command that lifts the cordon of a node, and ends its drain. */
export function uncordonCommand(id: string): Command {
  return { type: 'kv.delete', key: textToKey(CORDON_PREFIX + id) }
}

/** Ids of the cordoned nodes, sorted, as this state has them. */
export function cordonedNodes(view: Pick<StateView, 'kvList'>): string[] {
  return view.kvList(textToKey(CORDON_PREFIX)).map(({ key }) => keyToText(key).slice(CORDON_PREFIX.length))
}

/** Ids of those among them that are drained. */
export function drainingNodes(view: Pick<StateView, 'kvList'>): string[] {
  return view
    .kvList(textToKey(CORDON_PREFIX))
    .filter(({ value }) => isDrain(value))
    .map(({ key }) => keyToText(key).slice(CORDON_PREFIX.length))
}

/** What somebody wrote there by hand is a cordon and no more. */
function isDrain(value: Uint8Array): boolean {
  try {
    const cordon: unknown = JSON.parse(new TextDecoder().decode(value))
    return typeof cordon === 'object' && cordon !== null && 'drain' in cordon && cordon.drain === true
  } catch {
    return false
  }
}
