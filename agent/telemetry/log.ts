import { fstatSync } from 'node:fs'
import { type DestinationStream, type Logger, pino, symbols } from 'pino'
import pinoPretty from 'pino-pretty'
import type { Config } from '../config/types.ts'
import type { LogFeed } from './log-feed.ts'

/** Where lines go: process.stdout or anything with its `write`. */
export interface LogStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  /** Needed to find out whether this stream is the journal. */
  readonly fd?: number | undefined
}

/** How to log. `journalStream` is the variable JOURNAL_STREAM (systemd.exec(5)): "device:inode" of the journal's socket. */
export interface LogOptions {
  readonly level: Config['log']['level']
  readonly format: Config['log']['format']
  readonly journalStream?: string | undefined
  /** Is given every line that is written. */
  readonly feed?: LogFeed
}

/** Names under which secrets would reach a log, at the top of the logged object and up to two levels below. */
const SECRET_NAMES = [
  'key',
  'clusterKey',
  'privateKey',
  'token',
  'secret',
  'authorization',
  'Authorization',
  'password',
  'x-consul-token',
  'X-Consul-Token',
]

/** Severities of syslog(3) by the levels of pino, as `<N>` at the start of a line tells them to journald. */
const PRIORITIES: readonly (readonly [minLevel: number, priority: number])[] = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
]

/**
 * A logger that writes synchronously: JSON lines, or text for people where the format asks for it (`auto` = on a
 * terminal). No worker thread takes part, so it works inside one bundled executable and loses no line in a crash.
 * Below journald each line starts with its priority and carries no time, which the journal has of its own.
 */
export function createLogger(options: LogOptions, stream: LogStream = process.stdout): Logger {
  const journal = isJournal(stream, options.journalStream ?? process.env.JOURNAL_STREAM)
  const pretty = options.format === 'pretty' || (options.format === 'auto' && stream.isTTY === true)
  const render = pretty
    ? pinoPretty.prettyFactory({
        colorize: stream.isTTY === true,
        ignore: 'pid,hostname',
        translateTime: 'SYS:HH:MM:ss.l',
        singleLine: true,
      })
    : (line: string) => line
  const destination: DestinationStream & { [symbols.needsMetadataGsym]: true; lastLevel: number } = {
    // Makes pino set `lastLevel` before each write, which spares us parsing the line again.
    [symbols.needsMetadataGsym]: true,
    lastLevel: 30,
    write(line) {
      const text = render(line)
      stream.write(journal ? withPriority(text, this.lastLevel) : text)
      options.feed?.publish(line, this.lastLevel)
    },
  }
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: journal ? false : pino.stdTimeFunctions.isoTime,
      serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
      redact: { paths: secretPaths(), censor: '[redacted]' },
    },
    destination,
  )
}

/** Changes the level of a logger at once, and with it that of every child that has no level of its own. */
export function setLevel(logger: Logger, level: Config['log']['level']): void {
  logger.level = level
}

function secretPaths(): string[] {
  return SECRET_NAMES.flatMap((name) => {
    const last = /^\w+$/.test(name) ? `.${name}` : `["${name}"]`
    return [last.replace(/^\./, ''), `*${last}`, `*.*${last}`]
  })
}

/** A multi-line text needs the prefix on every line, or journald files the rest under the default priority. */
function withPriority(text: string, level: number): string {
  const priority = PRIORITIES.find(([minLevel]) => level >= minLevel)?.[1] ?? 7
  return text.replace(/^(?=.)/gm, `<${priority}>`)
}

/** JOURNAL_STREAM is inherited by children whose output goes elsewhere, so only the stream's own inode decides. */
function isJournal(stream: LogStream, journalStream: string | undefined): boolean {
  if (journalStream === undefined || stream.fd === undefined) return false
  try {
    const { dev, ino } = fstatSync(stream.fd, { bigint: true })
    return journalStream === `${dev}:${ino}`
  } catch {
    return false
  }
}
