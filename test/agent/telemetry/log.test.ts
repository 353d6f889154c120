import { closeSync, fstatSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createLogger, type LogStream, setLevel } from '../../../agent/telemetry/log.ts'

function memory(isTTY = false): { stream: LogStream; lines: () => string[] } {
  let text = ''
  return {
    stream: {
      isTTY,
      write(chunk) {
        text += chunk
      },
    },
    lines: () => text.split('\n').filter((line) => line !== ''),
  }
}

t.test('JSON lines, with every secret replaced', (t) => {
  const { stream, lines } = memory()
  const logger = createLogger({ level: 'info', format: 'auto' }, stream)
  logger.child({ part: 'x', token: 's3cret' }).warn(
    {
      key: 's3cret',
      headers: { authorization: 's3cret', 'x-consul-token': 's3cret' },
      a: { b: { password: 's3cret', secret: 's3cret' } },
      keep: 1,
    },
    'hello',
  )
  t.equal(lines().length, 1)
  const line = lines()[0] ?? ''
  t.notMatch(line, /s3cret/)
  const { time, ...entry } = JSON.parse(line)
  t.match(time, /^\d{4}-\d\d-\d\dT/)
  t.strictSame(entry, {
    level: 40,
    part: 'x',
    token: '[redacted]',
    key: '[redacted]',
    headers: { authorization: '[redacted]', 'x-consul-token': '[redacted]' },
    a: { b: { password: '[redacted]', secret: '[redacted]' } },
    keep: 1,
    msg: 'hello',
  })
  t.end()
})

t.test('setLevel reaches the children that exist already', (t) => {
  const { stream, lines } = memory()
  const logger = createLogger({ level: 'warn', format: 'json' }, stream)
  const grandchild = logger.child({ a: 1 }).child({ b: 2 }, {})
  grandchild.info('unheard')
  setLevel(logger, 'debug')
  grandchild.debug('heard')
  setLevel(logger, 'error')
  grandchild.warn('unheard')
  t.match(lines(), [/"msg":"heard"/])
  t.equal(lines().length, 1)
  t.end()
})

t.test('text for people on a terminal, or where asked for', (t) => {
  const terminal = memory(true)
  createLogger({ level: 'info', format: 'auto' }, terminal.stream).info({ port: 1 }, 'listening')
  t.match(terminal.lines()[0], /INFO.*listening.*port/)
  t.ok(terminal.lines()[0]?.includes('\u001b['), 'with colours')
  const plain = memory()
  createLogger({ level: 'info', format: 'pretty' }, plain.stream).info({ password: 'x' }, 'listening')
  t.match(plain.lines()[0], /^\[\d\d:\d\d:\d\d\.\d+\] INFO: listening \{"password":"\[redacted\]"\}$/)
  const json = memory(true)
  createLogger({ level: 'info', format: 'json' }, json.stream).info('x')
  t.equal(JSON.parse(json.lines()[0] ?? '').msg, 'x')
  t.end()
})

t.test('the journal gets the priority at the start of every line and no time', (t) => {
  const file = join(t.testdir(), 'journal')
  const fd = openSync(file, 'w')
  const { dev, ino } = fstatSync(fd, { bigint: true })
  const stream = { fd, write: (text: string) => writeSync(fd, text) }
  const journalStream = `${dev}:${ino}`
  const logger = createLogger({ level: 'trace', format: 'auto', journalStream }, stream)
  for (const level of ['fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const) logger[level](level)
  t.strictSame(readFileSync(file, 'utf8').trimEnd().split('\n'), [
    '<2>{"level":60,"msg":"fatal"}',
    '<3>{"level":50,"msg":"error"}',
    '<4>{"level":40,"msg":"warn"}',
    '<6>{"level":30,"msg":"info"}',
    '<7>{"level":20,"msg":"debug"}',
    '<7>{"level":10,"msg":"trace"}',
  ])
  createLogger({ level: 'info', format: 'pretty', journalStream }, stream).error(new Error('many lines'))
  const rest = readFileSync(file, 'utf8').trimEnd().split('\n').slice(6)
  t.ok(rest.length > 1)
  t.ok(
    rest.every((line) => line.startsWith('<3>')),
    rest.join('\n'),
  )
  createLogger({ level: 'info', format: 'json', journalStream: '1:1' }, stream).info('inherited variable')
  t.match(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1), /^\{"level":30,"time"/)
  closeSync(fd)
  t.end()
})
