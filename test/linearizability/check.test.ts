import t from 'tap'
import { bruteForce } from './brute-force.ts'
import { checkKey } from './check.ts'
import { parseHistory } from './parse.ts'

const BAD: Readonly<Record<string, string>> = {
  'a stale read': `
    a 0 10  put x => true
    a 20 30 put y => true
    b 40 50 get   => x@5`,
  'an acknowledged write is lost': `
    a 0 10  put x => true
    b 20 30 get   => absent`,
  'a lost update: two writers compare with the same version and both succeed': `
    a 0 10  put x   => true
    a 20 30 get     => x@5
    a 40 60 cas y 5 => true
    b 40 60 cas z 5 => true`,
  'a cas that succeeded twice, the second after the first': `
    a 0 10  cas x 0 => true
    b 20 30 cas y 0 => true`,
  'a cas that succeeded with a version that is gone': `
    a 0 10  put x   => true
    b 20 30 get     => x@5
    a 40 50 put y   => true
    b 60 70 cas z 5 => true`,
  'a cas that failed with the version of the moment': `
    a 0 10  put x   => true
    b 20 30 get     => x@5
    b 40 50 cas y 5 => false`,
  'a cas that was refused and yet took effect': `
    a 0 10  put x   => true
    b 20 30 get     => x@5
    b 40 50 cas y 9 => false
    c 60 70 get     => y@10`,
  'a value nobody wrote': `
    a 0 10  put x => true
    b 20 30 get   => z@5`,
  'a value whose write had failed for certain': `
    a 0 10  put x => true
    b 20 30 put y => fail
    c 40 50 get   => y@9`,
  'a read before the write began': `
    b 0 10  get   => x@5
    a 20 30 put x => true`,
  'reads of one client go back': `
    a 0 100 put x => true
    a 110 200 put y => true
    b 120 130 get => y@9
    b 140 150 get => x@5`,
  'two readers see two writes in two orders': `
    a 0 100 put x => true
    b 0 100 put y => true
    c 10 20 get   => x@5
    d 30 40 get   => y@6
    c 50 60 get   => x@7`,
  'a version goes back': `
    a 0 10  put x => true
    b 20 30 get   => x@9
    a 40 50 put y => true
    b 60 70 get   => y@5`,
  'one value with two versions': `
    a 0 10  put x => true
    b 20 30 get   => x@5
    b 40 50 get   => x@6`,
  'a write did not raise the version': `
    a 0 10  put x => true
    b 20 30 get   => x@5
    a 40 50 put y => true
    b 60 70 get   => y@5`,
  'too many writes between two versions': `
    a 0 10  put x => true
    b 20 30 get   => x@5
    a 40 50 put y => true
    a 60 70 put z => true
    b 80 90 get   => z@6`,
  'a delete is undone': `
    a 0 10  put x  => true
    b 20 30 get    => x@5
    a 40 50 delete => true
    b 60 70 get    => absent@8
    b 80 90 get    => x@5`,
  'a deleted key comes back with a later version': `
    a 0 10  put x  => true
    a 40 50 delete => true
    b 80 90 get    => x@9`,
  'the index of a missing key is older than its deletion can be': `
    a 0 10  put x  => true
    b 20 30 get    => x@5
    a 40 50 delete => true
    b 60 70 get    => absent@5`,
  'a key is written below the index at which it was missing': `
    b 0 10  get   => absent@9
    a 20 30 put x => true
    b 40 50 get   => x@9`,
  'a delete-cas removed a version that was gone': `
    a 0 10  put x         => true
    b 20 30 get           => x@5
    a 40 50 put y         => true
    b 60 70 delete-cas 5  => true`,
  'a delete-cas of a missing key was refused': `
    a 0 10  delete-cas 5  => false`,
  'a write of unknown outcome took effect before it was asked': `
    a 0 10  put x => true
    b 20 30 get   => y@5
    c 40 -  put y => ?`,
  'a write of unknown outcome took effect twice': `
    a 0 10  put x => true
    c 20 -  put y => ?
    b 40 50 get   => y@5
    a 60 70 put z => true
    b 80 90 get   => y@9`,
  'a cas of unknown outcome took effect though its version was gone': `
    a 0 10  put x   => true
    b 20 30 get     => x@5
    a 40 50 put y   => true
    c 60 -  cas z 5 => ?
    b 80 90 get     => z@9`,
  'a lock with two holders': `
    a 0 10  acquire x s1 => true
    b 20 30 acquire y s2 => true`,
  'a lock with two holders, asked at the same time': `
    a 0 30  acquire x s1 => true
    b 0 30  acquire y s2 => true`,
  'a lock was refused to the one that holds it': `
    a 0 10  acquire x s1 => true
    a 20 30 acquire x s1 => false`,
  'a free lock was refused': `
    a 0 10  acquire x s1 => true
    a 20 30 release x s1 => true
    b 40 50 acquire y s2 => false`,
  'a lock was released by somebody else': `
    a 0 10  acquire x s1 => true
    b 20 30 release x s2 => true`,
  'the lock index did not rise with the new holder': `
    a 0 10  acquire x s1 => true
    c 20 30 get          => x@5/1/s1
    a 40 50 release x s1 => true
    b 60 70 acquire x s2 => true
    c 80 90 get          => x@9/1/s2`,
  'the lock index rose without a new holder': `
    a 0 10  acquire x s1 => true
    a 20 30 acquire y s1 => true
    c 40 50 get          => y@9/2/s1`,
  'a plain write took the lock from its holder': `
    a 0 10  acquire x s1 => true
    b 20 30 put y        => true
    c 40 50 get          => y@9/1/-`,
  'a session that is not over lost its lock': `
    a 0 10  acquire x s1   => true
    b 20 30 session-end s2 => true
    c 40 50 acquire y s3   => true`,
  'the creation index changed without a deletion': `
    a 0 10  put x => true
    b 20 30 get   => x@5///5
    a 40 50 put y => true
    b 60 70 get   => y@9///9`,
}

