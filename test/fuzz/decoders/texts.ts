import fc from 'fast-check'
import { percentDecode } from '../../../agent/http/raw-path.ts'
import { bytesToKey, keyToBytes, keyToText, prefixEnd, textToKey } from '../../../consensus/state/keys.ts'
import { DurationError, formatGoDuration, parseGoDuration } from '../../../discovery/health/duration.ts'
import type { NamedProperty } from './property.ts'

/** Nanoseconds of each unit, from Go's documentation of `time.ParseDuration`. */
const UNITS = {
  ns: 1n,
  us: 1000n,
  µs: 1000n,
  ms: 1000n ** 2n,
  s: 1000n ** 3n,
  m: 60n * 1000n ** 3n,
  h: 3600n * 1000n ** 3n,
}

interface Part {
  readonly whole: number
  readonly fraction: string
  readonly unit: keyof typeof UNITS
}

const part: fc.Arbitrary<Part> = fc.record({
  whole: fc.integer({ min: 0, max: 10_000 }),
  fraction: fc.string({ unit: fc.constantFrom(...'0123456789'), maxLength: 12 }),
  unit: fc.constantFrom(...(Object.keys(UNITS) as (keyof typeof UNITS)[])),
})

/** The same by other means: exact fractions, each part cut to a whole nanosecond. */
function nanoseconds({ whole, fraction, unit }: Part): bigint {
  const scale = UNITS[unit]
  return (
    BigInt(whole) * scale +
    (BigInt(fraction === '' ? '0' : fraction) * scale) / 10n ** BigInt(fraction.length)
  )
}

/** Durations, keys and paths. */
export const TEXT_PROPERTIES: readonly NamedProperty[] = [
  {
    name: 'a duration is the sum of its parts',
    property: fc.property(
      fc.array(part, { minLength: 1, maxLength: 4 }),
      fc.boolean(),
      (parts, isNegative) => {
        const text = parts.map(
          ({ whole, fraction, unit }) => `${whole}${fraction === '' ? '' : `.${fraction}`}${unit}`,
        )
        const sum = parts.map(nanoseconds).reduce((a, b) => a + b, 0n)
        const ms = Number(sum / 1_000_000n) + Number(sum % 1_000_000n) / 1e6
        const parsed = parseGoDuration(`${isNegative ? '-' : ''}${text.join('')}`)
        return Math.abs(parsed) === ms && (ms === 0 || parsed < 0 === isNegative)
      },
    ),
  },
  {
    name: 'a duration that is written is read as the same, and written the same again',
    property: fc.property(fc.bigInt({ min: -(2n ** 52n), max: 2n ** 52n }), (each) => {
      const ms = Number(each / 1_000_000n) + Number(each % 1_000_000n) / 1e6
      const text = formatGoDuration(ms)
      return parseGoDuration(text) === ms && formatGoDuration(parseGoDuration(text)) === text
    }),
  },
  {
    name: 'anything else is no duration, and is told as such',
    property: fc.property(
      fc.array(
        fc.constantFrom(
          '',
          '-',
          '+',
          '.',
          '0',
          '9',
          '1e3',
          ' ',
          'ns',
          'µs',
          'h',
          'd',
          '\u0000',
          '9'.repeat(30),
        ),
        { maxLength: 8 },
      ),
      (parts) => {
        try {
          return Number.isFinite(parseGoDuration(parts.join('')))
        } catch (error) {
          return error instanceof DurationError
        }
      },
    ),
  },
  {
    name: 'a key is its bytes, and a prefix ends behind everything it begins',
    property: fc.property(fc.uint8Array({ maxLength: 5 }), fc.uint8Array({ maxLength: 5 }), (a, b) => {
      const [prefix, key] = [bytesToKey(a), bytesToKey(b)]
      const end = prefixEnd(prefix)
      const isWithin = key >= prefix && (end === undefined || key < end)
      return Buffer.compare(keyToBytes(key), b) === 0 && key.startsWith(prefix) === isWithin
    }),
  },
  {
    name: 'a path is decoded as the language does it',
    property: fc.property(fc.string({ unit: 'grapheme', maxLength: 10 }), fc.boolean(), (text, isEager) => {
      const well = text.toWellFormed()
      const encoded = isEager
        ? [...Buffer.from(well)].map((each) => `%${each.toString(16).padStart(2, '0')}`).join('')
        : encodeURIComponent(well)
      return (
        keyToText(percentDecode(encoded)) === decodeURIComponent(encoded) &&
        textToKey(well) === percentDecode(encoded)
      )
    }),
  },
]
