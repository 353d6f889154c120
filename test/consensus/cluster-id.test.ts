import t from 'tap'
import { recoveredClusterId, supersedes } from '../../consensus/cluster-id.ts'

t.test('a recovered cluster supersedes the one it came from, however often that was recovered', async (t) => {
  const first = '5afd5d9f-7eac-4577-8801-3913de5b7a48'
  const second = recoveredClusterId(first, '9c1f0a7e')
  const third = recoveredClusterId(second, '00000001')
  t.equal(second, `${first}+1-9c1f0a7e`)
  t.equal(third, `${first}+2-00000001`)
  t.ok(supersedes(second, first) && supersedes(third, first) && supersedes(third, second))
  t.notOk(supersedes(first, second) || supersedes(first, first) || supersedes(second, third))
  t.notOk(
    supersedes(recoveredClusterId(first, '11111111'), second),
    'two recovered apart from each other are strangers',
  )
  t.notOk(supersedes('other+1-00000000', first))
  t.notOk(supersedes('', first) || supersedes(first, ''))
})