const GOOD: Readonly<Record<string, string>> = {
  'a read during a write sees the old or the new value': `
    a 0 10   put x => true
    a 20 100 put y => true
    b 30 40  get   => y@9
    c 50 60  get   => y@9`,
  'a read that began before the write ended sees the old value': `
    a 0 10   put x => true
    a 20 100 put y => true
    b 30 40  get   => x@5
    c 50 120 get   => x@5`,
  'one write overtakes another asked before it': `
    a 0 100 put x => true
    b 10 20 put y => true
    c 30 40 get   => y@5
    c 110 120 get => x@6`,
  'equal times: the return and the call may be at the same moment': `
    a 0 10  put x => true
    b 10 20 get   => absent`,
  'a write of unknown outcome happens much later': `
    a 0 10   put x => true
    b 20 -   put y => ?
    a 30 40  get   => x@5
    a 50 60  put z => true
    a 70 80  get   => z@8
    a 90 100 get   => y@9`,
  'a write of unknown outcome never happens': `
    a 0 10  put x => true
    b 20 -  put y => ?
    a 30 40 get   => x@5
    a 50 60 get   => x@5`,
  'a cas fails because of a write of unknown outcome that nobody saw': `
    a 0 10  put x   => true
    a 20 30 get     => x@5
    b 40 -  put y   => ?
    a 50 60 cas z 5 => false
    c 70 80 put w   => true`,
  'a cas of unknown outcome explains a version that is gone': `
    a 0 10  put x   => true
    a 20 30 get     => x@5
    b 40 -  cas y 5 => ?
    a 50 60 cas z 5 => false
    a 70 80 get     => y@9`,
  'two writers compare with one version and one succeeds': `
    a 0 10  put x   => true
    a 20 30 get     => x@5
    a 40 60 cas y 5 => true
    b 40 60 cas z 5 => false
    c 70 80 get     => y@6`,
  'a write of the same value keeps the version': `
    a 0 10  put x => true
    a 20 30 get   => x@5
    b 40 50 put x => true
    a 60 70 get   => x@5`,
  'a value comes back because it is written again': `
    a 0 10  put x => true
    a 20 30 get   => x@5
    a 40 50 put y => true
    a 60 70 put x => true
    a 80 90 get   => x@7`,
  'a deleted key is created again': `
    a 0 10  put x   => true
    a 20 30 get     => x@5///5
    a 40 50 delete  => true
    a 60 70 get     => absent@8
    a 80 90 cas x 0 => true
    a 95 99 get     => x@9///9`,
  'a missing key may be deleted, with any version': `
    a 0 10  delete       => true
    a 20 30 delete-cas 7 => true
    a 40 50 get          => absent@3`,
  'a delete of unknown outcome happens in between': `
    a 0 10  put x   => true
    b 20 -  delete  => ?
    a 30 40 get     => x@5
    a 50 60 cas y 0 => true
    a 70 80 get     => y@9`,
  'a read that failed says nothing': `
    a 0 10  put x => true
    b 20 30 get   => fail
    b 40 -  get   => ?`,
  'a write that failed for certain did not happen': `
    a 0 10  put x => true
    b 20 30 put y => fail
    c 40 50 get   => x@5`,
  'a lock goes to the next holder': `
    a 0 10    acquire x s1 => true
    b 20 30   acquire y s2 => false
    a 40 50   release x s1 => true
    b 60 70   acquire y s2 => true
    c 80 90   get          => y@9/2/s2
    a 100 110 release x s1 => false`,
  'a lock is taken again by its holder': `
    a 0 10  acquire x s1 => true
    a 20 30 acquire y s1 => true
    c 40 50 get          => y@9/1/s1`,
  'a session expires and another gets the lock': `
    a 0 10  acquire x s1   => true
    a 20 -  session-end s1 => ?
    b 30 40 acquire y s2   => false
    b 50 60 acquire y s2   => true`,
  'a session expires and takes its key along': `
    a 0 10  acquire x s1          => true
    a 20 -  session-end s1 delete => ?
    b 50 60 get                   => absent@9`,
  'a free lock is refused for the time of its lock delay': `
    a 0 10  acquire x s1           => true
    a 20 30 session-end s1         => true
    b 40 50 acquire-delayed y s2   => false
    b 60 70 acquire-delayed y s2   => true`,
  'a plain write to a locked key leaves the lock alone': `
    a 0 10  acquire x s1 => true
    b 20 30 put y        => true
    c 40 50 get          => y@9/1/s1`,
}

