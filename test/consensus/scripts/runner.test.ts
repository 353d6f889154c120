/** The script runner itself: what it does with wrong output and wrong scripts. */
import t from 'tap'
import { runScript } from './runner.ts'

function script(...lines: string[]): string {
  return `${lines.join('\n')}\n`
}

t.test('output that differs is shown as a unified diff and can be rewritten', async (t) => {
  const text = script('# A', '', 'add-nodes 1 voters=(1)', '----', 'ok', '', 'campaign 1', '----', 'nonsense')
  const { diff, rewritten } = runScript('a.txt', text)
  t.equal(
    diff,
    [
      '--- a.txt (expected)',
      '+++ a.txt (printed)',
      '@@ -9,1 +9,1 @@',
      '-nonsense',
      '+1 is pre-candidate in term 0',
    ].join('\n'),
  )
  t.equal(runScript('a.txt', rewritten).diff, '')
  t.equal(rewritten, text.replace('nonsense', '1 is pre-candidate in term 0'), 'comments and commands stay')
})

t.test('the diff keeps three lines around a change', async (t) => {
  const nodes = ['1', '2', '3', '4', '5', '6', '7', '8', '9']
  const commands = nodes.map((id) => `add-node ${id}`)
  const expected = commands.flatMap((command) => [`> ${command}`, command.endsWith('5') ? 'no' : 'ok'])
  const { diff } = runScript('a.txt', script(...commands, '----', ...expected))
  t.equal(
    diff.split('\n').slice(2).join('\n'),
    [
      '@@ -17,7 +17,7 @@',
      ' > add-node 4',
      ' ok',
      ' > add-node 5',
      '-no',
      '+ok',
      ' > add-node 6',
      ' ok',
      ' > add-node 7',
    ].join('\n'),
  )
})

t.test('a mistake in a script names file and line', async (t) => {
  const cases: [string, string | RegExp][] = [
    ['jump 1', 'a.txt:3: unknown command jump'],
    ['campaign 2', 'a.txt:3: there is no node 2'],
    ['campaign 1 twice', 'a.txt:3: unknown argument twice'],
    ['stabilize colour=red', 'a.txt:3: unknown option colour='],
    ['deliver 1 type=letter', 'a.txt:3: unknown message type letter'],
    ['tick 1 often', 'a.txt:3: the number of ticks must be a number, not often'],
    ['propose-change 1 marry 2', 'a.txt:3: unknown change marry'],
    ['set-timeout 1 25', 'a.txt:3: a timeout is at least 10 and below 20 ticks'],
    ['restart 1', 'a.txt:3: node 1 is running'],
  ]
  for (const [command, message] of cases) {
    t.throws(() => runScript('a.txt', script('# A', 'add-node 1 voters=(1)', command, '----')), { message })
  }
  t.throws(() => runScript('a.txt', script('tick 1', '')), {
    message: 'a.txt:1: ---- is missing after the command',
  })
  t.throws(() => runScript('a.txt', '# nothing\n'), { message: 'a.txt: the script has no command' })
})

t.test('a violated safety property ends the script', async (t) => {
  const beyond = script(
    'add-nodes 2 voters=(1,2)',
    'elect 1',
    'step 2 heartbeat from=1 term=1 commit=9',
    '----',
  )
  t.throws(() => runScript('a.txt', beyond), { message: /^a\.txt:3: .*commit 9 is within the log/ })
  const other = script(
    'add-node 1 voters=(1,2) log=(1)',
    'add-node 2 voters=(1,2) log=(1)',
    'step 1 append from=2 term=2 index=1 log-term=1 entries=(2) commit=2',
    'process-ready 1',
    'step 2 append from=1 term=3 index=1 log-term=1 entries=(3) commit=2',
    '----',
  )
  t.throws(() => runScript('a.txt', other), { message: /a\.txt:5: .*commit the same entry/ })
})
