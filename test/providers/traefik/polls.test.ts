import t from 'tap'
import { PollLog } from '../../../providers/traefik/polls.ts'

t.test('keeps the last poll of each poller, the latest first, and of the last 64', (t) => {
  let now = 0
  const polls = new PollLog({ wall: () => now })
  const note = (address: string) =>
    polls.note({ address, local: null, userAgent: 'x'.repeat(500), status: 200, bytes: 7, etag: '"e"' })
  for (let i = 0; i < 70; i += 1) note(`10.0.0.${i}`)
  now = 1000
  note('10.0.0.10')
  const list = polls.list()
  t.equal(list.length, 64)
  t.match(list[0], { address: '10.0.0.10', count: 2, time: '1970-01-01T00:00:01.000Z', bytes: 7 })
  t.equal(list[0]?.userAgent.length, 120)
  t.equal(list[1]?.address, '10.0.0.69')
  t.notOk(list.some(({ address }) => address === '10.0.0.5'))
  t.end()
})
