import t from 'tap'
import { Watchers } from '../../consensus/watchers.ts'

function watching(...prefixes: string[]) {
  const called: string[] = []
  const watchers = new Watchers((error) => {
    throw error
  })
  const stops = prefixes.map((prefix) =>
    watchers.watch({ kind: 'prefix', prefix }, () => called.push(prefix)),
  )
  return {
    stops,
    notify(...keys: string[]) {
      called.length = 0
      watchers.notify({ keys: new Set(keys), sessions: false })
      return [...called].sort()
    },
  }
}

t.test('a changed key concerns who watches a beginning of it, once', (t) => {
  const { notify, stops } = watching('', 'a', 'a', 'a/b', 'b')
  t.same(notify('a/b'), ['', 'a', 'a', 'a/b'])
  t.same(notify('a/b', 'a/c'), ['', 'a', 'a', 'a/b'])
  t.same(notify('a'), ['', 'a', 'a'])
  stops[1]?.()
  stops[1]?.()
  t.same(notify('a/b'), ['', 'a', 'a/b'], 'a watch ends once')
  stops[0]?.()
  stops[2]?.()
  t.same(notify('a/b'), ['a/b'])
  t.end()
})

t.test('a long key keeps the node no longer than a short one', (t) => {
  const { notify } = watching('a/', 'x')
  // With a look at each of its beginnings this takes minutes.
  t.same(notify('x'.repeat(400_000)), ['x'])
  t.end()
})
