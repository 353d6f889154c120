import type { Operation, Output } from './history.ts'

/** One answer to a blocking query of one watcher. */
export interface WatchAnswer {
  /** The index the query waited for; 0 on the first. */
  readonly after: number
  readonly waitMs: number
  readonly calledAt: number
  readonly returnedAt: number
  /** X-Consul-Index. */
  readonly index: number
  readonly output: Exclude<Output, { kind: 'done' }>
}

/** All the answers one watcher of one key at one node got, in order. */
export interface Watch {
  readonly node: string
  readonly key: string
  readonly answers: readonly WatchAnswer[]
}

/**
 * What is wrong with what a watcher was told. The index never goes back; an entry is announced at its own version; an
 * answer before the end of the wait tells something new; equal versions mean equal content. `final` is what the key was
 * at the end, which the watcher must have been told; `writes` are the calls that may have changed the key.
 */
export function checkWatch(
  { node, key, answers }: Watch,
  final: Exclude<Output, { kind: 'done' }> | null,
  writes: readonly Operation[],
): string[] {
  const wrong: string[] = []
  const tell = (text: string, { calledAt, index, output }: WatchAnswer): void => {
    wrong.push(
      `watch of ${key} at ${node}: ${text} (asked at ${calledAt.toFixed(1)} ms, index ${index}, ${shown(output)})`,
    )
  }
  const contents = new Map<number, string>()
  let last: WatchAnswer | null = null
  let existed = false
  for (const answer of answers) {
    const { output, index, after } = answer
    if (index < after) tell(`the index went back from ${after}`, answer)
    if (output.kind === 'entry') {
      if (index !== output.version) tell(`the index is not the version ${output.version}`, answer)
      const known = contents.get(output.version) ?? output.value
      contents.set(output.version, known)
      existed = true
      if (known !== output.value) tell(`version ${output.version} was ${known} before`, answer)
    }
    if (last !== null) {
      if (answer.index < last.index) tell(`the index went back from ${last.index}`, answer)
      if (
        isSame(last.output, output) &&
        index > last.index &&
        existed &&
        !mayHaveChanged(last, answer, writes)
      )
        tell(`woken for a change from ${last.index} that nobody made`, answer)
    }
    last = answer
  }
  if (final !== null && (last === null || !isSame(last.output, final)))
    wrong.push(
      `watch of ${key} at ${node}: the last change was missed; at the end the key is ${shown(final)}, the watcher knows ${last === null ? 'nothing' : shown(last.output)}`,
    )
  return wrong
}

function isSame(a: WatchAnswer['output'], b: WatchAnswer['output']): boolean {
  if (a.kind === 'absent' || b.kind === 'absent') return a.kind === b.kind
  return a.value === b.value && a.version === b.version
}

/**
 * A missing key that is missing still may have been there in between. The index of a key that never existed is that of
 * the whole store and claims nothing; once it has existed, the index is that of its deletion.
 */
function mayHaveChanged(last: WatchAnswer, now: WatchAnswer, writes: readonly Operation[]): boolean {
  return writes.some(
    ({ calledAt, returnedAt, outcome }) =>
      calledAt <= now.returnedAt && (outcome === 'unknown' || returnedAt >= last.calledAt),
  )
}

function shown(output: WatchAnswer['output']): string {
  return output.kind === 'absent' ? 'absent' : `${output.value} version ${output.version}`
}
