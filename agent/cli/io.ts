import type { Readable } from 'node:stream'

/** What a command may touch of the process it runs in. */
export interface CliIo {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdin: Readable
  readonly stdout: { write(chunk: string | Uint8Array): unknown; readonly isTTY?: boolean | undefined }
  readonly stderr: { write(chunk: string): unknown }
  /** Exit code of the program; a command that fails without an error sets it. */
  exitCode: number
}
