import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import t from 'tap'
import { addonFolders, loadEmbeddedAddon } from '../../scripts/embedded-addon.ts'

const BYTES = new Uint8Array([1, 2, 3])

t.test('the library is a private file while it is mapped, and gone afterwards', async (t) => {
  const folder = t.testdir()
  let opened = ''
  const exports = loadEmbeddedAddon('x.node', {
    readAsset: (name) => (name === 'x.node' ? BYTES : new Uint8Array()),
    folders: [folder],
    open: (path) => {
      opened = path
      t.same(readFileSync(path), Buffer.from(BYTES))
      t.equal(statSync(path).mode & 0o777, 0o600)
      t.equal(statSync(dirname(path)).mode & 0o777, 0o700)
      return { loaded: true }
    },
  })
  t.same(exports, { loaded: true })
  t.ok(opened.startsWith(folder))
  t.same(readdirSync(folder), [], 'nothing is left')
})

t.test('a file that somebody else put there is never used', async (t) => {
  const folder = t.testdir()
  const names = new Set<string>()
  for (let i = 0; i < 3; i++) {
    loadEmbeddedAddon('x.node', {
      readAsset: () => BYTES,
      folders: [folder],
      open: (path) => names.add(path),
    })
  }
  t.equal(names.size, 3, 'the path cannot be foreseen')
})

t.test('a folder that cannot be used is passed over', async (t) => {
  const folder = t.testdir({ noexec: {}, good: {}, file: '' })
  const folders = ['missing', 'file', 'noexec', 'good'].map((name) => join(folder, name))
  const exports = loadEmbeddedAddon('x.node', {
    readAsset: () => BYTES,
    folders,
    open: (path) => {
      if (path.includes('noexec')) throw new Error('failed to map segment from shared object')
      return path
    },
  })
  t.match(exports, /\/good\//)
  t.same(readdirSync(join(folder, 'noexec')), [], 'nothing is left where it failed')
})

t.test('if no folder works, the error names each one and the way out', async (t) => {
  const folder = t.testdir()
  const load = (): unknown =>
    loadEmbeddedAddon('x.node', {
      readAsset: () => BYTES,
      folders: [join(folder, 'missing'), folder],
      open: () => {
        throw new Error('failed to map segment')
      },
    })
  t.throws(load, { message: /x\.node.*TMPDIR.*missing: ENOENT.*failed to map segment/ })
})

t.test('the folders to try', async (t) => {
  t.same(addonFolders({}, '/tmp'), ['/tmp', '/var/tmp', '/dev/shm'])
  const env = { XDG_RUNTIME_DIR: '/run/user/7', STATE_DIRECTORY: '/var/lib/a:/var/lib/b' }
  t.same(addonFolders(env, '/var/tmp'), ['/var/tmp', '/run/user/7', '/var/lib/a', '/var/lib/b', '/dev/shm'])
  t.same(addonFolders({ XDG_RUNTIME_DIR: 'relative' }, '/tmp').length, 3, 'relative folders are not used')
})

t.test('without an executable around it there is no asset', async (t) => {
  t.throws(() => loadEmbeddedAddon('classic-level.node'), {
    code: 'ERR_NOT_IN_SINGLE_EXECUTABLE_APPLICATION',
  })
})
