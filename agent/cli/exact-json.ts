declare global {
  interface JSON {
    /** True for what JSON.rawJSON made (ECMAScript proposal "JSON.parse source text access"). */
    isRawJSON(value: unknown): boolean
  }
}

/** A number whose digits a double cannot keep, as JSON.rawJSON makes it. */
interface RawJson {
  readonly rawJSON: string
}

type ExactReviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown

/**
 * As JSON.parse, but a number that JavaScript would change keeps its digits: JSON.stringify writes it as it was
 * (ECMAScript proposal "JSON.parse source text access"). Flags of keys reach 2^64−1.
 * @throws SyntaxError
 */
export function parseExact(text: string): unknown {
  const keepDigits: ExactReviver = (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && String(value) !== source
      ? JSON.rawJSON(source)
      : value
  return JSON.parse(text, keepDigits as (key: string, value: unknown) => unknown)
}

/** The number as it was written in the JSON that `parseExact` read; null for anything else. */
export function numberText(value: unknown): string | null {
  if (typeof value === 'number') return String(value)
  return isRawJson(value) ? value.rawJSON : null
}

function isRawJson(value: unknown): value is RawJson {
  return JSON.isRawJSON(value)
}
