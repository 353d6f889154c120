import t from 'tap'
import { Random } from '../sim/random.ts'
import { checkKey } from './check.ts'
import { parseHistory } from './parse.ts'
import { registerHistory } from './register.ts'
import { checkHistory, shrink } from './report.ts'

t.test('the report shows the few operations that contradict each other', async (t) => {
  const history = registerHistory(new Random(7), {
    operations: 300,
    clients: 5,
    unknown: 0.05,
    unique: true,
    locks: false,
  })
  t.strictSame(checkHistory(history), [], 'right as it is')
  const end = Math.max(...history.map(({ returnedAt }) => returnedAt))
  const fault = parseHistory(`
    w ${end + 10} ${end + 20} put last => true
    w ${end + 30} ${end + 40} get => last@99999
    r ${end + 50} ${end + 60} get => last@99998`)
  const wrong = [...history, ...fault]
  const { start, operations: small } = shrink(wrong)
  t.equal(checkKey(small, { start }).verdict, 'violation')
  t.match(start, { value: 'last', version: 99999 })
  t.strictSame(small, fault.slice(2), 'the read that contradicts the one before it')
  const [finding] = checkHistory(wrong)
  t.match(finding?.text, /key k: not linearizable; \d of its \d+ operations/)
  t.match(finding?.text, /get → last version 99998/)
  t.match(finding?.text, /none of these fits next/)
})

t.test('keys are judged each on its own', async (t) => {
  const good = parseHistory('a 0 10 put x => true')
  const bad = parseHistory('a 0 10 get => x@5').map((operation) => ({ ...operation, key: 'other' }))
  const findings = checkHistory([...good, ...bad])
  t.strictSame(
    findings.map(({ key, result }) => [key, result.verdict]),
    [['other', 'violation']],
  )
})

t.test('where a value that was read came from is shown, though the part begins later', async (t) => {
  const history = parseHistory(`
    a 0 10  put x => true
    a 20 30 put y => true
    b 40 50 get   => y@9
    b 60 70 get   => x@5`)
  const { start, operations } = shrink(history)
  t.match(start, { value: 'y', version: 9 })
  t.strictSame(operations, history.slice(3))
  const [finding] = checkHistory(history)
  t.match(
    finding?.text,
    /the key was y, version 9, as this read says:\n.*get → y version 9\n {2}written before:\n.*put value=x → true/,
  )
})

t.test('a write that a comparison relies on stays', async (t) => {
  const history = parseHistory(`
    a 0 10  put x   => true
    a 20 30 cas y 5 => true
    b 40 50 cas z 5 => true`)
  t.strictSame(shrink(history).operations, history)
})
