import { readFile } from 'node:fs/promises'
import { CliError } from './errors.ts'
import type { CliIo } from './io.ts'
import { printable } from './table.ts'

const STDIN_BYTES_MAX = 500 * 1024 * 1024

/**
 * Reads all of a file, `FILE` or `@FILE`, or of standard input, `-`.
 * @throws CliError `CLI_FAILED` when it cannot be read or standard input has more than `bytesMax`.
 */
export async function readInput(source: string, io: CliIo, bytesMax = STDIN_BYTES_MAX): Promise<Buffer> {
  if (source === '-') return readStdin(io, bytesMax)
  const file = source.startsWith('@') ? source.slice(1) : source
  try {
    return await readFile(file)
  } catch (cause) {
    throw new CliError('CLI_FAILED', `cannot read ${printable(file)}: ${(cause as Error).message}`, { cause })
  }
}

/** All of standard input. @throws CliError `CLI_FAILED` when it has more than `bytesMax`. */
export async function readStdin(io: CliIo, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of io.stdin) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes > bytesMax) throw new CliError('CLI_FAILED', `standard input exceeds ${bytesMax} bytes`)
  }
  return Buffer.concat(chunks)
}

/** The bytes as text, without a byte order mark. @throws CliError `CLI_FAILED` unless they are UTF-8. */
export function utf8Text(bytes: Uint8Array, source: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new CliError('CLI_FAILED', `${inputName(source)} is not UTF-8 text`, { cause })
  }
}

/** How messages name an input. */
export function inputName(source: string): string {
  return source === '-' ? 'standard input' : printable(source.replace(/^@/, ''))
}
