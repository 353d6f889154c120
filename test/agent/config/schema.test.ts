import t from 'tap'
import { formatHostPort, isLoopback, isWildcard, parseHostPort } from '../../../agent/config/host-port.ts'
import { envName, keysOf, SETTING_PATHS, SETTINGS } from '../../../agent/config/schema.ts'
import { suggest } from '../../../agent/config/suggest.ts'

t.test('every setting is documented, and no variable or flag means two of them', (t) => {
  const variables = SETTING_PATHS.map(envName)
  t.equal(new Set(variables).size, variables.length)
  const flags = SETTING_PATHS.map((path) => SETTINGS[path].flag).filter((flag) => flag !== null)
  t.equal(new Set(flags).size, flags.length)
  for (const path of SETTING_PATHS) {
    t.match(SETTINGS[path].doc, /^[A-Z].*\.$/s, path)
    t.not(SETTINGS[path].default, '', path)
    t.not(SETTINGS[path].kind.allowed, '', path)
  }
  t.equal(envName('http.listen'), 'CONSTELLATION_HTTP_LISTEN')
  t.strictSame(keysOf('cluster'), [
    'name',
    'key_file',
    'join',
    'bootstrap_expect',
    'voters',
    'lease_reads',
    'learners',
    'dead_voter_grace',
    'dead_learner_grace',
  ])
  t.strictSame(keysOf('providers'), ['docker', 'files', 'traefik'])
  t.strictSame(keysOf('data_dir'), [])
  t.end()
})

t.test('host and port survive being written and read', (t) => {
  for (const text of ['127.0.0.1:0', '[::1]:65535', '[fe80::1%eth0]:1', 'n1.example.com:7946', 'my_host:1']) {
    t.equal(formatHostPort(parseHostPort(text)), text)
  }
  t.ok(isWildcard('0.0.0.0') && isWildcard('::') && isWildcard('0:0:0:0:0:0:0:0') && !isWildcard('::1'))
  t.ok(isLoopback('127.9.9.9') && isLoopback('::1') && isLoopback('localhost') && !isLoopback('10.0.0.1'))
  t.end()
})

t.test('suggestions: near words only, the nearest first', (t) => {
  const words = ['listen', 'advertise', 'key_file']
  t.equal(suggest('lisen', words), 'listen')
  t.equal(suggest('litsen', words), 'listen')
  t.equal(suggest('Listen', words), 'listen')
  t.equal(suggest('keyfile', words), 'key_file')
  t.equal(suggest('zzz', words), null)
  t.equal(suggest('level', ['levle', 'level2', 'levels']), 'levle')
  t.equal(suggest('x'.repeat(100_000), words), null)
  t.end()
})
