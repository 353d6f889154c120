import { chmodSync, writeFileSync } from 'node:fs'
import t from 'tap'
import {
  generateClusterKey,
  Keyring,
  keyFingerprint,
  parseClusterKey,
  readClusterKey,
} from '../../../discovery/mesh/cluster-key.ts'

const key = (fill: number) => new Uint8Array(32).fill(fill)

t.test('a generated key is one line and reads back', async (t) => {
  const text = generateClusterKey()
  t.match(text, /^[A-Za-z0-9+/]{43}=$/)
  t.equal(Buffer.from(parseClusterKey(` ${text}\r\n`)).toString('base64'), text)
  t.not(generateClusterKey(), text)
})

t.test('a bad key is refused without being shown', async (t) => {
  for (const text of ['', 'secret', 'A'.repeat(44), `${generateClusterKey()} ${generateClusterKey()}`]) {
    t.throws(() => parseClusterKey(text), { code: 'MSH_KEY_FILE' })
    try {
      parseClusterKey(text)
    } catch (error) {
      if (text !== '') t.notOk(String(error).includes(text))
    }
  }
})

t.test('a key file may be read by its owner and group only', async (t) => {
  const dir = t.testdir()
  const path = `${dir}/cluster.key`
  writeFileSync(path, `${generateClusterKey()}\n`)
  for (const mode of [0o600, 0o640, 0o400]) {
    chmodSync(path, mode)
    t.equal((await readClusterKey(path)).length, 32, mode.toString(8))
  }
  for (const mode of [0o644, 0o602, 0o601]) {
    chmodSync(path, mode)
    await t.rejects(readClusterKey(path), { code: 'MSH_KEY_FILE', message: `chmod 600 ${path}` })
  }
})

t.test('a missing or damaged key file is named', async (t) => {
  const dir = t.testdir()
  await t.rejects(readClusterKey(`${dir}/none`), { code: 'MSH_KEY_FILE', message: `${dir}/none` })
  writeFileSync(`${dir}/bad`, 'short', { mode: 0o600 })
  await t.rejects(readClusterKey(`${dir}/bad`), { code: 'MSH_KEY_FILE', message: /bad: .*44 characters/ })
  writeFileSync(`${dir}/big`, 'x'.repeat(5_000), { mode: 0o600 })
  await t.rejects(readClusterKey(`${dir}/big`), { code: 'MSH_KEY_FILE', message: 'too large' })
})

t.test('every key signs, every key verifies, and one they share is enough', async (t) => {
  const data = Buffer.from('data')
  const rotating = new Keyring([key(2), key(1)])
  const before = new Keyring([key(1)])
  t.ok(rotating.verify(data, before.sign(data)))
  t.ok(before.verify(data, rotating.sign(data)))
  t.same(before.sign(data), rotating.sign(data).subarray(32), 'the primary comes first')
  const full = new Keyring(Array.from({ length: 8 }, (_, i) => key(i + 1)))
  t.ok(before.verify(data, full.sign(data)))
  t.notOk(before.verify(data, full.sign(data).subarray(0, 40)))
  t.notOk(before.verify(data, new Uint8Array(0)))
  t.notOk(
    before.verify(data, Buffer.concat([new Uint8Array(256), before.sign(data)])),
    'no more than a ring has',
  )
  t.notOk(rotating.verify(data, new Keyring([key(3)]).sign(data)))
  t.notOk(rotating.verify(data, new Uint8Array(3)))
  rotating.replace([key(4)])
  t.notOk(rotating.verify(data, before.sign(data)))
  t.match(keyFingerprint(key(1)), /^[0-9a-f]{16}$/)
  t.not(keyFingerprint(key(1)), keyFingerprint(key(2)))
  t.notOk(new Keyring([]).usable)
  t.throws(() => new Keyring([]).sign(data), { code: 'MSH_NO_KEY' })
  t.throws(() => new Keyring([new Uint8Array(16)]), { code: 'MSH_KEY_FILE' })
})