t.test('every planted fault is found', async (t) => {
  for (const [name, text] of Object.entries(BAD)) {
    const history = parseHistory(text)
    t.equal(checkKey(history).verdict, 'violation', name)
    // The other judge knows nothing of creation indexes.
    if (!name.includes('creation')) t.equal(bruteForce(history), false, `${name} (all orders)`)
  }
})

t.test('what only looks wrong is accepted', async (t) => {
  for (const [name, text] of Object.entries(GOOD)) {
    const history = parseHistory(text)
    t.equal(checkKey(history).verdict, 'linearizable', name)
    t.equal(bruteForce(history), true, `${name} (all orders)`)
  }
})

t.test('a search that reaches its bounds says so', async (t) => {
  const writes = Array.from({ length: 14 }, (_, i) => `c${i} ${i} - put v${i} => ?`)
  const reads = Array.from({ length: 14 }, (_, i) => `r${i} ${100 + i} 200 get => v${i}@${20 - i}`)
  const history = parseHistory([...writes, ...reads, 'r 300 301 get => nobody@1'].join('\n'))
  const result = checkKey(history, { visitedMax: 10 })
  t.equal(result.verdict, 'undecided')
  t.ok(result.visited <= 10, 'within the bound')
  t.ok(result.attempt !== null, 'and it tells how far it came')
})
