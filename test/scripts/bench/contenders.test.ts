import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { constellation, KEY_FILE, serf } from '../../../scripts/bench/contenders.ts'

t.test('the verdicts of serf are read from its log', async (t) => {
  const line = (event: string) => `    2026/01/02 03:04:05 [INFO] serf: EventMember${event}: n2 10.77.0.3`
  t.strictSame(serf.verdict('n1', line('Join')), { member: 'n2', what: 'alive' })
  t.strictSame(serf.verdict('n1', line('Failed')), { member: 'n2', what: 'failed' })
  t.strictSame(serf.verdict('n1', line('Leave')), { member: 'n2', what: 'left' })
  t.equal(serf.verdict('n2', line('Join')), null, 'nothing about itself')
  t.equal(serf.verdict('n1', line('Update')), null)
  t.equal(serf.verdict('n1', '    2026/01/02 03:04:05 [INFO] agent: joining: [10.77.0.2:7946]'), null)
})

t.test('both join through the same addresses with the same key', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'constellation-bench-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, KEY_FILE), 'a2V5\n')
  const ports = { http: 8500, mesh: 7946, dns: 8600 }
  const site = { name: 'n4', host: '10.77.0.5', ports, address: '10.77.0.5:7946', launcher: [] }
  const seeds = ['10.77.0.2:7946', '10.77.0.3:7946']
  const theirs = serf.command(site, seeds, folder).join(' ')
  t.match(theirs, '-retry-join=10.77.0.2:7946 -retry-join=10.77.0.3:7946')
  t.match(theirs, '-encrypt a2V5')
  const ours = constellation('/bin/constellation').command(site, seeds, folder).join(' ')
  t.match(ours, '--join 10.77.0.2:7946 --join 10.77.0.3:7946')
  t.match(ours, `--cluster-key-file ${join(folder, KEY_FILE)}`)
})
