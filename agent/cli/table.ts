/**
 * Columns aligned with spaces, one line per row, or `empty` when there are no rows. What came from other nodes may
 * contain anything, so control characters are shown as "?".
 */
export function renderTable(
  headers: readonly string[],
  rows: readonly (readonly string[])[],
  empty: string,
): string {
  if (rows.length === 0) return `${empty}\n`
  const lines = [headers, ...rows.map((row) => row.map(printable))]
  const widths = headers.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)))
  const render = (line: readonly string[]) =>
    widths
      .map((width, column) => (line[column] ?? '').padEnd(width))
      .join('  ')
      .trimEnd()
  return `${lines.map(render).join('\n')}\n`
}

/** A value of the API as the text of a cell; "-" for what is missing. */
export function cell(value: unknown): string {
  if (value === undefined || value === null || value === '') return '-'
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}

/** The text without anything that could move the cursor of a terminal. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}|\p{Cf}/gu, '?')
}
