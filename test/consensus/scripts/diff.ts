const CONTEXT_LINES = 3

interface DiffLine {
  readonly mark: ' ' | '-' | '+'
  readonly text: string
}

/** Lines of both, in order: common ones once, the others marked. Longest common subsequence, quadratic: for short texts. */
function align(before: readonly string[], after: readonly string[]): DiffLine[] {
  const lengths = Array.from({ length: before.length + 1 }, () => new Uint32Array(after.length + 1))
  const length = (i: number, j: number): number => lengths[i]?.[j] ?? 0
  for (let i = before.length - 1; i >= 0; i--) {
    for (let j = after.length - 1; j >= 0; j--) {
      const row = lengths[i]
      if (row === undefined) continue
      row[j] =
        before[i] === after[j] ? length(i + 1, j + 1) + 1 : Math.max(length(i + 1, j), length(i, j + 1))
    }
  }
  const result: DiffLine[] = []
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    if (i < before.length && j < after.length && before[i] === after[j]) {
      result.push({ mark: ' ', text: before[i] ?? '' })
      i++
      j++
    } else if (i < before.length && (j >= after.length || length(i + 1, j) >= length(i, j + 1))) {
      result.push({ mark: '-', text: before[i++] ?? '' })
    } else {
      result.push({ mark: '+', text: after[j++] ?? '' })
    }
  }
  return result
}

/** Unified diff of two lists of lines; `line` is where the first list starts in `file`. Empty if they are equal. */
export function unifiedDiff(
  file: string,
  line: number,
  before: readonly string[],
  after: readonly string[],
): string {
  const lines = align(before, after)
  const changed = lines.flatMap(({ mark }, i) => (mark === ' ' ? [] : [i]))
  if (changed.length === 0) return ''
  const output = [`--- ${file} (expected)`, `+++ ${file} (printed)`]
  let old = line
  let now = line
  for (let at = 0; at < lines.length; ) {
    const first = changed.find((i) => i >= at)
    if (first === undefined) break
    let last = first
    for (const i of changed) if (i > last && i - last <= 2 * CONTEXT_LINES) last = i
    const from = Math.max(at, first - CONTEXT_LINES)
    const to = Math.min(lines.length, last + CONTEXT_LINES + 1)
    old += from - at
    now += from - at
    const hunk = lines.slice(from, to)
    const removed = hunk.filter(({ mark }) => mark !== '+').length
    const added = hunk.filter(({ mark }) => mark !== '-').length
    output.push(`@@ -${old},${removed} +${now},${added} @@`, ...hunk.map(({ mark, text }) => mark + text))
    old += removed
    now += added
    at = to
  }
  return output.join('\n')
}
