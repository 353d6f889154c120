import { existsSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { reservePorts } from '../real/ports.ts'
import { until } from '../real/until.ts'
import { Random } from '../sim/random.ts'
import { Links } from './links.ts'

/** A connection from place `a`, which is this process, to place `b`, and what each end has heard. */
async function connected(t: Test) {
  const heard = { a: '', b: '' }
  let far: Socket | null = null
  const server = createServer((socket) => {
    far = socket
    socket
      .on('error', () => {})
      .on('data', (chunk) => {
        heard.b += chunk
      })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const ports = reservePorts()
  const links = new Links(() => new Map([['a', process.pid]]), new Random(1))
  const front = await ports.next()
  await links.listen(front, 'b', (server.address() as AddressInfo).port)
  const near = connect(front, '127.0.0.1')
  near
    .on('error', () => {})
    .on('data', (chunk) => {
      heard.a += chunk
    })
  t.teardown(async () => {
    near.destroy()
    far?.destroy()
    await links.close()
    server.close()
    ports.release()
  })
  const b = await until('the connection is there', () => far)
  return { links, heard, a: near, b }
}

const skip = existsSync('/proc/net/tcp') ? false : 'needs /proc to tell connections apart'

t.test('one direction is held back, and arrives when the link heals', { skip }, async (t) => {
  const { links, heard, a, b } = await connected(t)
  a.write('1')
  await until('b hears', () => heard.b === '1')
  links.block('a', 'b')
  a.write('2')
  b.write('x')
  await until('it is held back', () => links.counts.heldBytes === 1)
  await until('the other direction works', () => heard.a === 'x')
  a.write('3')
  b.write('y')
  await until('and goes on working', () => heard.a === 'xy')
  t.equal(heard.b, '1', 'nothing arrives')
  links.heal()
  await until('all of it arrives, in order', () => heard.b === '123', { state: () => heard })
})

t.test('a cut holds both directions back', { skip }, async (t) => {
  const { links, heard, a, b } = await connected(t)
  links.cut('a', 'b')
  a.write('1')
  b.write('x')
  await until('both are held back', () => links.counts.heldBytes === 2)
  t.strictSame(heard, { a: '', b: '' })
  links.heal()
  await until('both arrive', () => heard.a === 'x' && heard.b === '1')
})

t.test('a slow link delays and keeps the order', { skip }, async (t) => {
  const { links, heard, a } = await connected(t)
  links.slow({ minMs: 1, maxMs: 30, loss: 0.1, stallMs: 50 })
  const began = performance.now()
  let sent = ''
  for (let i = 0; i < 300; i++) {
    sent += `${i} `
    a.write(`${i} `)
    await until('the proxy has it', () => links.counts.delayedChunks === i + 1, { intervalMs: 1 })
  }
  links.slow(null)
  a.write('!')
  await until('all arrives', () => heard.b.endsWith('!'))
  t.equal(heard.b, `${sent}!`, 'nothing overtakes')
  t.ok(performance.now() - began >= 50)
})

t.test('a reset breaks the connection', { skip }, async (t) => {
  const { links, a } = await connected(t)
  const ended = new Promise((resolve) => a.once('error', resolve))
  links.reset('b', 'a')
  t.match(await ended, { code: 'ECONNRESET' })
  t.equal(links.counts.resets, 2)
})
